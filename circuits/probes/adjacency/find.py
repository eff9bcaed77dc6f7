"""Which power of the adjacency matrix a matrix of node logits holds, how well, and whether that is more than chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits import require
from circuits.probes.adjacency.intervals import difference_interval, interval, resampled
from circuits.probes.adjacency.nulls import beyond, permuted_labels, rewired_graphs, untrained_matrices
from circuits.probes.adjacency.references import Reference
from circuits.probes.adjacency.scores import Scores, compare, partial_cosines


class Null(NamedTuple):
    """Cosines where there is nothing to find, and p-values against them, [M, R]."""

    mean: Float[np.ndarray, "M R"]
    low: Float[np.ndarray, "M R"]
    """The 2.5% point of the null."""
    high: Float[np.ndarray, "M R"]
    """The 97.5% point."""
    p: Float[np.ndarray, "M R"]
    """Of all matrices and references at once; NaN where the reference has no such null."""
    draws: int


class Findings(NamedTuple):
    """Of M matrices against R references."""

    references: tuple[Reference, ...]
    scores: Scores
    low: Float[np.ndarray, "M R"]
    """Ends of the interval of the cosine, for each by itself."""
    high: Float[np.ndarray, "M R"]
    partial: Float[np.ndarray, "M R"]
    """The cosine with a power when the other powers of its kind are fixed; NaN for reachability."""
    nulls: dict[str, Null]
    """"permuted", "rewired", and "untrained" where fresh matrices are given."""
    best: Int[np.ndarray, " M"]
    """The place of the power with the highest cosine: its kind is that of ``references[best]``."""
    holds: Bool[np.ndarray, " M"]
    """Whether the p-value of the best power is at most the level against every null."""
    powers: tuple[int, ...]
    """The powers of the references, P of them."""
    margin: Float[np.ndarray, "M P"]
    """How far the best power is above each power, by the highest cosine of its kinds; 0 for the best itself."""
    margin_low: Float[np.ndarray, "M P"]
    margin_high: Float[np.ndarray, "M P"]
    level: float


def find_powers(
    matrices: Float[np.ndarray, "M N N"],
    given: Sequence[Reference],
    *,
    fresh: Float[np.ndarray, "D each N N"] | None = None,
    draws: int = 1000,
    level: float = 0.05,
    seed: int = 0,
) -> Findings:
    """Compare matrices with references, with ``draws`` of each null and of the bootstrap.

    ``fresh``: the same matrices of D untrained models. p-values hold for all matrices and references at once, so the
    share of calls in which any matrix is said to hold a power, where none does, is at most ``level``. Intervals hold
    for each matrix by itself, with confidence 1 - ``level``.

    Raises ValueError as ``compare``, for a level outside (0, 1), fewer draws or fresh models than reach the level, and
    fresh matrices of another number or size.
    """
    require.that(0 < level < 1, "level", "must lie between 0 and 1", level)
    least = int(np.ceil(round(1 / level, 6))) - 1
    require.integer("draws", draws, least=max(least, 2))
    scores = compare(matrices, given)
    cosines = {
        "permuted": permuted_labels(matrices, given, draws, seed),
        "rewired": rewired_graphs(matrices, given, draws, seed + 1),
    }
    if fresh is not None:
        require.that(len(fresh) >= least, "fresh", f"must hold at least {least} models at this level", len(fresh))
        require.that(fresh.shape[1] == len(matrices), "fresh", f"must hold {len(matrices)} matrices", fresh.shape[1])
        cosines["untrained"] = untrained_matrices(fresh, given)
    nulls = {name: _null(scores.cosine, found) for name, found in cosines.items()}
    powered = np.flatnonzero([r.power > 0 for r in given])
    best = powered[scores.cosine[:, powered].argmax(axis=1)]
    p = np.stack([null.p[np.arange(len(best)), best] for null in nulls.values()])
    resamples = resampled(matrices, given, draws, seed + 3)
    nodes = matrices.shape[-1]
    low, high = interval(scores.cosine, resamples, nodes, 1 - level)
    powers = tuple(sorted({r.power for r in given if r.power}))
    margin = _margins(scores.cosine, given, powers, best)
    ends = difference_interval(margin, _margins(resamples, given, powers, best, scores.cosine), nodes, 1 - level)
    partial = partial_cosines(matrices, given)
    holds = np.all(p <= level, axis=0)
    return Findings(tuple(given), scores, low, high, partial, nulls, best, holds, powers, margin, *ends, level)


def rivals(found: Findings, matrix: int) -> tuple[int, ...]:
    """The other powers that the best one of a matrix cannot be told from: their margin's interval reaches 0."""
    own = found.references[int(found.best[matrix])].power
    return tuple(k for place, k in enumerate(found.powers) if k != own and found.margin_low[matrix, place] <= 0)


def verdict(found: Findings, matrix: int) -> str:
    """ "holds A^2 (support)", "cannot tell A^2 from A^3", or "none", of one matrix."""
    if not found.holds[matrix]:
        return "none"
    name, others = found.references[int(found.best[matrix])].name, rivals(found, matrix)
    if not others:
        return f"holds {name}"
    return f"cannot tell {name} from {', '.join('A' if k == 1 else f'A^{k}' for k in others)}"


def _null(cosine: Float[np.ndarray, "M R"], null: Float[np.ndarray, "D M R"]) -> Null:
    low, high = np.quantile(null, (0.025, 0.975), axis=0)
    return Null(null.mean(axis=0), low, high, beyond(cosine, null), len(null))


def _margins(
    cosine: Float[np.ndarray, "*draws M R"],
    given: Sequence[Reference],
    powers: tuple[int, ...],
    best: Int[np.ndarray, " M"],
    chosen_by: Float[np.ndarray, "M R"] | None = None,
) -> Float[np.ndarray, "*draws M P"]:
    """The cosine of the best reference minus that of each power's best kind, which ``chosen_by`` fixes for draws."""
    choice = cosine if chosen_by is None else chosen_by
    row, of = np.arange(len(best)), np.array([r.power for r in given])
    places = [np.flatnonzero(of == k)[choice[:, of == k].argmax(axis=1)] for k in powers]
    return np.stack([cosine[..., row, best] - cosine[..., row, place] for place in places], axis=-1)
