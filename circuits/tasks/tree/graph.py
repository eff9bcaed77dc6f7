"""The binary-tree path-finding task: every node but the leaves branches, so every step needs a decision.

Section 4 of the paper trains on "5-node binary trees" and does not say what the 5 counts. Here it is read as in
its "2-path 5-node star": the nodes of a path from the root to a leaf. So nodes = 5 is the complete binary tree
of depth 4, with 31 nodes and 16 leaves. (Remark 1 of its Appendix E.1 has large models memorise all problems of a fixed
tree from 0.5M examples, which speaks for fewer nodes, perhaps 5 in all; such a tree is not complete, and not here.)
The start is the root, the goal a leaf, the answer the path between.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from circuits import checks
from circuits.tasks.problem import MAX_LABELS


@dataclass(frozen=True)
class BinaryTree:
    """Complete binary trees with M = ``nodes`` >= 3 nodes on each path from the root to a leaf, of N = ``labels``.

    N is at least 2^M - 1, the number of distinct nodes, and below 2^31, for labels are int32, so M <= 31. A
    family is hashable, so it can be a static argument. Nodes of the canonical tree are named level by level:
    the root is 0, and the children of node i are 2 i + 1 and 2 i + 2.

    Raises ValueError naming the argument that is out of range.
    """

    nodes: int
    labels: int

    def __post_init__(self) -> None:
        checks.integer("nodes", self.nodes, 3, 31)
        checks.integer("labels", self.labels, self.node_count, MAX_LABELS)

    @property
    def edge_count(self) -> int:
        """E = 2^M - 2, one edge into each node but the root."""
        return self.node_count - 1

    @property
    def node_count(self) -> int:
        """K = 2^M - 1 distinct nodes."""
        return 2**self.nodes - 1

    @property
    def sequence_length(self) -> int:
        """T = 2 E + 2: two tokens for an edge, and two for the query."""
        return 2 * self.edge_count + 2

    @property
    def leaves(self) -> int:
        """2^(M - 1); the goal is one of them."""
        return 2 ** (self.nodes - 1)

    @property
    def branching(self) -> tuple[int, ...]:
        """The edges that leave each of the first M - 1 nodes of an answer: 2 each."""
        return (2,) * (self.nodes - 1)

    @property
    def symmetries(self) -> int:
        """2^(2^(M - 1) - 1), for the children of each node but the leaves can be swapped."""
        return 2 ** (self.leaves - 1)

    @property
    def canonical_edges(self) -> Int[np.ndarray, "E 2"]:
        """The edges into the nodes 1, 2, ..., K - 1."""
        heads = np.arange(1, self.node_count, dtype=np.int32)
        return np.stack([(heads - 1) // 2, heads], axis=-1)

    @property
    def canonical_path(self) -> Int[np.ndarray, " M"]:
        """The path to the leftmost leaf: node 2^j - 1 at depth j."""
        return 2 ** np.arange(self.nodes, dtype=np.int32) - 1
