"""A run's folder: it belongs to one config, and what is damaged is named."""

import json
from dataclasses import replace

import numpy as np
import pytest

from circuits.files import read_arrays, write_arrays
from circuits.training.disentangled import runs
from circuits.training.disentangled.config import TrainConfig

CONFIG = TrainConfig(seeds=2, steps=10)
STATE = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array([4, 4], np.int32)}


def history(*steps: int, snapshots: tuple[int, ...] = (0,)) -> runs.History:
    found = None
    for step in steps:
        taken = {"w": np.full((2, 3, 3), step, np.float32)} if step in snapshots else None
        found = runs.append(found, step, {"goal": np.array([step, -step], np.float32)}, taken)
    assert found is not None
    return found


@pytest.fixture
def folder(tmp_path):
    """A run at step 5, whose history is ahead at step 7."""
    runs.claim(tmp_path, CONFIG)
    runs.save(tmp_path, history(0, 5, 7, snapshots=(0, 7)), 5, STATE)
    return tmp_path


def test_what_is_saved_is_read(folder):
    run = runs.read(folder)
    assert run.config == CONFIG
    assert run.history.steps.tolist() == [0, 5, 7]
    assert run.history.metrics["goal"].tolist() == [[0, 0], [5, -5], [7, -7]]
    assert run.history.snapshot_steps.tolist() == [0, 7]
    assert run.history.snapshots["w"][:, 1, 2, 2].tolist() == [0, 7]


def test_a_run_goes_on_from_its_checkpoint(folder):
    found = runs.resume(folder, STATE)
    assert found is not None
    past, step, state = found
    assert (step, past.steps.tolist(), past.snapshot_steps.tolist()) == (5, [0, 5], [0])
    assert past.metrics["goal"].shape == (2, 2)
    assert past.snapshots["w"].shape == (1, 2, 3, 3)
    for name, array in STATE.items():
        assert state[name].dtype == array.dtype
        assert state[name].tolist() == array.tolist()


def test_a_new_folder_has_nothing_to_go_on_from(tmp_path):
    runs.claim(tmp_path / "a" / "b", CONFIG)
    assert runs.resume(tmp_path / "a" / "b", STATE) is None
    with pytest.raises(ValueError, match=r"folder: must be a folder with config.json and metrics.npz, got"):
        runs.read(tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 64}, r"batch: must be 512, as in .*config.json, got 64"),
        ({"objective": "ntp"}, r"objective: must be 'mtp', as in .*config.json, got 'ntp'"),
        ({"learning_rate": 1e-3}, r"learning_rate: must be 0.0005, as in .*config.json, got 0.001"),
        ({"steps": 9}, r"steps: must be 10 or more, as in .*config.json, got 9"),
    ],
)
def test_another_config_is_refused(folder, change, message):
    with pytest.raises(ValueError, match=message):
        runs.claim(folder, replace(CONFIG, **change))
    assert runs.read(folder).config == CONFIG


def test_a_run_may_be_given_more_steps(folder):
    runs.claim(folder, replace(CONFIG, steps=20))
    assert runs.read(folder).config.steps == 20


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(ValueError, match=r"out: must be a folder to write in, got .*/a'"):
        runs.claim(tmp_path / "a", CONFIG)


@pytest.mark.parametrize("name", ["checkpoint.npz", "metrics.npz"])
@pytest.mark.parametrize("kept", [0, 10, 200, -40])
def test_a_truncated_file_is_named(folder, name, kept):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:kept])
    with pytest.raises(ValueError, match=f"{name}: must be a whole npz file, got .*{name}'"):
        runs.resume(folder, STATE)


def test_arrays_of_another_shape_are_refused(folder):
    with pytest.raises(ValueError, match=r"checkpoint.npz: must hold step and the arrays .*\(3, 3\)"):
        runs.resume(folder, STATE | {"weights": np.zeros((3, 3), np.float32)})
    write_arrays(folder / "checkpoint.npz", {"step": np.asarray(5)})
    with pytest.raises(ValueError, match=r"checkpoint.npz: must hold step and the arrays .*, got \['step'\]"):
        runs.resume(folder, STATE)


def test_a_history_that_is_behind_its_checkpoint_is_refused(folder):
    runs.save(folder, history(0), 5, STATE)
    with pytest.raises(ValueError, match=r"metrics.npz: must hold the evaluation of step 5, where checkpoint.npz is"):
        runs.resume(folder, STATE)
    write_arrays(folder / "metrics.npz", {"steps": np.arange(3)})
    with pytest.raises(ValueError, match=r"metrics.npz: must hold steps and snapshot_steps, got \['steps'\]"):
        runs.read(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", r"format: must be 1, got \[\]"),
        ('{"steps": 5}', "format: must be 1, got None"),
        ('{"format": 2}', "format: must be 1, got 2"),
        ('{"format": 1, "colour": "red"}', "colour"),
        (json.dumps({"format": 1, "steps": 0}), "steps: must be an integer at least 1, got 0"),
    ],
)
def test_a_damaged_config_is_named(folder, text, reason):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=rf"config.json: must be the config of a run, got .*({reason})"):
        runs.claim(folder, CONFIG)


def test_pickles_are_neither_written_nor_read(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{}], object))
    with pytest.raises(ValueError, match=r"a.npz: must be a whole npz file, got"):
        read_arrays(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_arrays(tmp_path / "b.npz", {"a": np.array([{}], object)})
    assert not (tmp_path / "b.npz").exists()
