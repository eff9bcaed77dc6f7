"""The accuracy of a model that follows edges and does not plan, as exact fractions.

The edge-follower knows the start, and at each node takes one of the edges that leave it, all equally likely and
independently. One that ``sees_goal`` does the same, but takes the edge to the goal where there is one, which is
at the last step. With b_j edges leaving node j of the answer, j = 0..M-2, it takes step j rightly with
probability p_j = 1 / b_j; for one that sees the goal, p_{M-2} = 1.
"""

from fractions import Fraction
from itertools import accumulate
from math import prod
from operator import mul
from typing import NamedTuple

from circuits.tasks.token_format import TokenFormat


class Baselines(NamedTuple):
    """Probabilities of being right: of a whole answer, and of each of its tokens."""

    exact: Fraction
    by_token: tuple[Fraction, ...]


def chance(format: TokenFormat, *, sees_goal: bool = False) -> Baselines:
    """The edge-follower writing alone: step j continues from the node that it has taken itself.

    Paths that part never meet, so node j is right just when all steps before it are: its probability is
    p_0 ... p_{j-1}, and 1 for the start (which style pairs leaves out of the answer). The whole answer is right
    when its last node is: 1 / P for a star, 1 / 2^(M - 1) for a tree (1 / 2^(M - 2) if it sees the goal).
    """
    steps = _steps(format, sees_goal)
    by_node = tuple(accumulate(steps, mul, initial=Fraction(1)))
    return Baselines(by_node[-1], by_node[format.first_node :])


def clever_hans(format: TokenFormat, *, sees_goal: bool = False) -> Baselines:
    """The edge-follower under teacher forcing: step j continues from the true node j, as in training.

    Node j + 1 is right with probability p_j, and the start with 1. Star: 1 / P at the first node after the
    start, 1 elsewhere. Tree: 1 / 2 at every step (1 at the last one if it sees the goal). ``exact``, that all
    tokens are right at once, is the product of these, as it is for ``chance``.
    """
    steps = _steps(format, sees_goal)
    return Baselines(prod(steps, start=Fraction(1)), (Fraction(1), *steps)[format.first_node :])


def _steps(format: TokenFormat, sees_goal: bool) -> tuple[Fraction, ...]:
    steps = tuple(Fraction(1, edges) for edges in format.family.branching)
    return (*steps[:-1], Fraction(1)) if sees_goal else steps
