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
from typing import Any

import sympy

from proofs_check.ledger import Findings, Outcome, nonnegative, same
from proofs_check.methods.star import SELF, Context, T, contexts
from proofs_check.methods.steps import step_test
from proofs_check.planning.theorem_2_phase_1_flow import EVEN, OTHERS

WEIGHTS = sympy.symbols(f"y:{T}", positive=True)
A, B, TIME, LEVEL = sympy.symbols("a b t level", positive=True)
X, Z = 1 + A, 1 + B
"""exp of the gaps from offset 1 to the even offsets, and to the odd ones and 0."""
Hits = Callable[[Context], list[bool]]
"""The positions whose attention counts as that of u_end."""


def u_end(context: Context) -> list[bool]:
    """T - 1, and t_end in its edge."""
    return context.holds_end


def one_earlier(context: Context) -> list[bool]:
    """T - 1, and the position of v before u_end in its edge."""
    return [j in (context.at_end - 1, SELF) for j in range(T)]


def limit() -> Findings:
    """w(1) - w(k) -> infinity for every k != 1, and S1[t] -> e_{t-1} for every t >= 2."""
    wrong_classes = {
        "3 and 8 swapped": {"classes": ((2, 4, 6, 3), (0, 8, 5, 7, 9))},
        "all offsets except 1": {"classes": (EVEN + OTHERS,)},
        "u_end at the position of v": {"hits": one_earlier},
    }
    wrong_rates = {
        "1/2 for even k": {"even": Fraction(1, 2)},
        "2/3 for odd k": {"odd": Fraction(2, 3)},
        "-1/2 <= w(k)' <= 1/2": {"bound": Fraction(1, 2)},
        "u_end at t_end alone": {"hits": lambda context: context.only_end},
    }
    wrong_levels = {
        "a gap that grows and converges": {"odd": Fraction(0)},
        "X earlier": {"at_x": 2 * LEVEL},
        "Z earlier": {"at_z": LEVEL},
        "rows earlier": {"at_rows": 20 / LEVEL},
    }
    names = (
        "offsets that have the same velocity where they have the same weight (step 1)",
        "exp(w(1) - w(k))' is at least 3/8 for even k, 1/2 for odd k and 0, for all gaps >= 0 (step 2)",
        "4/x + 5/z less 1 - S1[t, t-1], for every t >= 2 and all gaps >= 0 (step 3)",
        "X and Z exceed any level, and 4/X + 5/Z falls below any (step 4)",
    )
    tests = (
        step_test("symbolic", names[0], alike, ["printed"], wrong_classes),
        step_test("symbolic", names[1], growth, ["printed"], wrong_rates),
        step_test("symbolic", names[2], rows, ["printed"], {"3/x": {"even": 3}, "4/z": {"odd": 4}}),
        step_test("symbolic", names[3], levels, ["printed"], wrong_levels),
    )
    return Findings(tests, (), "w(1) - w(k) >= log(1 + 3t/8) for even k, and >= log(1 + t/2) for odd k and 0.")


@cache
def alike(classes: tuple[tuple[int, ...], ...] = (EVEN, OTHERS), hits: Hits = u_end) -> Outcome:
    """Step 1: compare the velocity of each offset with that of the first of its class, where a class has one weight."""
    values = {WEIGHTS[k]: WEIGHTS[group[0]] for group in classes for k in group}
    speeds = [entry.subs(values) for entry in velocity(hits)]
    return same([(speeds[k], speeds[group[0]]) for group in classes for k in group[1:]])


@cache
def growth(
    even: Fraction = Fraction(3, 8), odd: Fraction = Fraction(1, 2), bound: Fraction = Fraction(1), hits: Hits = u_end
) -> Outcome:
    """Step 2: x' = x (w(1)' - w_e') and z' = z (w(1)' - w_o') against their bounds, and 1 +- w(k)'."""
    w_even, main, w_odd = (velocity(hits)[k].subs(_weights()) for k in (EVEN[0], 1, OTHERS[0]))
    gaps = [(X * (main - w_even), even), (Z * (main - w_odd), odd)]
    return nonnegative([*gaps, *(bound + sign * w for w in (w_even, main, w_odd) for sign in (1, -1))])


@cache
def rows(even: int = 4, odd: int = 5) -> Outcome:
    """Step 3: 4/x + 5/z - (1 - S1[r, r-1]), for rows r = 2 .. T."""
    bound, weights = even / X + odd / Z, list(_weights().values())
    return nonnegative([bound - 1 + 1 / sum(weights[:r]) for r in range(2, T + 1)])


@cache
def levels(
    odd: Fraction = Fraction(1, 2),
    at_x: sympy.Expr = 8 * LEVEL / 3,
    at_z: sympy.Expr = 2 * LEVEL,
    at_rows: sympy.Expr = 21 / LEVEL,
) -> Outcome:
    """Step 4: X and Z against the level at the times ``at_x`` and ``at_z``, and the level against 4/X + 5/Z."""
    x, z = (1 + rate * TIME for rate in (Fraction(3, 8), odd))
    misses = (4 / x + 5 / z).subs(TIME, at_rows)
    return nonnegative([(x.subs(TIME, at_x), LEVEL), (z.subs(TIME, at_z), LEVEL), (LEVEL, misses)])


@cache
def velocity(hits: Hits = u_end) -> tuple[Any, ...]:
    """Return w(k)' = -E[dL2/dw(k)] at the weights y, with d/dw = y d/dy. Offset k is position T - 1 - k."""
    masses = [sum(y for y, hit in zip(WEIGHTS, reversed(hits(c)), strict=True) if hit) for c in contexts()]
    distinct = {mass: sympy.Rational(masses.count(mass), len(masses)) for mass in masses}
    gain = sum(share * sympy.log(mass) for mass, share in distinct.items()) - sympy.log(sum(WEIGHTS))
    return tuple(y * sympy.diff(gain, y) for y in WEIGHTS)


def _weights() -> dict[Any, Any]:
    """Return the y relative to y_1, in terms of the gaps."""
    return {y: 1 if k == 1 else 1 / X if k in EVEN else 1 / Z for k, y in enumerate(WEIGHTS)}
