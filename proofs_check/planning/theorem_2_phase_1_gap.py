"""Theorem 2, Phase I: the gap w_p - w_c under Eqs. 9 and 10, and the gaps at w = 0.

By Eqs. 9 and 10 the gap grows like

    D(x, s) = -s (x - 1) + (x - 1/m) / (x + 1),     s = s_c in (0, 1/(x + m)),  m = T - 2,  x = s_p / s_c.

D is affine in s, (x - 1/m)/(x + 1) at s = 0 and x (m - 1/m)/((x + 1)(x + m)) at s = 1/(x + m). So for m >= 2 it is
positive for every s exactly where x >= 1/m. The printed proof multiplies a bound on s by x - 1, which reverses it for x
< 1.
"""

from collections.abc import Callable, Collection
from fractions import Fraction
from typing import Any, NamedTuple

import sympy

from proofs_check.ledger import Findings, Outcome, Test, equal, nonnegative, same
from proofs_check.methods.star import UNIFORM, T
from proofs_check.planning.theorem_2_phase_1 import equation_9, equation_10
from proofs_check.planning.theorem_2_phase_1_flow import CONTEXT, gaps_grow, velocity

Formula = Callable[[Any, Any, Any], Any]
"""A function of x, s_c and m."""
y, n, r = sympy.symbols("y n r", nonnegative=True)


class Range(NamedTuple):
    """x from ``start`` (m), m = ``lengths``, s_c up to ``limit`` times its bound 1/(x + m)."""

    start: Callable[[Any], Any]
    lengths: Any = n + 2
    limit: int = 1


def gap_positive() -> Findings:
    """Under Eqs. 9 and 10 the gap w_p - w_c grows for every x = s_p / s_c > 0."""
    x, s, eight = Fraction(1, 16), Fraction(1, 100), sympy.Integer(8)
    wrong_difference = {
        "sign of s_c (x - 1)": lambda x, s, m: s * (x - 1) + (x - 1 / m) / (x + 1),
        "1 in place of 1/m": lambda x, s, m: (x - 1) * (1 / (x + 1) - s),
        "x in place of x - 1": lambda x, s, m: -s * x + (x - 1 / m) / (x + 1),
    }
    wrong_range = {
        "x >= 1/(2m)": Range(lambda m: 1 / (2 * m)),
        "x >= 1/(m + 1), m = 8": Range(lambda m: 1 / (m + 1), eight),
        "s_c up to 2/(x + m)": Range(lambda m: 1 / m, limit=2),
    }
    wrong_point = {
        "at the largest s_c": lambda x, m: 1 / (x + m),
        "at half of it": lambda x, m: 1 / (2 * (x + m)),
        "at 2 (1/m - x)": lambda x, m: 2 * (1 / m - x),
    }
    positive = "d/dt (w_p - w_c) > 0 by Eqs. 9 and 10, for every s_c that leaves some s_q > 0"
    negative = "d/dt (w_p - w_c) <= 0 by Eqs. 9 and 10 at some s_c, for each x < 1/m"
    printed, amended = Range(lambda m: 0, eight), Range(lambda m: 1 / m)

    def point(x: Any, m: Any) -> Any:
        return (1 / m - x) / (2 * (x + 1) * (x + m))

    return Findings(
        (
            Test("symbolic", "Eq. 9 less Eq. 10", _is_difference, printed=_displayed, mutants=wrong_difference),
            Test("symbolic", positive, _is_positive, printed=printed, amended=amended, mutants=wrong_range),
            Test("symbolic", negative, _is_not_positive, amended=point, mutants=wrong_point),
            *gaps_grow(),
        ),
        (),
        f"T = 10, x = 1/16, s_c = 1/100 (so s_q = {1 - (x + 8) * s}): d/dt (w_p - w_c) = "
        f"{_difference(x, s, Fraction(8))} < 0.",
    )


