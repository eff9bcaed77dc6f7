"""Binary trees: every node but the leaves branches, so every step of the answer needs a decision.

Section 4 of arXiv:2604.11912 trains on "5-node binary trees" without saying what the 5 counts. Here, as in "2-path
5-node star", it is the number of nodes on a path from the root to a leaf: nodes = 5 is the complete binary tree of
depth 4, with 31 nodes and 16 leaves. (Remark 1 of Appendix E.1 reports that large models memorise all problems of a
fixed tree from 0.5M examples. That suggests fewer nodes, perhaps 5 in total; such a tree is not complete, and not
supported.) The start is the root, the goal is a leaf, and the answer is the path between them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from circuits import checks, display
from circuits.tasks.drawing import family_html
from circuits.tasks.problem import MAX_LABELS


@dataclass(frozen=True)
class BinaryTree:
    """The family of complete binary trees with given sizes.

    A family is hashable, so it can be a static argument of a jitted function. The nodes of the canonical tree are
    numbered level by level: the root is 0, and the children of node i are 2 i + 1 and 2 i + 2.

    Args:
        nodes: M, the number of nodes on each path from the root to a leaf, 3 to 31.
        labels: N, the number of labels; at least the number of nodes, 2^M - 1, and below 2^31 (labels are int32).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> tree = BinaryTree(nodes=3, labels=10)
        >>> tree.node_count, tree.canonical_path.tolist()
        (7, [0, 1, 3])
    """

    nodes: int
    labels: int

    def __post_init__(self) -> None:
        checks.integer("nodes", self.nodes, 3, 31)
        checks.integer("labels", self.labels, self.node_count, MAX_LABELS)

    _repr_html_ = display.safe(family_html)

    @property
    def edge_count(self) -> int:
        """E = 2^M - 2, one edge into each node but the root."""
        return self.node_count - 1

    @property
    def node_count(self) -> int:
        """E + 1 = 2^M - 1."""
        return 2**self.nodes - 1

    @property
    def sequence_length(self) -> int:
        """T = 2 E + 2: two tokens for each edge, and two for the query."""
        return 2 * self.edge_count + 2

    @property
    def branching_factors(self) -> tuple[int, ...]:
        """The out-degree of each of the first M - 1 nodes of the answer: 2."""
        return (2,) * (self.nodes - 1)

    @property
    def num_automorphisms(self) -> int:
        """2^(2^(M - 1) - 1): the children of each node but the leaves can be swapped."""
        return 2 ** (2 ** (self.nodes - 1) - 1)

    @property
    def canonical_edges(self) -> Int[np.ndarray, "E 2"]:
        """The edges into the nodes 1, 2, ..., E."""
        heads = np.arange(1, self.node_count, dtype=np.int32)
        return np.stack([(heads - 1) // 2, heads], axis=-1)

    @property
    def canonical_path(self) -> Int[np.ndarray, " M"]:
        """The path to the leftmost leaf: node 2^j - 1 at depth j."""
        return 2 ** np.arange(self.nodes, dtype=np.int32) - 1
