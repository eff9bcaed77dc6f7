"""Theorem 3, first half of its proof: mu, the probability of v at w = 0 and Layer 2 = 0, and its derivatives.

With u the indicator of v in Z, mu = (1/T) sum_r (1/r) sum_{j<=r} u_j, and

    d(S1[r] u)/dw(k) = (1/r) (u_{r-k} - (1/r) sum_{j<=r} u_j)    (Eq. 13)

for k < r, and 0 for k >= r.

The print counts v once. It stands in two of the E edges, as the target of (start, v) and as the source of the edge
that leaves v: once at an even and once at an odd position. Each edge order is equally likely, so E[u_r] = 1/E =
2 / (T - 2) at every context position, whatever the number and length of the paths (3 nodes or more).

The second half, from mu to the loss, is in ``theorem_3_loss``.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise, permutations
from typing import Final

import numpy as np
import sympy

from proofs_check.ledger.certified import nonnegative, same
from proofs_check.ledger.evidence import Findings, Statement, Test
from proofs_check.ledger.outcome import Outcome, equal, every
from proofs_check.methods import star
from proofs_check.methods.star import T
from proofs_check.planning.theorem_3_objective import (
    L1A,
    MU,
    OFFSETS,
    START_ON_Z,
    V_ON_Z,
    ascent,
    by_logits,
    mean,
    printed_signs,
)

FAMILIES: Final = ((2, 3), (3, 3), (2, 4))
"""Paths and nodes of a path; the paper's family first."""
Prior = Callable[[int], list[Fraction]]
"""E[u_1] to E[u_T] at length T."""
RowValue = Callable[[int, int], Fraction]
"""The expected derivative of S1[r] u in w(k), at row r and offset k."""


def distribution() -> Findings:
    """E[u_r] = 1/(T - 2) on the context, and a total of 1? Both are twice that."""

    def on_context(times: int) -> Prior:
        """v stands so many times, equally likely at each position of the context."""
        return lambda length: [Fraction(times, length - 2)] * (length - 2) + [Fraction(0)] * 2

    def prior(values: Prior) -> Outcome:
        found = [probability_at_positions(*family) for family in FAMILIES]
        expected = [values(len(u)) for u in found]
        return equal([_column([*u, sum(u)]) for u in found], [_column([*u, sum(u)]) for u in expected])

    twice = on_context(2)
    return Findings(
        (
            Test(
                "exact",
                "E[u_1] to E[u_T] and their sum, in three families of stars",
                prior,
                printed=on_context(1),
                amended=twice,
                mutants={
                    "v in three edges": on_context(3),
                    "at the last two positions too": lambda length: [Fraction(2, length)] * length,
                    "at odd positions only": lambda length: [2 * x * (r % 2 == 0) for r, x in enumerate(twice(length))],
                },
            ),
            _early_rows_vanish("intended"),
            _signs("intended"),
        ),
        (),
        f"On {list(star.EXAMPLE)} v = {star.EXAMPLE_PATH[1]} stands at positions 3 and 8. Each of the positions "
        f"1 to 8 holds v in {probability_at_positions(2, 3)[0]} of the 24 edge orders.",
    )


def row_regimes() -> Findings:
    """The expected derivative of every row, for every offset, against the three regimes."""
    return Findings(
        (
            Test(
                "exact",
                "E[d(S1[r] u)/dw(k)], rows 2 to T, k >= 1",
                _rows,
                printed=printed_row,
                amended=true_row,
                mutants={
                    "row T - 1 keeps its value at k = T - 1": lambda r, k: 2 * printed_row(r, k),
                    "row T - 1 dropped": lambda r, k: true_row(r, k) * (r != T - 1),
                    "row T - 2 like row T - 1": lambda r, k: true_row(T - 1 if r == T - 2 else r, k),
                    "row T with the other sign at k = 1": lambda r, k: true_row(r, k) * (-1 if (r, k) == (T, 1) else 1),
                    "row T with k = 1 and k = 2 swapped": lambda r, k: true_row(r, {1: 2, 2: 1}.get(k) or k),
                },
            ),
            _signs("intended"),
        ),
        (),
        f"Row {T} at k = 1: {row_slope(T, 1)}, printed {printed_row(T, 1)}. Row {T - 1} at k = 1 to {T - 2}: "
        f"{row_slope(T - 1, 1)}, printed {printed_row(T - 1, 1)}; at k = {T - 1} it has no such position and gives "
        f"{row_slope(T - 1, T - 1)}.",
    )


def mean_probability() -> Findings:
    """Eqs. 14 and 15 for every offset."""

    def values(row: RowValue) -> Outcome:
        stated = [sum((row(r, k) for r in (T - 2, T - 1, T)), Fraction(0)) / T for k in OFFSETS]
        return equal(list(ascent(MU)[1:]), stated)

    return Findings(
        (
            Test(
                "exact",
                "E[dmu/dw(k)], k >= 1",
                values,
                printed=printed_row,
                amended=true_row,
                mutants={
                    "row T - 1 keeps its value at k = T - 1": lambda r, k: 2 * printed_row(r, k),
                    "row T alone": lambda r, k: true_row(r, k) * (r == T),
                    "v counted three times": lambda r, k: true_row(r, k) * Fraction(3, 2),
                    "the other sign": lambda r, k: -true_row(r, k),
                },
            ),
            _signs("printed", "amended", "intended"),
        ),
        (),
        f"E[dmu/dw(k)] is {ascent(MU)[1]} at k = 1, {ascent(MU)[2]} at k = 2 to {T - 2} and {ascent(MU)[T - 1]} at "
        f"k = {T - 1}.",
    )


