"""Read a training run of a disentangled model as arrays.

The first release wrote metrics and snapshots to ``metrics.npz``: steps [evaluations], each metric [evaluations, seeds],
snapshot_steps [snapshots], and each parameter [snapshots, seeds, rows, columns]. Such folders can be read too.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from circuits import checks
from circuits.files import read_arrays
from circuits.training import run_folder
from circuits.training.disentangled.config import DisentangledConfig

HISTORY = "metrics.npz"
NO_METRICS = ("step", "seed", "tokens_per_second", "device")


class History(NamedTuple):
    """The metrics of all evaluations, and snapshots of the parameters, for all seeds."""

    steps: Int[np.ndarray, " evaluations"]
    metrics: dict[str, Float[np.ndarray, "evaluations seeds"]]
    snapshot_steps: Int[np.ndarray, " snapshots"]
    snapshots: dict[str, Float[np.ndarray, "snapshots seeds rows columns"]]


class Run(NamedTuple):
    """A run read from its folder. Index s along ``seeds`` is seed ``config.first_seed`` + s."""

    config: DisentangledConfig
    history: History


def read(folder: Path) -> Run:
    """Return a run, finished or not. Raises ValueError naming the file that is missing or damaged."""
    config = run_folder.read_config(folder, DisentangledConfig)
    if (folder / HISTORY).exists():
        return Run(config, _first_release(folder))
    lines, snapshots = run_folder.read_metrics(folder), run_folder.read_snapshots(folder)
    rows = [lines[first : first + config.seeds] for first in range(0, len(lines), config.seeds)]
    rows = [row for row in rows if len(row) == config.seeds]  # a killed run may lack some seeds of the last
    rule = f"must hold evaluations, in {run_folder.METRICS} or {HISTORY}"
    checks.require(bool(rows) and bool(snapshots), "folder", rule, str(folder))
    names = [name for name in rows[0][0] if name not in NO_METRICS]
    taken = list(snapshots.values())
    return Run(
        config,
        History(
            np.array([row[0]["step"] for row in rows], np.int32),
            {name: np.array([[line[name] for line in row] for row in rows], np.float32) for name in names},
            np.array(list(snapshots), np.int32),
            {name: np.stack([arrays[name] for arrays in taken]) for name in taken[0]},
        ),
    )


def _first_release(folder: Path) -> History:
    arrays = read_arrays(folder / HISTORY)
    rule = "must hold steps and snapshot_steps"
    checks.require({"steps", "snapshot_steps"} <= arrays.keys(), HISTORY, rule, sorted(arrays))
    parts: dict[str, dict[str, Any]] = {
        part: {name.removeprefix(part): values for name, values in arrays.items() if name.startswith(part)}
        for part in ("metrics/", "snapshots/")
    }
    return History(arrays["steps"], parts["metrics/"], arrays["snapshot_steps"], parts["snapshots/"])
