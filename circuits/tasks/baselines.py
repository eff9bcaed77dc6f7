"""Baselines for a trained model: the exact accuracy of following edges without planning.

The edge follower knows the start, and at each node takes one of its outgoing edges, uniformly and independently. With
``sees_goal`` it takes the edge to the goal where there is one, which is at the last step. With b_j edges leaving node j
of the answer, j = 0..M-2, step j is right with probability p_j = 1 / b_j, or 1 at the last step with ``sees_goal``.
"""

from fractions import Fraction
from itertools import accumulate
from math import prod
from operator import mul
from typing import NamedTuple

from circuits import display
from circuits.tasks.token_format import TokenFormat


class Baselines(NamedTuple):
    """Probabilities that an edge follower answers correctly."""

    exact: Fraction
    """Exact match: the probability that all tokens of the answer are right."""
    by_token: tuple[Fraction, ...]
    """The probability that each token of the answer is right."""

    _repr_html_ = display.html


def chance(format: TokenFormat, *, sees_goal: bool = False) -> Baselines:
    """Return the accuracy of an edge follower in free decoding, where it continues from the node that it has chosen.

    Paths that separate never meet again, so node j is right exactly if all earlier steps are: with probability
    p_0 ... p_{j-1}, and 1 for the start (which style pairs omits). The exact match is 1 / P for a star, and
    1 / 2^(M - 1) for a tree, or 1 / 2^(M - 2) with ``sees_goal``.

    Args:
        format: the problems, and which nodes of the path the answer has.
        sees_goal: whether the edge follower takes an edge to the goal where there is one.

    Example:
        >>> from circuits.tasks import BinaryTree
        >>> print(*chance(TokenFormat(BinaryTree(4, 20), "pairs", "goal-start")).by_token)
        1/2 1/4 1/8
    """
    steps = _step_probabilities(format, sees_goal)
    by_node = tuple(accumulate(steps, mul, initial=Fraction(1)))
    return Baselines(by_node[-1], by_node[format.path_offset :])


def clever_hans(format: TokenFormat, *, sees_goal: bool = False) -> Baselines:
    """Return the accuracy of an edge follower under teacher forcing, where it continues from the true node.

    Bachmann & Nagarajan (2024) call a model that relies on the answer's own tokens a Clever Hans. Node j + 1 is right
    with probability p_j, and the start with probability 1. Star: 1 / P for the branching token, 1 elsewhere.
    Tree: 1 / 2 at every step (1 at the last one with ``sees_goal``). The exact match is the product of these.

    Args:
        format: the problems, and which nodes of the path the answer has.
        sees_goal: whether the edge follower takes an edge to the goal where there is one.

    Example:
        >>> from circuits.tasks import StarGraph
        >>> print(*clever_hans(TokenFormat(StarGraph(3, 4, 20), "text", "start-goal")).by_token)
        1 1/3 1 1
    """
    steps = _step_probabilities(format, sees_goal)
    return Baselines(prod(steps, start=Fraction(1)), (Fraction(1), *steps)[format.path_offset :])


def _step_probabilities(format: TokenFormat, sees_goal: bool) -> tuple[Fraction, ...]:
    steps = tuple(Fraction(1, edges) for edges in format.family.branching_factors)
    return (*steps[:-1], Fraction(1)) if sees_goal else steps
