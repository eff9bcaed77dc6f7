"""A small grid, what runs of its jobs leave behind, and jobs that only pretend to train."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from circuits.training import run_folder

GRID: dict[str, Any] = {
    "preset": "tiny-ntp",
    "set": {"steps": 2, "batch": 8, "test_examples": 8, "model.width": 8, "model.layers": 1},
    "grid": {"task.examples": [64, 256], "objective": ["ntp", "mtp3"], "seed": [0, 1, 2]},
}
MEASURES = ("test_exact", "test_hard", "train_exact", "loss")


def changed(part: str, **fields: Any) -> dict[str, Any]:
    return GRID | {part: {**GRID[part], **{name.replace("__", "."): value for name, value in fields.items()}}}


def finish(run: Path, seed: int, **metrics: Any) -> None:
    """Write the metrics of a finished run."""
    run.mkdir(parents=True, exist_ok=True)
    run_folder.append_metrics(run, [{"step": 2, "seed": seed, **dict.fromkeys(MEASURES, 0.5), **metrics}])


def pretend(config: dict[str, Any], run: Path) -> None:
    """Seed 0 raises, seed 1 is killed at the first attempt, all others finish."""
    print("attempt at", run.name)
    with (run.parents[1] / "log").open("a") as log:
        log.write(f"{run.name} {os.getpid()}\n")
    first = (run.parents[1] / "log").read_text().count(run.name) == 1
    if config["first_seed"] == 0:
        raise KeyError("no luck")
    if config["first_seed"] == 1 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    finish(run, config["first_seed"])


def sleep(config: dict[str, Any], run: Path) -> None:
    """Take long at the first attempt."""
    log = run.parents[1] / f"{run.name}.pid"
    first = not log.exists()
    log.write_text(str(os.getpid()))
    if first:
        time.sleep(60)
    finish(run, config["first_seed"])
