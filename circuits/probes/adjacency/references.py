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
"""The power of a reference that is none: a path of any length."""
LEAST_NODES = 3
"""Of fewer, rows that are centred hold one number at most."""


def named(power: int, turned: bool = False) -> str:
    """ "A", "A^2", "reachability" or "reachability^T"."""
    if not power:
        return "reachability^T" if turned else "reachability"
    return f"A^{power}" if power > 1 else "A"


class Reference(NamedTuple):
    """A candidate: row u, over nodes v."""

    name: str
    """"A^2", "A^2 support", "reachability", "reachability^T", and the same of the "observed" graph."""
    power: int
    """k of A^k; 0 for reachability."""
    support: bool
    """Ones where the power is not 0, in place of the numbers of walks."""
    observed: bool
    """Of the graph that the training data shows."""
    matrix: Float[np.ndarray, "N N"]
    turned: bool = False
    """Transposed, as reachability is for a matrix whose row is the target: the nodes from which it is reached."""

    @property
    def candidate(self) -> str:
        """What it is a kind of, "A^2" or "reachability": without "observed" and "support"."""
        return named(self.power, self.turned)


def candidates(given: Sequence[Reference]) -> tuple[str, ...]:
    """What references are kinds of, each once: powers in their order, then reachability and its transpose."""
    kinds = {(not r.power, r.power, r.turned) for r in given}
    return tuple(named(power, turned) for _, power, turned in sorted(kinds))


def references(graph: nx.DiGraph, powers: int = 4, observed: Observed | None = None) -> tuple[Reference, ...]:
    """A^k for k = 1 .. ``powers``, which counts walks of k edges, its support, and reachability both ways.

    With ``observed`` also those of its graph, where they differ. Left out is what says nothing about rows: a power
    that is zero because no walk is so long, or equal in every row, and a support equal to its counts.

    Raises ValueError for nodes that are not range(N), for N < 3, a graph without edges, an observed graph of other
    nodes, and where nothing is left.
    """
    checks.integer("powers", powers, min_value=1)
    full = adjacency(graph)
    checks.require(len(full) >= LEAST_NODES, "graph", f"must have at least {LEAST_NODES} nodes", len(full))
    checks.require(bool(full.any()), "graph", "must have an edge", 0)
    found = _of_graph(full, reachability(graph), powers, observed=False)
    if observed is not None:
        checks.shape("observed.adjacency", observed.adjacency, full.shape)
        checks.shape("observed.reachability", observed.reachability, full.shape)
        own = _of_graph(np.asarray(observed.adjacency, bool), np.asarray(observed.reachability, bool), powers, True)
        found += [r for r in own if not any(_alike(r, other) for other in found)]
    kept = tuple(r for r in found if np.any(centred(r.matrix)))
    checks.require(any(r.power for r in kept), "graph", "must have a power that varies within a row", full.shape)
    return kept


def absent(given: tuple[Reference, ...], powers: int) -> tuple[int, ...]:
    """The powers up to ``powers`` of which no reference is left."""
    return tuple(k for k in range(1, powers + 1) if all(r.power != k for r in given))


def centred(matrix: Float[np.ndarray, "*many N N"]) -> Float[np.ndarray, "*many N N"]:
    """Each row minus its mean: logits do not know a constant added to a row. What is left of rounding is zero."""
    values = np.asarray(matrix, np.float64)
    rows = values - values.mean(axis=-1, keepdims=True)
    largest = np.abs(values).max(axis=(-2, -1), keepdims=True)
    return np.where(np.abs(rows) > 1e-12 * largest, rows, 0.0)


def powers_of(
    adjacencies: Bool[np.ndarray, "*many N N"], powers: int, dtype: type[np.floating] = np.float64
) -> list[Float[np.ndarray, "*many N N"]]:
    """A, A^2, .. of each: numbers of walks, exact below 2^53 in float64."""
    found = [np.asarray(adjacencies, dtype)]
    for _ in range(powers - 1):
        found.append(found[-1] @ found[0])
    return found


def _alike(a: Reference, b: Reference) -> bool:
    same = (a.power, a.support, a.turned) == (b.power, b.support, b.turned)
    return same and bool(np.array_equal(a.matrix, b.matrix))


def _of_graph(
    edges: Bool[np.ndarray, "N N"], reach: Bool[np.ndarray, "N N"], powers: int, observed: bool
) -> list[Reference]:
    word = "observed " if observed else ""
    found = []
    for power, counts in enumerate(powers_of(edges, powers), start=1):
        name = f"{word}{named(power)}"
        found.append(Reference(name, power, False, observed, counts))
        ones = (counts > 0).astype(np.float64)
        if not np.array_equal(ones, counts):
            found.append(Reference(f"{name} support", power, True, observed, ones))
    to = reach.astype(np.float64)
    both = (
        Reference(f"{word}{named(REACHABILITY)}", REACHABILITY, False, observed, to),
        Reference(f"{word}{named(REACHABILITY, True)}", REACHABILITY, False, observed, to.T, True),
    )
    return [*found, *both]