def initial_gap() -> Findings:
    """d/dt (w_p - w_c) = (T - 3)/(2 (T - 2)) = 7/16 at w = 0."""
    at_zero = velocity(UNIFORM)
    gaps = {k: at_zero[1] - at_zero[k] for k in range(T) if k != 1}
    length = sympy.Symbol("T", positive=True)

    def at_offsets(stated: Callable[[int], Fraction]) -> Outcome:
        return equal([stated(k) for k in CONTEXT], [gaps[k] for k in CONTEXT])

    def on_average(offsets: Collection[int]) -> Outcome:
        return equal([sum(gaps[k] for k in offsets)], [len(offsets) * Fraction(7, 16)])

    def by_equations(formula: Any) -> Outcome:
        return same([(formula, _difference(1, 1 / length, length - 2))])

    def by_parity(odd: Fraction, even: Fraction) -> Callable[[int], Fraction]:
        return lambda k: odd if k % 2 else even

    half, smaller = Fraction(1, 2), Fraction(3, 8)
    printed, formula = Fraction(T - 3, 2 * (T - 2)), (length - 3) / (2 * (length - 2))
    wrong_gaps = {
        "even and odd swapped": by_parity(smaller, half),
        "w(1)' alone": lambda k: at_zero[1],
        "sign flipped": lambda k: -gaps[k],
    }
    wrong_offsets = {"even k": CONTEXT[::2], "odd k": CONTEXT[1::2], "with k = 0": [0, *CONTEXT]}
    wrong_formulas = {
        "(T - 3)/(2 (T - 1))": (length - 3) / (2 * (length - 1)),
        "(T - 3)/(T - 2)": (length - 3) / (length - 2),
        "7/16 for all T": sympy.Rational(7, 16),
    }
    gap, mean = "w(1)' - w(k)' at w = 0, k = 2..9", "7/16 is the mean of w(1)' - w(k)' at w = 0 over these k"
    stated: dict[str, Any] = {"printed": by_parity(printed, printed), "amended": by_parity(half, smaller)}
    return Findings(
        (
            Test("exact", gap, at_offsets, **stated, mutants=wrong_gaps),
            Test("exact", mean, on_average, amended=CONTEXT, mutants=wrong_offsets),
            Test(
                "symbolic", "Eq. 9 less Eq. 10 at w = 0, all T", by_equations, printed=formula, mutants=wrong_formulas
            ),
            *gaps_grow(),
        ),
        (),
        f"At w = 0, w(1)' - w(k)' = {gaps[2]} for even k and {gaps[3]} for odd k >= 3; the mean over k = 2..9 is 7/16.",
    )


def _difference(x: Any, s: Any, m: Any) -> Any:
    """Eq. 9 less Eq. 10."""
    return equation_9(x * s, s) - equation_10(x * s, s, m + 2)


def _displayed(x: Any, s: Any, m: Any) -> Any:
    """The same, as the proof displays it."""
    return -s * (x - 1) + (x - 1 / m) / (x + 1)


def _is_difference(formula: Formula) -> Outcome:
    x, s, m = sympy.symbols("x s_c m", positive=True)
    return same([(formula(x, s, m), _difference(x, s, m))])


def _is_positive(over: Range) -> Outcome:
    """D > 0 with x = start + y and s_c = limit / ((x + m)(1 + r)), for all y, r >= 0."""
    m = over.lengths
    x = over.start(m) + y
    return nonnegative([_difference(x, over.limit / ((x + m) * (1 + r)), m)], strictly=True)


def _is_not_positive(s_of: Callable[[Any, Any], Any]) -> Outcome:
    """D <= 0 for x = 1/(m (1 + y)), y >= 0, m = 2 + n, at an s_c of at most 1/(x + m)."""
    m = n + 2
    x = 1 / (m * (1 + y))
    s = s_of(x, m)
    return nonnegative([-_difference(x, s, m), 1 / (x + m) - s])