def polynomial() -> Findings:
    """(T - 1)^2 (T - 2) - T^2: its expansion, its sign, and the decimals that follow from it."""
    t, u = sympy.symbols("T u")
    difference = (t - 1) ** 2 * (t - 2) - t**2

    def decimals(first: int, second: int) -> tuple[Fraction, Fraction]:
        return Fraction(first, 648_000), Fraction(second, 5_184_000)

    def are_the_sums(stated: tuple[Fraction, Fraction]) -> Outcome:
        """The printed row values at T = 10, summed as in Eqs. 14 and 15."""
        early, late_1, late_2 = Fraction(1, 9**2 * 8), Fraction(1, 10**2), Fraction(2, 10**2 * 8)
        return equal(list(stated), [(late_1 - early) / 10, (early + late_2) / 10])

    return Findings(
        (
            Test(
                "symbolic",
                "(T - 1)^2 (T - 2) - T^2, expanded",
                lambda stated: same([(difference, stated)]),
                printed=t**3 - 5 * t**2 + 5 * t + 2,
                amended=t**3 - 5 * t**2 + 5 * t - 2,
                mutants={
                    "4 T": t**3 - 5 * t**2 + 4 * t - 2,
                    "-4 T^2": t**3 - 4 * t**2 + 5 * t - 2,
                    "- 1": t**3 - 5 * t**2 + 5 * t - 1,
                },
            ),
            Test(
                "symbolic",
                "(T - 1)^2 (T - 2) - T^2 > 0",
                lambda at: nonnegative([difference.subs(t, at)], strictly=True),
                printed=sympy.Integer(10),
                amended=4 + u,
                intended=sympy.Integer(10),
                mutants={"at T = 3": sympy.Integer(3), "from T = 3 on": 3 + u},
            ),
            Test(
                "exact",
                "548/648,000 and 2096/5,184,000 from the printed row values",
                are_the_sums,
                printed=decimals(548, 2096),
                mutants={
                    "552, as + 2 would give": decimals(552, 2096),
                    "2092 in the second": decimals(548, 2092),
                    "the two swapped": decimals(548, 2096)[::-1],
                },
            ),
        ),
        (),
        f"At T = 10 it is {difference.subs(t, 10)} = 1000 - 500 + 50 - 2.",
    )


def row_slope(r: int, k: int) -> Fraction:
    """E[d(S1[r] u)/dw(k)]."""
    return mean(row_slopes(r, k)) if k < r else Fraction(0)


def row_slopes(r: int, k: int) -> list[Fraction]:
    """d(S1[r] u)/dw(k) on each edge order; mu is the mean over rows."""
    return [T * by_logits(hit)[r - 1][r - 1 - k] for hit in V_ON_Z]


def printed_row(r: int, k: int) -> Fraction:
    if r <= T - 2:
        return Fraction(0)
    if r == T - 1:
        return Fraction(1, (T - 1) ** 2 * (T - 2))
    return Fraction(-1, T**2) if k == 1 else Fraction(2, T**2 * (T - 2))


def true_row(r: int, k: int) -> Fraction:
    """Twice the print, and nothing at offset k = T - 1 of row T - 1."""
    return Fraction(0) if r == k == T - 1 else 2 * printed_row(r, k)


@cache
def probability_at_positions(paths: int, nodes: int) -> tuple[Fraction, ...]:
    """E[u_1] to E[u_T] over all edge orders of a star whose paths, start included, have so many nodes."""
    names = [["start", *(f"{path}.{step}" for step in range(1, nodes))] for path in range(paths)]
    edges = [edge for path in names for edge in pairwise(path)]
    orders = list(permutations(edges))
    rows = [[label == "0.1" for edge in order for label in edge] for order in orders]
    return (*(Fraction(sum(column), len(orders)) for column in zip(*rows, strict=True)), Fraction(0), Fraction(0))


def _rows(stated: RowValue) -> Outcome:
    """Row by row; row 1 sees itself alone. A row counts if some edge order gives it a derivative."""
    rows = range(2, T + 1)
    return equal(
        [_column([row_slope(r, k) for k in OFFSETS]) for r in rows],
        [_column([stated(r, k) for k in OFFSETS]) for r in rows],
        nontrivial=[any(any(row_slopes(r, k)) for k in range(1, r)) for r in rows],
    )


def _early_rows_vanish(*of: Statement) -> Test:
    """No offset is favoured in rows r <= T - 2."""

    def vanish(last: int) -> Outcome:
        cases = [(r, k) for r in range(2, last + 1) for k in range(1, r)]
        return every([row_slope(r, k) == 0 for r, k in cases], nontrivial=[any(row_slopes(r, k)) for r, k in cases])

    mutants = {"rows r <= T - 1": T - 1, "rows r <= T": T}
    return Test(
        "exact", "E[d(S1[r] u)/dw(k)] = 0 in rows r <= T - 2", vanish, **dict.fromkeys(of, T - 2), mutants=mutants
    )


def _signs(*of: Statement) -> Test:
    """What Eqs. 14 and 15 hand on to the rest of the proof."""
    return Test(
        "exact",
        "E[dmu/dw(k)] < 0 at k = 1 and > 0 at every k >= 2",
        printed_signs,
        **dict.fromkeys(of, MU),
        mutants={
            "minus mu": MU._replace(slope=lambda mu: Fraction(-1)),
            "log mu": L1A,
            "u_star in place of v": MU._replace(hits=START_ON_Z),
        },
    )


def _column(values: Sequence[Fraction | int]) -> np.ndarray:
    return np.array(values, dtype=object)
