"""Theorem 2, Phase I: the gap w_p - w_c under Eqs. 9 and 10, and the gaps at w = 0.

By Eqs. 9 and 10 the gap grows like

    D(x, s) = -s (x - 1) + (x - 1/m) / (x + 1),     s = s_c in (0, 1/(x + m)),  m = T - 2,  x = s_p / s_c.

D is affine in s, (x - 1/m)/(x + 1) at s = 0 and x (m - 1/m)/((x + 1)(x + m)) at s = 1/(x + m). So for m >= 2 it is
positive for every s exactly where x >= 1/m. The printed proof multiplies a bound on s by x - 1, which turns it around
for x < 1.
"""

from collections.abc import Callable, Collection
from fractions import Fraction
from typing import Any, NamedTuple

import sympy

from proofs_check.ledger.certified import nonnegative, same
from proofs_check.ledger.evidence import Findings, Test
from proofs_check.ledger.outcome import Outcome, equal
from proofs_check.methods.edge_orders import T
from proofs_check.methods.star_contexts import UNIFORM
from proofs_check.planning.theorem_2_phase_1 import equation_9, equation_10
from proofs_check.planning.theorem_2_phase_1_flow import CONTEXT, gaps_grow, velocity

Formula = Callable[[Any, Any, Any], Any]
"""Of x, s_c and m."""
y, n, r = sympy.symbols("y n r", nonnegative=True)


class Range(NamedTuple):
    """x from ``start`` (m), m = ``lengths``, s_c up to ``most`` times its bound 1/(x + m)."""

    start: Callable[[Any], Any]
    lengths: Any = n + 2
    most: int = 1


def gap_positive() -> Findings:
    """Under Eqs. 9 and 10 the gap w_p - w_c grows for every x = s_p / s_c > 0."""
    x, s = Fraction(1, 16), Fraction(1, 100)
    attention_to_self = 1 - (x + 8) * s
    return Findings(
        (
            Test(
                "symbolic",
                "Eq. 9 less Eq. 10",
                _is_difference,
                printed=_displayed,
                mutants={
                    "sign of s_c (x - 1)": lambda x, s, m: s * (x - 1) + (x - 1 / m) / (x + 1),
                    "1 in place of 1/m": lambda x, s, m: (x - 1) * (1 / (x + 1) - s),
                    "x in place of x - 1": lambda x, s, m: -s * x + (x - 1 / m) / (x + 1),
                },
            ),
            Test(
                "symbolic",
                "d/dt (w_p - w_c) > 0 by Eqs. 9 and 10, for every s_c that leaves some s_q > 0",
                _is_positive,
                printed=Range(lambda m: 0, sympy.Integer(8)),
                amended=Range(lambda m: 1 / m),
                mutants={
                    "x >= 1/(2m)": Range(lambda m: 1 / (2 * m)),
                    "x >= 1/(m + 1), m = 8": Range(lambda m: 1 / (m + 1), sympy.Integer(8)),
                    "s_c up to 2/(x + m)": Range(lambda m: 1 / m, most=2),
                },
            ),
            Test(
                "symbolic",
                "d/dt (w_p - w_c) <= 0 by Eqs. 9 and 10 at some s_c, for each x < 1/m",
                _is_not_positive,
                amended=lambda x, m: (1 / m - x) / (2 * (x + 1) * (x + m)),
                mutants={
                    "at the largest s_c": lambda x, m: 1 / (x + m),
                    "at half of it": lambda x, m: 1 / (2 * (x + m)),
                    "at 2 (1/m - x)": lambda x, m: 2 * (1 / m - x),
                },
            ),
            *gaps_grow(),
        ),
        (),
        f"T = 10, x = 1/16, s_c = 1/100 (so s_q = {attention_to_self}): d/dt (w_p - w_c) = "
        f"{_difference(x, s, Fraction(8))} < 0.",
    )


def initial_gap() -> Findings:
    """d/dt (w_p - w_c) = (T - 3)/(2 (T - 2)) = 7/16 at w = 0."""
    found = velocity(UNIFORM)
    gaps = {k: found[1] - found[k] for k in range(T) if k != 1}
    length = sympy.Symbol("T", positive=True)

    def at_offsets(stated: Callable[[int], Fraction]) -> Outcome:
        return equal([stated(k) for k in CONTEXT], [gaps[k] for k in CONTEXT])

    def on_average(offsets: Collection[int]) -> Outcome:
        return equal([sum(gaps[k] for k in offsets)], [len(offsets) * Fraction(7, 16)])

    def by_equations(formula: Any) -> Outcome:
        return same([(formula, _difference(1, 1 / length, length - 2))])

    return Findings(
        (
            Test(
                "exact",
                "w(1)' - w(k)' at w = 0, k = 2..9",
                at_offsets,
                printed=lambda k: Fraction(T - 3, 2 * (T - 2)),
                amended=lambda k: Fraction(1, 2) if k % 2 else Fraction(3, 8),
                mutants={
                    "even and odd swapped": lambda k: Fraction(3, 8) if k % 2 else Fraction(1, 2),
                    "w(1)' alone": lambda k: found[1],
                    "sign flipped": lambda k: -gaps[k],
                },
            ),
            Test(
                "exact",
                "7/16 is the mean of w(1)' - w(k)' at w = 0 over these k",
                on_average,
                amended=CONTEXT,
                mutants={"even k": CONTEXT[::2], "odd k": CONTEXT[1::2], "with k = 0": [0, *CONTEXT]},
            ),
            Test(
                "symbolic",
                "Eq. 9 less Eq. 10 at w = 0, all T",
                by_equations,
                printed=(length - 3) / (2 * (length - 2)),
                mutants={
                    "(T - 3)/(2 (T - 1))": (length - 3) / (2 * (length - 1)),
                    "(T - 3)/(T - 2)": (length - 3) / (length - 2),
                    "7/16 for all T": sympy.Rational(7, 16),
                },
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
    """As the proof displays it."""
    return -s * (x - 1) + (x - 1 / m) / (x + 1)


def _is_difference(formula: Formula) -> Outcome:
    x, s, m = sympy.symbols("x s_c m", positive=True)
    return same([(formula(x, s, m), _difference(x, s, m))])


def _is_positive(over: Range) -> Outcome:
    """With x = start + y and s_c = most / ((x + m)(1 + r)), for all y, r >= 0."""
    m = over.lengths
    x = over.start(m) + y
    return nonnegative([_difference(x, over.most / ((x + m) * (1 + r)), m)], strictly=True)


def _is_not_positive(s_of: Callable[[Any, Any], Any]) -> Outcome:
    """D <= 0 for x = 1/(m (1 + y)), y >= 0, m = 2 + n, at an s_c of at most 1/(x + m)."""
    m = n + 2
    x = 1 / (m * (1 + y))
    s = s_of(x, m)
    return nonnegative([-_difference(x, s, m), 1 / (x + m) - s])
