"""Null hypotheses for cosines with a power: cosines where there is nothing to find, [draws, matrices, references].

permuted    the nodes of the graph renamed at random, P A Pᵀ, and its powers with it: the matrix does not know which
            node is which. A matrix built from degrees alone, or from the order of the nodes, exceeds this null, for
            in-degrees and the order follow the names
rewired     another graph with the same degrees, and the same order if it has no cycles (``rewiring``): the matrix does
            not know the edges beyond these
untrained   the same matrices of freshly initialised models: no graph was learned
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float

from circuits import checks
from circuits.probes.adjacency.references import Reference, matrix_powers
from circuits.probes.adjacency.rewiring import rewire
from circuits.probes.adjacency.scores import check_matrices, unit_vectors
from circuits.probes.nulls import familywise_p_values

MAX_ENTRIES = 2**23
"""Entries of references that are held in memory at once."""
ROUNDING = 1e-6
"""The rounding of cosines, which are drawn in float32: spreads below it are zero, and values so close are equal."""


def permuted_cosines(
    matrices: Float[np.ndarray, "matrices N N"], references: Sequence[Reference], draws: int, seed: int = 0
) -> Float[np.ndarray, "draws matrices references"]:
    """Cosines with the references of the graph whose nodes are renamed at random.

    Raises ValueError as ``compare_matrices``, and for ``draws`` below 1.
    """
    checks.integer("draws", draws, min_value=1)
    own = unit_vectors(check_matrices(matrices, references))
    shape = (len(references), *references[0].matrix.shape)
    # Centring and length do not change when nodes are renamed.
    other = unit_vectors(np.stack([r.matrix for r in references])).reshape(shape).astype(np.float32)
    rng, cosines = np.random.default_rng(seed), []
    for count in _blocks(draws, other.size):
        order = rng.permuted(np.tile(np.arange(other.shape[-1]), (count, 1)), axis=1)
        cosines.append(_products(other[:, order[:, :, None], order[:, None, :]], own))
    return np.concatenate(cosines)


def rewired_cosines(
    matrices: Float[np.ndarray, "matrices N N"], references: Sequence[Reference], draws: int, seed: int = 0
) -> Float[np.ndarray, "draws matrices references"]:
    """Cosines with the references of rewired graphs; an observed graph is rewired separately.

    NaN for observed reachability, which does not follow from a graph. Raises ValueError as ``compare_matrices``, and
    for ``draws`` below 1.
    """
    checks.integer("draws", draws, min_value=1)
    own = unit_vectors(check_matrices(matrices, references))
    cosines = np.full((draws, len(own), len(references)), np.nan)
    for observed in (False, True):
        columns = [i for i, r in enumerate(references) if r.observed == observed and (r.power or not observed)]
        if not columns:
            continue
        edges = next(r.matrix for r in references if r.observed == observed and r.power == 1) > 0
        graphs = rewire(edges, draws, seed=seed + observed)
        first = 0
        for count in _blocks(draws, len(columns) * edges.size):
            drawn = _of_graphs([references[i] for i in columns], graphs[first : first + count])
            drawn -= drawn.mean(axis=-1, keepdims=True)
            size = np.sqrt(np.einsum("rduv,rduv->dr", drawn, drawn))[:, None]
            cosines[first : first + count][:, :, columns] = _products(drawn, own) / np.maximum(size, ROUNDING)
            first += count
    return cosines


def untrained_cosines(
    fresh: Float[np.ndarray, "models matrices N N"], references: Sequence[Reference]
) -> Float[np.ndarray, "models matrices references"]:
    """Cosines of the matrices of freshly initialised models. Raises ValueError for another size."""
    nodes = len(references[0].matrix)
    rule = f"must be of shape (models, matrices, {nodes}, {nodes})"
    checks.require(fresh.ndim == 4 and fresh.shape[2:] == (nodes, nodes), "fresh", rule, fresh.shape)
    checks.finite("fresh", fresh)
    other = unit_vectors(np.stack([r.matrix for r in references])).T
    return np.stack([unit_vectors(one) @ other for one in fresh])


def max_t_p_values(
    cosine: Float[np.ndarray, "matrices references"], null: Float[np.ndarray, "draws matrices references"]
) -> Float[np.ndarray, "matrices references"]:
    """p-values that hold for all matrices and references together: (1 + #{null >= observed}) / (1 + draws).

    What is compared is standardised, z = (cosine - mean) / spread with mean and spread over the D draws and the
    observed value together, for each matrix and reference; a draw counts where the largest z of any of its matrices and
    references is at least the observed one (Westfall and Young's max-T). Observed and drawn values are treated alike,
    so it is exact for every D where they are exchangeable. Unlike the largest cosine, z does not let a matrix whose
    null is high or wide hide the others.

    However many matrices there are, D >= 1/α - 1 draws are enough for the p-value to reach a level α. But z of one
    outlier is at most D / √(D + 1), which has to be well above the largest of as many normal numbers as there are
    matrices times references, n, about √(2 ln n): 39 draws (6.2) are few for 64 heads and 8 references (3.5), 1,000
    (31.6) are plenty. NaN for references without a null.
    """
    checks.shape("null", null, (len(null), *cosine.shape))
    defined = ~np.isnan(null).any(axis=(0, 1))
    p_values = np.full(cosine.shape, np.nan)
    if not defined.any():
        return p_values
    both = np.concatenate([cosine[None, :, defined], null[:, :, defined]])
    spread = both.std(axis=0)
    unit = np.maximum(spread, ROUNDING)
    z = np.where(spread > ROUNDING, (both - both.mean(axis=0)) / unit, 0.0)
    p_values[:, defined] = familywise_p_values(z[0] - ROUNDING / unit, z[1:])
    return p_values


def _products(
    drawn: Float[np.ndarray, "references draws N N"], own: Float[np.ndarray, "matrices entries"]
) -> Float[np.ndarray, "draws matrices references"]:
    """<drawn, own>, as one product of matrices in float32."""
    count, nodes = drawn.shape[1], drawn.shape[-1]
    flat = drawn.reshape(-1, nodes * nodes) @ own.T.astype(np.float32)
    return np.moveaxis(flat.reshape(-1, count, len(own)), 0, 2).astype(np.float64)


def _of_graphs(
    references: Sequence[Reference], graphs: Bool[np.ndarray, "draws N N"]
) -> Float[np.ndarray, "references draws N N"]:
    """The references of these kinds in each graph; counts beyond 2^24 are rounded."""
    counts = matrix_powers(graphs, max(r.power for r in references), np.float32)
    reach = _reachability(graphs) if any(not r.power for r in references) else counts[0]
    matrices = np.empty((len(references), *graphs.shape), np.float32)
    for number, kind in enumerate(references):
        matrix = counts[kind.power - 1] if kind.power else reach
        matrices[number] = matrix > 0 if kind.support else matrix.swapaxes(1, 2) if kind.transposed else matrix
    return matrices


def _reachability(graphs: Bool[np.ndarray, "draws N N"]) -> Float[np.ndarray, "draws N N"]:
    """Paths of at least one edge: paths of up to 2^i edges, by doubling."""
    reach, longest = graphs.astype(np.float32), 1
    while longest < graphs.shape[-1]:
        reach = np.minimum(reach + reach @ reach, np.float32(1))
        longest *= 2
    return reach


def _blocks(draws: int, entries: int) -> Iterator[int]:
    """How many draws of so many entries to compute at a time."""
    block = max(1, MAX_ENTRIES // entries)
    while draws > 0:
        yield min(block, draws)
        draws -= block
