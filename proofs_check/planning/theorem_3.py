"""Theorem 3, first half of its proof: mu, the probability of v at w = 0 and Layer 2 = 0, and its derivatives.

With u the indicator of v in Z, mu = (1/T) sum_r (1/r) sum_{j<=r} u_j, and

    d(S1[r] u)/dw(k) = (1/r) (u_{r-k} - (1/r) sum_{j<=r} u_j)    (Eq. 13)

for k < r, and 0 for k >= r.

The print counts v once. It occurs in two of the E edges, as the target of (start, v) and as the source of the edge that
leaves v: once at an even and once at an odd position. Each edge order is equally likely, so E[u_r] = 1/E = 2 / (T - 2)
at every context position, for any number and length of the paths (3 nodes or more).

The second half, from mu to the loss, is in ``theorem_3_loss``.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import pairwise, permutations
from typing import Any, Final

import sympy

from proofs_check.ledger import Findings, Outcome, Statement, Test, equal, every, nonnegative, same
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
"""Number of paths and of nodes per path; the paper's family first."""
Prior = Callable[[int], list[Fraction]]
"""E[u_1] to E[u_T] at length T."""
RowValue = Callable[[int, int], Fraction]
"""The expected derivative of S1[r] u in w(k), at row r and offset k."""


def distribution() -> Findings:
    """E[u_r] = 1/(T - 2) on the context, and a total of 1? Both are twice that."""

    def on_context(times: int) -> Prior:
        """v occurs so many times, equally likely at each position of the context."""
        return lambda length: [Fraction(times, length - 2)] * (length - 2) + [Fraction(0)] * 2

    def prior(values: Prior) -> Outcome:
        counted = [probability_at_positions(*family) for family in FAMILIES]
        stated = [values(len(u)) for u in counted]
        return equal(*([[*u, sum(u)] for u in each] for each in (counted, stated)))

    def vanish(last: int) -> Outcome:
        """No offset is favoured in rows r <= ``last``."""
        cases = [(r, k) for r in range(2, last + 1) for k in range(1, r)]
        return every([row_slope(r, k) == 0 for r, k in cases], nontrivial=[any(row_slopes(r, k)) for r, k in cases])

    twice = on_context(2)
    mutants = {
        "v in three edges": on_context(3),
        "at the last two positions too": lambda length: [Fraction(2, length)] * length,
        "at odd positions only": lambda length: [2 * x * (r % 2 == 0) for r, x in enumerate(twice(length))],
    }
    name = "E[u_1] to E[u_T] and their sum, in three families of stars"
    rows = {"rows r <= T - 1": T - 1, "rows r <= T": T}
    return Findings(
        (
            Test("exact", name, prior, printed=on_context(1), amended=twice, mutants=mutants),
            Test("exact", "E[d(S1[r] u)/dw(k)] = 0 in rows r <= T - 2", vanish, intended=T - 2, mutants=rows),
            _signs("intended"),
        ),
        (),
        f"On {list(star.EXAMPLE)} v = {star.EXAMPLE_PATH[1]} is at positions 3 and 8, counted from 1. Each of the "
        f"positions 1 to 8 holds v in {probability_at_positions(2, 3)[0]} of the 24 edge orders.",
    )


