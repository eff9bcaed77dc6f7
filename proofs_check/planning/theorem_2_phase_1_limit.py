"""Theorem 2, Phase I, a proof of the limit: w(1) - w(k) -> infinity for every k != 1, and S1[t] -> e_{t-1} for t >= 2.

The flow is w' = -E[dL2/dw] from w = 0, W0^(1) = 0, W1^(1)[i, j] = w(i - j), T = 10. With y_k = exp(w(k)), row T pays
s_k = y_k / sum(y) at offset k, and L2 = -log of the attention at offsets 1 and T - t_end, where u_end is. "The gap
grows throughout" is not enough, because what grows may converge.

1. *Two gaps.* Where the even offsets share one weight w_e, and the odd ones and offset 0 another, w_o, each class moves
   as one. So this set is invariant, and w = 0 is in it. Let x = exp(w(1) - w_e) and z = exp(w(1) - w_o).
   ``alike``
2. *Growth.* x = z = 1 at t = 0. Wherever x, z >= 1, x' >= 3/8 and z' >= 1/2. So at the first time that x or z left
   [1, infinity) both would be growing: neither leaves. Also -1 <= w(k)' <= 1 there, and the field is smooth, so the
   flow exists for all t >= 0, with x >= X = 1 + 3t/8 and z >= Z = 1 + t/2.
   ``growth``
3. *Rows.* The tied weights give row r the offsets 0 .. r - 1 of the same w. So 1 - S1[r, r-1] <= 4/x + 5/z for every r
   >= 2, and the rest of the row is no larger.
   ``rows``
4. *Limits.* X and Z, and so the gaps log x and log z, exceed any level, and 4/X + 5/Z falls below any.       ``levels``
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import sympy

from proofs_check.ledger import Findings, Outcome, Test, nonnegative, same
from proofs_check.methods.star import T, Tokens, edge_orders, goal, positions
from proofs_check.planning.theorem_2_phase_1_flow import EVEN, OTHERS

WEIGHTS = sympy.symbols(f"y:{T}", positive=True)
A, B, TIME, LEVEL = sympy.symbols("a b t level", positive=True)
X, Z = 1 + A, 1 + B
"""exp of the gaps from offset 1 to the even offsets, and to the odd ones and 0."""
Hits = Callable[[Tokens], list[bool]]


def u_end(tokens: Tokens) -> list[bool]:
    """The positions of u_end: T - 1, and t_end in its edge."""
    return positions(tokens, goal(tokens))


def only_in_edge(tokens: Tokens) -> list[bool]:
    """t_end alone."""
    return [hit and j != T - 2 for j, hit in enumerate(u_end(tokens))]


def one_earlier(tokens: Tokens) -> list[bool]:
    """T - 1, and the position of v before u_end in its edge."""
    hits = u_end(tokens)
    return [j == T - 2 or (j < T - 3 and hits[j + 1]) for j in range(T)]


class Alike(NamedTuple):
    """Which offsets move alike, and the positions of the answer."""

    classes: tuple[tuple[int, ...], ...] = (EVEN, OTHERS)
    hits: Hits = u_end


class Rates(NamedTuple):
    """Lower bounds of x' and z', the bound of all w(k)', and the positions of the answer."""

    even: Fraction = Fraction(3, 8)
    odd: Fraction = Fraction(1, 2)
    bound: Fraction = Fraction(1)
    hits: Hits = u_end


class Levels(NamedTuple):
    """Rates of X and Z, and the times at which X, Z and the rows' bound reach a level."""

    rates: Rates = Rates()
    x: sympy.Expr = sympy.Rational(8, 3) * LEVEL
    z: sympy.Expr = 2 * LEVEL
    rows: sympy.Expr = 21 / LEVEL


