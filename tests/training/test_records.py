"""Configs go through JSON and back, and a wrong field is named."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.tasks.blocksworld.config import BlocksworldConfig, BlocksworldWalks
from circuits.tasks.star.config import StarConfig
from circuits.tasks.task import TaskConfig
from circuits.tasks.tree.config import TreeConfig
from circuits.tasks.walks.config import DagConfig, DagWalks
from circuits.training.config import ObjectiveConfig, TrainConfig
from circuits.training.records import as_json, from_json, leaves


@dataclass(frozen=True)
class Inner:
    nodes: int = 5
    style: Literal["text", "pairs"] = "text"
    data: Path | None = None
    level: Literal[1, 2] = 1


@dataclass(frozen=True)
class Config:
    inner: Inner = field(default_factory=Inner)
    weights: tuple[float, ...] = ()
    rate: float = 0.1
    name: str = "a"
    exact: bool = False
    steps: int = 10

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps: must be positive, got {self.steps}")


finite = st.floats(allow_nan=False, allow_infinity=False)
configs = st.builds(
    Config,
    inner=st.builds(
        Inner,
        nodes=st.integers(),
        style=st.sampled_from(["text", "pairs"]),
        level=st.sampled_from([1, 2]),
        data=st.none() | st.text("ab/. é", min_size=1).map(Path),
    ),
    weights=st.lists(finite, max_size=3).map(tuple),
    rate=finite,
    name=st.text(st.characters(codec="utf-8")),
    exact=st.booleans(),
    steps=st.integers(min_value=0),
)


@given(configs)
def test_a_config_comes_back(config):
    found = from_json(Config, json.loads(json.dumps(as_json(config))))
    assert found == config
    assert repr(found) == repr(config)  # types and signs of zeros


def test_a_whole_number_is_a_float_too_and_a_number_that_json_lacks_is_named():
    assert isinstance(from_json(Config, {"rate": 1}).rate, float)
    with pytest.raises(ValueError, match=r"^rate: must be a finite number"):
        as_json(Config(rate=float("nan")))


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (3, "config: must be an object"),
        ({"colour": "red"}, "colour: must be one of inner, weights"),
        ({"inner": 3}, "inner: must be an object"),
        ({"inner": {"nodes": 5, "colour": 1}}, "inner.colour: must be one of nodes"),
        ({"inner": {"nodes": True}}, "inner.nodes: must be of type int, got True"),
        ({"inner": {"nodes": 5.0}}, r"inner.nodes: must be of type int, got 5\.0"),
        ({"inner": {"style": "x"}}, r"inner.style: must be in \('text', 'pairs'\)"),
        ({"inner": {"data": 3}}, "inner.data: must be of type Path"),
        ({"inner": {"level": True}}, "inner.level: must be in"),
        ({"weights": 1.0}, "weights: must be a list"),
        ({"weights": ["1"]}, "weights: must be of type float"),
        ({"rate": True}, "rate: must be of type float"),
        ({"rate": None}, "rate: must be of type float"),
        ({"exact": 1}, "exact: must be of type bool"),
        ({"name": None}, "name: must be of type str"),
        ({"steps": -1}, "steps: must be positive"),
    ],
)
def test_a_wrong_field_is_named(plain, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        from_json(Config, plain)


@dataclass(frozen=True)
class Newer:
    """A config that has grown since its file was written."""

    size: int
    later: float = 0.5


def test_a_missing_field_has_its_default_and_one_without_default_must_be_there():
    assert from_json(Newer, {"size": 3}) == Newer(3)
    with pytest.raises(ValueError, match=r"^inner.size: must be there"):
        from_json(Newer, {}, "inner")


TASKS = [
    StarConfig(paths=3, data=Path("train.txt"), test_data=Path("test.txt")),
    TreeConfig(nodes=3),
    DagConfig(walks=DagWalks(file=Path("graph"))),
    BlocksworldConfig(walks=BlocksworldWalks(blocks=3)),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.graph)
def test_the_task_is_a_tagged_union(task):
    objective = ObjectiveConfig(name="mtp", heads=2, head_weights=(1.0, 0.5), curriculum=(3,), weight_schedule="power")
    config = TrainConfig(task=task, objective=objective, steps=7)
    plain = json.loads(json.dumps(as_json(config)))
    assert plain["task"]["graph"] == leaves(config)["task.graph"] == task.graph
    assert from_json(TrainConfig, plain) == config
    assert leaves(config)["objective.curriculum"] == [3]
    with pytest.raises(ValueError, match=r"^task.graph: must be one of star, tree, dag, blocksworld"):
        from_json(TrainConfig, plain | {"task": {"graph": "ring"}})
    with pytest.raises(ValueError, match=r"^task.colour: must be one of"):
        from_json(TrainConfig, plain | {"task": plain["task"] | {"colour": "red"}})


OLD: dict[str, Any] = {"paths": 2, "nodes": 5, "labels": 12, "style": "pairs", "query": "goal-start", "examples": 0}
OLD |= {"data_seed": 0, "one_in": 64, "data": None, "test_data": None}
OLD_WALKS = {"edge_probability": 0.2, "graph_seed": 3, "file": None, "blocks": 4, "train_share": 0.1, "split_seed": 0}
OLD_WALKS |= {"paths_a_pair": 20, "walk_seed": 0, "optimal_share": 1.0}


def test_tasks_of_the_first_release_had_the_fields_of_all_tasks():
    for more in ({}, {"walks": OLD_WALKS}):
        stars = from_json(TaskConfig, {"graph": "star", **OLD, **more})
        assert stars == StarConfig(labels=12, style="pairs", query="goal-start")
    assert from_json(TaskConfig, {"graph": "tree", **OLD}) == TreeConfig(labels=12, style="pairs", query="goal-start")
    walks = from_json(TaskConfig, {"graph": "dag", **OLD, "walks": OLD_WALKS})
    assert walks == DagConfig(labels=12, walks=DagWalks(edge_probability=0.2, graph_seed=3))
    blocks = {"graph": "blocksworld", **OLD, "walks": OLD_WALKS | {"blocks": 3}}
    assert from_json(TaskConfig, blocks) == replace(BlocksworldConfig(), walks=BlocksworldWalks(blocks=3))
