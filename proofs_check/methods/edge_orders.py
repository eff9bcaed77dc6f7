"""The 24 edge orders of the paper's graph, as plain integers.

Corollary 1's weights treat all labels alike and Theorem 1 speaks of positions, so one labeling stands for all:
u_star = 0, v = 1, u_end = 2, and the other path runs over 3 and 4.
"""

from itertools import chain, permutations
from typing import Final

EDGES: Final = ((0, 1), (1, 2), (0, 3), (3, 4))
T: Final = 2 * len(EDGES) + 2

Tokens = tuple[int, ...]
"""A context: the edges, u_end at T - 2 (positions from 0), and u_star, or v after it was said, at T - 1."""


def edge_orders() -> list[Tokens]:
    """The contexts Z of all edge orders."""
    return [(*chain.from_iterable(edges), 2, 0) for edges in permutations(EDGES)]


def goal(tokens: Tokens) -> int:
    """The label u_end."""
    return tokens[-2]


def goal_position(tokens: Tokens) -> int:
    """t_end: where u_end stands in its edge, from 0."""
    return tokens.index(goal(tokens))


def next_label(tokens: Tokens) -> int:
    """The label v, which stands before u_end in its edge."""
    return tokens[goal_position(tokens) - 1]


def replayed(tokens: Tokens) -> Tokens:
    """Z', the context whose last token is v."""
    return (*tokens[:-1], next_label(tokens))


def positions(tokens: Tokens, label: int) -> list[bool]:
    """For each position whether the label stands there."""
    return [token == label for token in tokens]
