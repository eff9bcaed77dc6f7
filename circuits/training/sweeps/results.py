"""Results of a sweep: means over seeds with their intervals, for each setting of its grid."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from scipy.stats import t as student

from circuits.tasks.task import build_task
from circuits.training import run_folder
from circuits.training.config import TrainConfig
from circuits.training.shapes import transformer_config
from circuits.training.sweeps.grid import Job
from circuits.training.sweeps.pool import state
from circuits.transformer.model import Predictor

PARAMETERS = "parameters"
MEASURES = ("test_exact", "test_hard", "train_exact", "loss")
CONFIDENCE = 0.9
"""Confidence level of the intervals around means over seeds, as in Figure 2."""


class Estimate(NamedTuple):
    """A mean over seeds, half the width of its 90% interval (NaN for one seed), and the values."""

    mean: float
    half: float
    values: tuple[float, ...]


class Cell(NamedTuple):
    """One setting of the grid: its values without the seed, and estimates from ``n`` finished of ``seeds`` seeds."""

    values: dict[str, Any]
    config: TrainConfig
    n: int
    seeds: int
    measures: dict[str, Estimate]


def final_metrics(folder: Path, jobs: Sequence[Job]) -> dict[str, list[dict[str, Any]]]:
    """Return the metrics at the last step of each finished job, one record per seed, by the name of the job."""
    done = [job for job in jobs if state(folder, job) == "done"]
    return {job.name: run_folder.read_metrics(folder / "runs" / job.name)[-job.config.seeds :] for job in done}


def table(jobs: Sequence[Job], metrics: Mapping[str, list[dict[str, Any]]]) -> list[Cell]:
    """Return a cell for each setting, in the order of the jobs, from the metrics of the finished ones."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(json.dumps(_setting(job), sort_keys=True), []).append(job)
    cells = []
    for group in groups.values():
        records = [record for job in group for record in metrics.get(job.name, [])]
        names = [name for name in MEASURES if records and name in records[0]]  # some tasks have no branching token
        measures = {name: estimate([record[name] for record in records]) for name in names}
        seeds = sum(job.config.seeds for job in group)
        cells.append(Cell(_setting(group[0]), group[0].config, len(records), seeds, measures))
    return cells


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean and the half-width t s / √n of its interval, t from Student's distribution with n - 1 degrees."""
    n = len(values)
    half = student.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / n**0.5 if n > 1 else float("nan")
    return Estimate(float(np.mean(values)), float(half), tuple(values))


def num_parameters(config: TrainConfig) -> int:
    """Return the number of trained parameters."""
    shape = transformer_config(config, build_task(config.task))
    shapes = nnx.eval_shape(lambda: nnx.state(Predictor(shape, nnx.Rngs(0)), nnx.Param))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def as_csv(cells: Sequence[Cell]) -> str:
    """Return a line for each setting: numbers of seeds, and the mean and half-width of the interval of each measure."""
    columns = [f"{name}_{part}" for name in MEASURES for part in ("mean", "half_width_90")]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([*cells[0].values, PARAMETERS, "n", "seeds", *columns])
    for cell in cells:
        pairs = [cell.measures[name][:2] if name in cell.measures else ("", "") for name in MEASURES]
        numbers = ["" if number != number else number for pair in pairs for number in pair]
        lines.writerow([*cell.values.values(), num_parameters(cell.config), cell.n, cell.seeds, *numbers])
    return text.getvalue()


def _setting(job: Job) -> dict[str, Any]:
    return {name: value for name, value in job.values.items() if name != "seed"}
