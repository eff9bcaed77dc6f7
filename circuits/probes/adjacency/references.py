"""References for matrices of node logits: powers of the adjacency matrix, their supports, and reachability."""

from collections.abc import Sequence
from typing import NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float

from circuits import checks, display
from circuits.display import Figure
from circuits.tasks.walks.graphs import adjacency, reachability
from circuits.tasks.walks.pairs import Observed

REACHABILITY = 0
"""The ``power`` of reachability, a path of any length."""
MIN_NODES = 3
"""With fewer nodes, centred rows hold at most one number."""


def reference_name(power: int, transposed: bool = False) -> str:
    """Return "A", "A^2", "reachability" or "reachability^T"."""
    if not power:
        return "reachability^T" if transposed else "reachability"
    return f"A^{power}" if power > 1 else "A"


class Reference(NamedTuple):
    """One reference matrix over (source node, target node)."""

    name: str
    """Such as "A^2", "A^2 support", "reachability^T" or "observed A^2"."""
    power: int
    """k of A^k; 0 for reachability."""
    support: bool
    """Whether entries are 1 for any number of walks, instead of the number of walks."""
    observed: bool
    """Whether it belongs to the part of the graph that occurs in the training data."""
    matrix: Float[np.ndarray, "N N"]
    transposed: bool = False
    """Whether rows are targets: row v holds the nodes from which v can be reached."""

    _repr_html_ = display.html

    def plot(self) -> Figure:
        """Draw the matrix, sources down and targets across.

        Returns:
            A figure with one axes.

        Example:
            >>> Reference("A", 1, False, False, np.eye(3)).plot().axes[0].get_title()
            'A'
        """
        nodes = range(len(self.matrix))
        axes = {"row_name": "source", "column_name": "target"}
        return display.plotting.weight_heatmap(self.matrix, nodes, nodes, self.name, **axes)

    @property
    def candidate(self) -> str:
        """The name without "observed" and "support"."""
        return reference_name(self.power, self.transposed)


def candidate_names(references: Sequence[Reference]) -> tuple[str, ...]:
    """Return the candidates of references without duplicates: powers in order, then reachability and its transpose."""
    kinds = {(not r.power, r.power, r.transposed) for r in references}
    return tuple(reference_name(power, transposed) for _, power, transposed in sorted(kinds))


def graph_references(graph: nx.DiGraph, powers: int = 4, observed: Observed | None = None) -> tuple[Reference, ...]:
    """Return A^k for k = 1 .. ``powers``, which counts walks of k edges, its support, reachability and its transpose.

    Omitted are powers that are constant within every row (such as 0, if no walk is that long) and supports that are
    equal to the counts.

    Args:
        graph: a directed graph with the nodes 0 .. N-1.
        powers: the highest power.
        observed: the part of the graph that occurs in the training data; its references are added if they differ.

    Returns:
        References with matrices [N, N].

    Raises:
        ValueError: if the nodes are not range(N), N < 3, there is no edge, the observed graph has other nodes, or every
            power is omitted.

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
    """Return the powers up to ``powers`` that have no reference."""
    return tuple(k for k in range(1, powers + 1) if all(r.power != k for r in references))


def centre_rows(matrix: Float[np.ndarray, "*many N N"]) -> Float[np.ndarray, "*many N N"]:
    """Return each row minus its mean, because softmax ignores a constant in a row; rounding errors become zero."""
    values = np.asarray(matrix, np.float64)
    rows = values - values.mean(axis=-1, keepdims=True)
    largest = np.abs(values).max(axis=(-2, -1), keepdims=True)
    return np.where(np.abs(rows) > 1e-12 * largest, rows, 0.0)


def matrix_powers(
    adjacencies: Bool[np.ndarray, "*many N N"], powers: int, dtype: type[np.floating] = np.float64
) -> list[Float[np.ndarray, "*many N N"]]:
    """Return A, A^2, ...: the numbers of walks, exact below 2^53 in float64."""
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
