"""What a matrix of node logits is compared with: powers of the adjacency matrix, their supports, and reachability."""

from collections.abc import Sequence
from typing import NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float

from circuits import checks
from circuits.tasks.walks.graphs import adjacency, reachability
from circuits.tasks.walks.pairs import Observed

REACHABILITY = 0
"""The ``power`` of reachability, a path of any length."""
MIN_NODES = 3
"""With fewer nodes, centred rows hold at most one number."""


def reference_name(power: int, transposed: bool = False) -> str:
    """ "A", "A^2", "reachability" or "reachability^T"."""
    if not power:
        return "reachability^T" if transposed else "reachability"
    return f"A^{power}" if power > 1 else "A"


class Reference(NamedTuple):
    """One matrix to compare with; row u, column v."""

    name: str
    """"A^2", "A^2 support", "reachability", "reachability^T", or "observed" and one of these."""
    power: int
    """k of A^k; 0 for reachability."""
    support: bool
    """Whether it is 1 where the power is not 0, instead of the number of walks."""
    observed: bool
    """Whether it is of the graph that the training data shows."""
    matrix: Float[np.ndarray, "N N"]
    transposed: bool = False
    """As reachability is for a matrix whose rows are targets: the nodes from which they can be reached."""

    @property
    def candidate(self) -> str:
        """The name without "observed" and "support"."""
        return reference_name(self.power, self.transposed)


def candidate_names(references: Sequence[Reference]) -> tuple[str, ...]:
    """The candidates of references, each once: powers in their order, then reachability and its transpose."""
    kinds = {(not r.power, r.power, r.transposed) for r in references}
    return tuple(reference_name(power, transposed) for _, power, transposed in sorted(kinds))


def graph_references(graph: nx.DiGraph, powers: int = 4, observed: Observed | None = None) -> tuple[Reference, ...]:
    """Return A^k for k = 1 .. ``powers``, which counts walks of k edges, its support, and reachability both ways.

    References that say nothing about rows are left out: a power that is zero because no walk is so long, or equal in
    every row, and a support equal to its counts.

    Args:
        graph: a directed graph with the nodes 0 .. N-1.
        powers: the highest power.
        observed: what the training data shows of the graph; its references are added where they differ.

    Raises:
        ValueError: if the nodes are not range(N), N < 3, there is no edge, the observed graph has other nodes, or no
            power is left.

    Example:
        >>> import networkx as nx
        >>> from circuits.probes import graph_references
        >>> graph = nx.DiGraph([(0, 1), (1, 2), (0, 2), (2, 3)])
        >>> [reference.name for reference in graph_references(graph, powers=2)]
        ['A', 'A^2', 'reachability', 'reachability^T']
    """
    checks.integer("powers", powers, min_value=1)
    full = adjacency(graph)
    checks.require(len(full) >= MIN_NODES, "graph", f"must have at least {MIN_NODES} nodes", len(full))
    checks.require(bool(full.any()), "graph", "must have an edge", 0)
    references = _of_graph(full, reachability(graph), powers, observed=False)
    if observed is not None:
        checks.shape("observed.adjacency", observed.adjacency, full.shape)
        checks.shape("observed.reachability", observed.reachability, full.shape)
        own = _of_graph(np.asarray(observed.adjacency, bool), np.asarray(observed.reachability, bool), powers, True)
        references += [r for r in own if not any(_alike(r, other) for other in references)]
    varying = tuple(r for r in references if np.any(centre_rows(r.matrix)))
    checks.require(any(r.power for r in varying), "graph", "must have a power that varies within a row", full.shape)
    return varying


def absent_powers(references: tuple[Reference, ...], powers: int) -> tuple[int, ...]:
    """The powers up to ``powers`` without a reference."""
    return tuple(k for k in range(1, powers + 1) if all(r.power != k for r in references))


def centre_rows(matrix: Float[np.ndarray, "*many N N"]) -> Float[np.ndarray, "*many N N"]:
    """Each row minus its mean, as softmax ignores a constant in a row; what is left of rounding becomes zero."""
    values = np.asarray(matrix, np.float64)
    rows = values - values.mean(axis=-1, keepdims=True)
    largest = np.abs(values).max(axis=(-2, -1), keepdims=True)
    return np.where(np.abs(rows) > 1e-12 * largest, rows, 0.0)


def matrix_powers(
    adjacencies: Bool[np.ndarray, "*many N N"], powers: int, dtype: type[np.floating] = np.float64
) -> list[Float[np.ndarray, "*many N N"]]:
    """A, A^2, ... of each: numbers of walks, exact below 2^53 in float64."""
    results = [np.asarray(adjacencies, dtype)]
    for _ in range(powers - 1):
        results.append(results[-1] @ results[0])
    return results


def _alike(a: Reference, b: Reference) -> bool:
    same = (a.power, a.support, a.transposed) == (b.power, b.support, b.transposed)
    return same and bool(np.array_equal(a.matrix, b.matrix))


def _of_graph(
    edges: Bool[np.ndarray, "N N"], reach: Bool[np.ndarray, "N N"], powers: int, observed: bool
) -> list[Reference]:
    prefix = "observed " if observed else ""
    references = []
    for power, counts in enumerate(matrix_powers(edges, powers), start=1):
        name = f"{prefix}{reference_name(power)}"
        references.append(Reference(name, power, False, observed, counts))
        ones = (counts > 0).astype(np.float64)
        if not np.array_equal(ones, counts):
            references.append(Reference(f"{name} support", power, True, observed, ones))
    for matrix, transposed in ((reach, False), (reach.T, True)):
        name = f"{prefix}{reference_name(REACHABILITY, transposed)}"
        references.append(Reference(name, REACHABILITY, False, observed, matrix.astype(np.float64), transposed))
    return references
