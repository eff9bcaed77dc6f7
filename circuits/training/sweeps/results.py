"""What a sweep found: means over seeds with their intervals, for each setting of its grid."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from scipy.stats import t as student

from circuits.training import run_folder
from circuits.training.config import TrainConfig
from circuits.training.sweeps.grid import Job
from circuits.training.sweeps.queue import finished, read_jobs
from circuits.transformer.model import Predictor

PARAMETERS = "parameters"
MEASURES = ("test_exact", "test_hard", "train_exact", "loss")
CONFIDENCE = 0.9
"""Of the interval around a mean over seeds, as in Figure 2."""


class Row(NamedTuple):
    """A seed of a finished job, with the metrics of its last step."""

    job: Job
    seed: int
    metrics: dict[str, Any]


class Estimate(NamedTuple):
    """A mean over n seeds, and half the width of its 90% interval, NaN for n = 1."""

    mean: float
    half: float
    values: tuple[float, ...]


class Cell(NamedTuple):
    """The seeds of one setting: the values of the grid without the seed, and how many of all ``seeds`` are there."""

    values: dict[str, Any]
    config: TrainConfig
    n: int
    seeds: int
    measures: dict[str, Estimate]


def results(folder: Path) -> list[Row]:
    """Every seed of the jobs that are finished. Raises ValueError for a folder without a grid.json."""
    rows = []
    for job in read_jobs(folder):
        if finished(folder, job):
            lines = run_folder.read_metrics(folder / "runs" / job.name)[-job.config.seeds :]
            rows += [Row(job, line["seed"], line) for line in lines]
    return rows


def table(rows: list[Row], jobs: list[Job]) -> list[Cell]:
    """Means over the seeds that are there, for each setting in the order of the jobs; a setting may have none yet."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(json.dumps(_setting(job), sort_keys=True), []).append(job)
    cells = []
    for group in groups.values():
        names = {job.name for job in group}
        found = [row.metrics for row in rows if row.job.name in names]
        measures = {name: estimate([line[name] for line in found]) for name in MEASURES} if found else {}
        seeds = sum(job.config.seeds for job in group)
        cells.append(Cell(_setting(group[0]), group[0].config, len(found), seeds, measures))
    return cells


def estimate(values: list[float]) -> Estimate:
    """The mean m with the interval m ± t s / √n of a normal law: s with n - 1, and t of Student's law with n - 1."""
    n = len(values)
    half = student.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / n**0.5 if n > 1 else float("nan")
    return Estimate(float(np.mean(values)), float(half), tuple(values))


def parameters(config: TrainConfig) -> int:
    """How many numbers are trained."""
    shapes = nnx.eval_shape(lambda: nnx.state(Predictor(config.transformer, nnx.Rngs(0)), nnx.Param))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def as_csv(cells: Sequence[Cell]) -> str:
    """A line for each setting: n of its seeds, and the mean and half the 90% interval of each measure."""
    names = list(cells[0].values)
    heads = [f"{name}_{part}" for name in MEASURES for part in ("mean", "half_width_90")]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([*names, PARAMETERS, "n", "seeds", *heads])
    for cell in cells:
        found = [cell.measures[name][:2] if cell.n else ("", "") for name in MEASURES]
        numbers = ["" if number != number else number for pair in found for number in pair]
        lines.writerow([*cell.values.values(), parameters(cell.config), cell.n, cell.seeds, *numbers])
    return text.getvalue()


def _setting(job: Job) -> dict[str, Any]:
    return {name: value for name, value in job.values.items() if name != "seed"}