def limit() -> Findings:
    """w(1) - w(k) -> infinity for every k != 1, and S1[t] -> e_{t-1} for every t >= 2."""
    wrong_classes = {
        "3 and 8 swapped": Alike(((2, 4, 6, 3), (0, 8, 5, 7, 9))),
        "all offsets except 1": Alike((EVEN + OTHERS,)),
        "u_end at the position of v": Alike(hits=one_earlier),
    }
    wrong_rates = {
        "1/2 for even k": Rates(even=Fraction(1, 2)),
        "2/3 for odd k": Rates(odd=Fraction(2, 3)),
        "-1/2 <= w(k)' <= 1/2": Rates(bound=Fraction(1, 2)),
        "u_end at t_end alone": Rates(hits=only_in_edge),
    }
    wrong_levels = {
        "a gap that grows and converges": Levels(Rates(odd=Fraction(0))),
        "X earlier": Levels(x=2 * LEVEL),
        "Z earlier": Levels(z=LEVEL),
        "rows earlier": Levels(rows=20 / LEVEL),
    }
    names = (
        "offsets that have the same velocity where they have the same weight (step 1)",
        "exp(w(1) - w(k))' is at least 3/8 for even k, 1/2 for odd k and 0, for all gaps >= 0 (step 2)",
        "4/x + 5/z less 1 - S1[t, t-1], for every t >= 2 and all gaps >= 0 (step 3)",
        "X and Z exceed any level, and 4/X + 5/Z falls below any (step 4)",
    )
    return Findings(
        (
            Test("symbolic", names[0], alike, printed=Alike(), mutants=wrong_classes),
            Test("symbolic", names[1], growth, printed=Rates(), mutants=wrong_rates),
            Test("symbolic", names[2], rows, printed=(4, 5), mutants={"3/x": (3, 5), "4/z": (4, 4)}),
            Test("symbolic", names[3], levels, printed=Levels(), mutants=wrong_levels),
        ),
        (),
        "w(1) - w(k) >= log(1 + 3t/8) for even k, and >= log(1 + t/2) for odd k and 0.",
    )


@cache
def alike(variant: Alike) -> Outcome:
    """Step 1: compare the velocity of each offset with that of the first of its class, where a class has one weight."""
    values = {WEIGHTS[k]: WEIGHTS[group[0]] for group in variant.classes for k in group}
    speeds = [entry.subs(values) for entry in velocity(variant.hits)]
    return same([(speeds[k], speeds[group[0]]) for group in variant.classes for k in group[1:]])


@cache
def growth(variant: Rates) -> Outcome:
    """Step 2: x' = x (w(1)' - w_e') and z' = z (w(1)' - w_o') less their bounds, and 1 +- w(k)'."""
    even, main, odd = (velocity(variant.hits)[k].subs(_weights()) for k in (EVEN[0], 1, OTHERS[0]))
    bound = _rational(variant.bound)
    gaps = [(X * (main - even), _rational(variant.even)), (Z * (main - odd), _rational(variant.odd))]
    return nonnegative([*gaps, *(bound + sign * each for each in (even, main, odd) for sign in (1, -1))])


@cache
def rows(numbers: tuple[int, int]) -> Outcome:
    """Step 3: 4/x + 5/z - (1 - S1[r, r-1]), for rows r = 2 .. T."""
    bound, weights = numbers[0] / X + numbers[1] / Z, list(_weights().values())
    return nonnegative([bound - 1 + 1 / sum(weights[:r]) for r in range(2, T + 1)])


@cache
def levels(variant: Levels) -> Outcome:
    """Step 4: X and Z against the level at the stated times, and the level against 4/X + 5/Z."""
    x, z = (1 + _rational(rate) * TIME for rate in (variant.rates.even, variant.rates.odd))
    misses = (4 / x + 5 / z).subs(TIME, variant.rows)
    return nonnegative([(x.subs(TIME, variant.x), LEVEL), (z.subs(TIME, variant.z), LEVEL), (LEVEL, misses)])


@cache
def velocity(hits: Hits = u_end) -> tuple[Any, ...]:
    """Return w(k)' = -E[dL2/dw(k)] at the weights y, with d/dw = y d/dy. Offset k is position T - 1 - k."""
    orders = edge_orders()
    masses = [sum(y for y, hit in zip(WEIGHTS, reversed(hits(z)), strict=True) if hit) for z in orders]
    distinct = {mass: sympy.Rational(masses.count(mass), len(orders)) for mass in masses}
    gain = sum(share * sympy.log(mass) for mass, share in distinct.items()) - sympy.log(sum(WEIGHTS))
    return tuple(y * sympy.diff(gain, y) for y in WEIGHTS)


def _weights() -> dict[Any, Any]:
    """Return the y relative to y_1, in terms of the gaps."""
    return {y: 1 if k == 1 else 1 / X if k in EVEN else 1 / Z for k, y in enumerate(WEIGHTS)}


def _rational(value: Fraction) -> Any:
    return sympy.Rational(value.numerator, value.denominator)
