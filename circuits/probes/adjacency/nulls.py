"""What agreement with a power is worth: cosines where there is nothing to find, [D draws, M matrices, R references].

permuted    the nodes of the graph renamed at random, P A P^T, and its powers with it: the matrix does not know
            which node is which. A matrix built from degrees alone, or one that knows the order of the nodes, passes
            this null, for in-degrees and the order follow the names
rewired     another graph with the same degrees, and the same order if it has no cycles (``rewiring``): the matrix
            does not know which edges there are beyond these
untrained   the same matrices of models with fresh parameters: no graph was learned
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float

from circuits import checks
from circuits.probes.adjacency.references import Reference, powers_of
from circuits.probes.adjacency.rewiring import rewired
from circuits.probes.adjacency.scores import check_matrices, units
from circuits.probes.nulls import familywise

BLOCK = 2**23
"""Entries of references that are held at once."""
ROUNDING = 1e-6
"""Of cosines, which are drawn in float32; spreads below it are none, and values so close are equal."""


def permuted_labels(
    matrices: Float[np.ndarray, "M N N"], given: Sequence[Reference], draws: int, seed: int = 0
) -> Float[np.ndarray, "draws M R"]:
    """Cosines with the references of the graph whose nodes are renamed at random. Raises as ``compare``, and for
    ``draws`` below 1."""
    checks.integer("draws", draws, min_value=1)
    own = units(check_matrices(matrices, given))
    other = units(np.stack([r.matrix for r in given])).reshape(len(given), *given[0].matrix.shape)
    other, rng = other.astype(np.float32), np.random.default_rng(seed)
    found = []
    for count in _blocks(draws, other.size):
        order = rng.permuted(np.tile(np.arange(other.shape[-1]), (count, 1)), axis=1)
        # Centring and length do not change when nodes are renamed.
        found.append(_products(other[:, order[:, :, None], order[:, None, :]], own))
    return np.concatenate(found)


def rewired_graphs(
    matrices: Float[np.ndarray, "M N N"], given: Sequence[Reference], draws: int, seed: int = 0
) -> Float[np.ndarray, "draws M R"]:
    """Cosines with the references of rewired graphs; an observed graph is rewired by itself.

    NaN for observed reachability, which does not follow from a graph. Raises as ``compare``, and for ``draws`` below 1.
    """
    checks.integer("draws", draws, min_value=1)
    own = units(check_matrices(matrices, given))
    found = np.full((draws, len(own), len(given)), np.nan)
    for observed in (False, True):
        places = [i for i, r in enumerate(given) if r.observed == observed and (r.power or not observed)]
        if not places:
            continue
        edges = next(r.matrix for r in given if r.observed == observed and r.power == 1) > 0
        graphs = rewired(edges, draws, seed=seed + observed)
        first = 0
        for count in _blocks(draws, len(places) * edges.size):
            drawn = _drawn([given[i] for i in places], graphs[first : first + count])
            drawn -= drawn.mean(axis=-1, keepdims=True)
            size = np.sqrt(np.einsum("rduv,rduv->dr", drawn, drawn))[:, None]
            cosines = _products(drawn, own) / np.maximum(size, ROUNDING)
            found[first : first + count][:, :, places] = cosines
            first += count
    return found


def untrained_matrices(fresh: Float[np.ndarray, "D M N N"], given: Sequence[Reference]) -> Float[np.ndarray, "D M R"]:
    """Cosines of the matrices of D models with fresh parameters. Raises ValueError for another size."""
    nodes = len(given[0].matrix)
    rule = f"must be of shape (models, matrices, {nodes}, {nodes})"
    checks.require(fresh.ndim == 4 and fresh.shape[2:] == (nodes, nodes), "fresh", rule, fresh.shape)
    checks.finite("fresh", fresh)
    other = units(np.stack([r.matrix for r in given])).T
    return np.stack([units(one) @ other for one in fresh])


def beyond(cosine: Float[np.ndarray, "M R"], null: Float[np.ndarray, "D M R"]) -> Float[np.ndarray, "M R"]:
    """p-values that hold for all matrices and references at once: (1 + #{null >= observed}) / (1 + D).

    What is compared is standardised, z = (cosine - mean) / spread with mean and spread over the D draws and the
    observed value together, for each matrix and reference by itself; a draw counts where the largest z of any of its
    matrices and references is at least the observed one (Westfall and Young's max-T). Observed and drawn values are
    treated alike, so it is exact for every D where they are exchangeable. Unlike the largest cosine, z does not let a
    matrix whose null is high or wide hide the others.

    No number of matrices needs more draws for the p-value to reach a level α: D >= 1/α - 1. But z of one outlier is
    at most D / √(D + 1), which has to be well above the largest of M R normal numbers, about √(2 ln(M R)): 39 draws
    (6.2) are few for 64 heads and 8 references (3.5), 1,000 (31.6) are plenty. NaN for references without a null.
    """
    checks.shape("null", null, (len(null), *cosine.shape))
    there = ~np.isnan(null).any(axis=(0, 1))
    found = np.full(cosine.shape, np.nan)
    if not there.any():
        return found
    both = np.concatenate([cosine[None, :, there], null[:, :, there]])
    spread = both.std(axis=0)
    unit = np.maximum(spread, ROUNDING)
    z = np.where(spread > ROUNDING, (both - both.mean(axis=0)) / unit, 0.0)
    found[:, there] = familywise(z[0] - ROUNDING / unit, z[1:])
    return found


def _products(drawn: Float[np.ndarray, "R D N N"], own: Float[np.ndarray, "M NN"]) -> Float[np.ndarray, "D M R"]:
    """<drawn, own>, as one product of matrices in float32."""
    count, nodes = drawn.shape[1], drawn.shape[-1]
    flat = drawn.reshape(-1, nodes * nodes) @ own.T.astype(np.float32)
    return np.moveaxis(flat.reshape(-1, count, len(own)), 0, 2).astype(np.float64)


def _drawn(given: Sequence[Reference], graphs: Bool[np.ndarray, "D N N"]) -> Float[np.ndarray, "R D N N"]:
    """The references of these kinds in each graph; counts beyond 2^24 are rounded."""
    counts = powers_of(graphs, max(r.power for r in given), np.float32)
    reach = _reach(graphs) if any(not r.power for r in given) else counts[0]
    found = np.empty((len(given), *graphs.shape), np.float32)
    for place, kind in enumerate(given):
        one = counts[kind.power - 1] if kind.power else reach
        found[place] = one > 0 if kind.support else one.swapaxes(1, 2) if kind.turned else one
    return found


def _reach(graphs: Bool[np.ndarray, "D N N"]) -> Float[np.ndarray, "D N N"]:
    """Paths of at least one edge: paths of up to 2^i edges, by doubling."""
    found, longest = graphs.astype(np.float32), 1
    while longest < graphs.shape[-1]:
        found = np.minimum(found + found @ found, np.float32(1))
        longest *= 2
    return found


def _blocks(draws: int, entries: int) -> Iterator[int]:
    """How many draws at a time, ``entries`` each."""
    most = max(1, BLOCK // entries)
    while draws > 0:
        yield min(most, draws)
        draws -= most
