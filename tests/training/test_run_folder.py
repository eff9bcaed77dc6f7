"""A run's folder belongs to one config, and its metrics survive a kill in the middle of a line."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.training.run_folder import (
    append_metrics,
    claim,
    cut_metrics,
    read_config,
    read_metrics,
    rebuilt,
)


@dataclass(frozen=True)
class Task:
    nodes: int = 5
    style: Literal["text", "pairs"] = "text"
    data: Path | None = None
    level: Literal[1, 2] = 1


@dataclass(frozen=True)
class Config:
    task: Task = field(default_factory=Task)
    weights: tuple[float, ...] = ()
    rate: float = 0.1
    name: str = "a"
    exact: bool = False
    steps: int = 10
    evaluate_every: int = 5

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps: must be positive, got {self.steps}")


finite = st.floats(allow_nan=False, allow_infinity=False)
configs = st.builds(
    Config,
    task=st.builds(
        Task,
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
def test_a_config_comes_back(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("run")
    claim(folder, config, resume=False)
    found = read_config(folder, Config)
    assert found == config
    assert repr(found) == repr(config)  # types and signs of zeros


def test_a_run_is_not_started_twice(tmp_path):
    folder = tmp_path / "a" / "b"
    claim(folder, Config(), resume=False)
    before = (folder / "config.json").read_bytes()
    with pytest.raises(ValueError, match=r"folder: must be new or empty, for it holds a run, and --resume .*a/b'"):
        claim(folder, Config(), resume=False)
    claim(folder, Config(), resume=True)
    assert (folder / "config.json").read_bytes() == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_other_things_is_left_alone(tmp_path, resume):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ValueError, match=r"folder: must be empty or hold a run with config.json, got '.*'"):
        claim(tmp_path, Config(), resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match=r"folder: must be a folder to write in, got '.*thesis.txt' \(File exists\)"):
        claim(tmp_path / "thesis.txt", Config(), resume=resume)


def test_a_new_folder_may_be_resumed_too_and_a_killed_claim_made_again(tmp_path):
    (tmp_path / ".config.json.12.tmp").touch()
    claim(tmp_path, Config(), resume=True)
    assert read_config(tmp_path, Config) == Config()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0.2}, r"rate: must be 0.1, as in '.*config.json', got 0.2"),
        ({"task": Task(nodes=6)}, r"task.nodes: must be 5, as in '.*config.json', got 6"),
        ({"task": Task(data=Path("x"))}, r"task.data: must be None, as in '.*config.json', got PosixPath\('x'\)"),
        ({"weights": (1.0,)}, r"weights: must be \(\), as in '.*config.json', got \(1.0,\)"),
        ({"steps": 9}, r"steps: must be 10 or more, as in '.*config.json', got 9"),
        ({"evaluate_every": 4}, r"evaluate_every: must be 5, as in '.*config.json', got 4"),
    ],
)
def test_a_run_goes_on_only_as_it_began(tmp_path, change, message):
    claim(tmp_path, Config(), resume=False)
    with pytest.raises(ValueError, match=message):
        claim(tmp_path, replace(Config(), **change), resume=True)
    assert read_config(tmp_path, Config) == Config()


def test_some_fields_may_change(tmp_path):
    claim(tmp_path, Config(), resume=False)
    changed = replace(Config(), steps=20, evaluate_every=4, task=Task(data=Path("x")))
    claim(tmp_path, changed, resume=True, free=frozenset({"evaluate_every", "task.data"}))
    assert read_config(tmp_path, Config) == changed
    with pytest.raises(ValueError, match=r"free: must be fields of Config, got \['evaluate'\]"):
        claim(tmp_path, changed, resume=True, free=frozenset({"evaluate"}))


def test_what_json_has_no_form_for_is_named(tmp_path):
    with pytest.raises(ValueError, match="rate: must be a finite number, a text, a path or None, got nan"):
        claim(tmp_path / "a", Config(rate=float("nan")), resume=False)
    assert not (tmp_path / "a").exists()


GOOD: dict[str, Any] = {"format": 1, "weights": [1.0], "rate": 1, "name": "a", "exact": True, "steps": 3}
GOOD |= {"evaluate_every": 2, "task": {"nodes": 5, "style": "text", "data": None, "level": 1}}


def test_whole_numbers_are_floats_too(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(GOOD))
    found = read_config(tmp_path, Config)
    assert isinstance(found.rate, float)
    assert found == Config(Task(), (1.0,), 1.0, "a", True, 3, 2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "format: must be 1, got 2"),
        ({"colour": "red"}, "colour: must be one of task, weights, .*, got 'red'"),
        ({"task": 3}, "task: must be an object, got 3"),
        ({"task": {"nodes": 5, "colour": 1}}, "task.colour: must be one of nodes, style, data, level, got 1"),
        ({"task": GOOD["task"] | {"nodes": True}}, "task.nodes: must be of type int, got True"),
        ({"task": GOOD["task"] | {"nodes": 5.0}}, r"task.nodes: must be of type int, got 5\.0"),
        ({"task": GOOD["task"] | {"style": "x"}}, r"task.style: must be in \('text', 'pairs'\), got 'x'"),
        ({"task": GOOD["task"] | {"data": 3}}, "task.data: must be of type Path, got 3"),
        ({"task": GOOD["task"] | {"level": True}}, r"task.level: must be in \(1, 2\), got True"),
        ({"weights": 1.0}, r"weights: must be a list, got 1\.0"),
        ({"weights": ["1"]}, "weights: must be of type float, got '1'"),
        ({"rate": True}, "rate: must be of type float, got True"),
        ({"rate": None}, "rate: must be of type float, got None"),
        ({"rate": 10**400}, "int too large"),
        ({"exact": 1}, "exact: must be of type bool, got 1"),
        ({"name": None}, "name: must be of type str, got None"),
        ({"steps": -1}, "steps: must be positive, got -1"),
    ],
)
def test_a_wrong_field_is_named(tmp_path, change, reason):
    content = {key: value for key, value in (GOOD | change).items() if value is not ...}
    (tmp_path / "config.json").write_text(json.dumps(content))
    for read in (lambda: read_config(tmp_path, Config), lambda: claim(tmp_path, Config(), resume=True)):
        with pytest.raises(ValueError, match=rf"config.json: must be the config of a run, got '.*' \({reason}"):
            read()


@dataclass(frozen=True)
class Newer:
    """A config that has grown since its file was written."""

    size: int
    task: Task = field(default_factory=Task)
    later: float = 0.5


def test_a_field_that_is_not_there_is_at_its_default_and_one_without_default_must_be():
    assert rebuilt(Newer, {"size": 3}) == Newer(3)
    assert rebuilt(Newer, {"size": 3, "task": {"nodes": 7}}) == Newer(3, Task(nodes=7))
    with pytest.raises(ValueError, match=r"^size: must be there, got 'nothing'$"):
        rebuilt(Newer, {"later": 0.5})
    with pytest.raises(ValueError, match=r"^inner.size: must be there, got 'nothing'$"):
        rebuilt(Newer, {}, "inner")


def test_a_run_of_an_older_version_goes_on_only_with_the_defaults(tmp_path):
    claim(tmp_path, Config(), resume=False)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    del content["rate"], content["task"]["style"]
    path.write_text(json.dumps(content))
    assert read_config(tmp_path, Config) == Config()
    with pytest.raises(ValueError, match=r"rate: must be 0.1, as in '.*config.json', got 0.2"):
        claim(tmp_path, Config(rate=0.2), resume=True)
    claim(tmp_path, Config(), resume=True)
    assert json.loads(path.read_text())["rate"] == 0.1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"3"])
def test_a_file_that_is_no_config_is_named(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config.json: must be the config of a run, got '.*/config.json' \("):
        read_config(tmp_path, Config)
    with pytest.raises(ValueError, match=r"config.json: must be the config of a run, got .*No such file"):
        read_config(tmp_path / "none", Config)


LINES: list[dict[str, Any]] = [{"step": 0, "loss": 0.1}, {"step": 5, "loss": None}, {"step": 9, "heads": [1, 2.5]}]


@pytest.fixture
def measured(tmp_path):
    append_metrics(tmp_path, LINES[:2])
    append_metrics(tmp_path, LINES[2:])
    return tmp_path


def test_metrics_come_back(measured):
    assert read_metrics(measured) == LINES
    assert read_metrics(measured / "none") == []


def test_no_number_that_json_lacks_is_written(tmp_path):
    infinite = {"step": np.int64(1), "a": float("nan"), "b": [np.float32(np.inf), {"c": -np.inf}], "d": np.float32(0.5)}
    append_metrics(tmp_path, [infinite])
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "a": null, "b": [null, {"c": null}], "d": 0.5}\n'
    with pytest.raises(ValueError, match="step: must be an integer at least 0, got None"):
        append_metrics(tmp_path, [{"a": 1}])
    with pytest.raises(ValueError, match=r"lines: must be values for JSON, got .* \(Object of type PosixPath"):
        append_metrics(tmp_path, [{"step": 2, "a": Path("x")}])
    assert len(read_metrics(tmp_path)) == 1


def test_a_kill_at_any_byte_loses_the_last_line_alone(measured):
    path = measured / "metrics.jsonl"
    whole = path.read_bytes()
    assert whole.count(b"\n") == 3
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        kept = LINES[: whole[:length].count(b"\n")]
        assert read_metrics(measured) == kept
        append_metrics(measured, [{"step": 11}])
        assert read_metrics(measured) == [*kept, {"step": 11}]
        path.write_bytes(whole[:length])
        cut_metrics(measured, 5)
        assert path.read_bytes() == b"".join(json.dumps(line).encode() + b"\n" for line in kept[:2])


@pytest.mark.parametrize("step", [-1, 0, 4, 5, 100])
def test_later_lines_are_cut(measured, step):
    cut_metrics(measured, step)
    assert read_metrics(measured) == [line for line in LINES if line["step"] <= step]
    assert [path.name for path in measured.iterdir()] == ["metrics.jsonl"]
    cut_metrics(measured / "none", step)


@pytest.mark.parametrize("line", [b'{"step": 5', b"[]", b'{"loss": 1}', b"\xff", b"", b'{"step": 1.5}'])
def test_a_broken_line_is_numbered(measured, line):
    path = measured / "metrics.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
    for read in (lambda: read_metrics(measured), lambda: cut_metrics(measured, 5)):
        with pytest.raises(ValueError, match=r"metrics.jsonl: line 2 must be whole, got '.*/metrics.jsonl' \("):
            read()
