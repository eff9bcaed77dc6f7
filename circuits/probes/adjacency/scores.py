"""How well matrices of node logits agree with references. Entry [m, r] is matrix m against reference r.

Logits do not know a constant added to a row, so the rows of both are centred before they are compared:
M_c[u, v] = M[u, v] - mean_v M[u, v]. Only the means on and off support are of the matrix as it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from circuits import checks
from circuits.probes.adjacency.references import Reference, centred


class Scores(NamedTuple):
    """Of M matrices against R references."""

    cosine: Float[np.ndarray, "M R"]
    """<M_c, R_c> / (|M_c| |R_c|): the correlation of entries within rows, from -1 to 1."""
    scale: Float[np.ndarray, "M R"]
    """The s >= 0 with the least |M_c - s R_c|: max(0, <M_c, R_c> / |R_c|²)."""
    error: Float[np.ndarray, "M R"]
    """|M_c - s R_c| / |M_c|: √(1 - cosine²) where the scale is positive, 1 otherwise."""
    auc: Float[np.ndarray, "M R"]
    """That an entry of M_c on the reference's support is above one off it, ties counted half; every entry counts,
    the diagonal too. NaN where there are none on it, or none off it."""
    mean_on: Float[np.ndarray, "M R"]
    """Mean of M, not centred, on the support; NaN where there is none."""
    mean_off: Float[np.ndarray, "M R"]
    """And off it."""
    gap: Float[np.ndarray, "M R"]
    """mean_on - mean_off."""
    spearman: Float[np.ndarray, "M R"]
    """Rank correlation of the entries of M_c and R_c, ties at their mean rank."""


def compare(matrices: Float[np.ndarray, "M N N"], given: Sequence[Reference]) -> Scores:
    """Every score of every matrix against every reference.

    Raises ValueError for no reference, another size, entries that are not finite, and a matrix whose rows are all
    constant, which agrees with nothing.
    """
    values = check_matrices(matrices, given)
    wanted = np.stack([r.matrix for r in given])
    flat, own, other = (_flat(part) for part in (values, centred(values), centred(wanted)))
    product = own @ other.T
    cosine = np.clip(product / np.outer(_lengths(own), _lengths(other)), -1, 1)
    scale = np.maximum(0, product / _lengths(other) ** 2)
    error = np.where(scale > 0, np.sqrt(1 - cosine**2), 1.0)
    ranks = _ranks(own)
    support = _flat(wanted) > 0
    mean_on, mean_off = _mean_over(flat, support), _mean_over(flat, ~support)
    parts = (_auc(ranks, support), mean_on, mean_off, mean_on - mean_off)
    return Scores(cosine, scale, error, *parts, _correlations(ranks, _ranks(other)))


def check_matrices(matrices: Float[np.ndarray, "M N N"], given: Sequence[Reference]) -> Float[np.ndarray, "M N N"]:
    """The matrices in float64. Raises ValueError as ``compare`` does."""
    checks.require(len(given) > 0, "references", "must hold at least one", len(given))
    nodes = len(given[0].matrix)
    fits = len(matrices) > 0 and matrices.shape[1:] == (nodes, nodes)
    checks.require(fits, "matrices", f"must be at least one of shape {(nodes, nodes)}", matrices.shape)
    checks.finite("matrices", matrices)
    values = np.asarray(matrices, np.float64)
    there = varies(values)
    place = int(np.argmin(there))
    checks.require(bool(there.all()), f"matrices[{place}]", "must vary within a row", values[place, :, :1].tolist())
    return values


def varies(matrices: Float[np.ndarray, "M N N"]) -> Bool[np.ndarray, " M"]:
    """Whether any row of a matrix is not constant: of the others no score is defined."""
    return np.any(centred(matrices), axis=(1, 2))


def units(matrices: Float[np.ndarray, "*many N N"]) -> Float[np.ndarray, "*many NN"]:
    """Centred, flat, and of length 1 (0 where there is nothing), so that cosines are products."""
    flat = _flat(centred(matrices))
    size = _lengths(flat)[..., None]
    return np.divide(flat, size, out=np.zeros_like(flat), where=size > 0)


def partial_cosines(matrices: Float[np.ndarray, "M N N"], given: Sequence[Reference]) -> Float[np.ndarray, "M R"]:
    """The cosine with each power when the other powers of its kind (counts or support, full or observed) are fixed.

    With residuals of least squares on those others, e_M and e_R: <e_M, e_R> / (|e_M| |e_R|). NaN for reachability, and
    where the others leave nothing of the power or of the matrix.
    """
    own, other = units(matrices), units(np.stack([r.matrix for r in given]))
    found = np.full((len(own), len(other)), np.nan)
    for place, one in enumerate(given):
        if not one.power:
            continue
        beside = [i for i, r in enumerate(given) if i != place and _same_kind(r, one)]
        left_m, left_r = _residual(own, other[beside]), _residual(other[place : place + 1], other[beside])
        size = _lengths(left_m) * _lengths(left_r)
        there = (_lengths(left_m) > 1e-9) & (_lengths(left_r) > 1e-9)
        found[there, place] = (left_m @ left_r[0])[there] / size[there]
    return found


def _same_kind(a: Reference, b: Reference) -> bool:
    """Powers of one kind; the support of the first power is the first power itself."""
    same = (a.support, a.observed) == (b.support, b.observed)
    first = a.power == 1 and b.support and a.observed == b.observed
    return a.power > 0 and (same or first)


def _residual(rows: Float[np.ndarray, "M n"], basis: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "M n"]:
    if not len(basis):
        return rows
    fitted, *_ = np.linalg.lstsq(basis.T, rows.T, rcond=None)
    return rows - (basis.T @ fitted).T


def _flat(matrices: np.ndarray) -> np.ndarray:
    return matrices.reshape(*matrices.shape[:-2], -1)


def _lengths(flat: Float[np.ndarray, "*many n"]) -> Float[np.ndarray, "*many"]:
    return np.sqrt(np.sum(flat * flat, axis=-1))


def _ranks(flat: Float[np.ndarray, "M n"]) -> Float[np.ndarray, "M n"]:
    """Of entries to 12 digits of the largest, so that rounding does not undo ties."""
    return rankdata(np.round(flat / np.abs(flat).max(axis=1, keepdims=True), 12), axis=1)


def _mean_over(flat: Float[np.ndarray, "M n"], chosen: Bool[np.ndarray, "R n"]) -> Float[np.ndarray, "M R"]:
    count = chosen.sum(axis=1)
    total = flat @ chosen.T.astype(np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _auc(ranks: Float[np.ndarray, "M n"], support: Bool[np.ndarray, "R n"]) -> Float[np.ndarray, "M R"]:
    """(Σ ranks on support - a (a + 1) / 2) / (a b) with a entries on it and b off it (Mann and Whitney)."""
    on = support.sum(axis=1)
    pairs = on * (support.shape[1] - on)
    above = ranks @ support.T.astype(np.float64) - on * (on + 1) / 2
    return np.where(pairs > 0, above / np.maximum(pairs, 1), np.nan)


def _correlations(a: Float[np.ndarray, "M n"], b: Float[np.ndarray, "R n"]) -> Float[np.ndarray, "M R"]:
    a, b = (part - part.mean(axis=1, keepdims=True) for part in (a, b))
    return (a @ b.T) / np.outer(_lengths(a), _lengths(b))
