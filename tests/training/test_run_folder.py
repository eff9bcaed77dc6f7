"""A run's folder belongs to one config, and its metrics survive a kill in the middle of a line."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuits.training.run_folder import (
    FORMAT,
    append_metrics,
    claim,
    own_files,
    read_config,
    read_metrics,
    read_snapshots,
    rewind,
    write_snapshot,
)


@dataclass(frozen=True)
class Config:
    nodes: int = 5
    weights: tuple[float, ...] = ()
    rate: float = 0.1
    steps: int = 10
    evaluate_every: int = 5


def test_a_run_is_not_started_twice(tmp_path):
    folder = tmp_path / "a" / "b"
    claim(folder, Config(), resume=False)
    before = (folder / "config.json").read_bytes()
    with pytest.raises(ValueError, match=r"folder: must be new or empty.*a/b'"):
        claim(folder, Config(), resume=False)
    claim(folder, Config(), resume=True)
    assert (folder / "config.json").read_bytes() == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_other_things_is_left_alone(tmp_path, resume):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ValueError, match=r"folder: must be empty or hold a run"):
        claim(tmp_path, Config(), resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match=r"folder: must be a folder to write in, got '.*thesis.txt'"):
        claim(tmp_path / "thesis.txt", Config(), resume=resume)


def test_a_new_folder_may_be_resumed_and_a_killed_claim_made_again(tmp_path):
    for name in (".config.json.12.tmp", ".graph.txt.12.tmp"):
        (tmp_path / name).touch()
    (tmp_path / "graph.txt").write_text("0 1")
    claim(tmp_path, Config(), resume=True, files={"graph.txt": "0 1"})
    assert read_config(tmp_path, Config) == Config()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0.2}, r"rate: must be 0.1, as in '.*config.json', got 0.2"),
        ({"nodes": 6}, r"nodes: must be 5"),
        ({"weights": (1.0,)}, r"weights: must be \[\]"),
        ({"steps": 9}, r"steps: must be 10 or more"),
    ],
)
def test_a_run_is_resumed_only_with_its_config(tmp_path, change, message):
    claim(tmp_path, Config(), resume=False)
    with pytest.raises(ValueError, match=message):
        claim(tmp_path, replace(Config(), **change), resume=True)
    assert read_config(tmp_path, Config) == Config()


def test_some_fields_may_change(tmp_path):
    claim(tmp_path, Config(), resume=False)
    changed = replace(Config(), steps=20, evaluate_every=4)
    claim(tmp_path, changed, resume=True)
    assert read_config(tmp_path, Config) == changed
    with pytest.raises(ValueError, match="steps: must be 20, as in"):
        claim(tmp_path, replace(changed, steps=21), resume=True, growing=frozenset())


def test_a_value_that_json_lacks_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="rate: must be a finite number"):
        claim(tmp_path / "a", Config(rate=float("nan")), resume=False)
    assert not (tmp_path / "a").exists()


def test_a_run_has_its_task_s_files_and_keeps_them(tmp_path):
    folder = tmp_path / "run"
    assert own_files(_claimed(tmp_path / "none"), Config) is None
    claim(folder, Config(), resume=False, files={"graph.txt": "0 1"})
    assert own_files(folder, Config) == folder
    claim(folder, Config(), resume=True, files={"graph.txt": "0 1"})
    with pytest.raises(ValueError, match=r"graph.txt: must be the same as when the run"):
        claim(folder, Config(), resume=True, files={"graph.txt": "0 2"})
    assert (folder / "graph.txt").read_text() == "0 1"
    for damage in ("0 3", None):
        (folder / "graph.txt").write_text(damage) if damage else (folder / "graph.txt").unlink()
        with pytest.raises(ValueError, match=r"graph.txt: must be unchanged"):
            own_files(folder, Config)


def _claimed(folder: Path) -> Path:
    claim(folder, Config(), resume=False)
    return folder


def test_a_run_of_the_first_release_is_read_but_not_resumed(tmp_path):
    """Its one file of its own was "kept", with the field that named it."""
    claim(tmp_path, Config(), resume=False, files={"graph.txt": "0 1"})
    path = tmp_path / "config.json"
    plain = json.loads(path.read_text())
    (digest,) = plain.pop("files").values()
    kept = {"field": "task.walks.file", "name": "graph.txt", "digest": digest}
    path.write_text(json.dumps(plain | {"format": 1, "kept": kept}))
    assert read_config(tmp_path, Config) == Config()
    assert own_files(tmp_path, Config) == tmp_path
    with pytest.raises(ValueError, match=rf"format: must be {FORMAT} to be resumed"):
        claim(tmp_path, Config(), resume=True, files={"graph.txt": "0 1"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 3}, "format: must be one of"),
        ({"colour": "red"}, "colour: must be one of"),
        ({"nodes": "x"}, "nodes: must be of type int"),
        ({"rate": 10**400}, "int too large"),
        ({"files": 3}, "files: must be an object"),
        ({"files": {"graph.txt": 3}}, "files: must be an object"),
        ({"format": 1, "kept": {}}, "name"),
    ],
)
def test_a_wrong_field_is_named(tmp_path, change, reason):
    (tmp_path / "config.json").write_text(json.dumps({"format": FORMAT, "nodes": 5} | change))
    for read in (lambda: read_config(tmp_path, Config), lambda: claim(tmp_path, Config(), resume=True)):
        with pytest.raises(ValueError, match=rf"config.json: must be the config of a run, got '.*' \(.*{reason}"):
            read()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"3"])
def test_a_file_that_is_no_config_is_named(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match=r"config.json: must be the config of a run, got "):
            read_config(folder, Config)


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
    with pytest.raises(ValueError, match=r"lines: must be values for JSON"):
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
        rewind(measured, 5)
        assert path.read_bytes() == b"".join(json.dumps(line).encode() + b"\n" for line in kept[:2])


@pytest.mark.parametrize("step", [-1, 0, 4, 5, 100])
def test_later_lines_and_snapshots_are_dropped(measured, step):
    for taken in (0, 5, 9):
        write_snapshot(measured, taken, {"weights": np.full((2, 3), taken, np.float32)})
    rewind(measured, step)
    assert read_metrics(measured) == [line for line in LINES if line["step"] <= step]
    snapshots = read_snapshots(measured)
    assert list(snapshots) == [taken for taken in (0, 5, 9) if taken <= step]
    assert all(np.all(arrays["weights"] == taken) for taken, arrays in snapshots.items())
    rewind(measured / "none", step)


@pytest.mark.parametrize("line", [b'{"step": 5', b"[]", b'{"loss": 1}', b"\xff", b"", b'{"step": 1.5}'])
def test_a_broken_line_is_numbered(measured, line):
    path = measured / "metrics.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
    for read in (lambda: read_metrics(measured), lambda: rewind(measured, 5)):
        with pytest.raises(ValueError, match=r"metrics.jsonl: line 2 must be an object with a step"):
            read()
