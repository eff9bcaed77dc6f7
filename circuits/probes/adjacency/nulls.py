"""Null distributions of the cosines of matrices with references, as arrays [draws, matrices, references].

permuted    The nodes of the graph are renamed at random, P A Pᵀ. Null hypothesis: the matrix does not know which node
            is which. A matrix built from degrees alone, or from the order of the nodes, exceeds this null.
rewired     Another graph with the same degrees, and the same topological order if it has no cycles (``rewiring``). Null
            hypothesis: the matrix knows nothing else about the edges.
untrained   The same matrices of freshly initialised models. Null hypothesis: no graph was learned.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, UInt8

from circuits import checks
from circuits.probes.adjacency.references import Reference, matrix_powers
from circuits.probes.adjacency.rewiring import rewire
from circuits.probes.adjacency.scores import check_matrices, unit_vectors
from circuits.probes.nulls import familywise_p_values

MAX_ENTRIES = 2**23
"""Entries of references that are held in memory at once."""
ROUNDING = 1e-6
"""Rounding of the drawn cosines, which are in float32: spreads below it are zero, and values this close are equal."""


def permuted_cosines(
    matrices: Float[np.ndarray, "matrices N N"], references: Sequence[Reference], draws: int, seed: int = 0
) -> Float[np.ndarray, "draws matrices references"]:
    """Return cosines with the references of the graph after renaming its nodes at random.

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
    """Return cosines with the references of rewired graphs; an observed graph is rewired separately.

    NaN for observed reachability, which no graph determines. Raises ValueError as ``compare_matrices``, and
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
        graphs = _rewired_graphs(edges.tobytes(), len(edges), draws, seed + observed)
        first = 0
        for count in _blocks(draws, len(columns) * edges.size):
            block = np.unpackbits(graphs[first : first + count], axis=-1, count=len(edges)).astype(bool)
            drawn = _of_graphs([references[i] for i in columns], block)
            drawn -= drawn.mean(axis=-1, keepdims=True)
            size = np.sqrt(np.einsum("rduv,rduv->dr", drawn, drawn))[:, None]
            cosines[first : first + count][:, :, columns] = _products(drawn, own) / np.maximum(size, ROUNDING)
            first += count
    return cosines


def untrained_cosines(
    fresh: Float[np.ndarray, "models matrices N N"], references: Sequence[Reference]
) -> Float[np.ndarray, "models matrices references"]:
    """Return cosines of the matrices of freshly initialised models. Raises ValueError for matrices of another size."""
    nodes = len(references[0].matrix)
    rule = f"must be of shape (models, matrices, {nodes}, {nodes})"
    checks.require(fresh.ndim == 4 and fresh.shape[2:] == (nodes, nodes), "fresh", rule, fresh.shape)
    checks.finite("fresh", fresh)
    other = unit_vectors(np.stack([r.matrix for r in references])).T
    return np.stack([unit_vectors(one) @ other for one in fresh])


def max_t_p_values(
    cosine: Float[np.ndarray, "matrices references"], null: Float[np.ndarray, "draws matrices references"]
) -> Float[np.ndarray, "matrices references"]:
    """Return familywise p-values, (1 + #{null >= observed}) / (1 + D) over D draws, by Westfall and Young's max-T.

    Cosines are standardised for each matrix and reference, z = (cosine - mean) / spread, with mean and spread over the
    draws and the observed value together. A draw counts if the largest z of any of its matrices and references is at
    least the observed one. Observed and drawn values are treated alike, so the p-values are exact for every D if they
    are exchangeable. Standardising keeps a matrix with a high or wide null from hiding the others.

    D >= 1/α - 1 draws are enough for the p-value to reach a level α, for any number of matrices. But z of one outlier
    is at most D / √(D + 1), which must be well above √(2 ln n), about the largest of n = matrices x references normal
    numbers: 39 draws (6.2) are few for 64 heads and 8 references (3.5), 1,000 (31.6) are plenty. NaN for references
    without a null.
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


@lru_cache(maxsize=2)
def _rewired_graphs(edges: bytes, nodes: int, draws: int, seed: int) -> UInt8[np.ndarray, "draws N bytes"]:
    """Return the rewired graphs in packed bits; those of the last two graphs and seeds are kept.

    Drawing them takes most of a test, and many matrices are compared with the powers of one graph.
    """
    adjacency = np.frombuffer(edges, bool).reshape(nodes, nodes)
    return np.packbits(rewire(adjacency, draws, seed=seed), axis=-1)


def _products(
    drawn: Float[np.ndarray, "references draws N N"], own: Float[np.ndarray, "matrices entries"]
) -> Float[np.ndarray, "draws matrices references"]:
    """Return <drawn, own>, as one matrix product in float32."""
    count, nodes = drawn.shape[1], drawn.shape[-1]
    flat = drawn.reshape(-1, nodes * nodes) @ own.T.astype(np.float32)
    return np.moveaxis(flat.reshape(-1, count, len(own)), 0, 2).astype(np.float64)


def _of_graphs(
    references: Sequence[Reference], graphs: Bool[np.ndarray, "draws N N"]
) -> Float[np.ndarray, "references draws N N"]:
    """Return the references of these kinds for each graph; counts beyond 2^24 are rounded."""
    counts = matrix_powers(graphs, max(r.power for r in references), np.float32)
    reach = _reachability(graphs) if any(not r.power for r in references) else counts[0]
    matrices = np.empty((len(references), *graphs.shape), np.float32)
    for number, kind in enumerate(references):
        matrix = counts[kind.power - 1] if kind.power else reach
        matrices[number] = matrix > 0 if kind.support else matrix.swapaxes(1, 2) if kind.transposed else matrix
    return matrices


def _reachability(graphs: Bool[np.ndarray, "draws N N"]) -> Float[np.ndarray, "draws N N"]:
    """Return whether a path of at least one edge exists, by doubling the maximum length."""
    reach, longest = graphs.astype(np.float32), 1
    while longest < graphs.shape[-1]:
        reach = np.minimum(reach + reach @ reach, np.float32(1))
        longest *= 2
    return reach


def _blocks(draws: int, entries: int) -> Iterator[int]:
    """Yield the sizes of blocks of draws that together have at most ``MAX_ENTRIES`` entries each."""
    block = max(1, MAX_ENTRIES // entries)
    while draws > 0:
        yield min(block, draws)
        draws -= block
