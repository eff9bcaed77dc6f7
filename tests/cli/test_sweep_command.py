"""The command: it trains, shows what is there, submits, and refuses."""

import csv
import io
import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from circuits.cli.sweep import sweep, sweep_figure
from tyro.extras import SubcommandApp

from circuits.cli import UsageError
from circuits.training import run_folder
from circuits.training.sweeps import workers
from circuits.training.sweeps.claims import STALE
from circuits.training.sweeps.grid import jobs_of
from circuits.training.sweeps.queue import failed
from circuits.training.sweeps.results import MEASURES, Row, results, table
from circuits.training.sweeps.workers import Standing, left, shares, submit, work
from tests.training.sweeps.jobs import GRID, changed, finish, frozen


def command(*arguments: object) -> int:
    app = SubcommandApp()
    functions: dict[str, Any] = {"sweep": sweep, "other": lambda: None}
    for name, function in functions.items():
        app.command(function, name=name)
    return app.cli(prog="circuits", args=["sweep", *map(str, arguments)])


@pytest.fixture
def grid_file(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(GRID, sort_keys=False))
    return path


def test_a_tiny_sweep_is_really_trained(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")  # compiling takes all of the worker's time
    grid, out = tmp_path / "grid.yaml", tmp_path / "sweep"
    grid.write_text(yaml.safe_dump(changed("grid", task__examples=[64], objective=["ntp"], seed=[3])))
    assert command(grid, "--out", out, "--figure", tmp_path / "figure.png") == 0
    printed = capsys.readouterr().out
    assert "1 done, 0 running, 0 failed of 1" in printed
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    (row,) = results(out)
    assert row.seed == 3
    assert row.metrics["step"] == 2
    assert run_folder.read_config(out / "runs" / row.job.name, type(row.job.config)) == row.job.config
    assert (out / "runs" / row.job.name / "checkpoints").is_dir()
    (line,) = csv.DictReader(io.StringIO((out / "results.csv").read_text()))
    assert float(line["loss_mean"]) == row.metrics["loss"]


def test_what_is_there_is_shown_and_failures_are_told(tmp_path, grid_file, capsys):
    out = tmp_path / "sweep"
    jobs = frozen(out)
    finish(out, jobs[0], test_exact=0.25)
    failed(out, jobs[1]).write_text("OSError: disk full\n")
    assert command(grid_file, "--out", out, "--workers", 0) == 1
    printed = capsys.readouterr().out
    assert "1 done, 0 running, 1 failed of 12" in printed
    assert re.search(r"25\.0 .* 1/3", printed)
    assert f"{jobs[1].name}: OSError: disk full" in printed


def test_a_killed_worker_is_told(tmp_path, grid_file, capsys, monkeypatch):
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **rest: popen(["sh", "-c", "kill -9 $$"], **rest))
    monkeypatch.setattr(workers, "LOOK_EVERY", 0.01)
    assert command(grid_file, "--out", tmp_path / "sweep") == 1
    assert "worker 0 ended with -9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", -1], "workers: must be an integer at least 0, got -1"),
        (["--stale-minutes", 0], "stale_minutes: must be positive, got 0.0"),
        (["--figure", "no/such/folder/f.png"], "figure: must be in a folder that exists"),
        (["--figure", "FOLDER/f.txt"], "figure: must end in .png"),
        (["--figure", "FOLDER/f.png", "--x", "objective"], "x: must be parameters, or a number in the grid: task.exam"),
        (["--figure", "FOLDER/f.png", "--x", "parameters"], "x: must tell the points of a line apart"),
        (["--slurm", "gpu"], "slurm: needs submitit: pip install 'reverse-circuits[slurm]', got 'gpu'"),
    ],
)
def test_bad_usage(tmp_path, grid_file, arguments, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    if "parameters" in arguments:
        grid_file.write_text(yaml.safe_dump(changed("grid", batch=[8, 16]) | {"set": {}}))
        grid_file.write_text(yaml.safe_dump(_model_twice()))
    given = [str(argument).replace("FOLDER", str(tmp_path)) for argument in arguments]
    with pytest.raises(UsageError, match=re.escape(message)):
        command(grid_file, "--out", tmp_path / "sweep", *given)


def _model_twice() -> dict[str, Any]:
    """Two settings of one size in one panel."""
    return {"preset": "tiny-ntp", "grid": {"model.activation": ["relu", "gelu"], "model.width": [32, 64]}}


def test_lines_panels_and_chance_of_a_figure():
    grid = {"preset": "tiny-ntp", "grid": {"task.examples": [512, 1024], "model.width": [32, 64]}}
    jobs = jobs_of(grid | {"grid": {**grid["grid"], "objective": ["mtp2", "ntp"]}})
    rows = [Row(job, 0, {**dict.fromkeys(MEASURES, 0.25)}) for job in jobs]
    figure = sweep_figure(table(rows, jobs), "task.examples")
    assert figure is not None
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["model.width 32", "model.width 64"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["chance 50%", "mtp2", "ntp"]
    figure = sweep_figure(table(rows, jobs), "parameters")
    assert figure is not None
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["task.examples 512", "task.examples 1024"]
    assert sweep_figure(table([], jobs), "parameters") is None


def test_time_left_is_that_of_the_work():
    jobs = jobs_of(changed("grid", model__width=[8, 16]) | {"set": {"steps": 4, "batch": 8}})
    done = [Standing("done", 1.0) if job.values["model.width"] == 16 else None for job in jobs]
    standings = [one or Standing("waiting", 0.0) for one in done]
    assert shares(jobs, standings) == pytest.approx(4 / 5)
    assert left(0.5, 0.25, 600.0) == ", about 20 min left"
    assert left(0.1, 0.0, 3600.0) == ", about 9 h 0 min left"
    assert left(0.5, 0.5, 600.0) == left(1.0, 0.5, 600.0) == ""


def test_workers_are_submitted(tmp_path, grid_file, capsys, monkeypatch):
    calls: list[Any] = []

    class Executor:
        def __init__(self, folder, cluster):
            calls.append((folder, cluster))

        def update_parameters(self, **given):
            calls.append(given)

        def batch(self):
            return open(os.devnull)

        def submit(self, function, *arguments):
            calls.append((function, arguments))
            return SimpleNamespace(job_id=f"7_{len(calls)}")

    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=Executor))
    out = tmp_path / "sweep"
    assert command(grid_file, "--out", out, "--slurm", "gpu", "--jobs", 2, "--gpus", 1) == 0
    assert calls[0] == (out / "logs" / "slurm", "slurm")
    assert calls[1] == {"name": "circuits", "timeout_min": 1440, "gpus_per_node": 1, "slurm_partition": "gpu"}
    assert calls[2:] == [(work, (str(out), STALE))] * 2
    assert "submitted 7_3, 7_4" in capsys.readouterr().out


def test_submitit_takes_what_it_is_given(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    jobs = frozen(tmp_path)
    for job in jobs:
        finish(tmp_path, job)
    names = submit(tmp_path, "any", 1, STALE, 1, 0, cluster="debug")
    assert len(names) == 1
