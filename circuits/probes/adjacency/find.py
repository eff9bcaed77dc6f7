"""Which power of the adjacency matrix, or reachability, a matrix of node logits holds, and whether that is chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits import checks
from circuits.probes.adjacency.intervals import difference_interval, interval, resampled
from circuits.probes.adjacency.nulls import beyond, permuted_labels, rewired_graphs, untrained_matrices
from circuits.probes.adjacency.references import Reference, candidates
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
    """The place of the reference with the highest cosine, powers and reachability alike."""
    holds: Bool[np.ndarray, " M"]
    """Whether the p-value of the best reference is at most the level against every null that it has."""
    candidates: tuple[str, ...]
    """What is told apart, C of them: "A", "A^2", .., "reachability", "reachability^T", each of one or more references
    (counts and support, of the whole graph and of the observed one)."""
    margin: Float[np.ndarray, "M C"]
    """The cosine of the best reference minus the highest of each candidate's references: never below 0, and 0 for the
    candidate of the best one."""
    margin_low: Float[np.ndarray, "M C"]
    """Ends of the margin's interval, below 0 where the candidate may be the better one."""
    margin_high: Float[np.ndarray, "M C"]
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
    share of calls in which any matrix is said to hold anything, where none does, is at most ``level``. Intervals hold
    for each matrix by itself, with confidence 1 - ``level``.

    Raises ValueError as ``compare``, for a level outside (0, 1), fewer draws or fresh models than reach the level, and
    fresh matrices of another number or size.
    """
    checks.require(0 < level < 1, "level", "must lie between 0 and 1", level)
    least = int(np.ceil(round(1 / level, 6))) - 1
    checks.integer("draws", draws, min_value=max(least, 2))
    scores = compare(matrices, given)
    cosines = {
        "permuted": permuted_labels(matrices, given, draws, seed),
        "rewired": rewired_graphs(matrices, given, draws, seed + 1),
    }
    if fresh is not None:
        checks.require(len(fresh) >= least, "fresh", f"must hold at least {least} models at this level", len(fresh))
        checks.require(fresh.shape[1] == len(matrices), "fresh", f"must hold {len(matrices)} matrices", fresh.shape[1])
        cosines["untrained"] = untrained_matrices(fresh, given)
    nulls = {name: _null(scores.cosine, found) for name, found in cosines.items()}
    best = scores.cosine.argmax(axis=1)
    p = np.stack([null.p[np.arange(len(best)), best] for null in nulls.values()])
    resamples = resampled(matrices, given, draws, seed + 3)
    nodes = matrices.shape[-1]
    low, high = interval(scores.cosine, resamples, nodes, 1 - level)
    choice = _chosen(scores.cosine, given)
    margin = _margins(scores.cosine, best, choice)
    ends = difference_interval(margin, _margins(resamples, best, choice), nodes, 1 - level)
    partial = partial_cosines(matrices, given)
    # No reference is without a null of renamed nodes, so NaN of the others takes nothing for granted.
    holds = np.all(np.isnan(p) | (p <= level), axis=0)
    told = candidates(given)
    return Findings(tuple(given), scores, low, high, partial, nulls, best, holds, told, margin, *ends, level)


def rivals(found: Findings, matrix: int) -> tuple[str, ...]:
    """The other candidates that the best one of a matrix cannot be told from: their margin's interval reaches 0."""
    own = found.references[int(found.best[matrix])].candidate
    low = found.margin_low[matrix]
    return tuple(name for place, name in enumerate(found.candidates) if name != own and low[place] <= 0)


def missing(found: Findings, matrix: int) -> tuple[str, ...]:
    """The nulls that the best reference of a matrix does not have: no graph is rewired to observed reachability."""
    at = matrix, int(found.best[matrix])
    return tuple(name for name, null in found.nulls.items() if np.isnan(null.p[at]))


def verdict(found: Findings, matrix: int) -> str:
    """ "holds A^2 support", "holds reachability^T", "cannot tell A^2 from A^3", or "none", of one matrix.

    Followed by "(no rewired null)" where the best reference has none.
    """
    if not found.holds[matrix]:
        return "none"
    name, others = found.references[int(found.best[matrix])].name, rivals(found, matrix)
    said = f"cannot tell {name} from {', '.join(others)}" if others else f"holds {name}"
    less = missing(found, matrix)
    return f"{said} (no {' or '.join(less)} null)" if less else said


def _null(cosine: Float[np.ndarray, "M R"], null: Float[np.ndarray, "D M R"]) -> Null:
    low, high = np.quantile(null, (0.025, 0.975), axis=0)
    return Null(null.mean(axis=0), low, high, beyond(cosine, null), len(null))


def _chosen(cosine: Float[np.ndarray, "M R"], given: Sequence[Reference]) -> Int[np.ndarray, "M C"]:
    """The place of each candidate's reference with the highest cosine."""
    of = np.array([r.candidate for r in given])
    places = [np.flatnonzero(of == name) for name in candidates(given)]
    return np.stack([own[cosine[:, own].argmax(axis=1)] for own in places], axis=-1)


def _margins(
    cosine: Float[np.ndarray, "*draws M R"], best: Int[np.ndarray, " M"], choice: Int[np.ndarray, "M C"]
) -> Float[np.ndarray, "*draws M C"]:
    """The cosine of the best reference minus that of each candidate's; of draws at the places of the measured ones."""
    row = np.arange(len(best))[:, None]
    return cosine[..., row, best[:, None]] - cosine[..., row, choice]