def row_regimes() -> Findings:
    """The expected derivative of every row, for every offset, against the three regimes."""

    def rows(stated: RowValue) -> Outcome:
        """Compare row by row; row 1 sees itself alone. A row counts if some edge order gives it a derivative."""
        numbers = range(2, T + 1)
        return equal(
            *([[value(r, k) for k in OFFSETS] for r in numbers] for value in (row_slope, stated)),
            nontrivial=[any(any(row_slopes(r, k)) for k in range(1, r)) for r in numbers],
        )

    mutants = {
        "row T - 1 keeps its value at k = T - 1": lambda r, k: 2 * printed_row(r, k),
        "row T - 1 dropped": lambda r, k: true_row(r, k) * (r != T - 1),
        "row T - 2 like row T - 1": lambda r, k: true_row(T - 1 if r == T - 2 else r, k),
        "row T with the other sign at k = 1": lambda r, k: true_row(r, k) * (-1 if (r, k) == (T, 1) else 1),
        "row T with k = 1 and k = 2 swapped": lambda r, k: true_row(r, {1: 2, 2: 1}.get(k) or k),
    }
    name = "E[d(S1[r] u)/dw(k)], rows 2 to T, k >= 1"
    return Findings(
        (Test("exact", name, rows, printed=printed_row, amended=true_row, mutants=mutants), _signs("intended")),
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

    mutants = {
        "row T - 1 keeps its value at k = T - 1": lambda r, k: 2 * printed_row(r, k),
        "row T alone": lambda r, k: true_row(r, k) * (r == T),
        "v counted three times": lambda r, k: true_row(r, k) * Fraction(3, 2),
        "the other sign": lambda r, k: -true_row(r, k),
    }
    return Findings(
        (
            Test("exact", "E[dmu/dw(k)], k >= 1", values, printed=printed_row, amended=true_row, mutants=mutants),
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

    def cubic(square: int, linear: int, constant: int) -> sympy.Expr:
        return t**3 + square * t**2 + linear * t + constant

    def decimals(first: int, second: int) -> tuple[Fraction, Fraction]:
        return Fraction(first, 648_000), Fraction(second, 5_184_000)

    def are_the_sums(stated: tuple[Fraction, Fraction]) -> Outcome:
        """Compare the printed row values at T = 10, summed as in Eqs. 14 and 15."""
        early, late_1, late_2 = Fraction(1, 9**2 * 8), Fraction(1, 10**2), Fraction(2, 10**2 * 8)
        return equal(list(stated), [(late_1 - early) / 10, (early + late_2) / 10])

    def expands_to(stated: sympy.Expr) -> Outcome:
        return same([(difference, stated)])

    def positive(at: Any) -> Outcome:
        return nonnegative([difference.subs(t, at)], strictly=True)

    wrong_cubics = {"4 T": cubic(-5, 4, -2), "-4 T^2": cubic(-4, 5, -2), "- 1": cubic(-5, 5, -1)}
    wrong_lengths = {"at T = 3": sympy.Integer(3), "from T = 3 on": 3 + u}
    wrong_decimals = {
        "552, as + 2 would give": decimals(552, 2096),
        "2092 in the second": decimals(548, 2092),
        "the two swapped": decimals(548, 2096)[::-1],
    }
    expansion, sums = "(T - 1)^2 (T - 2) - T^2, expanded", "548/648,000 and 2096/5,184,000 from the printed row values"
    cubics: dict[str, Any] = {"printed": cubic(-5, 5, 2), "amended": cubic(-5, 5, -2)}
    ten = sympy.Integer(10)
    return Findings(
        (
            Test("symbolic", expansion, expands_to, **cubics, mutants=wrong_cubics),
            Test("symbolic", "(T - 1)^2 (T - 2) - T^2 > 0", positive, ten, 4 + u, ten, mutants=wrong_lengths),
            Test("exact", sums, are_the_sums, printed=decimals(548, 2096), mutants=wrong_decimals),
        ),
        (),
        f"At T = 10 it is {difference.subs(t, 10)} = 1000 - 500 + 50 - 2.",
    )


def row_slope(r: int, k: int) -> Fraction:
    """Return E[d(S1[r] u)/dw(k)]."""
    return mean(row_slopes(r, k)) if k < r else Fraction(0)


def row_slopes(r: int, k: int) -> list[Fraction]:
    """Return d(S1[r] u)/dw(k) on each edge order; mu is the mean over rows."""
    return [T * by_logits(hit)[r - 1][r - 1 - k] for hit in V_ON_Z]


def printed_row(r: int, k: int) -> Fraction:
    """Return the printed value of ``row_slope``."""
    if r <= T - 2:
        return Fraction(0)
    if r == T - 1:
        return Fraction(1, (T - 1) ** 2 * (T - 2))
    return Fraction(-1, T**2) if k == 1 else Fraction(2, T**2 * (T - 2))


def true_row(r: int, k: int) -> Fraction:
    """Return twice the print, and nothing at offset k = T - 1 of row T - 1."""
    return Fraction(0) if r == k == T - 1 else 2 * printed_row(r, k)


@cache
def probability_at_positions(paths: int, nodes: int) -> tuple[Fraction, ...]:
    """Return E[u_1] to E[u_T] over all edge orders of a star whose paths, start included, have so many nodes."""
    names = [["start", *(f"{path}.{step}" for step in range(1, nodes))] for path in range(paths)]
    edges = [edge for path in names for edge in pairwise(path)]
    orders = list(permutations(edges))
    rows = [[label == "0.1" for edge in order for label in edge] for order in orders]
    return (*(Fraction(sum(column), len(orders)) for column in zip(*rows, strict=True)), Fraction(0), Fraction(0))


def _signs(*statements: Statement) -> Test:
    """What the rest of the proof uses of Eqs. 14 and 15."""
    mutants = {
        "minus mu": MU._replace(slope=lambda mu: Fraction(-1)),
        "log mu": L1A,
        "u_star in place of v": MU._replace(hits=START_ON_Z),
    }
    name = "E[dmu/dw(k)] < 0 at k = 1 and > 0 at every k >= 2"
    return Test("exact", name, printed_signs, **dict.fromkeys(statements, MU), mutants=mutants)
