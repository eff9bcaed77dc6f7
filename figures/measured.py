"""Where the training runs lie that figures are drawn from: a folder of ``circuits train-disentangled`` for each."""

import numpy as np

from circuits.training.disentangled import runs
from circuits.training.disentangled.runs import Run
from proofs_check.ledger.data import MEASURED


def load(name: str) -> Run:
    """The run of a name. Raises ValueError if it is not there."""
    return runs.read(MEASURED / "disentangled" / name)


def median_and_range(values: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Over the last axis, the seeds."""
    return np.median(values, axis=-1), (values.min(axis=-1), values.max(axis=-1))
