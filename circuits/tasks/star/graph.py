"""The star-graph path-finding task: graphs, labels, and sequences of tokens.

A star graph has P paths of M nodes that share their first node, the start. The goal is the last node of one
path, and the answer is that path. Everything here works on one problem; callers vmap.
"""

from dataclasses import dataclass
from math import factorial

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int

from circuits import checks
from circuits.tasks.problem import MAX_LABELS, Problem, check_single, relabel
from circuits.typing import Label, Tokens

__all__ = [
    "MOST_LABELS",
    "QUERIES",
    "Problem",
    "StarGraph",
    "canonical",
    "encode",
    "relabel",
    "replay_context",
    "single",
    "targets",
]

QUERIES = ("goal-start", "start-goal")
"""The two orders in which a query is written."""


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
        checks.integer("paths", self.paths, 2)
        checks.integer("nodes", self.nodes, 2)
        checks.integer("labels", self.labels, self.node_count, MAX_LABELS)

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

    @property
    def leaves(self) -> int:
        """P, one for each path; the goal is one of them."""
        return self.paths

    @property
    def branching(self) -> tuple[int, ...]:
        """The edges that leave each of the first M - 1 nodes of an answer: P, then 1 each."""
        return (self.paths, *(1 for _ in range(self.nodes - 2)))

    @property
    def symmetries(self) -> int:
        """P!, for the paths can be permuted."""
        return factorial(self.paths)

    @property
    def canonical_edges(self) -> Int[np.ndarray, "E 2"]:
        """The edges, path by path from the start 0, when node j = 1..M-1 of path p is named p (M - 1) + j."""
        heads = np.arange(1, self.node_count, dtype=np.int32)
        first = (heads - 1) % (self.nodes - 1) == 0
        return np.stack([np.where(first, 0, heads - 1), heads], axis=-1).astype(np.int32)

    @property
    def canonical_path(self) -> Int[np.ndarray, " M"]:
        """Path 0, that is range(M)."""
        return np.arange(self.nodes, dtype=np.int32)


def encode_prompt(problem: Problem, query: str = "goal-start") -> Int[Array, " T"]:
    """The sequence of T = 2 E + 2 labels: (u, v) for each edge in the order listed, then the query.

    "goal-start" writes goal then start (the paper, Section 5.1); "start-goal" writes start then goal (its
    Appendix E.3). One problem only; vmap for a batch.

    Raises ValueError for another ``query``, or for a batch.
    """
    checks.choice("query", query, QUERIES)
    check_single("problem", problem)
    ends = (problem.goal, problem.start) if query == "goal-start" else (problem.start, problem.goal)
    parts = [jnp.ravel(jnp.asarray(part, dtype=jnp.int32)) for part in (problem.edges, *ends)]
    return jnp.concatenate(parts)


def targets(problem: Problem) -> tuple[Int[Array, "..."], Int[Array, "..."]]:
    """The next token y1 = path[1] and the one after it y2 = path[2], for one problem or a batch.

    Raises ValueError when M < 3, for then there is no path[2].
    """
    nodes = problem.path.shape[-1]
    rule = "two-token targets need paths of at least 3 nodes (the start, y1 and y2)"
    checks.require(nodes >= 3, "problem.path", rule, nodes)
    return jnp.asarray(problem.path)[..., 1], jnp.asarray(problem.path)[..., 2]


def replay_context(tokens: Tokens, y1: Label) -> Int[Array, " T"]:
    """The paper's Z': the same tokens with the last replaced by ``y1``."""
    sequence = jnp.asarray(tokens)
    return sequence.at[-1].set(jnp.asarray(y1).astype(sequence.dtype))
