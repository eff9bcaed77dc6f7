"""Theorem 3 for L1a alone, Layer 2 at zero, a proof: no flow ends at the predecessor; that from w = 0 ends at offset 2.

Definitions, x_k, G_k and the path are those of ``theorem_3_flow_proof``. First, from any weights, with x_1 = 1
and g_k = w(1) - w(k) = -log x_k:

1. Where x_k <= 1/256 for all k != 1: G_0 <= -c, and G_k >= c for k >= 2, with c = REPEL.                  ``repels``
2. No flow stays there forever. Suppose one did. |G_0| <= C, as G is continuous. u = w(2) - w(0) has
   u' >= c (x_0 + x_2) > 0, and g_2' <= C x_0 - 2 c x_2. If u stays bounded, int (x_0 + x_2) is finite, so g_2 is
   bounded above, x_2 away from 0, and int x_2 is infinite. So u -> infinity, and x_2/x_0 = exp(u) >= C/c from some time
   on. Then g_2' <= -c x_2, exp(g_2)' <= -c, and exp(g_2) = 1/x_2 would fall below 256. But where S1[T, T-1] >= 256/257,
   all x_k are at most 1/256. So S1[T, T-1] -> 1 for no initial weights.                                   ``leaves``

Then the flow from zero. Now y_k = exp(w(k) - w(2)), h_k = w(2) - w(k). Row 1 has the offsets 0 and 1 alone, rho and
1 - rho. Let H_k be G_k without row 1, and K bound |lam_1 - lam_0|. Then                                ``first_row``

       w(k)' = y_k H_k + R ([k = 0] - [k = 1]),   R = rho (1 - rho) (lam_1 - lam_0),   w(2)' = -sum_{j != 2} y_j H_j

3. Let P = y_0 y_1, and P_1 its value at t = END_PLAN. There y_k <= BOX_k for every k != 2, and
   2 RATES_k BOX_k^3 >= K P_1 for k = 0 and 1.                                                             ``enters``
4. H_k <= -RATES_k for k != 2, for y in [0, BOX] and every rho in [0, 1]; and there |lam_1 - lam_0| <= K.   ``basin``
5. The flow never leaves the box. There h_k' >= 2 RATES_k y_k > 0 for k >= 3. With r = min(RATES_0, RATES_1),
   (h_0 + h_1)' = 2 w(2)' - y_0 H_0 - y_1 H_1 >= 3 r (y_0 + y_1) > 0, so P falls. As |R| <= K P/(y_0 + y_1)^2, where
   y_k = BOX_k, k = 0 or 1, h_k' >= 2 RATES_k BOX_k - K P/BOX_k^2, which is more than 0 as P < P_1.          ``gaps``
6. For k >= 3, 1/y_k grows at least like 2 RATES_k t. As y_0 + y_1 >= 2 sqrt(P), (1/sqrt(P))' >= 3 r and P -> 0. For
   k = 0 and 1 and any e > 0: once K P <= RATES_k e^3, h_k' >= RATES_k e where y_k >= e, so y_k falls below e and stays
   there. So each row with an offset 2 tends to it: S1[T, T-2] -> 1, and S1[T, T-1] <= y_1 -> 0.             ``ends``
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import sympy
from flint import arb

from proofs_check.ledger import Cell, Outcome, Test, balls_at_least, nonnegative, same
from proofs_check.ledger.certified import to_ball
from proofs_check.methods.star import T
from proofs_check.methods.steps import step_test
from proofs_check.planning import theorem_3_flow_gradient as gradient
from proofs_check.planning import theorem_3_flow_proof as proof
from proofs_check.planning.theorem_3_flow_enclosure import TUBE, path
from proofs_check.planning.theorem_3_flow_field import NEXT_TOKEN, PLAN, Shares, attend, attention, goals, lam, pulls
from proofs_check.planning.theorem_3_flow_proof import END_PLAN, LEVEL, boxes

NEAR = (Fraction(1, 256),) * T
REPEL = Fraction(1, 50)
BOX = (Fraction(1, 250), Fraction(1, 250), Fraction(1), *[Fraction(1, 1000)] * (T - 3))
"""y_2 = 1."""
RATES = (Fraction(1, 10), Fraction(1, 50), Fraction(0), *[Fraction(1, 250)] * (T - 3))
FIRST_ROW = Fraction(1, 15)
"""K."""
SPLITS, SHARES = 4, 16
"""Number of parts of x_0 or y_0, and of rho."""


def steps() -> tuple[Test, ...]:
    """Return steps 1 to 5."""
    wrong_repels = {"(L1a + L1b)/2": {"shares": NEXT_TOKEN}, "1/2 for 1/50": {"rate": Fraction(1, 2)}}
    wrong_leaves = {"C x_0 - 3 c x_2": {"first": 3}, "-2 c x_2": {"late": 2}}
    wrong_signs = {"added to w(1)": {"sign": -1}, "added twice": {"sign": 2}}
    wrong_paths = {
        "a millionth of the tube": {"tube": 1e-9},
        "the predecessor": {"main": 1},
        "40 pieces earlier": {"pieces": -40},
        "K = 1": {"bound": Fraction(1)},
    }
    wrong_basins = {
        "(L1a + L1b)/2": {"shares": NEXT_TOKEN},
        "ten times the rates": {"factor": 10},
        "1/100 for 1/15": {"bound": Fraction(1, 100)},
    }
    wrong_gaps = {"3 RATES_k y_k": {"alone": 3}, "4 r (y_0 + y_1)": {"together": 4}, "2 RATES_k e": {"late": 2}}
    names = (
        "L1a: -G_0 - 1/50 and G_k - 1/50, k >= 2, near the predecessor, at all weights",
        "L1a: what these G_k make positive near the predecessor",
        "L1a: what row 1 adds, and (y_0 + y_1)^2 - 4 y_0 y_1, at all weights",
        "L1a: margins of the enclosed path and, at its end, of the gaps and of P",
        "L1a: -H_k less its rate, and 1/15 - |lam_1 - lam_0|, for all larger gaps",
        "L1a: what these H_k make positive, for all gaps",
    )
    return (
        step_test("certified", names[0], repels, ["amended"], wrong_repels),
        step_test("symbolic", names[1], leaves, ["amended"], wrong_leaves),
        step_test("symbolic", names[2], first_row, ["amended"], wrong_signs),
        step_test("certified", names[3], enters, ["amended"], wrong_paths),
        step_test("certified", names[4], basin, ["amended"], wrong_basins),
        step_test("symbolic", names[5], gaps, ["amended"], wrong_gaps),
    )


def limit() -> Test:
    """Return step 6."""
    mutants = {
        "y_k, k >= 3, earlier": {"alone": 100 / LEVEL},
        "P earlier": {"product": 20 / LEVEL**3},
        "P that converges": {"rate": Fraction(0)},
    }
    name = "L1a: level - S1[T, T-1] in the end, for any level"
    return step_test("symbolic", name, ends, ["amended", "intended"], mutants)


@cache
def repels(shares: Shares = PLAN, rate: Fraction = REPEL) -> Outcome:
    """Step 1: -c - G_0 and G_k - c, k >= 2, over the parts of x_0."""
    cells, ends = [], [float(NEAR[0] * part / SPLITS) for part in range(SPLITS + 1)]
    for low, high, x in zip(ends[:-1], ends[1:], boxes(NEAR, SPLITS), strict=True):
        g = pulls(x, lam(attention(x), goals(shares)))
        cells += [Cell(low, high, (g[k] if k else -g[0]) - to_ball(rate)) for k in range(T) if k != 1]
    return balls_at_least(cells, 0)


@cache
def leaves(first: int = 2, late: int = 1) -> Outcome:
    """Step 2, where G_0 = -(c + m_0), G_2 = c + m_2, C = c + m_0 + n, and p is what offsets k >= 3 take from g_2'.

    u' - c (x_0 + x_2); C x_0 - 2 c x_2 - g_2'; and -c x_2 - g_2' where c x_2 = C x_0 + q.
    """
    c, m0, m2, n, p, q, x0, x2 = sympy.symbols("c m0 m2 n p q x0 x2", positive=True)
    up, down = x2 * (c + m2), x0 * (c + m0)
    slope, bound = down - 2 * up - p, c + m0 + n
    later = (-late * c * x2 - slope).subs(x2, (bound * x0 + q) / c)
    return nonnegative([up + down - c * (x0 + x2), bound * x0 - first * c * x2 - slope, sympy.expand(later * c)])


@cache
def first_row(sign: int = 1) -> Outcome:
    """Compare what row 1 adds to w(0)' and w(1)': +-rho (1 - rho) (lam_1 - lam_0); and a square."""
    y, lams = sympy.symbols("y:2", positive=True), sympy.symbols("lam:2")
    rho, other = attend(list(y))
    pays = rho * lams[1] + other * lams[0]  # offset 0 is position 1
    stated = sign * rho * other * (lams[1] - lams[0])
    square = (y[0] + y[1]) ** 2 - 4 * y[0] * y[1]
    slopes = [each * sympy.diff(pays, each) for each in y]
    return same([(slopes[0], stated), (slopes[1], -stated), (square, (y[0] - y[1]) ** 2)])


@cache
def enters(main: int = 2, tube: float = TUBE, pieces: int | None = None, bound: Fraction = FIRST_ROW) -> Outcome:
    """Step 3: TUBE less the error of each piece; BOX_k - y_k and 2 RATES_k BOX_k^3 - K P_1 at the end."""
    last = path(PLAN, END_PLAN)[:pieces][-1]
    product = (last.w[0] + last.w[1] - 2 * last.w[2]).exp()
    sides = [2 * to_ball(RATES[k] * BOX[k] ** 3) - to_ball(bound) * product for k in (0, 1)]
    margins = proof.margins(PLAN, END_PLAN, main, BOX, tube, pieces)
    return balls_at_least([*margins, *(Cell(last.end, last.end, side) for side in sides)], 0)


@cache
def basin(shares: Shares = PLAN, factor: int = 1, bound: Fraction = FIRST_ROW) -> Outcome:
    """Step 4: -RATES_k - H_k, k != 2, and K - |lam_1 - lam_0|. By step 5 it holds from t = END_PLAN on."""
    cells = []
    for y, lams in _lams(shares):
        h = pulls(y, lams, first=2)
        cells += [Cell(END_PLAN, None, -to_ball(factor * RATES[k]) - h[k]) for k in range(T) if k != 2]
        cells.append(Cell(END_PLAN, None, to_ball(bound) - abs(lams[1] - lams[0])))
    return balls_at_least(cells, 0)


def _lams(shares: Shares) -> Iterator[tuple[list[arb], list[arb]]]:
    """Yield (y, lam) over the parts of y_0 and rho."""
    for y in boxes(BOX, SPLITS, main=2):
        rows = [attend(y[: r + 1]) for r in range(2, T)]
        for number in range(SHARES):
            rho = to_ball(Fraction(number, SHARES)).union(to_ball(Fraction(number + 1, SHARES)))
            yield y, lam([[arb(1)], [rho, 1 - rho], *rows], goals(shares))


@cache
def gaps(alone: int = 2, together: int = 3, late: int = 1) -> Outcome:
    """Step 5, where H_k = -(RATES_k + m_k), and n is the contribution of the other offsets to w(2)'.

    h_k' - 2 c y_k for k >= 3, with c for RATES_k; (h_0 + h_1)' - 3 r (y_0 + y_1). For step 6, k = 0 and 1, times
    (y_0 + y_1)^2: h_k' - RATES_k e, where y_k = e + d and |R| = RATES_k e^3 / (y_0 + y_1)^2.
    """
    c, d, e, m, n, y = sympy.symbols("c d e m n y", positive=True)
    first = RATES[:2]
    sides, more = sympy.symbols("y0 y1", positive=True), sympy.symbols("m0 m1", positive=True)
    both = sum(side * (rate + extra) for side, rate, extra in zip(sides, first, more, strict=True))
    later = [(2 * (e + d) * (rate + m) + n - late * rate * e) * (e + d + y) ** 2 - rate * e**3 for rate in first]
    sums = 3 * both + 2 * n - together * min(first) * sum(sides)
    return nonnegative([2 * y * (c + m) + n - alone * c * y, sums, *later])


@cache
def ends(alone: Any = 125 / LEVEL, product: Any = 31 / LEVEL**3, rate: Fraction = 3 * RATES[1]) -> Outcome:
    """Step 6, at times after END_PLAN: level - y_k, k >= 3; and RATES_k e^3 - K P with e = level^2, k = 0 and 1.

    1/sqrt(P) is at least 1 + 3 r t. Once K P <= RATES_k e^3, y_k falls at the rate RATES_k e until it is below e.
    Undecided if an earlier step is.
    """
    root = 1 + rate * product
    single = (LEVEL - 1 / (1 + 2 * RATES[k] * alone) for k in range(3, T))
    outcome = nonnegative([*single, *(RATES[k] * LEVEL**6 - FIRST_ROW / root**2 for k in (0, 1))])
    return proof.resting_on((gradient.step(), *steps()), outcome)
