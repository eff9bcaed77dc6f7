"""``circuits probe development``: its numbers, how it resumes after a stop, and how it refuses bad input."""

import os
import re
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from circuits.cli import main, probe_development
from circuits.cli.checkpoint import open_checkpoint
from circuits.files import read_arrays, write_arrays
from circuits.models import held_out_problems, load_model
from circuits.probes import CircuitScores, circuit_strengths, formation, problem_scores
from circuits.probes.attention.scores import FILE_KEYS
from tests.cases import assert_close
from tests.cli.conftest import TASK

pytestmark = pytest.mark.usefixtures("no_saving")
COUNT = 6


def bits(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its bytes and when it was written."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def read_steps(monkeypatch) -> list[int]:
    """The steps at which the command reads the run."""
    steps: list[int] = []

    def noted(checkpoint, step, seed):
        steps.append(step)
        return open_checkpoint(checkpoint, step, seed)

    monkeypatch.setattr(probe_development, "open_checkpoint", noted)
    monkeypatch.setattr(probe_development, "NULL_MODELS", 2)
    return steps


def develop(run: Path, out: Path, *flags: str) -> int:
    return main(["probe", "development", str(run), "--out", str(out), "--examples", str(COUNT), *flags])


@partial(jax.jit, static_argnums=0)
def one_score(graph: nnx.GraphDef, state: nnx.State, row: jax.Array) -> CircuitScores:
    return problem_scores(nnx.merge(graph, state), row, TASK.format, TASK.format.prompt_length - 1)


@cache
def mean_scores(run: Path, step: int, seed: int) -> CircuitScores:
    """Problem by problem; what a problem does not have is left out."""
    loaded = load_model(run, step=step, seed=seed)
    each = [one_score(*nnx.split(loaded.model), row) for row in held_out_problems(loaded, COUNT)]
    return CircuitScores(
        *(np.nanmean([np.asarray(part, np.float64) for part in parts], axis=0) for parts in zip(*each, strict=True))
    )


def test_development_resumes_where_it_stopped_and_leaves_the_run_alone(run, tmp_path, read_steps, capsys):
    before = bits(run)
    assert develop(run, tmp_path) == 0
    assert read_steps == [2, 2, 4, 6]  # the first tells what was trained
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"development.{kind}" for kind in ("npz", "pdf", "png")]
    printed = " ".join(capsys.readouterr().out.split())
    assert "small, seed 5: when each part" in printed
    path = tmp_path / "development.npz"
    whole = read_arrays(path)
    assert whole["steps"].tolist() == [2, 4, 6]
    for number, step in enumerate((2, 4, 6)):
        truth = mean_scores(run, step, 5)
        for name, key in FILE_KEYS.items():
            assert_close(np.asarray(whole[key][number], np.float64), getattr(truth, name), atol=1e-6)
    # Stopped before the last: that alone is scored again, and all comes out the same.
    cut = {name: part if name == "about" else part[:2] for name, part in whole.items()}
    cut["predecessor"] = cut["predecessor"] + np.float32(0.125)
    write_arrays(path, cut)
    read_steps.clear()
    assert develop(run, tmp_path) == 0
    assert read_steps == [2, 6]
    again = read_arrays(path)
    assert_close(
        again.pop("predecessor") - np.array([[[0.125]], [[0.125]], [[0]]], np.float32), whole["predecessor"], atol=1e-6
    )
    for name, part in again.items():
        assert np.array_equal(part, whole[name]), name
    # Done: nothing is scored.
    read_steps.clear()
    assert develop(run, tmp_path) == 0
    assert read_steps == [2]
    assert bits(run) == before


def test_the_table_says_what_formation_does(run, tmp_path, read_steps, capsys):
    assert develop(run, tmp_path, "--seed=6") == 0
    printed = capsys.readouterr().out
    found = circuit_strengths([mean_scores(run, step, 6) for step in (2, 4, 6)])
    assert len(found) == 5
    for name, values in found.items():
        (row,) = (line for line in printed.splitlines() if re.search(rf"│ {name} ", line))
        _, _, baseline, formed, final, _ = (cell.strip() for cell in row.split("│"))
        when = formation(np.array([2, 4, 6]), values, baseline=float(baseline))
        assert final == f"{when.final:.2f}"
        assert abs(when.final - float(baseline) - 0.1) < 0.006 or (formed == "never") == (when.step is None)
    assert read_steps == [2, 2, 4, 6]


def test_development_refuses_what_another_call_left(run, tmp_path, tmp_path_factory, read_steps, refused):
    assert develop(run, tmp_path) == 0
    asked = ("probe", "development", run, "--out", tmp_path)
    message = "circuits: out: must be new, or hold the scores of"
    refused(message, *asked, "--examples=5")
    refused(message, *asked, f"--examples={COUNT}", "--seed=6")
    # A run of the same name that was trained otherwise.
    other = tmp_path_factory.mktemp("other") / run.name
    other.mkdir()
    os.symlink(run / "checkpoints", other / "checkpoints")
    config = (run / "config.json").read_text()
    (other / "config.json").write_text(config.replace('"batch": 8', '"batch": 4'))
    refused(message, "probe", "development", other, "--out", tmp_path, f"--examples={COUNT}")
    # The same run, gone on for longer.
    (other / "config.json").write_text(config.replace('"steps": 6', '"steps": 9'))
    assert develop(other, tmp_path) == 0


def test_development_refuses_a_file_of_something_else(run, tmp_path, refused):
    for arrays in ({}, {"steps": np.arange(3)}, {"about": np.asarray("{}"), "steps": np.arange(3)}):
        write_arrays(tmp_path / "development.npz", arrays)
        refused("circuits: out: must be new, or hold the scores of", "probe", "development", run, "--out", tmp_path)
    (tmp_path / "development.npz").write_bytes(b"PK")
    refused("development.npz: must be a whole npz file", "probe", "development", run, "--out", tmp_path)


def test_a_disk_that_fills_up_is_named(run, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("circuits.plotting.style.write_bytes", full)
    monkeypatch.setattr(probe_development, "NULL_MODELS", 2)
    assert develop(run, tmp_path) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(r"circuits: out: must be a folder to write in, got '.*' \(No space left on device\)", said)
    assert [path.name for path in tmp_path.iterdir()] == ["development.npz"]  # what was scored is kept
