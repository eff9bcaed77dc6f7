"""The command: it trains, shows results, submits, and refuses."""

import csv
import io
import os
import re
import sys
from typing import Any

import pytest
import yaml
from tyro.extras import SubcommandApp

from circuits.cli import UsageError
from circuits.cli.sweep import sweep
from circuits.cli.sweep_report import sweep_figure
from circuits.training import run_folder
from circuits.training.sweeps import pool
from circuits.training.sweeps.grid import grid_jobs
from circuits.training.sweeps.results import MEASURES, final_metrics, table
from tests.training.sweeps.jobs import GRID, changed, finish


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


def test_a_tiny_sweep_is_trained(tmp_path, capsys):
    grid, out = tmp_path / "grid.yaml", tmp_path / "sweep"
    grid.write_text(yaml.safe_dump(changed("grid", task__examples=[64], objective=["ntp"], seed=[3])))
    assert command(grid, "--out", out, "--workers", 1, "--figure", tmp_path / "figure.png") == 0
    assert "1 done, 0 running, 0 failed of 1" in capsys.readouterr().out
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    ((name, (metrics,)),) = final_metrics(out, grid_jobs(yaml.safe_load(grid.read_text()))).items()
    assert (metrics["seed"], metrics["step"]) == (3, 2)
    assert run_folder.read_config(out / "runs" / name, pool.TrainConfig).first_seed == 3
    assert (out / "runs" / name / "checkpoints" / "2").is_dir()
    (line,) = csv.DictReader(io.StringIO((out / "results.csv").read_text()))
    assert float(line["loss_mean"]) == metrics["loss"]


def test_results_and_failures_so_far_are_shown(tmp_path, grid_file, capsys):
    out = tmp_path / "sweep"
    jobs = pool.prepare(out, grid_jobs(GRID))
    finish(out / "runs" / jobs[0].name, 0, test_exact=0.25)
    (out / "failed" / f"{jobs[1].name}.txt").write_text("exit code 1: OSError: disk full\n\nTraceback\n")
    assert command(grid_file, "--out", out, "--workers", 0) == 1
    printed = capsys.readouterr().out
    assert "1 done, 0 running, 1 failed of 12" in printed
    assert re.search(r"25\.0 .* 1/3", printed)
    assert f"{jobs[1].name}: exit code 1: OSError: disk full\n" in printed


def test_the_default_is_a_worker_for_each_cpu_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7})
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert pool.default_workers() == 3


TWICE = {"preset": "tiny-ntp", "grid": {"model.activation": ["relu", "gelu"], "model.width": [32, 64]}}
"""Two settings of one size in one panel."""


@pytest.mark.parametrize(
    ("arguments", "message", "grid"),
    [
        (["--workers", -1], "workers: must be an integer at least 0", GRID),
        (["--figure", "no/such/folder/f.png"], "figure: must be in a folder that exists", GRID),
        (["--figure", "FOLDER/f.txt"], "figure: must end in .png", GRID),
        (["--figure", "FOLDER/f.png", "--x", "objective"], "x: must be parameters, or a number in the grid", GRID),
        (["--figure", "FOLDER/f.png", "--x", "parameters"], "x: must differ between the points of a line", TWICE),
        (["--x", "model.width"], "x: must be left out without --figure, got 'model.width'", GRID),
        (["--slurm", "gpu"], "slurm: must be a partition of Slurm, and needs submitit", GRID),
    ],
)
def test_bad_usage(tmp_path, grid_file, arguments, message, grid, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    grid_file.write_text(yaml.safe_dump(grid))
    given = [str(argument).replace("FOLDER", str(tmp_path)) for argument in arguments]
    with pytest.raises(UsageError, match=re.escape(message)):
        command(grid_file, "--out", tmp_path / "sweep", *given)


def test_lines_panels_and_chance_of_a_figure():
    varied = {"task.examples": [512, 1024], "model.width": [32, 64], "objective": ["mtp2", "ntp"]}
    jobs = grid_jobs({"preset": "tiny-ntp", "grid": varied})
    cells = table(jobs, {job.name: [dict.fromkeys(MEASURES, 0.25)] for job in jobs})
    figure = sweep_figure(cells, "task.examples")
    assert figure is not None
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["model.width 32", "model.width 64"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["chance 50%", "mtp2", "ntp"]
    figure = sweep_figure(cells, "parameters")
    assert figure is not None
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["task.examples 512", "task.examples 1024"]
    assert sweep_figure(table(jobs, {}), "parameters") is None
