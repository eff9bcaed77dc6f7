"""Runs of disentangled models as arrays: what is damaged is named, and those of the first release are read."""

import json

import numpy as np
import pytest

from circuits.files import write_arrays
from circuits.training import run_folder
from circuits.training.disentangled.config import DisentangledConfig
from circuits.training.disentangled.runs import read
from proofs_check.ledger.data import MEASURED

CONFIG = DisentangledConfig(seeds=2, steps=10)


@pytest.fixture
def folder(tmp_path):
    run_folder.claim(tmp_path, CONFIG, resume=False)
    for step in (0, 5):
        lines = [{"step": step, "seed": seed, "goal": step + seed / 2, "tokens_per_second": 1} for seed in (0, 1)]
        run_folder.append_metrics(tmp_path, lines)
        run_folder.write_snapshot(tmp_path, step, {"w": np.full((2, 3, 3), step, np.float32)})
    return tmp_path


def test_a_run_is_read(folder):
    run_folder.append_metrics(folder, [{"step": 7, "seed": 0, "goal": 9.0}])  # and killed before the second seed's
    run = read(folder)
    assert run.config == CONFIG
    assert run.history.steps.tolist() == [0, 5]
    assert {name: values.tolist() for name, values in run.history.metrics.items()} == {"goal": [[0, 0.5], [5, 5.5]]}
    assert run.history.snapshot_steps.tolist() == [0, 5]
    assert run.history.snapshots["w"][:, 1, 2, 2].tolist() == [0, 5]


def test_a_run_without_evaluations_and_damaged_ones_are_named(folder):
    (folder / "snapshots" / "5.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"5.npz: must be a whole npz file"):
        read(folder)
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(ValueError, match=r"must be a whole npz file|folder: must hold"):
        read(folder)
    with pytest.raises(ValueError, match=r"config.json: must be the config of a run"):
        read(folder / "none")


def test_a_run_of_the_first_release_is_read():
    run = read(MEASURED / "disentangled" / "reduced-mtp")
    assert run.config.objective == "mtp"
    assert run.history.steps[-1] == run.config.steps == run.history.snapshot_steps[-1]
    assert run.history.metrics["plan"].shape == (len(run.history.steps), run.config.seeds)
    assert run.history.snapshots["content_1"].shape == (len(run.history.snapshot_steps), run.config.seeds, 10, 10)


def test_an_npz_file_without_steps_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "seeds": 2}))
    write_arrays(tmp_path / "metrics.npz", {"steps": np.arange(3)})
    with pytest.raises(ValueError, match=r"metrics.npz: must hold steps and snapshot_steps"):
        read(tmp_path)
