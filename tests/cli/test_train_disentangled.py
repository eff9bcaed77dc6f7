"""``circuits train-disentangled``: what it prints, what it leaves, and its exit codes."""

import os
import signal

import jax.numpy as jnp
import numpy as np
import pytest

from circuits.cli import main
from circuits.disentangled.metrics import Metrics
from circuits.disentangled.weights import Layer
from circuits.training.disentangled import runs, training
from circuits.training.disentangled.config import DisentangledConfig

SMALL = ["--steps", "2", "--seeds", "2", "--batch", "8", "--evaluation-size", "16"]


@pytest.fixture
def still(monkeypatch):
    """Training that moves nothing and compiles nothing, and measures what ``still`` holds."""
    measured = {"value": 0.25}
    blocks = [jnp.zeros((2, 3, 3), jnp.float32) for _ in range(4)]
    nothing = training.State((Layer(*blocks[:2]), Layer(*blocks[2:])), ())
    monkeypatch.setattr(training, "initial_state", lambda config: nothing)
    monkeypatch.setattr(training, "advance", lambda config, state, start, stop: state)
    names = Metrics._fields
    metrics = lambda config, params: Metrics(*(np.full(2, measured["value"], np.float32) for _ in names))  # noqa: E731
    monkeypatch.setattr(training, "evaluate", metrics)
    return measured


def command(*arguments: str) -> int:
    return main(["train-disentangled", *arguments])


@pytest.mark.usefixtures("still")
def test_lines_a_table_and_a_run(tmp_path, capsys):
    out = tmp_path / "run"
    assert command(*SMALL, "--out", str(out), "--objective", "ntp", "--hold-content-1") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("means over seeds, with the minimum: loss; v: ")
    assert "step       1/2  loss 0.2500  v 25.0% (min 25.0%)  path 25.0% (min 25.0%)" in printed
    assert "predecessor_last" in printed
    assert f"wrote {out}" in printed
    run = runs.read(out)
    config = DisentangledConfig(objective="ntp", hold_content_1=True, steps=2, seeds=2, batch=8, evaluation_size=16)
    assert run.config == config
    assert run.history.steps.tolist() == [0, 1, 2]
    assert sorted(path.name for path in out.iterdir()) == ["checkpoints", "config.json", "metrics.jsonl", "snapshots"]
    # A finished run can be given more steps, and nothing else.
    assert command(*SMALL, "--out", str(out), "--objective", "ntp", "--hold-content-1", "--steps", "4") == 0
    assert "resuming from step 2" in capsys.readouterr().out
    assert runs.read(out).history.steps.tolist() == [0, 1, 2, 4]
    assert runs.read(out).history.snapshot_steps.tolist() == [0, 2, 4]
    assert (
        command(*SMALL, "--out", str(out), "--objective", "ntp", "--hold-content-1", "--labels", "11", "--steps", "4")
        == 2
    )
    assert "labels: must be 10, as in" in " ".join(capsys.readouterr().err.split())


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, capsys, still):
    still["value"] = float("nan")
    assert command(*SMALL, "--out", str(tmp_path)) == 1
    assert "plan: must be finite, got nan for seed 0 at step 0" in capsys.readouterr().out


@pytest.mark.usefixtures("still")
def test_an_interrupt_saves_a_checkpoint(tmp_path, capsys, monkeypatch):
    def interrupt(config, state, start, stop):
        os.kill(os.getpid(), signal.SIGINT)
        return state

    monkeypatch.setattr(training, "advance", interrupt)
    assert command(*SMALL, "--out", str(tmp_path)) == 130
    message = "circuits: interrupted at step 1, where a checkpoint was saved; the same command resumes it"
    assert message in " ".join(capsys.readouterr().out.split())


def test_help_says_what_each_flag_is(capsys):
    assert command("--help") == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--hold-content-1 keep the content block of the first layer at 0" in printed
    assert "{mtp,ntp,mtp-without-replay,plan}" in printed


@pytest.mark.parametrize(
    ("flags", "message"), [(["--steps", "0"], "steps: must be"), (["--paths", "1"], "paths: must be")]
)
def test_bad_values_are_bad_usage(tmp_path, capsys, flags, message):
    assert command("--out", str(tmp_path / "run"), *flags) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "run").exists()
