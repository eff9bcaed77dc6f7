"""One path-finding problem: a labelled graph, a start, a goal and the path between them.

A family of graphs (``StarGraph``, ``BinaryTree``) states one graph of its shape, the canonical one; a problem is
that graph with its edges in some order and its nodes renamed. Everything here works on one problem; callers vmap.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Int

from circuits import checks
from circuits.typing import AnyArray

MAX_LABELS = 2**31 - 1
"""Labels, and their number N, are int32."""


@runtime_checkable
class Family(Protocol):
    """Graphs of one shape, with nodes named from N labels, all leaves at one depth from the start."""

    @property
    def nodes(self) -> int:
        """M, the nodes of the answer."""
        ...

    @property
    def labels(self) -> int:
        """N."""
        ...

    @property
    def edge_count(self) -> int:
        """E."""
        ...

    @property
    def node_count(self) -> int:
        """K = E + 1."""
        ...

    @property
    def canonical_edges(self) -> Int[np.ndarray, "E 2"]:
        """The directed edges of the graph whose nodes are named range(K), the start 0; int32."""
        ...

    @property
    def canonical_path(self) -> Int[np.ndarray, " M"]:
        """The answer in that graph; its last node is the goal. int32."""
        ...

    @property
    def branching(self) -> tuple[int, ...]:
        """The number of edges that leave each of the first M - 1 nodes of an answer."""
        ...

    @property
    def symmetries(self) -> int:
        """The number of renamings of the canonical nodes that leave the set of edges as it is."""
        ...


class Problem(NamedTuple):
    """One problem, or a batch with the same leading axes on all four arrays (numpy or jax)."""

    edges: Int[AnyArray, "... E 2"]
    """Directed edges (u, v), in the order in which they are listed."""
    start: Int[AnyArray, "..."]
    goal: Int[AnyArray, "..."]
    path: Int[AnyArray, "... M"]
    """The answer, start..goal."""


def canonical_problem(spec: Family, order: Int[AnyArray, " E"]) -> Problem:
    """The canonical problem of a family, with its edges in another order; arrays are int32.

    ``order`` is a permutation of range(E): the i-th listed edge is ``spec.canonical_edges[order[i]]``. The
    answer is ``spec.canonical_path``, from the start 0 to the goal.

    Raises ValueError when ``order`` has another shape or, unless it is traced, is no permutation.
    """
    checks.shape("order", order, (spec.edge_count,))
    if _known(order):
        values = np.asarray(order).tolist()
        whole = sorted(values) == list(range(spec.edge_count))
        checks.require(whole, "order", f"must be a permutation of range({spec.edge_count})", values)
    path = spec.canonical_path
    start, goal = (np.asarray(path[place], dtype=np.int32) for place in (0, -1))
    return Problem(_take(spec.canonical_edges, order), start, goal, path)


def relabel(problem: Problem, labels: Int[AnyArray, " K"]) -> Problem:
    """Replace canonical label k by labels[k] in every array; K = E + 1 distinct labels, each in range(2^31 - 1).

    The problem may be one or a batch (which then shares the labels); its own labels lie in {0..K-1}.

    Raises ValueError when ``labels`` has another shape or, unless traced, when ``labels`` repeats a label or
    holds one out of range, or when the problem holds a label outside {0..K-1}.
    """
    node_count = problem.edges.shape[-2] + 1
    checks.shape("labels", labels, (node_count,))
    if _known(labels):
        values = np.asarray(labels).tolist()
        checks.require(len(set(values)) == node_count, "labels", "must be distinct", values)
        rule = f"must lie in range({MOST_LABELS})"
        checks.require(min(values) >= 0 and max(values) < MAX_LABELS, "labels", rule, values)
    for name, array in problem._asdict().items():
        if _known(array):
            # An index out of range would be clamped in silence, and give a wrong graph.
            values = np.asarray(array)
            outside = values[(values < 0) | (values >= node_count)]
            rule = f"must hold canonical labels in range({node_count})"
            checks.require(outside.size == 0, f"problem.{name}", rule, outside[:1].tolist())
    space = np if isinstance(labels, np.ndarray) else jnp
    table = space.asarray(labels, dtype=np.int32)
    return Problem(*(_take(table, array) for array in problem))


def check_single(argument: str, problem: Problem) -> None:
    """Raise ValueError naming ``argument`` unless the problem is one problem, not a batch."""
    ranks = tuple(np.ndim(array) for array in problem)
    rule = "must be one problem (vmap over a batch), with arrays of ranks (2, 0, 0, 1)"
    checks.require(ranks == (2, 0, 0, 1), argument, rule, ranks)


def _known(array: Any) -> bool:
    # A traced array has no values yet, so only its shape can be checked.
    return not isinstance(array, Tracer)


def _take(table: AnyArray, places: AnyArray) -> AnyArray:
    # Numpy gives numpy, for jax would compile a gather for each new shape.
    if isinstance(table, np.ndarray) and isinstance(places, np.ndarray):
        return np.asarray(table[places])
    return jnp.asarray(table)[jnp.asarray(places)]
