"""Which way gradient ascent on a function of mu moves w, at w = 0 and Layer 2 = 0: the subject of Theorem 3.

mu is the probability that the first head gives a label. At zero weights every row r of S1 is uniform over 1..r and
S2[T] is uniform, so mu = (1/T) sum_r (1/r) (number of the first r positions that hold the label). Derivatives come from
the chain rule through both attentions (``methods.exact``), on each of the 24 edge orders, in fractions. The loss does
not depend on the names of labels, so a mean over edge orders is the mean over all graphs.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Final, NamedTuple

from proofs_check.ledger import Outcome, every
from proofs_check.methods import exact
from proofs_check.methods.star import UNIFORM, T, edge_orders, goal, next_label, positions, replayed

OFFSETS: Final = range(1, T)
"""The offsets k >= 1 that a context of length T has."""
Indicator = tuple[bool, ...]
"""For each position, whether it holds the label."""


class Objective(NamedTuple):
    """The mean over cases of a function of mu, with one indicator per case and the derivative of the function in mu."""

    hits: tuple[Indicator, ...]
    slope: Callable[[Fraction], Fraction]


V_ON_Z: Final = tuple(tuple(positions(z, next_label(z))) for z in edge_orders())
START_ON_Z: Final = tuple(tuple(positions(z, z[-1])) for z in edge_orders())
END_ON_REPLAY: Final = tuple(tuple(positions(replayed(z), goal(z))) for z in edge_orders())

MU: Final = Objective(V_ON_Z, lambda mu: Fraction(1))
L1A: Final = Objective(V_ON_Z, lambda mu: 1 / mu)
"""log mu, which is -L1a."""
NEXT_TOKEN: Final = Objective(V_ON_Z + END_ON_REPLAY, L1A.slope)
"""-(1/2)(L1a + L1b)"""


def ascent(objective: Objective) -> tuple[Fraction, ...]:
    """Return the expected derivative of the objective in w(k), k = 0 to T - 1, at w = 0 and Layer 2 = 0.

    If the objective is minus a loss, this is the velocity of w(k) under gradient descent.
    """
    parts = [(objective.slope(probability(hit)), by_logits(hit)) for hit in objective.hits]
    return tuple(
        mean([slope * sum((m[r][r - k] for r in range(k, T)), Fraction(0)) for slope, m in parts]) for k in range(T)
    )


def attention_velocity(objective: Objective, offsets: Sequence[int]) -> Fraction:
    """Return d/dt of the query's attention at these offsets, where w moves along ``ascent``: ds = s (dw - s . dw)."""
    velocity = ascent(objective)
    return sum((velocity[k] - mean(velocity) for k in offsets), Fraction(0)) / T


def printed_signs(objective: Objective) -> Outcome:
    """Ascent decreases w(1) and increases w(k) for every k >= 2."""
    slopes = ascent(objective)
    right = [slopes[k] < 0 if k == 1 else slopes[k] > 0 for k in OFFSETS]
    wrong = [str(k) for k, fine in zip(OFFSETS, right, strict=True) if not fine]
    return every(right, detail=f"wrong at k = {', '.join(wrong)}" if wrong else "")


@cache
def by_logits(hit: Indicator) -> exact.Matrix:
    """Return dmu/dA1, from the gradient of -log mu."""
    causal = [[Fraction(j < r, r) for j in range(T)] for r in range(1, T + 1)]
    gradients = exact.deep(exact.Attention(causal, UNIFORM, [[Fraction(0)] * T] * T), hit)
    assert gradients is not None
    return [[-probability(hit) * entry for entry in row] for row in gradients.logits_1]


def probability(hit: Indicator) -> Fraction:
    """Return mu."""
    return mean([mean(hit[:r]) for r in range(1, T + 1)])


def mean(values: Sequence[Fraction | bool]) -> Fraction:
    return sum(map(Fraction, values), Fraction(0)) / len(values)
