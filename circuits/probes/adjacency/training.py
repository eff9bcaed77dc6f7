"""The highest cosine of any matrix with each power, to follow over training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from circuits import checks
from circuits.probes.adjacency.nulls import permuted_cosines
from circuits.probes.adjacency.references import Reference
from circuits.probes.adjacency.scores import compare_matrices


class PowerStrength(NamedTuple):
    """The strongest matrices of one checkpoint."""

    powers: tuple[int, ...]
    cosine: Float[np.ndarray, " powers"]
    """The highest cosine of any matrix with each power, or with its support or observed part."""
    null: float
    """The 1 - level quantile of the highest cosine of any matrix and power, over graphs with renamed nodes."""


def power_strength(
    matrices: Float[np.ndarray, "matrices N N"],
    references: Sequence[Reference],
    *,
    draws: int = 200,
    level: float = 0.05,
    seed: int = 0,
) -> PowerStrength:
    """Return the strengths at one checkpoint.

    Raises ValueError as ``permuted_cosines`` does, and for a level outside (0, 1).
    """
    checks.require(0 < level < 1, "level", "must lie between 0 and 1", level)
    powered = [r for r in references if r.power]
    power = np.array([r.power for r in powered])
    powers = tuple(sorted(set(power.tolist())))
    cosine = compare_matrices(matrices, powered).cosine
    highest = permuted_cosines(matrices, powered, draws, seed).max(axis=(1, 2))
    best = np.array([cosine[:, power == k].max() for k in powers])
    return PowerStrength(powers, best, float(np.quantile(highest, 1 - level)))
