"""Configs of training runs: what they refuse, alone and with their task, and what follows from them."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from circuits.tasks.blocksworld.config import BlocksworldConfig, BlocksworldWalks
from circuits.tasks.star.config import StarConfig
from circuits.tasks.task import build_task
from circuits.tasks.tree.config import TreeConfig
from circuits.tasks.walks.config import DagConfig, DagWalks
from circuits.training.config import ObjectiveConfig, OptimiserConfig, TrainConfig
from circuits.training.shapes import check_fits, first_position, tokens_per_step, transformer_config
from circuits.transformer.config import Architecture

INFINITE, HERE = float("inf"), Path("a")
TWO = {"name": "mtp", "heads": 2}
ONE_LAYER = Architecture(kind="one-layer")
BAD = [
    *((kind, {"examples": -1}, "examples: must be an integer at least 0") for kind in (StarConfig, TreeConfig)),
    (StarConfig, {"data_seed": 2**31}, "data_seed: must be an integer between 0 and 2147483647"),
    (StarConfig, {"one_in": 1}, "one_in: must be an integer between 2 and"),
    (StarConfig, {"data": HERE}, "test_data: must be given with data, and only then"),
    (StarConfig, {"test_data": HERE}, "test_data: must be given with data, and only then"),
    (StarConfig, {"data": HERE, "test_data": HERE, "examples": 5}, "examples: must be 0 with a data file"),
    (StarConfig, {"style": "prose"}, "style: must be one of text, pairs"),
    (StarConfig, {"query": "goal"}, "query: must be one of"),
    (DagConfig, {"walks": DagWalks(file=HERE), "labels": 9}, "labels: must be left at 20 with a file"),
    (DagConfig, {"walks": DagWalks(file=HERE, graph_seed=2)}, "walks.graph_seed: must be left at 0"),
    (DagWalks, {"edge_probability": 1.5}, r"edge_probability: must be in \[0, 1\]"),
    (DagWalks, {"train_share": -0.1}, r"train_share: must be in \[0, 1\]"),
    (DagWalks, {"paths_a_pair": 0}, "paths_a_pair: must be an integer at least 1"),
    (DagWalks, {"split_seed": 2**31}, "split_seed: must be an integer between 0 and 2147483647"),
    (BlocksworldWalks, {"optimal_share": float("nan")}, r"optimal_share: must be in \[0, 1\]"),
    (BlocksworldWalks, {"walk_seed": -1}, "walk_seed: must be an integer between 0"),
    (BlocksworldWalks, {"blocks": 1}, "blocks: must be an integer at least 2"),
    (ObjectiveConfig, {"name": "best"}, "name: must be one of ntp, mtp, teacherless"),
    (ObjectiveConfig, {"heads": 2}, "heads: must be an integer between 1 and 1"),
    (ObjectiveConfig, {"name": "mtp"}, "heads: must be an integer at least 2"),
    (ObjectiveConfig, {"name": "teacherless", "heads": 2}, "heads: must be an integer between 1 and 1"),
    (ObjectiveConfig, {"count": "some"}, "count: must be one of answer, all"),
    (ObjectiveConfig, {"name": "teacherless", "count": "all"}, "count: must be answer"),
    (ObjectiveConfig, {"head_weights": (1.0, 1.0)}, "head_weights: must be empty or 1 weights"),
    (ObjectiveConfig, {"head_weights": (-1.0,)}, "head_weights: must be finite and at least 0"),
    (ObjectiveConfig, {"token_weights": (1.0, INFINITE)}, "token_weights: must be finite and at least 0"),
    (ObjectiveConfig, {"injection": True}, "injection: must be left at False with one head"),
    (ObjectiveConfig, {"head_kind": "transfer"}, "head_kind: must be left at 'linear' with one head"),
    (ObjectiveConfig, {"weight_schedule": "power"}, "weight_schedule: must be left at 'constant' with one head"),
    (ObjectiveConfig, TWO | {"weight_schedule": "step"}, "weight_schedule: must be one of constant, power, switch"),
    (ObjectiveConfig, TWO | {"weight_power": 2.0}, "weight_power: must be left at 1.0"),
    (ObjectiveConfig, TWO | {"weight_schedule": "power", "switch_at": 0.5}, "switch_at: must be left at 0.68"),
    (ObjectiveConfig, TWO | {"weight_schedule": "switch", "weight_power": 2.0}, "weight_power: must be left at 1.0"),
    (ObjectiveConfig, TWO | {"weight_schedule": "power", "weight_power": -1.0}, "weight_power: must be finite"),
    (ObjectiveConfig, TWO | {"weight_schedule": "switch", "switch_to": INFINITE}, "switch_to: must be finite"),
    (ObjectiveConfig, TWO | {"weight_schedule": "switch", "switch_at": 1.5}, r"switch_at: must be in \[0, 1\]"),
    (ObjectiveConfig, TWO | {"curriculum": (1, 2)}, "curriculum: must be empty or 1 steps"),
    (ObjectiveConfig, TWO | {"curriculum": (-1,)}, "curriculum: must be an integer at least 0"),
    (ObjectiveConfig, TWO | {"heads": 3, "curriculum": (2, 1)}, "curriculum: must not decrease"),
    (OptimiserConfig, {"schedule": "step"}, "schedule: must be one of constant, cosine, linear"),
    (OptimiserConfig, {"warmup": -1}, "warmup: must be an integer at least 0"),
    (OptimiserConfig, {"learning_rate": 0.0}, "learning_rate: must be positive and finite"),
    (OptimiserConfig, {"clip": INFINITE}, "clip: must be positive and finite"),
    (OptimiserConfig, {"b1": 1.0}, r"b1: must be in \[0, 1\)"),
    (OptimiserConfig, {"b2": -0.1}, r"b2: must be in \[0, 1\)"),
    (OptimiserConfig, {"final_share": 1.1}, r"final_share: must be in \[0, 1\]"),
    (OptimiserConfig, {"weight_decay": float("nan")}, "weight_decay: must be finite and at least 0"),
    *(
        (TrainConfig, {name: 0}, f"{name}: must be an integer at least 1")
        for name in ("steps", "batch", "accumulate", "seeds", "evaluate_every", "checkpoint_every", "keep")
    ),
    (TrainConfig, {"test_examples": 0}, "test_examples: must be an integer at least 1"),
    (TrainConfig, {"keep_every": -1}, "keep_every: must be an integer at least 0"),
    (TrainConfig, {"first_seed": 2**31 - 2, "seeds": 2}, "first_seed: must be an integer between 0 and 2147483645"),
    (TrainConfig, {"batch": 8, "accumulate": 3}, "accumulate: must divide the batch 8"),
    (TrainConfig, {"model": Architecture(dtype="float16")}, "model.dtype: must not be float16"),
    (
        TrainConfig,
        {"steps": 3, "objective": ObjectiveConfig(**TWO, curriculum=(3,))},
        "objective.curriculum: must be below the run's 3 steps",
    ),
    *(
        (
            TrainConfig,
            {"task": DagConfig(), "model": replace(ONE_LAYER, **{name: value})},
            f"model.{name}: must be left",
        )
        for name, value in {"layers": 1, "heads": 4, "width": 64, "tied": True, "dtype": "float64"}.items()
    ),
    (
        TrainConfig,
        {"task": DagConfig(), "model": ONE_LAYER, "objective": ObjectiveConfig(count="all")},
        "objective.count: must be answer for the one-layer model",
    ),
]


@pytest.mark.parametrize(("kind", "fields", "message"), BAD)
def test_a_field_out_of_range_is_named(kind, fields, message):
    record = kind()
    for name, value in fields.items():  # around the hook, which would stop a wrong type before the check does
        object.__setattr__(record, name, value)
    with pytest.raises(ValueError, match=f"^{message}"):
        record.__post_init__()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (StarConfig(labels=8), "labels: must be an integer between 9 and"),
        (StarConfig(paths=1), "paths: must be an integer at least 2"),
        (BlocksworldConfig(walks=BlocksworldWalks(blocks=9)), "blocks: must be an integer between 1 and 6"),
        (DagConfig(walks=DagWalks(file=Path("no/t"))), "task.walks.file: must hold an acyclic graph, got 'no/t'"),
    ],
)
def test_what_building_a_task_refuses(config, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        build_task(config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": ObjectiveConfig(name="mtp", heads=6)}, "objective.heads: must be at most 5"),
        ({"objective": ObjectiveConfig(token_weights=(1.0,))}, "objective.token_weights: must be empty or 24"),
        ({"model": ONE_LAYER}, "model.kind: must be standard"),
        (
            {"task": DagConfig(), "model": ONE_LAYER, "objective": ObjectiveConfig(**TWO, head_kind="meta")},
            "head_kind: must be transfer",
        ),
        ({"task": DagConfig(), "accumulate": 2}, "accumulate: must be 1 for walks"),
        (
            {"task": DagConfig(), "objective": ObjectiveConfig(name="teacherless")},
            "objective.name: must not be teacher",
        ),
        ({"objective": ObjectiveConfig(**TWO, injection=True)}, "injection: must be false"),
    ],
)
def test_a_field_that_does_not_fit_the_task_is_named(fields, message):
    config = TrainConfig(**fields)
    with pytest.raises(ValueError, match=f"^{message}"):
        check_fits(config, build_task(config.task))


def test_what_follows_from_the_task():
    config = TrainConfig(
        task=StarConfig(nodes=3, labels=8, style="pairs"),
        model=Architecture(width=16, bias=True),
        objective=ObjectiveConfig(name="mtp", heads=2),
        batch=4,
        seeds=3,
    )
    task = build_task(config.task)
    shape = transformer_config(config, task)
    assert (shape.vocab, shape.positions, shape.prediction_heads) == (8 + 4, 2 * 4 + 2 + 2 - 1, 2)
    assert (shape.width, shape.bias) == (16, True)
    assert first_position(config, task) == 2 * 4 + 2 - 1
    assert first_position(replace(config, objective=replace(config.objective, count="all")), task) == 0
    assert tokens_per_step(config, task) == 3 * 4 * 11
    assert config.objective.weights == (1.0, 1.0)
    assert ObjectiveConfig(head_weights=(3.0,)).weights == (3.0,)
    check_fits(
        replace(config, task=StarConfig(), objective=ObjectiveConfig(name="mtp", heads=5)), build_task(StarConfig())
    )


def test_what_follows_from_walks(tmp_path):
    """The longest path of this graph is 0 -> 1 -> 2 -> 3."""
    (tmp_path / "graph").write_text("0 1\n1 2\n2 3\n0 3\n# nodes: 5\n")
    objective = ObjectiveConfig(name="mtp", heads=2, head_kind="transfer", injection=True)
    config = TrainConfig(task=DagConfig(walks=DagWalks(file=tmp_path / "graph")), objective=objective, model=ONE_LAYER)
    task = build_task(config.task)
    check_fits(config, task)
    shape = transformer_config(config, task)
    assert (shape.vocab, shape.positions, shape.prediction_heads, first_position(config, task)) == (7, 6, 2, 2)
    # The standard model also predicts the source, with which no parameter of the one-layer model is concerned.
    assert first_position(replace(config, model=Architecture()), task) == 1
    assert (shape.kind, shape.head_kind, shape.injection, shape.head_chain) == ("one-layer", "transfer", True, False)


def test_the_last_step_may_be_the_first_of_a_head():
    objective = ObjectiveConfig(name="mtp", heads=3, curriculum=(2, 6))
    assert TrainConfig(steps=7, objective=objective).objective.curriculum == (2, 6)


def test_configs_import_neither_jax_nor_networkx():
    code = "import sys, circuits.training.presets, circuits.training.disentangled.config, circuits.training.devices; "
    code += "print([name for name in ('jax', 'networkx', 'scipy', 'rich') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
