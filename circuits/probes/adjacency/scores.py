"""Agreement of matrices of node logits with references. Entry [m, r] of a score compares matrix m with reference r.

Softmax ignores a constant added to a row of logits, so the rows of both are centred before they are compared:
M_c[u, v] = M[u, v] - mean_v M[u, v]. Only ``mean_on``, ``mean_off`` and ``gap`` use the matrix without centring.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from circuits import checks, display
from circuits.display import Figure
from circuits.probes.adjacency.references import Reference, centre_rows


class MatrixScores(NamedTuple):
    """Scores of every matrix against every reference."""

    cosine: Float[np.ndarray, "matrices references"]
    """<M_c, R_c> / (|M_c| |R_c|): the correlation of entries within rows, from -1 to 1."""
    scale: Float[np.ndarray, "matrices references"]
    """The s >= 0 that minimises |M_c - s R_c|: max(0, <M_c, R_c> / |R_c|²)."""
    error: Float[np.ndarray, "matrices references"]
    """|M_c - s R_c| / |M_c|: √(1 - cosine²) where the scale is positive, 1 otherwise."""
    auc: Float[np.ndarray, "matrices references"]
    """The probability that an entry of M_c on the reference's support exceeds one off it, diagonal included; ties count
    half. NaN if there are none on the support, or none off it."""
    mean_on: Float[np.ndarray, "matrices references"]
    """The mean of M on the support; NaN if it is empty."""
    mean_off: Float[np.ndarray, "matrices references"]
    """The mean of M off the support; NaN if there are no such entries."""
    gap: Float[np.ndarray, "matrices references"]
    """mean_on - mean_off."""
    spearman: Float[np.ndarray, "matrices references"]
    """The rank correlation of the entries of M_c and R_c, ties at their mean rank."""

    _repr_html_ = display.html

    def plot(
        self,
        field: str = "cosine",
        *,
        names: Sequence[object] = (),
        references: Sequence[object] = (),
        title: str = "",
    ) -> Figure:
        """Draw one score of every matrix against every reference.

        Args:
            field: the name of a score.
            names: of the matrices; by default 0, 1, ...
            references: names of the references; by default 0, 1, ...
            title: above the heatmap.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: for an unknown score, names that do not fit, or a score that is not finite.

        Example:
            >>> MatrixScores(*[np.array([[0.9, -0.1]])] * 8).plot(references=["A", "A^2"]).axes[0].get_xlabel()
            'reference'
        """
        checks.choice("field", field, self._fields)
        return by_reference(getattr(self, field), field, names, references, title)


def by_reference(
    values: Float[np.ndarray, "matrices references"],
    label: str,
    names: Sequence[object],
    references: Sequence[object],
    title: str,
) -> Figure:
    """Draw a value for every matrix and reference, which are numbered if they are not named."""
    rows, columns = names or range(values.shape[0]), references or range(values.shape[1])
    return display.plotting.effect_heatmap(
        values, rows, columns, row_name="matrix", column_name="reference", label=label, title=title
    )


def compare_matrices(matrices: Float[np.ndarray, "matrices N N"], references: Sequence[Reference]) -> MatrixScores:
    """Return every score of every matrix against every reference.

    Args:
        matrices: node logits, [matrices, N, N]; row u holds the logits over nodes when node u is fed in.
        references: from ``graph_references``.

    Returns:
        Scores [matrices, references].

    Raises:
        ValueError: if there is no reference, the sizes differ, or a matrix has entries that are not finite or only
            constant rows, whose scores are undefined.

    Example:
        >>> import networkx as nx
        >>> import numpy as np
        >>> from circuits.probes import compare_matrices, graph_references
        >>> graph = nx.DiGraph([(0, 1), (1, 2), (0, 2), (2, 3)])
        >>> adjacency = nx.to_numpy_array(graph, nodelist=range(4))
        >>> compare_matrices(adjacency[None], graph_references(graph, powers=2)).cosine.round(2)
        array([[ 1.  , ...]])
    """
    values = check_matrices(matrices, references)
    reference_matrices = np.stack([r.matrix for r in references])
    flat, own, other = (_flatten(part) for part in (values, centre_rows(values), centre_rows(reference_matrices)))
    product = own @ other.T
    cosine = np.clip(product / np.outer(_lengths(own), _lengths(other)), -1, 1)
    scale = np.maximum(0, product / _lengths(other) ** 2)
    error = np.where(scale > 0, np.sqrt(1 - cosine**2), 1.0)
    ranks = _ranks(own)
    support = _flatten(reference_matrices) > 0
    mean_on, mean_off = _mean_over(flat, support), _mean_over(flat, ~support)
    rest = (_auc(ranks, support), mean_on, mean_off, mean_on - mean_off, _correlations(ranks, _ranks(other)))
    return MatrixScores(cosine, scale, error, *rest)


def check_matrices(
    matrices: Float[np.ndarray, "matrices N N"], references: Sequence[Reference]
) -> Float[np.ndarray, "matrices N N"]:
    """Return the matrices in float64. Raises ValueError as ``compare_matrices`` does."""
    checks.require(len(references) > 0, "references", "must hold at least one", len(references))
    nodes = len(references[0].matrix)
    fits = len(matrices) > 0 and matrices.shape[1:] == (nodes, nodes)
    checks.require(fits, "matrices", f"must be at least one of shape {(nodes, nodes)}", matrices.shape)
    checks.finite("matrices", matrices)
    values = np.asarray(matrices, np.float64)
    vary = rows_vary(values)
    first = int(np.argmin(vary))
    checks.require(bool(vary.all()), f"matrices[{first}]", "must vary within a row", values[first, :, :1].tolist())
    return values


def rows_vary(matrices: Float[np.ndarray, "matrices N N"]) -> Bool[np.ndarray, " matrices"]:
    """Return whether any row of a matrix is not constant; otherwise its scores are undefined."""
    return np.any(centre_rows(matrices), axis=(1, 2))


def unit_vectors(matrices: Float[np.ndarray, "*many N N"]) -> Float[np.ndarray, "*many entries"]:
    """Return matrices centred, flattened and divided by their length (0 if constant): their products are cosines."""
    flat = _flatten(centre_rows(matrices))
    size = _lengths(flat)[..., None]
    return np.divide(flat, size, out=np.zeros_like(flat), where=size > 0)


def partial_cosines(
    matrices: Float[np.ndarray, "matrices N N"], references: Sequence[Reference]
) -> Float[np.ndarray, "matrices references"]:
    """Return the partial cosine with each power, given the other powers of its kind.

    Kinds are counts or support, of the full or observed graph. With e_M and e_R the least-squares residuals of matrix
    and reference on the other powers, it is <e_M, e_R> / (|e_M| |e_R|). NaN for reachability, and if a residual is 0.
    """
    own, other = unit_vectors(matrices), unit_vectors(np.stack([r.matrix for r in references]))
    results = np.full((len(own), len(other)), np.nan)
    for number, reference in enumerate(references):
        if not reference.power:
            continue
        others = [i for i, r in enumerate(references) if i != number and _same_kind(r, reference)]
        rest_m, rest_r = _residual(own, other[others]), _residual(other[number : number + 1], other[others])
        size = _lengths(rest_m) * _lengths(rest_r)
        defined = (_lengths(rest_m) > 1e-9) & (_lengths(rest_r) > 1e-9)
        results[defined, number] = (rest_m @ rest_r[0])[defined] / size[defined]
    return results


def _same_kind(a: Reference, b: Reference) -> bool:
    """Return whether two references are powers of one kind; A counts as its own support."""
    same = (a.support, a.observed) == (b.support, b.observed)
    first = a.power == 1 and b.support and a.observed == b.observed
    return a.power > 0 and (same or first)


def _residual(
    rows: Float[np.ndarray, "rows entries"], basis: Float[np.ndarray, "basis entries"]
) -> Float[np.ndarray, "rows entries"]:
    if not len(basis):
        return rows
    fitted, *_ = np.linalg.lstsq(basis.T, rows.T, rcond=None)
    return rows - (basis.T @ fitted).T


def _flatten(matrices: np.ndarray) -> np.ndarray:
    return matrices.reshape(*matrices.shape[:-2], -1)


def _lengths(flat: Float[np.ndarray, "*many entries"]) -> Float[np.ndarray, "*many"]:
    return np.sqrt(np.sum(flat * flat, axis=-1))


def _ranks(flat: Float[np.ndarray, "rows entries"]) -> Float[np.ndarray, "rows entries"]:
    """Return ranks of entries, rounded to 12 digits of the largest so that rounding errors do not break ties."""
    return rankdata(np.round(flat / np.abs(flat).max(axis=1, keepdims=True), 12), axis=1)


def _mean_over(
    flat: Float[np.ndarray, "matrices entries"], chosen: Bool[np.ndarray, "references entries"]
) -> Float[np.ndarray, "matrices references"]:
    count = chosen.sum(axis=1)
    total = flat @ chosen.T.astype(np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _auc(
    ranks: Float[np.ndarray, "matrices entries"], support: Bool[np.ndarray, "references entries"]
) -> Float[np.ndarray, "matrices references"]:
    """Return (Σ ranks on support - a (a + 1) / 2) / (a b), with a entries on it and b off it (Mann and Whitney)."""
    on = support.sum(axis=1)
    pairs = on * (support.shape[1] - on)
    above = ranks @ support.T.astype(np.float64) - on * (on + 1) / 2
    return np.where(pairs > 0, above / np.maximum(pairs, 1), np.nan)


def _correlations(
    a: Float[np.ndarray, "matrices entries"], b: Float[np.ndarray, "references entries"]
) -> Float[np.ndarray, "matrices references"]:
    a, b = (part - part.mean(axis=1, keepdims=True) for part in (a, b))
    return (a @ b.T) / np.outer(_lengths(a), _lengths(b))
