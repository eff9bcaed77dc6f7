"""The star-graph path-finding task: graphs, labels, and sequences of tokens.

A star graph has P paths of M nodes that share their first node, the start. The goal is the last node of one
path, and the answer is that path. Everything here works on one problem; callers vmap.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jaxtyping import Int

from circuits import require
from circuits.typing import AnyArray, Label, Tokens

QUERIES = ("goal-start", "start-goal")
"""The two orders in which a query is written."""
MOST_LABELS = 2**31 - 1
"""Labels, and their number N, are int32."""


@dataclass(frozen=True)
class StarGraph:
    """Stars of P = ``paths`` >= 2 paths of M = ``nodes`` >= 2 nodes, labelled from N = ``labels`` labels.

    N is at least P (M - 1) + 1, the number of distinct nodes, and below 2^31, for labels are int32. A family
    is hashable, so it can be a static argument.

    Raises ValueError naming the argument that is out of range.
    """

    paths: int
    nodes: int
    labels: int

    def __post_init__(self) -> None:
        require.integer("paths", self.paths, 2)
        require.integer("nodes", self.nodes, 2)
        require.integer("labels", self.labels, self.node_count, MOST_LABELS)

    @property
    def edge_count(self) -> int:
        """E = P (M - 1)."""
        return self.paths * (self.nodes - 1)

    @property
    def node_count(self) -> int:
        """K = P (M - 1) + 1 distinct nodes; the start is shared."""
        return self.edge_count + 1

    @property
    def sequence_length(self) -> int:
        """T = 2 E + 2: two tokens for an edge, and two for the query."""
        return 2 * self.edge_count + 2


class Problem(NamedTuple):
    """One problem, or a batch with the same leading axes on all four arrays (numpy or jax)."""

    edges: Int[AnyArray, "... E 2"]
    """Directed edges (u, v), in the order in which they are listed."""
    start: Int[AnyArray, "..."]
    goal: Int[AnyArray, "..."]
    path: Int[AnyArray, "... M"]
    """The answer, start..goal."""


def canonical(spec: StarGraph, order: Int[AnyArray, " E"]) -> Problem:
    """The problem labelled 0 = start, then node j = 1..M-1 of path p is p (M - 1) + j; path 0 is the answer.

    ``order`` is a permutation of range(E) over the canonical edges, which run path by path from the start:
    the i-th listed edge is the canonical edge order[i]. Arrays are int32.

    Raises ValueError when ``order`` has another shape or, unless it is traced, is no permutation.
    """
    require.shape("order", order, (spec.edge_count,))
    if _known(order):
        values = np.asarray(order).tolist()
        whole = sorted(values) == list(range(spec.edge_count))
        require.that(whole, "order", f"must be a permutation of range({spec.edge_count})", values)
    heads = np.arange(1, spec.node_count, dtype=np.int32)
    first = (heads - 1) % (spec.nodes - 1) == 0
    table = np.stack([np.where(first, 0, heads - 1), heads], axis=-1).astype(np.int32)
    ends = np.asarray(0, dtype=np.int32), np.asarray(spec.nodes - 1, dtype=np.int32)
    return Problem(_take(table, order), *ends, np.arange(spec.nodes, dtype=np.int32))


def relabel(problem: Problem, labels: Int[AnyArray, " K"]) -> Problem:
    """Replace canonical label k by labels[k] in every array; K = E + 1 distinct labels, each in range(2^31 - 1).

    The problem may be one or a batch (which then shares the labels); its own labels lie in {0..K-1}.

    Raises ValueError when ``labels`` has another shape or, unless traced, when ``labels`` repeats a label or
    holds one out of range, or when the problem holds a label outside {0..K-1}.
    """
    node_count = problem.edges.shape[-2] + 1
    require.shape("labels", labels, (node_count,))
    if _known(labels):
        values = np.asarray(labels).tolist()
        require.that(len(set(values)) == node_count, "labels", "must be distinct", values)
        rule = f"must lie in range({MOST_LABELS})"
        require.that(min(values) >= 0 and max(values) < MOST_LABELS, "labels", rule, values)
    for name, array in problem._asdict().items():
        if _known(array):
            # An index out of range would be clamped in silence, and give a wrong graph.
            values = np.asarray(array)
            outside = values[(values < 0) | (values >= node_count)]
            rule = f"must hold canonical labels in range({node_count})"
            require.that(outside.size == 0, f"problem.{name}", rule, outside[:1].tolist())
    space = np if isinstance(labels, np.ndarray) else jnp
    table = space.asarray(labels, dtype=np.int32)
    return Problem(*(_take(table, array) for array in problem))


def encode(problem: Problem, query: str = "goal-start") -> Int[Array, " T"]:
    """The sequence of T = 2 E + 2 labels: (u, v) for each edge in the order listed, then the query.

    "goal-start" writes goal then start (the paper, Section 5.1); "start-goal" writes start then goal (its
    Appendix E.3). One problem only; vmap for a batch.

    Raises ValueError for another ``query``, or for a batch.
    """
    require.choice("query", query, QUERIES)
    single("problem", problem)
    ends = (problem.goal, problem.start) if query == "goal-start" else (problem.start, problem.goal)
    parts = [jnp.ravel(jnp.asarray(part, dtype=jnp.int32)) for part in (problem.edges, *ends)]
    return jnp.concatenate(parts)


def targets(problem: Problem) -> tuple[Int[Array, "..."], Int[Array, "..."]]:
    """The next token y1 = path[1] and the one after it y2 = path[2], for one problem or a batch.

    Raises ValueError when M < 3, for then there is no path[2].
    """
    nodes = problem.path.shape[-1]
    rule = "two-token targets need paths of at least 3 nodes (the start, y1 and y2)"
    require.that(nodes >= 3, "problem.path", rule, nodes)
    return jnp.asarray(problem.path)[..., 1], jnp.asarray(problem.path)[..., 2]


def replay_context(tokens: Tokens, y1: Label) -> Int[Array, " T"]:
    """The paper's Z': the same tokens with the last replaced by ``y1``."""
    sequence = jnp.asarray(tokens)
    return sequence.at[-1].set(jnp.asarray(y1).astype(sequence.dtype))


def single(argument: str, problem: Problem) -> None:
    """Raise ValueError naming ``argument`` unless the problem is one problem, not a batch."""
    ranks = tuple(np.ndim(array) for array in problem)
    rule = "must be one problem (vmap over a batch), with arrays of ranks (2, 0, 0, 1)"
    require.that(ranks == (2, 0, 0, 1), argument, rule, ranks)


def _known(array: Any) -> bool:
    # A traced array has no values yet, so only its shape can be checked.
    return not isinstance(array, Tracer)


def _take(table: AnyArray, places: AnyArray) -> AnyArray:
    # Numpy gives numpy, for jax would compile a gather for each new shape.
    if isinstance(table, np.ndarray) and isinstance(places, np.ndarray):
        return np.asarray(table[places])
    return jnp.asarray(table)[jnp.asarray(places)]
