"""Configs of training runs: what they refuse, and what follows from them."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from circuits.tasks.star.graph import StarGraph
from circuits.tasks.tree.graph import BinaryTree
from circuits.tasks.walks.format import WalkFormat
from circuits.training import run_folder
from circuits.training.config import (
    ObjectiveConfig,
    OptimiserConfig,
    TaskConfig,
    TrainConfig,
    WalksConfig,
)
from circuits.training.run_folder import as_json
from circuits.transformer.config import Architecture

INFINITE, HERE, NOWHERE = float("inf"), Path("a"), Path("no/t")
TWO, WALKS = {"name": "mtp", "heads": 2}, TaskConfig(graph="dag")
BAD = [
    (TaskConfig, {"graph": "ring"}, "graph: must be one of star, tree, dag, blocksworld, got 'ring'"),
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
    (
        TaskConfig,
        {"walks": WalksConfig(blocks=3)},
        "walks.blocks: must be left at 4 for star graphs, which are no walks",
    ),
    (
        TaskConfig,
        {"graph": "tree", "nodes": 3, "walks": WalksConfig(graph_seed=1)},
        "walks.graph_seed: must be left at 0",
    ),
    *(
        (
            TaskConfig,
            {"graph": "dag", name: value},
            f"{name}: must be left at .* for walks in one directed acyclic graph",
        )
        for name, value in {"paths": 3, "nodes": 4, "style": "pairs", "query": "goal-start", "one_in": 5}.items()
    ),
    (TaskConfig, {"graph": "dag", "examples": 9}, "examples: must be left at 0 for walks in one"),
    (TaskConfig, {"graph": "dag", "data_seed": 9}, "data_seed: must be left at 0 for walks in one"),
    (TaskConfig, {"graph": "dag", "data": HERE, "test_data": HERE}, "data: must be left at None for walks in one"),
    (
        TaskConfig,
        {"graph": "dag", "walks": WalksConfig(optimal_share=0.5)},
        "walks.optimal_share: must be left at 1.0 but",
    ),
    (
        TaskConfig,
        {"graph": "dag", "walks": WalksConfig(file=HERE), "labels": 9},
        "labels: must be left at 20 with a file",
    ),
    (
        TaskConfig,
        {"graph": "dag", "walks": WalksConfig(file=HERE, graph_seed=2)},
        "walks.graph_seed: must be left at 0",
    ),
    (
        TaskConfig,
        {"graph": "dag", "walks": WalksConfig(file=NOWHERE)},
        "walks.file: must hold an acyclic graph, got 'no/t'",
    ),
    (TaskConfig, {"graph": "blocksworld", "labels": 9}, "labels: must be left at 20 for Blocksworld"),
    (
        TaskConfig,
        {"graph": "blocksworld", "walks": WalksConfig(edge_probability=0.5)},
        "walks.edge_probability: must be",
    ),
    (
        TaskConfig,
        {"graph": "blocksworld", "walks": WalksConfig(blocks=9)},
        "blocks: must be an integer between 1 and 6",
    ),
    (WalksConfig, {"edge_probability": 1.5}, r"edge_probability: must be in \[0, 1\], got 1.5"),
    (WalksConfig, {"train_share": -0.1}, r"train_share: must be in \[0, 1\], got -0.1"),
    (WalksConfig, {"optimal_share": float("nan")}, r"optimal_share: must be in \[0, 1\], got nan"),
    (WalksConfig, {"paths_a_pair": 0}, "paths_a_pair: must be an integer at least 1, got 0"),
    (WalksConfig, {"split_seed": 2**31}, "split_seed: must be an integer between 0 and 2147483647"),
    (WalksConfig, {"blocks": 1}, "blocks: must be an integer at least 2, got 1"),
    (ObjectiveConfig, {"name": "best"}, "name: must be one of ntp, mtp, teacherless, got 'best'"),
    (ObjectiveConfig, {"heads": 2}, "heads: must be an integer between 1 and 1, got 2"),
    (ObjectiveConfig, {"name": "mtp"}, "heads: must be an integer at least 2, got 1"),
    (ObjectiveConfig, {"name": "teacherless", "heads": 2}, "heads: must be an integer between 1 and 1"),
    (ObjectiveConfig, {"count": "some"}, "count: must be one of answer, all, got 'some'"),
    (ObjectiveConfig, {"name": "teacherless", "count": "all"}, "count: must be answer for teacherless training"),
    (ObjectiveConfig, {"head_weights": (1.0, 1.0)}, "head_weights: must be empty or 1 weights"),
    (ObjectiveConfig, {"head_weights": (-1.0,)}, "head_weights: must be finite and at least 0"),
    (ObjectiveConfig, {"head_weights": (INFINITE,)}, "head_weights: must be finite and at least 0"),
    (ObjectiveConfig, {"token_weights": (1.0, INFINITE)}, "token_weights: must be finite and at least 0"),
    (ObjectiveConfig, {"injection": True}, "injection: must be left at False with one head"),
    (ObjectiveConfig, {"head_kind": "transfer"}, "head_kind: must be left at 'linear' with one head"),
    (ObjectiveConfig, {"weight_schedule": "power"}, "weight_schedule: must be left at 'constant' with one head"),
    (ObjectiveConfig, TWO | {"weight_schedule": "step"}, "weight_schedule: must be one of constant, power, switch"),
    (ObjectiveConfig, TWO | {"weight_power": 2.0}, "weight_power: must be left at 1.0 with the schedule constant"),
    (ObjectiveConfig, TWO | {"weight_schedule": "power", "switch_at": 0.5}, "switch_at: must be left at 0.68 with the"),
    (ObjectiveConfig, TWO | {"weight_schedule": "switch", "weight_power": 2.0}, "weight_power: must be left at 1.0"),
    (ObjectiveConfig, TWO | {"weight_schedule": "power", "weight_power": -1.0}, "weight_power: must be finite and at"),
    (ObjectiveConfig, TWO | {"weight_schedule": "switch", "switch_to": INFINITE}, "switch_to: must be finite and at"),
    (
        ObjectiveConfig,
        TWO | {"weight_schedule": "switch", "switch_at": 1.5},
        r"switch_at: must be in \[0, 1\], got 1.5",
    ),
    (ObjectiveConfig, TWO | {"curriculum": (1, 2)}, "curriculum: must be empty or 1 steps, of heads 2 to k"),
    (ObjectiveConfig, TWO | {"curriculum": (-1,)}, "curriculum: must be an integer at least 0, got -1"),
    (ObjectiveConfig, TWO | {"heads": 3, "curriculum": (2, 1)}, r"curriculum: must not decrease, got \(2, 1\)"),
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
    (
        TrainConfig,
        {"objective": ObjectiveConfig(token_weights=(1.0,))},
        "objective.token_weights: must be empty or 24 ",
    ),
    (
        TrainConfig,
        {"model": Architecture(kind="one-layer")},
        "model.kind: must be standard unless the task is one of walks",
    ),
    (
        TrainConfig,
        {"task": WALKS, "model": Architecture(kind="one-layer"), "objective": ObjectiveConfig(**TWO, head_kind="meta")},
        "head_kind: must be transfer for more than one head of the one-layer model, got 'meta'",
    ),
    *(
        (
            TrainConfig,
            {"task": WALKS, "model": Architecture(kind="one-layer", **{name: value})},
            f"model.{name}: must be left at .* for the one-layer model, which does not read it, got {value!r}",
        )
        for name, value in {"layers": 1, "heads": 4, "width": 64, "tied": True, "dtype": "float64"}.items()
    ),
    (
        TrainConfig,
        {"task": WALKS, "model": Architecture(kind="one-layer"), "objective": ObjectiveConfig(count="all")},
        "objective.count: must be answer for the one-layer model, which has no parameter before, got 'all'",
    ),
    (
        TrainConfig,
        {
            "task": WALKS,
            "model": Architecture(kind="one-layer"),
            "objective": ObjectiveConfig(name="mtp", heads=WALKS.format.answer_length, head_kind="transfer"),
        },
        f"objective.heads: must be at most {WALKS.format.answer_length - 1}, the tokens of an answer after the source",
    ),
    *(
        (
            TrainConfig,
            {"steps": 7, "objective": ObjectiveConfig(name="mtp", heads=3, curriculum=(2, late))},
            rf"objective.curriculum: must be below the run's 7 steps, or the head .*, got \(2, {late}\)",
        )
        for late in (7, 9)
    ),
    (TrainConfig, {"task": WALKS, "accumulate": 2}, "accumulate: must be 1 for walks"),
    (
        TrainConfig,
        {"task": WALKS, "objective": ObjectiveConfig(name="teacherless")},
        "objective.name: must not be teacherless for walks, which have no dummy",
    ),
    (
        TrainConfig,
        {"objective": ObjectiveConfig(name="mtp", heads=2, injection=True)},
        "injection: must be false unless head_kind is one of transfer",
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
    assert config.task.problem_format.family == StarGraph(2, 3, 8)
    assert TaskConfig(graph="tree", nodes=3, labels=9).problem_format.family == BinaryTree(3, 9)


def test_what_follows_from_walks(tmp_path):
    """The format holds the longest path: 0 -> 1 -> 2 -> 3 of 4 nodes, and the states of Blocksworld and their plans."""
    (tmp_path / "graph").write_text("0 1\n1 2\n2 3\n0 3\n# nodes: 5\n")
    task = TaskConfig(graph="dag", walks=WalksConfig(file=tmp_path / "graph"))
    assert task.format == task.walk_format == WalkFormat(5, 4)
    assert sorted(task.walk_graph.edges) == [(0, 1), (0, 3), (1, 2), (2, 3)]
    objective = ObjectiveConfig(name="mtp", heads=2, head_kind="transfer", injection=True)
    config = TrainConfig(task=task, objective=objective, model=Architecture(kind="one-layer"))
    shape = config.transformer
    assert (shape.vocab, shape.positions, shape.prediction_heads, config.first) == (7, 6, 2, 2)
    assert replace(config, model=Architecture()).first == 1  # which predicts the source, as no parameter of theory does
    assert (shape.kind, shape.head_kind, shape.injection, shape.head_chain) == ("one-layer", "transfer", True, False)
    assert TaskConfig(graph="blocksworld", walks=WalksConfig(blocks=3)).walk_format.nodes == 13
    with pytest.raises(ValueError, match=r"task.graph: must be star or tree, got 'dag'"):
        _ = task.problem_format
    with pytest.raises(ValueError, match=r"task.graph: must be one of dag, blocksworld, got 'star'"):
        _ = TaskConfig().walk_format


def test_a_random_graph_is_that_of_its_seed_and_a_file_is_read_as_it_is(tmp_path):
    random = [TaskConfig(graph="dag", walks=WalksConfig(graph_seed=seed)).walk_graph for seed in (0, 0, 1)]
    assert random[0] is random[1]
    assert set(random[0].edges) != set(random[2].edges)
    assert random[0].number_of_nodes() == 20
    path = tmp_path / "graph"
    path.write_text("0 1\n1 2\n")
    task = TaskConfig(graph="dag", walks=WalksConfig(file=path))
    assert task.walk_format.nodes == 3
    path.write_text("0 1\n1 2\n2 0\n")
    os.utime(path, ns=(1, 1))
    with pytest.raises(ValueError, match=r"walks.file: must hold an acyclic graph, got .*must have no cycle"):
        _ = task.walk_graph


def test_the_last_step_may_be_the_first_of_a_head():
    objective = ObjectiveConfig(name="mtp", heads=3, curriculum=(2, 6))
    assert TrainConfig(steps=7, objective=objective).objective.curriculum == (2, 6)


def test_k_may_be_the_whole_answer():
    assert TrainConfig(objective=ObjectiveConfig(name="mtp", heads=5)).transformer.prediction_heads == 5


def test_a_config_goes_through_json_and_back(tmp_path):
    task = TaskConfig(data=Path("train.txt"), test_data=Path("test.txt"))
    objective = ObjectiveConfig(name="mtp", heads=2, head_weights=(1.0, 0.5), curriculum=(3,), weight_schedule="power")
    config = TrainConfig(task=task, objective=objective, steps=7)
    run_folder.claim(tmp_path, config, resume=False)
    assert run_folder.read_config(tmp_path, TrainConfig) == config
    assert json.loads(json.dumps(as_json(TrainConfig())))["objective"]["name"] == "ntp"
