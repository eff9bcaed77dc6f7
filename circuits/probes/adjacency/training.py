"""How strongly any matrix holds each power, as one number a power: what is followed over training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from circuits import checks
from circuits.probes.adjacency.nulls import permuted_labels
from circuits.probes.adjacency.references import Reference
from circuits.probes.adjacency.scores import compare


class Strength(NamedTuple):
    """Of all matrices of one checkpoint."""

    powers: tuple[int, ...]
    cosine: Float[np.ndarray, " P"]
    """The highest of any matrix with a power, over its kinds."""
    null: float
    """What the highest cosine of any matrix and power stays below in 1 - level of the draws with renamed nodes."""


def strength(
    matrices: Float[np.ndarray, "M N N"],
    given: Sequence[Reference],
    *,
    draws: int = 200,
    level: float = 0.05,
    seed: int = 0,
) -> Strength:
    """Of one checkpoint. Raises ValueError as ``compare`` and ``permuted_labels``, and for a level outside (0, 1)."""
    checks.require(0 < level < 1, "level", "must lie between 0 and 1", level)
    powered = [r for r in given if r.power]
    powers = tuple(sorted({r.power for r in powered}))
    cosine = compare(matrices, powered).cosine
    of = np.array([r.power for r in powered])
    highest = permuted_labels(matrices, powered, draws, seed).max(axis=(1, 2))
    best = np.array([cosine[:, of == k].max() for k in powers])
    return Strength(powers, best, float(np.quantile(highest, 1 - level)))
