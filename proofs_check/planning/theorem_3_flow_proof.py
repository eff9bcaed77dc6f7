"""Theorem 3 for (1/2)(L1a + L1b), Layer 2 at zero, a proof: the flow from w = 0 takes S1[T, T-1] to 1.

See ``theorem_3_flow_field`` for x, G, lam and M, and ``theorem_3_flow_enclosure`` for the path. Rows and positions
count from 0. With x_1 = 1 the gaps are g_k = w(1) - w(k) = -log x_k.

1. *Field.* w(k)' = x_k G_k is -dL/dw(k): see ``theorem_3_flow_gradient``.
2. *Entry.* The error of the path stays below TUBE, as its proof assumes. At t = END, x_k <= BOX_k.     ``enters``
3. *Basin.* G_k <= -RATE for every k != 1 and all x in [0, BOX].                                          ``basin``
4. *Gaps.* As sum_k x_k G_k = 0, g_k' = -x_k G_k - sum_{j != 1} x_j G_j. In the box this is at least 2 RATE x_k > 0, so
   every x_k falls, and the flow never leaves the box. Also (1/x_k)' = exp(g_k) g_k' >= 2 RATE, hence from t = END on
   x_k <= 1 / (1/BOX_k + 2 RATE (t - END)). In each row with an offset 1, 1 - S1[r, r-1] <= sum_{k != 1} x_k. ``gaps``
5. *Limit.* This sum falls below any level: every such row tends to the predecessor, and S1[T, T-1] -> 1.   ``ends``
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any, Final

import sympy
from flint import arb

from proofs_check.ledger import Cell, Outcome, Test, balls_at_least, nonnegative
from proofs_check.ledger.certified import to_ball
from proofs_check.methods.star import T
from proofs_check.methods.steps import step_test
from proofs_check.planning import theorem_3_flow_gradient as gradient
from proofs_check.planning.theorem_3_flow_enclosure import TUBE, path
from proofs_check.planning.theorem_3_flow_field import NEXT_TOKEN, PLAN, Shares, attention, goals, lam, pulls

END, END_PLAN = 700, 5000
"""Times at which the paths of (1/2)(L1a + L1b) and of L1a end."""
BOX = (Fraction(1, 40), Fraction(1), *[Fraction(3, 2000)] * (T - 2))
"""x_1 = 1."""
RATE = Fraction(1, 200)
SPLITS = 8
"""Number of parts of x_0 over which G is enclosed."""
LEVEL = sympy.Symbol("level", positive=True)


ENDS: Final = "(L1a + L1b)/2: level - (1 - S1[T, T-1]) in the end, for any level"


def steps() -> tuple[Test, ...]:
    """Return steps 2 to 4."""
    wrong_paths = {
        "a tenth of the tube": {"tube": TUBE / 10},
        "x_0 <= 1/60": {"box": (Fraction(1, 60), *BOX[1:])},
        "40 pieces earlier": {"pieces": -40},
        "L1a": {"shares": PLAN, "end": END_PLAN},
    }
    wrong_basins = {"L1a": {"shares": PLAN}, "1/5 for 1/200": {"rate": Fraction(1, 5)}}
    wrong_gaps = {"3 RATE x_k": {"multiple": 3}, "without offset 0": {"own": 0}}
    path_name = "(L1a + L1b)/2: margins of the enclosed path and, at its end, of the gaps"
    gaps_name = "(L1a + L1b)/2: what these G_k make positive, for all gaps"
    basin_name = f"(L1a + L1b)/2: -G_k - {RATE}, for all larger gaps"
    return (
        step_test("certified", path_name, enters, ["amended"], wrong_paths),
        step_test("certified", basin_name, basin, ["amended"], wrong_basins),
        step_test("symbolic", gaps_name, gaps, ["amended"], wrong_gaps),
    )


def limit() -> Test:
    """Return step 5. That S1[T, T-1] does not tend to 1 states that, at some level, the sign is the other one."""
    mutants = {"x_k that converge": {"rate": Fraction(0)}, "a tenth of the time": {"time": 90 / LEVEL}}
    return step_test("symbolic", ENDS, ends, ["amended"], mutants, intended={"sign": -1})


@cache
def enters(
    shares: Shares = NEXT_TOKEN,
    end: int = END,
    box: tuple[Fraction, ...] = BOX,
    tube: float = TUBE,
    pieces: int | None = None,
) -> Outcome:
    """Step 2."""
    return balls_at_least(margins(shares, end, 1, box, tube, pieces), 0)


def margins(
    shares: Shares, end: int, main: int, box: Sequence[Fraction], tube: float, number: int | None
) -> list[Cell]:
    """Return the tube less the error of each piece, up to ``end`` or a number of pieces, and BOX_k - x_k at its end."""
    pieces = path(shares, end)[:number]
    last = pieces[-1]
    x = [(each - last.w[main]).exp() for each in last.w]
    return [
        *(Cell(piece.start, piece.end, tube - piece.error) for piece in pieces),
        *(Cell(last.end, last.end, to_ball(box[k]) - x[k]) for k in range(T) if k != main),
    ]


@cache
def basin(shares: Shares = NEXT_TOKEN, rate: Fraction = RATE) -> Outcome:
    """Step 3: -RATE - G_k, k != 1, for each part of x_0. By step 4 it holds from t = END on."""
    cells = []
    for x in boxes(BOX, SPLITS):
        g = pulls(x, lam(attention(x), goals(shares)))
        cells += [Cell(END, None, -to_ball(rate) - g[k]) for k in range(T) if k != 1]
    return balls_at_least(cells, 0)


@cache
def gaps(multiple: int = 2, own: int = 1) -> Outcome:
    """Step 4: g_k' - 2 c x_k, where G_k = -(c + m) and n is the contribution of the other offsets.

    And x_0 + n - (1 - S1[r, r-1]), where n is the sum of x_k over the offsets k >= 2 of the row.
    """
    c, m, n, x = sympy.symbols("c m n x", positive=True)
    return nonnegative([2 * x * (c + m) + n - multiple * c * x, own * x + n - (1 - 1 / (1 + x + n))])


@cache
def ends(sign: int = 1, time: Any = 900 / LEVEL, rate: Fraction = 2 * RATE) -> Outcome:
    """Step 5: level less the bound on sum of x_k, at a time after END; undecided if an earlier step is."""
    bounds = [1 / (1 / each + rate * time) for each in BOX]
    outcome = nonnegative([sign * (LEVEL - sum(bounds[:1] + bounds[2:]))])
    return resting_on((gradient.step(), *steps()), outcome)


def resting_on(earlier: Sequence[Test], outcome: Outcome) -> Outcome:
    """Return the outcome of the last step of a proof, which shows nothing unless all earlier steps are supported."""
    outcomes: list[Any] = [test.measure(test.amended) for test in earlier]
    supported = all(each.shows == "supports" for each in outcomes)
    return outcome if supported else replace(outcome, shows="undecided")


def boxes(box: Sequence[Fraction], splits: int, main: int = 1) -> list[list[arb]]:
    """Return x_k in [0, BOX_k], with x_0 in parts, and x_main = 1."""
    parts = []
    for part in range(splits):
        x = [to_ball(value).union(arb(0)) for value in box]
        x[0] = to_ball(box[0] * part / splits).union(to_ball(box[0] * (part + 1) / splits))
        x[main] = arb(1)
        parts.append(x)
    return parts
