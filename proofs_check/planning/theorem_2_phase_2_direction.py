r"""Theorem 2, Phase II, a proof of the rates: the direction of the flow, from what ``theorem_2_phase_2_proof`` has.

**Result.** As t -> infinity, with theta* = (9/10, -1/10, r*), r* = 1/5 at 2, 4, 6, 8, -4/5 at 9, 0 elsewhere,

    t theta' -> theta*,     theta/log t -> theta*,     t L1a -> V = |theta*|^2 = 49/5,     r_1, r_3, r_5, r_7, r_10
                                                                                           converge.

So r_9 -> -infinity, and r_2, r_4, r_6, r_8 -> infinity. theta* is the direction of the largest margin, as in the
implicit bias of gradient descent for separable data. L is not convex here, but nearly so where it is small.

**Notation.** As there; the numbering of steps continues. C and c > 0 are constants, not always the same, and t is as
late as necessary. eps is the largest 1 - q of all orders, G = |grad L|, z = sqrt(V) G/L. By steps 2 to 5, eps <= 18 L.

6. *theta*.* theta* = sum_c lambda_c phi_c, with lambda_c = 3/4 or 1/5, over gaps phi_c(theta) = l_{t_end} - l_j with j
   even or 9, where j is a miss. Each of them is t at t theta*. So V = sum_c lambda_c, and for any theta
       <theta*, theta> = sum_c lambda_c phi_c(theta) >= V min_c phi_c(theta).                           ``margin``
   At the smallest gap, L >= (1 - f)/12 >= s_j/12 = q e^(-gap)/12 >= e^(-gap)/24 on an order where j is a miss, so
       <theta*, theta> >= V (log(1/L) - log 24).
7. *Below.* On each order f sum_j g_j l_j(theta*) >= (1 - f)(q - (f - q)/5), so -dL/dtheta* >= (1 - 6 eps/5) E[1 - f].
   And -log f <= (1 - f)/f, so L <= E[1 - f]/(1 - eps). Hence -dL/dtheta* >= (1 - C L) L, and z >= 1 - C L.  ``along``
8. *Above.* |l_i(d) - l_j(d)|^2 <= (9/4) |d|^2. So G <= (3/2) E[1 - f] <= (3/2) L, and z <= C. Hess L is the mean of
   differences of two variances, under s and under its part on hits. Both have all but eps at t_end, so each is at
   most (9/4) eps |d|^2 along d: |Hess L| <= C L. By steps 7 and 8, L' = -z^2 L^2/V gives c/t <= L <= C/t.   ``stretch``
9. *z -> 1.* V log(1/L) is the integral of z^2 L, up to C, and <theta*, theta> <= sqrt(V) |theta| is at most that of
   sqrt(V) G = z L, up to C. So by step 6 the integral of z (z - 1) L is bounded above. Where z < 1 it is at least
   -C L^2, which is integrable; so the integral of z (z - 1)_+ L is finite, and that of (z - 1)_+ in log t, as L >= c/t.
   z is Lipschitz in log t: |z'| <= C (|Hess L| G/L + G |L'|/L^2) <= C L <= C/t. So (z - 1)_+ -> 0.
10. *Rates.* (1/L)' = z^2/V -> 1/V, so t L -> V. And by step 7
       |grad L/L + theta*/V|^2 = z^2/V + 2 <grad L, theta*>/(L V) + 1/V <= (z^2 - 1 + C L)/V -> 0,
   so t theta' = -t L (grad L/L) -> theta*, and theta/log t -> theta*.
11. *What converges.* For j = 1, 3, 5, 7, 10 each gap of theta* is 6/5, so s_j = O(t^(-11/10)) on all orders, and
   |g_j| <= s_j/f: r_j' is integrable.                                                               ``elsewhere``
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import combinations
from typing import Any, Final, NamedTuple

import sympy

from proofs_check.ledger import Outcome, Statement, Test, at_least, equal, nonnegative, same
from proofs_check.methods.star import SELF, T
from proofs_check.planning.theorem_2_phase_2_masses import ENDS, MASSES, dot, pull, split
from proofs_check.planning.theorem_2_phase_2_start import METRIC, Kind, kinds

TENTH = Fraction(1, 10)
TIGHT = (*ENDS, SELF)
"""Positions j of the gaps in step 6."""


class Direction(NamedTuple):
    """A direction of theta, and the multipliers of its gaps where j is even, and where it is 9."""

    content: tuple[Fraction, Fraction]
    row: tuple[Fraction, ...]
    at_even: Fraction = Fraction(3, 4)
    at_self: Fraction = Fraction(1, 5)

    @property
    def theta(self) -> tuple[Fraction, ...]:
        return (*self.content, *self.row)


LIMIT: Final = Direction(
    (9 * TENTH, -TENTH), tuple(2 * TENTH * (j in ENDS) - 8 * TENTH * (j == SELF) for j in range(T))
)
"""theta*."""
MASK_ALONE: Final = Direction(
    (9 * TENTH, -TENTH), tuple(TENTH - (j == SELF) for j in range(T)), at_self=Fraction(9, 40)
)
"""The direction whose r differs at 9 alone, with gaps of 1 and a sum of 0; its multipliers are right for a, b, r_9."""
STEEPER: Final = LIMIT._replace(content=(Fraction(1), Fraction(-1, 9)))

MARGIN: Final = "the direction of theta is a positive combination of gaps l_{t_end} - l_j, each 1 there (step 6)"
ALONG: Final = "slope of L1a along that direction, for all attention (step 7)"
STRETCH: Final = "(9/4) less the squared norm of each l_i - l_j (step 8)"
ELSEWHERE: Final = "gaps of theta* to the odd positions and T, which make their weights converge (step 11)"


def steps(*statements: Statement, intended: Direction | None = None) -> tuple[Test, ...]:
    """Return steps 6 to 8, as tests of these statements, which say theta*; ``intended`` may say another direction."""
    theta: dict[str, Any] = dict.fromkeys(statements, LIMIT)
    if intended is not None:
        theta["intended"] = intended
    with_excess: dict[str, Any] = {statement: (direction, 2 * TENTH) for statement, direction in theta.items()}
    wrong_margins = {
        "multiplier 1/4 at T - 1": LIMIT._replace(at_self=Fraction(1, 4)),
        "diagonal 1": STEEPER,
        "even positions at rest": LIMIT._replace(row=tuple(-TENTH * 8 * (j == SELF) for j in range(T))),
        "opposite": _opposite(LIMIT),
    }
    wrong_along = {"(f - q)/10 in place of (f - q)/5": (LIMIT, TENTH), "opposite": (_opposite(LIMIT), 2 * TENTH)}
    norms: dict[str, Any] = dict.fromkeys(statements, Fraction(9, 4))
    return (
        Test("symbolic", MARGIN, margin, **theta, mutants=wrong_margins),
        Test("symbolic", ALONG, along, **with_excess, mutants=wrong_along),
        Test("exact", STRETCH, stretch, **norms, mutants={"2 in place of 9/4": Fraction(2)}),
    )


def converge(*statements: Statement) -> Test:
    """Return step 11."""
    return Test("exact", ELSEWHERE, elsewhere, **dict.fromkeys(statements, LIMIT), mutants={"diagonal 1": STEEPER})


@cache
def margin(direction: Direction) -> Outcome:
    """Step 6: <theta*, theta> and sum_c lambda_c phi_c(theta), for all theta; each gap phi_c(t theta*), and t."""
    theta, time = sympy.symbols(f"a b r1:{T + 1}"), sympy.Symbol("t")
    chosen = [(kind, j) for kind, j in _misses() if j in TIGHT]
    weighed = [
        (direction.at_self if j == SELF else direction.at_even) * x * symbol
        for kind, j in chosen
        for x, symbol in zip(kind.gap(kind.end, j), theta, strict=True)
    ]
    lowered = [size * x * symbol for size, x, symbol in zip(METRIC, direction.theta, theta, strict=True)]
    gaps = [(_gap(kind, j, direction) * time, time) for kind, j in chosen]
    return same([(sympy.Add(*lowered), sympy.Add(*weighed)), *gaps])


@cache
def along(variant: tuple[Direction, Fraction]) -> Outcome:
    """Step 7: f sum_j g_j l_j(theta*) - (1 - f)(q - (f - q)/5), homogeneous in s."""
    direction, excess = variant
    polynomials = []
    for kind in kinds():
        (hit, missed), q = split(kind), MASSES[kind.end]
        lower = missed * (q - (hit - q) * sympy.QQ(*excess.as_integer_ratio()))
        polynomials.append(dot(pull(kind), kind.logits(direction.theta)) - lower)
    return nonnegative([polynomial.as_expr() for polynomial in polynomials])


@cache
def stretch(bound: Fraction) -> Outcome:
    """Step 8: the squared norm of each l_i - l_j is at most ``bound``, printed as (3/2)^2."""
    gaps = [kind.gap(i, j) for kind in kinds() for i, j in combinations(range(T), 2)]
    norms = [sum(Fraction(x * x, size) for x, size in zip(gap, METRIC, strict=True)) for gap in gaps]
    return at_least([bound - norm for norm in norms], 0)


@cache
def elsewhere(direction: Direction) -> Outcome:
    """Step 11: compare each gap of theta* to a position that is neither even nor 9 with 6/5."""
    gaps = [_gap(kind, j, direction) for kind in kinds() for j in range(T) if j not in TIGHT]
    return equal(gaps, [Fraction(6, 5)] * len(gaps))


def _gap(kind: Kind, j: int, direction: Direction) -> Fraction:
    logits = kind.logits(direction.theta)
    return logits[kind.end] - logits[j]


def _opposite(direction: Direction) -> Direction:
    a, b = direction.content
    return direction._replace(content=(-a, -b), row=tuple(-x for x in direction.row))


def _misses() -> Iterator[tuple[Kind, int]]:
    """Yield each (t_end, j) where j is a miss on some order once, with a kind where it is."""
    return iter({(kind.end, j): (kind, j) for kind in kinds() for j in range(T) if not kind.hits[j]}.values())
