"""The metrics of a run for TensorBoard, through tensorboardX (extra ``tensorboard``)."""

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from circuits.training.loop import Report

FOLDER = "tensorboard"


def writer(folder: Path) -> Callable[[Report], None]:
    """Return a function that writes the metrics of an evaluation for each seed.

    Raises ValueError if tensorboardX is not installed.
    """
    try:
        summary_writer = import_module("tensorboardX").SummaryWriter
    except ModuleNotFoundError as error:
        raise ValueError("tensorboard: must be off unless tensorboardX is installed, got True") from error
    open_events = cache(partial(summary_writer, str(folder)))  # not before the run has claimed its folder

    def show(report: Report) -> None:
        events = open_events()
        for record in report.records:
            for name, value in scalars(record).items():
                events.add_scalar(f"{name}/seed {record['seed']}", value, report.step)
        events.flush()

    return show


def scalars(record: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a record by name, without step, seed and None. Entry i of a list is ``name/i``."""
    numbers: dict[str, float] = {}
    for name, value in record.items():
        if name in ("step", "seed"):
            continue
        if isinstance(value, list):
            numbers |= {f"{name}/{index}": float(entry) for index, entry in enumerate(value) if entry is not None}
        elif isinstance(value, int | float):
            numbers[name] = float(value)
    return numbers
