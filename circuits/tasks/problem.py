"""A path-finding problem: a labelled directed graph, a start, a goal and the path between them.

A family of graphs (``StarGraph``, ``BinaryTree``) defines one canonical graph, whose nodes are 0, 1, ..., E. Every
problem of the family is this graph with its edges listed in some order and its nodes renamed. The functions here work
on one problem; use ``jax.vmap`` for a batch.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from circuits import checks, display
from circuits.tasks.drawing import tree_drawing
from circuits.typing import AnyArray

MAX_LABELS = 2**31 - 1
"""Labels, and their number N, are int32."""


@runtime_checkable
class Family(Protocol):
    """The properties of a family of graphs that the sampler and the splits use.

    The graphs of a family are rooted trees of one shape whose leaves all have the same depth. The start is the root,
    the goal is a leaf, and the answer is the path of M nodes between them. The nodes have distinct labels in 0..N-1.
    A family is hashable, so it can be a static argument of a jitted function. ``sample``, ``sample_split`` and
    ``canonical_problem`` accept any class with these properties.
    """

    @property
    def nodes(self) -> int:
        """M, the number of nodes on a path from the root to a leaf, both included."""
        ...

    @property
    def labels(self) -> int:
        """N, the number of labels to choose from."""
        ...

    @property
    def edge_count(self) -> int:
        """E, the number of edges of a graph."""
        ...

    @property
    def node_count(self) -> int:
        """E + 1, the number of nodes of a graph."""
        ...

    @property
    def canonical_edges(self) -> Int[np.ndarray, "E 2"]:
        """The directed edges (u, v) of the canonical graph; its nodes are 0..E and the start is 0. int32."""
        ...

    @property
    def canonical_path(self) -> Int[np.ndarray, " M"]:
        """The answer in the canonical graph; its last node is the goal. int32."""
        ...

    @property
    def branching_factors(self) -> tuple[int, ...]:
        """The out-degree of a node at depth j, for j = 0..M-2."""
        ...

    @property
    def num_automorphisms(self) -> int:
        """The number of permutations of the canonical nodes that map the set of edges to itself."""
        ...


class Problem(NamedTuple):
    """One problem, or a batch of problems: then all four arrays have the same leading axes. numpy or jax."""

    edges: Int[AnyArray, "... E 2"]
    """Directed edges (u, v), in the order in which the prompt lists them."""
    start: Int[AnyArray, "..."]
    """The first node of the path."""
    goal: Int[AnyArray, "..."]
    """The last node of the path."""
    path: Int[AnyArray, "... M"]
    """The answer, including the start and the goal."""

    @display.safe
    def _repr_html_(self) -> str:
        check_single("problem", self)
        edges, start, goal, path = (np.asarray(part).tolist() for part in self)
        listed = ", ".join(f"{u}→{v}" for u, v in edges)
        text = f"edges {listed}; from {start} to {goal}; answer {', '.join(map(str, path))}"
        return display.paragraph(text) + tree_drawing(edges, start, path, text)


def canonical_problem(family: Family, edge_order: Int[AnyArray, " E"]) -> Problem:
    """Return the canonical problem of a family with its edges listed in another order.

    Args:
        family: the graphs, for example ``StarGraph(2, 3, 10)``.
        edge_order: a permutation of 0..E-1; the i-th listed edge is ``family.canonical_edges[edge_order[i]]``.

    Returns:
        The problem, int32: numpy if ``edge_order`` is, else jax.

    Raises:
        ValueError: if ``edge_order`` has the wrong shape or, unless it is traced, is not a permutation.

    Example:
        >>> from circuits.tasks import StarGraph
        >>> canonical_problem(StarGraph(2, 3, 10), np.array([3, 0, 1, 2])).edges.tolist()
        [[3, 4], [0, 1], [1, 2], [0, 3]]
    """
    checks.shape("edge_order", edge_order, (family.edge_count,))
    if not checks.is_traced(edge_order):
        values = np.asarray(edge_order).tolist()
        is_permutation = sorted(values) == list(range(family.edge_count))
        checks.require(is_permutation, "edge_order", f"must be a permutation of range({family.edge_count})", values)
    path = family.canonical_path
    return Problem(_take(family.canonical_edges, edge_order), np.asarray(path[0]), np.asarray(path[-1]), path)


def relabel(problem: Problem, labels: Int[AnyArray, " nodes"]) -> Problem:
    """Return a canonical problem with its nodes renamed: node k becomes ``labels[k]`` in every array.

    Args:
        problem: a problem with nodes 0..E, or a batch of them, which then shares the labels.
        labels: E + 1 distinct labels, each in range(2^31 - 1).

    Returns:
        The renamed problem, int32: numpy if ``problem`` and ``labels`` are, else jax.

    Raises:
        ValueError: if ``labels`` has the wrong shape or, unless it is traced, repeats a label or has one out of range,
            or if ``problem`` has a node outside 0..E.

    Example:
        >>> from circuits.tasks import StarGraph
        >>> problem = canonical_problem(StarGraph(2, 2, 10), np.array([1, 0]))
        >>> relabel(problem, np.array([7, 4, 9])).edges.tolist()
        [[7, 9], [7, 4]]
    """
    node_count = problem.edges.shape[-2] + 1
    checks.shape("labels", labels, (node_count,))
    if not checks.is_traced(labels):
        values = np.asarray(labels).tolist()
        checks.require(len(set(values)) == node_count, "labels", "must be distinct", values)
        in_range = min(values) >= 0 and max(values) < MAX_LABELS
        checks.require(in_range, "labels", f"must be in range({MAX_LABELS})", values)
    for name, array in problem._asdict().items():
        if not checks.is_traced(array):  # indexing would clamp a node out of range, and give a wrong graph
            values = np.asarray(array)
            outside = values[(values < 0) | (values >= node_count)]
            rule = f"must have canonical nodes, in range({node_count})"
            checks.require(outside.size == 0, f"problem.{name}", rule, outside[:1].tolist())
    xp = np if isinstance(labels, np.ndarray) else jnp
    table = xp.asarray(labels, dtype=np.int32)
    return Problem(*(_take(table, array) for array in problem))


def check_single(argument: str, problem: Problem) -> None:
    """Raise ValueError naming ``argument`` for a batch of problems."""
    ranks = tuple(np.ndim(array) for array in problem)
    rule = "must be one problem (vmap over a batch), with arrays of ranks (2, 0, 0, 1)"
    checks.require(ranks == (2, 0, 0, 1), argument, rule, ranks)


def _take(table: AnyArray, indices: AnyArray) -> Any:
    """Return ``table[indices]``, in numpy where both are numpy: jax would compile a gather for every new shape."""
    if isinstance(table, np.ndarray) and isinstance(indices, np.ndarray):
        return np.asarray(table[indices])
    return jnp.asarray(table)[jnp.asarray(indices)]
