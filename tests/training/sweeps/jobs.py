"""A small grid, and what runs of its jobs leave behind."""

import json
import os
import time
from pathlib import Path
from typing import Any

from circuits.training import run_folder
from circuits.training.sweeps.grid import Job, jobs_of
from circuits.training.sweeps.queue import freeze
from circuits.training.sweeps.results import MEASURES

GRID: dict[str, Any] = {
    "preset": "tiny-ntp",
    "set": {"steps": 2, "batch": 8, "test_examples": 8, "model.width": 8, "model.layers": 1},
    "grid": {"task.examples": [64, 256], "objective": ["ntp", "mtp3"], "seed": [0, 1, 2]},
}


def changed(part: str, **fields: Any) -> dict[str, Any]:
    return GRID | {part: {**GRID[part], **{name.replace("__", "."): value for name, value in fields.items()}}}


def frozen(folder: Path, grid: dict[str, Any] = GRID) -> list[Job]:
    jobs = jobs_of(grid)
    freeze(folder, jobs)
    return jobs


def finish(folder: Path, job: Job, **metrics: Any) -> None:
    """What a finished run leaves."""
    run = folder / "runs" / job.name
    run.mkdir(parents=True, exist_ok=True)
    usual: dict[str, Any] = dict.fromkeys(MEASURES, 0.5)
    run_folder.append_metrics(run, [{"step": 2, "seed": job.config.first_seed, **usual, **metrics}])


def finishing(config, folder, beat) -> None:
    beat()
    folder.mkdir(parents=True, exist_ok=True)
    run_folder.append_metrics(folder, [{"step": config.steps, "seed": config.first_seed}])


def of_elsewhere(folder: Path, job: Job, minutes: float) -> Path:
    """A claim of another host, last touched so long ago."""
    claim = folder / "claims" / f"{job.name}.0"
    claim.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1"}))
    then = time.time() - 60 * minutes
    os.utime(claim, (then, then))
    return claim
