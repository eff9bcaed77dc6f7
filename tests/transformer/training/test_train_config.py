"""Configs of training runs: what they refuse, and what follows from them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from circuits.tasks.binary_tree import BinaryTree
from circuits.tasks.star_graph import StarGraph
from circuits.transformer.config import Architecture
from circuits.transformer.training import run_folder
from circuits.transformer.training.config import ObjectiveConfig, OptimiserConfig, TaskConfig, TrainConfig
from circuits.transformer.training.run_folder import as_json

INFINITE, HERE = float("inf"), Path("a")
BAD = [
    (TaskConfig, {"graph": "ring"}, "graph: must be one of star, tree, got 'ring'"),
    (TaskConfig, {"examples": -1}, "examples: must be an integer at least 0, got -1"),
    (TaskConfig, {"data_seed": 2**31}, "data_seed: must be an integer between 0 and 2147483647"),
    (TaskConfig, {"one_in": 1}, "one_in: must be an integer between 2 and"),
    (TaskConfig, {"data": HERE}, "test_data: must be given with data, and only then, got None"),
    (TaskConfig, {"test_data": HERE}, r"test_data: must be given with data, and only then, got .*Path\('a'\)"),
    (TaskConfig, {"data": HERE, "test_data": HERE, "examples": 5}, "examples: must be 0 with a data file"),
    (TaskConfig, {"style": "prose"}, "style: must be one of text, pairs, got 'prose'"),
    (TaskConfig, {"query": "goal"}, "query: must be one of .*, got 'goal'"),
    (TaskConfig, {"labels": 8}, "labels: must be an integer between 9 and .*, got 8"),
    (TaskConfig, {"paths": 1}, "paths: must be an integer at least 2, got 1"),
    (ObjectiveConfig, {"name": "best"}, "name: must be one of ntp, mtp, teacherless, got 'best'"),
    (ObjectiveConfig, {"heads": 2}, "heads: must be an integer between 1 and 1, got 2"),
    (ObjectiveConfig, {"name": "mtp"}, "heads: must be an integer at least 2, got 1"),
    (ObjectiveConfig, {"name": "teacherless", "heads": 2}, "heads: must be an integer between 1 and 1"),
    (ObjectiveConfig, {"count": "some"}, "count: must be one of answer, all, got 'some'"),
    (ObjectiveConfig, {"name": "teacherless", "count": "all"}, "count: must be answer for teacherless training"),
    (ObjectiveConfig, {"head_weights": (1.0, 1.0)}, "head_weights: must be empty or 1 weights"),
    (ObjectiveConfig, {"head_weights": (-1.0,)}, "head_weights: must be finite and at least 0"),
    (ObjectiveConfig, {"head_weights": (INFINITE,)}, "head_weights: must be finite and at least 0"),
    (OptimiserConfig, {"schedule": "step"}, "schedule: must be one of constant, cosine, linear, got 'step'"),
    (OptimiserConfig, {"warmup": -1}, "warmup: must be an integer at least 0, got -1"),
    (OptimiserConfig, {"learning_rate": 0.0}, "learning_rate: must be positive and finite, got 0.0"),
    (OptimiserConfig, {"clip": INFINITE}, "clip: must be positive and finite, got inf"),
    (OptimiserConfig, {"b1": 1.0}, r"b1: must be in \[0, 1\), got 1.0"),
    (OptimiserConfig, {"b2": -0.1}, r"b2: must be in \[0, 1\), got -0.1"),
    (OptimiserConfig, {"final_share": 1.1}, r"final_share: must be in \[0, 1\], got 1.1"),
    (OptimiserConfig, {"weight_decay": -1.0}, "weight_decay: must be finite and at least 0, got -1.0"),
    (OptimiserConfig, {"weight_decay": float("nan")}, "weight_decay: must be finite and at least 0, got nan"),
    *(
        (TrainConfig, {name: 0}, f"{name}: must be an integer at least 1, got 0")
        for name in ("steps", "batch", "accumulate", "seeds", "evaluate_every", "checkpoint_every", "keep")
    ),
    (TrainConfig, {"test_examples": 0}, "test_examples: must be an integer at least 1, got 0"),
    (TrainConfig, {"keep_every": -1}, "keep_every: must be an integer at least 0, got -1"),
    (TrainConfig, {"first_seed": -1}, "first_seed: must be an integer between 0 and"),
    (TrainConfig, {"first_seed": 2**31 - 2, "seeds": 2}, "first_seed: must be an integer between 0 and 2147483645"),
    (TrainConfig, {"batch": 8, "accumulate": 3}, "accumulate: must divide the batch 8, got 3"),
    (TrainConfig, {"task": TaskConfig(examples=7), "batch": 8}, "examples: must be at least the batch 8, got 7"),
    (TrainConfig, {"model": Architecture(dtype="float16")}, "model.dtype: must not be float16, whose gradients"),
    (
        TrainConfig,
        {"objective": ObjectiveConfig(name="mtp", heads=6)},
        "objective.heads: must be at most 5, the tokens of an answer, got 6",
    ),
]


@pytest.mark.parametrize(("kind", "fields", "message"), BAD)
def test_values_out_of_range_are_named(kind, fields, message):
    record = kind()
    for name, value in fields.items():  # around the hook, which would stop a wrong type before the check does
        object.__setattr__(record, name, value)
    with pytest.raises(ValueError, match=f"^(task.)?{message}"):
        record.__post_init__()


def test_what_follows_from_the_task():
    config = TrainConfig(
        task=TaskConfig(nodes=3, labels=8, style="pairs"),
        model=Architecture(width=16, bias=True),
        objective=ObjectiveConfig(name="mtp", heads=2),
    )
    shape = config.transformer
    assert (shape.vocab, shape.positions, shape.prediction_heads) == (8 + 4, 2 * 4 + 2 + 2 - 1, 2)
    assert (shape.width, shape.bias) == (16, True)
    assert config.first == 2 * 4 + 2 - 1
    assert replace(config, objective=replace(config.objective, count="all")).first == 0
    assert config.objective.weights == (1.0, 1.0)
    assert ObjectiveConfig(head_weights=(3.0,)).weights == (3.0,)
    assert config.task.format.family == StarGraph(2, 3, 8)
    assert TaskConfig(graph="tree", nodes=3, labels=9).format.family == BinaryTree(3, 9)


def test_k_may_be_the_whole_answer():
    assert TrainConfig(objective=ObjectiveConfig(name="mtp", heads=5)).transformer.prediction_heads == 5


def test_a_config_goes_through_json_and_back(tmp_path):
    task = TaskConfig(data=Path("train.txt"), test_data=Path("test.txt"))
    objective = ObjectiveConfig(name="mtp", heads=2, head_weights=(1.0, 0.5))
    config = TrainConfig(task=task, objective=objective, steps=7)
    run_folder.claim(tmp_path, config, resume=False)
    assert run_folder.read_config(tmp_path, TrainConfig) == config
    assert json.loads(json.dumps(as_json(TrainConfig())))["objective"]["name"] == "ntp"
