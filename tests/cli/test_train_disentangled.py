"""``circuits train-disentangled``: what it prints, what it leaves, and its exit codes."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from circuits.cli.train_disentangled import train_disentangled
from tyro.extras import SubcommandApp

from circuits.cli import UsageError
from circuits.disentangled.weights import Layer
from circuits.training.disentangled import loop, runs
from circuits.training.disentangled.config import TrainConfig
from circuits.training.disentangled.metrics import Metrics

SMALL = ["--steps", "2", "--seeds", "2", "--batch", "8", "--evaluation-size", "16"]


@pytest.fixture
def still(monkeypatch):
    """Training that moves nothing and compiles nothing, and finds what ``still`` holds."""
    found = {"value": 0.25}
    nothing = loop.State((Layer(jnp.zeros(2), jnp.zeros(2)), Layer(jnp.zeros(2), jnp.zeros(2))), ())
    monkeypatch.setattr(loop, "initial_state", lambda config: nothing)
    monkeypatch.setattr(loop, "advance", lambda config, state, start, stop: state)
    names = Metrics._fields
    metrics = lambda config, params: Metrics(*(np.full(2, found["value"], np.float32) for _ in names))  # noqa: E731
    monkeypatch.setattr(loop, "evaluate", metrics)
    return found


def command(*arguments: str) -> int:
    app = SubcommandApp()
    functions: dict[str, Any] = {"train-disentangled": train_disentangled, "other": lambda: None}
    for name, function in functions.items():
        app.command(function, name=name)
    return app.cli(prog="circuits", args=["train-disentangled", *arguments])


@pytest.mark.usefixtures("still")
def test_lines_a_table_and_a_run(tmp_path, capsys):
    out = tmp_path / "run"
    assert command(*SMALL, "--out", str(out), "--objective", "ntp", "--hold-content-1") == 0
    printed = capsys.readouterr().out
    assert "step       1/2  loss 0.2500  v 25.0% (least 25.0%)  path 25.0% (25.0%)" in printed
    assert "predecessor_last" in printed
    assert f"wrote {out}" in printed
    run = runs.read(out)
    config = TrainConfig(objective="ntp", hold_content_1=True, steps=2, seeds=2, batch=8, evaluation_size=16)
    assert run.config == config
    assert run.history.steps.tolist() == [0, 1, 2]
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.npz", "config.json", "metrics.npz"]


@pytest.mark.usefixtures("still")
def test_another_config_for_the_same_folder_is_bad_usage(tmp_path):
    assert command(*SMALL, "--out", str(tmp_path)) == 0
    with pytest.raises(UsageError, match=r"labels: must be 10, as in .*config.json, got 11"):
        command(*SMALL, "--out", str(tmp_path), "--labels", "11")
    (tmp_path / "checkpoint.npz").write_bytes(b"")
    with pytest.raises(UsageError, match=r"checkpoint.npz: must be a whole npz file"):
        command(*SMALL, "--out", str(tmp_path))


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, capsys, still):
    still["value"] = float("nan")
    assert command(*SMALL, "--out", str(tmp_path)) == 1
    assert "plan: must be finite, got nan for seed number 0 at step 0" in capsys.readouterr().out


def test_help_says_what_each_flag_is(capsys):
    with pytest.raises(SystemExit):
        command("--help")
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--hold-content-1 keep W0 of Layer 1 at 0" in printed
    assert "{mtp,ntp,mtp-without-replay,plan}" in printed


@pytest.mark.usefixtures("still")
def test_a_finished_run_can_be_given_more_steps(tmp_path):
    assert command(*SMALL, "--out", str(tmp_path)) == 0
    assert command(*SMALL, "--out", str(tmp_path), "--steps", "4") == 0
    run = runs.read(tmp_path)
    assert run.config.steps == 4
    assert run.history.steps.tolist() == [0, 1, 2, 4]
    assert run.history.snapshot_steps.tolist() == [0, 2, 4]


def test_bad_values_are_bad_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command("--out", str(tmp_path), "--steps", "0")
    assert stop.value.code == 2
    printed = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "steps: must be an integer at least 1, got 0" in printed
