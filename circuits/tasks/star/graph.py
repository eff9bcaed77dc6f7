"""Star graphs, and the prompts of arXiv:2604.11912, Section 5.1, on which the disentangled transformer works.

A star has P paths of M nodes that share their first node, the start. The goal is the last node of one path, and the
answer is that path.
"""

from dataclasses import dataclass
from math import factorial

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int

from circuits import checks, display
from circuits.tasks.drawing import family_html
from circuits.tasks.problem import MAX_LABELS, Problem, check_single
from circuits.typing import Label, Tokens

QUERIES = ("goal-start", "start-goal")
"""The two orders in which a prompt names the start and the goal."""


@dataclass(frozen=True)
class StarGraph:
    """The family of star graphs with given sizes: "P-path M-node stars" with N labels.

    A family is hashable, so it can be a static argument of a jitted function. In the canonical graph the start is 0,
    and node j = 1..M-1 of path p = 0..P-1 is p (M - 1) + j.

    Args:
        paths: P, the number of paths, at least 2.
        nodes: M, the number of nodes on each path, including the shared start, at least 2.
        labels: N, the number of labels; at least the number of nodes, P (M - 1) + 1, and below 2^31 (labels are int32).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> family = StarGraph(paths=2, nodes=3, labels=10)
        >>> family.edge_count, family.node_count, family.sequence_length
        (4, 5, 10)
    """

    paths: int
    nodes: int
    labels: int

    def __post_init__(self) -> None:
        checks.integer("paths", self.paths, 2)
        checks.integer("nodes", self.nodes, 2)
        checks.integer("labels", self.labels, self.node_count, MAX_LABELS)

    _repr_html_ = display.safe(family_html)

    @property
    def edge_count(self) -> int:
        """E = P (M - 1)."""
        return self.paths * (self.nodes - 1)

    @property
    def node_count(self) -> int:
        """E + 1: the start is shared."""
        return self.edge_count + 1

    @property
    def sequence_length(self) -> int:
        """T = 2 E + 2: two tokens for each edge, and two for the query."""
        return 2 * self.edge_count + 2

    @property
    def branching_factors(self) -> tuple[int, ...]:
        """The out-degree of each of the first M - 1 nodes of the answer: P for the start, then 1."""
        return (self.paths, *(1 for _ in range(self.nodes - 2)))

    @property
    def num_automorphisms(self) -> int:
        """P!, the permutations of the paths."""
        return factorial(self.paths)

    @property
    def canonical_edges(self) -> Int[np.ndarray, "E 2"]:
        """The edges path by path, each path from the start outwards."""
        heads = np.arange(1, self.node_count, dtype=np.int32)
        leaves_start = (heads - 1) % (self.nodes - 1) == 0
        return np.stack([np.where(leaves_start, 0, heads - 1), heads], axis=-1).astype(np.int32)

    @property
    def canonical_path(self) -> Int[np.ndarray, " M"]:
        """Path 0: the nodes 0..M-1."""
        return np.arange(self.nodes, dtype=np.int32)


def encode_prompt(problem: Problem, query: str = "goal-start") -> Int[Array, " T"]:
    """Return the prompt of one problem as labels: (u, v) for each edge in the order listed, then the query.

    Vmap over a batch.

    Args:
        problem: one problem.
        query: "goal-start" (Section 5.1 of arXiv:2604.11912) or "start-goal" (its Appendix E.3).

    Returns:
        T = 2 E + 2 labels, int32.

    Raises:
        ValueError: for another ``query``, or for a batch.

    Example:
        >>> from circuits.tasks import parse_line
        >>> encode_prompt(parse_line("3,7|6,0|7,2|3,6/3,0=3,6,0")).tolist()
        [3, 7, 6, 0, 7, 2, 3, 6, 0, 3]
    """
    checks.choice("query", query, QUERIES)
    check_single("problem", problem)
    ends = (problem.goal, problem.start) if query == "goal-start" else (problem.start, problem.goal)
    parts = [jnp.ravel(jnp.asarray(part, dtype=jnp.int32)) for part in (problem.edges, *ends)]
    return jnp.concatenate(parts)


def targets(problem: Problem) -> tuple[Int[Array, "*batch"], Int[Array, "*batch"]]:
    """Return the next token y1 and the token after it, y2: nodes 1 and 2 of the path.

    Args:
        problem: one problem, or a batch.

    Raises:
        ValueError: if paths have fewer than 3 nodes, so that there is no y2.

    Example:
        >>> from circuits.tasks import parse_line
        >>> y1, y2 = targets(parse_line("3,7|6,0|7,2|3,6/3,0=3,6,0"))
        >>> int(y1), int(y2)
        (6, 0)
    """
    nodes = problem.path.shape[-1]
    rule = "two-token targets need paths of at least 3 nodes (the start, y1 and y2)"
    checks.require(nodes >= 3, "problem.path", rule, nodes)
    return jnp.asarray(problem.path)[..., 1], jnp.asarray(problem.path)[..., 2]


def replay_context(tokens: Tokens, y1: Label) -> Int[Array, " T"]:
    """Return the context Z' of arXiv:2604.11912: the same tokens, with the last one replaced by ``y1``.

    Args:
        tokens: a prompt that ends with the start.
        y1: the next token.

    Example:
        >>> replay_context(jnp.array([3, 7, 6, 0, 7, 2, 3, 6, 0, 3]), 6).tolist()
        [3, 7, 6, 0, 7, 2, 3, 6, 0, 6]
    """
    sequence = jnp.asarray(tokens)
    return sequence.at[-1].set(jnp.asarray(y1).astype(sequence.dtype))
