"""Theorem 2, Phase I: the gap w_p - w_c under Eqs. 9 and 10, and at w = 0.

The gap grows like

    D(x, s) = -s (x - 1) + (x - 1/m) / (x + 1),     s = s_c in (0, 1/(x + m)),  m = T - 2,  x = s_p / s_c.

D is affine in s, so it is positive on the open interval iff it is not negative at both ends and not zero at both:
D(x, 0) = (x - 1/m)/(x + 1) and D(x, 1/(x + m)) = x (m - 1/m)/((x + 1)(x + m)). So for m >= 2 it is positive for every s
exactly where x >= 1/m. The printed proof multiplies a bound on s by x - 1, which turns it around for x < 1.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import sympy

from proofs_check import theorem_2_exact as rational
from proofs_check.evidence import Control, Evidence, Findings, decided
from proofs_check.theorem_2_exact import UNIFORM, distance
from proofs_check.theorem_2_phase_1 import CONTEXT, printed_field, velocity

LENGTHS = 64
"""Largest T - 2 at which the bound x >= 1/(T - 2) is put to the test from below."""
BELOW = Fraction(1, 1000)
"""How far below it; s_c is a tenth of this, less than 1/(x + T - 2)."""


def gap_positive() -> Findings:
    """Under Eqs. 9 and 10 the gap w_p - w_c grows for every x = s_p / s_c > 0."""
    x, s = Fraction(1, 16), Fraction(1, 100)
    value = printed_gap(x, s, Fraction(8))
    attention = [1 - (x + 8) * s, x * s, *[s] * 8]
    stated = printed_field(attention)
    return Findings(
        (
            rational.at_least("d/dt(w_p - w_c) at x = 1/16, s_c = 1/100", value, 0, 1),
            decided("exact", "the same from Eqs. 9 and 10 one by one", stated[1] - stated[2] == value, 1, of="amended"),
            _positive("1/m", lambda m: 1 / m),
            _sharp(),
        ),
        (
            Control("x from 1/(2m)", _positive("1/(2m)", lambda m: 1 / (2 * m))),
            Control("T = 3", _positive("1/m", lambda m: 1 / m, least=1)),
            Control(
                "1/2 of the context mass in place of 1/m", _positive("1/m", lambda m: 1 / m, prior=sympy.Rational(1, 2))
            ),
            Control("the softmax term with its sign flipped", _positive("1/m", lambda m: 1 / m, sign=-1)),
        ),
        f"T = 10, x = 1/16, s_c = 1/100 (so s_q = {attention[0]}): d/dt(w_p - w_c) = {value} < 0.",
    )


def initial_gap() -> Findings:
    """d/dt(w_p - w_c) = (T - 3)/(2 (T - 2)) = 7/16 at w = 0."""
    found = velocity(UNIFORM)
    gaps = [found[1] - found[k] for k in CONTEXT]

    def by_parity(values: Sequence[Fraction]) -> Evidence:
        stated = [Fraction(3, 8) if k % 2 == 0 else Fraction(1, 2) for k in CONTEXT]
        text = "max |d/dt(w(1) - w(k)) - (3/8 for even, 1/2 for odd k)|"
        return rational.at_most(text, distance(values, stated), 0, len(values), of="amended")

    def mean_is(values: Sequence[Fraction]) -> Evidence:
        value = abs(sum(values, Fraction(0)) / len(values) - Fraction(7, 16))
        return rational.at_most("|mean over the eight context offsets - 7/16|", value, 0, len(values), of="amended")

    length = sympy.Symbol("T", positive=True)
    difference = printed_gap(sympy.Integer(1), 1 / length, length - 2) - (length - 3) / (2 * (length - 2))
    with_u = velocity(UNIFORM, lambda context: context.reads_v)
    return Findings(
        (
            rational.at_most(
                "least |d/dt(w(1) - w(k)) - 7/16|, k = 2..9", min(abs(g - Fraction(7, 16)) for g in gaps), 0, 8
            ),
            by_parity(gaps),
            mean_is(gaps),
            decided(
                "symbolic", "Eqs. 9 and 10 give (T-3)/(2(T-2)), all T", sympy.simplify(difference) == 0, 1, of="amended"
            ),
        ),
        (
            Control("even and odd swapped", by_parity([*gaps[1:], gaps[0]])),
            Control("the gap to w(0) counted in", mean_is([*gaps, found[1] - found[0]])),
            Control("w(1) without its share at T - 1", mean_is([gap - found[1] for gap in gaps])),
            Control("v in place of u_end", by_parity([with_u[1] - with_u[k] for k in CONTEXT])),
        ),
        f"At w = 0, d/dt(w(1) - w(k)) = {gaps[0]} for even k and {gaps[1]} for odd k; their mean is 7/16.",
    )


def printed_gap(x: Any, s: Any, m: Any, prior: Any = None, sign: int = 1) -> Any:
    """Eq. 9 minus Eq. 10, as the paper writes it: of fractions or of symbols."""
    return -sign * s * (x - 1) + (x - (1 / m if prior is None else prior)) / (x + 1)


def _positive(name: str, start: Callable[[Any], Any], least: int = 2, prior: Any = None, sign: int = 1) -> Evidence:
    """Whether the gap's derivative is positive for x >= start, every s_c in (0, 1/(x+m)) and every m >= least.

    It is affine in s_c: no end may be negative, nor both zero. With x = start + y and m = least + n, polynomials
    in y, n >= 0 without a negative coefficient are not negative, and positive where they have a constant term.
    """
    y, n, s = sympy.symbols("y n s", nonnegative=True)
    m = least + n
    x = start(m) + y
    gap = printed_gap(x, s, m, prior, sign)
    ends = [coefficients(gap.subs(s, place), y, n) for place in (0, 1 / (x + m))]
    signs = all(coefficient >= 0 for end in ends for coefficient in end.values())
    strict = any(end.get((0, 0), 0) > 0 for end in ends)
    text = f"d/dt(w_p - w_c) > 0 for all x >= {name}, all s_c, all T >= {least + 2}"
    return decided("symbolic", text, signs and bool(strict), 1, of="amended")


def _sharp() -> Evidence:
    """Just below x = 1/m a small s_c gives a negative derivative: in fractions, for each m up to ``LENGTHS``."""
    lengths = range(2, LENGTHS + 1)
    values = [printed_gap(Fraction(1, m) - BELOW, BELOW / 10, Fraction(m)) for m in lengths]
    text = f"d/dt(w_p - w_c) < 0 at x = 1/m - {BELOW}, s_c = {BELOW / 10}, each m = T - 2 = 2..{LENGTHS}: sharp"
    negative = all(value < 0 for value in values)
    detail = f"greatest {float(max(values)):.6f}"
    return decided("exact", text, negative, len(lengths), of="amended", detail=detail)


def coefficients(expression: Any, *symbols: sympy.Symbol) -> dict[tuple[int, ...], Any]:
    """Of the numerator, over a denominator whose coefficients, the constant among them, are positive."""
    numerator, denominator = (sympy.Poly(part, *symbols) for part in sympy.fraction(sympy.together(expression)))
    if denominator.coeff_monomial(1) < 0:
        numerator, denominator = -numerator, -denominator
    assert denominator.coeff_monomial(1) > 0, denominator
    assert all(value > 0 for value in denominator.coeffs()), denominator
    return dict(numerator.terms())
