"""Comparisons whose outcome is a proof for a whole range: balls over ranges, and identities and signs in symbols."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import sympy
from flint import arb

from circuits import checks
from proofs_check.ledger.outcome import Number, Outcome, Relation, Shows

POINTS = 60
"""Rational points at which a symbolic statement that can't be proved is tried for a counterexample."""


class Cell(NamedTuple):
    """A ball that encloses a quantity for every parameter from ``low`` to ``high``; without ``high``, to infinity."""

    low: float
    high: float | None
    ball: arb


def balls_at_most(cells: Iterable[Cell], bound: Number | arb, *, detail: str = "") -> Outcome:
    """The quantity is at most ``bound`` all over the joint range of the cells.

    An ``arb`` comparison is true only when it is certain, so support and contradiction are asked for one by one.
    Raises ValueError if the ranges leave a gap.
    """
    return _balls(list(cells), "<=", bound, detail)


def balls_at_least(cells: Iterable[Cell], bound: Number | arb, *, detail: str = "") -> Outcome:
    """The quantity is at least ``bound`` all over the joint range of the cells."""
    return _balls(list(cells), ">=", bound, detail)


def same(pairs: Iterable[tuple[Any, Any]], *, detail: str = "") -> Outcome:
    """Each pair of expressions is identical. The value is the number of pairs that are not shown to be.

    A pair is refuted by a rational point at which the two differ. The pair (0, 0) is trivial.
    """
    listed = [(sympy.sympify(a), sympy.sympify(b)) for a, b in pairs]
    _check_symbols([side for pair in listed for side in pair])
    differences = [a - b for a, b in listed]
    telling = [bool(a.free_symbols | b.free_symbols) or (a, b) != (0, 0) for a, b in listed]
    proved = [_is_zero(difference) for difference in differences]
    refuted = [not fine and _counterexample(d, lambda x: x != 0) for fine, d in zip(proved, differences, strict=True)]
    return _symbolic(proved, refuted, telling, any(a.free_symbols | b.free_symbols for a, b in listed), detail)


def nonnegative(expressions: Iterable[Any], *, strictly: bool = False, detail: str = "") -> Outcome:
    """Each rational expression is >= 0 (or > 0) for all values >= 0 of its symbols.

    Proved if numerator and denominator have no negative coefficient (for > 0: and a positive constant term); refuted
    by a rational point at which the expression is negative. Anything else is undecided. 0 is trivial.
    """
    listed = [sympy.together(sympy.sympify(expression)) for expression in expressions]
    _check_symbols(listed, signs=True)
    proved = [_coefficients_nonnegative(expression, strictly) for expression in listed]
    wrong = (lambda x: x <= 0) if strictly else (lambda x: x < 0)
    refuted = [not fine and _counterexample(e, wrong) for fine, e in zip(proved, listed, strict=True)]
    telling = [expression != 0 for expression in listed]
    return _symbolic(proved, refuted, telling, any(expression.free_symbols for expression in listed), detail)


def _balls(cells: Sequence[Cell], relation: Relation, bound: Number | arb, detail: str) -> Outcome:
    checks.require(bool(cells), "cells", "must not be empty", cells)
    ranges = sorted({(cell.low, cell.high) for cell in cells}, key=lambda ends: ends[0])
    for (_, high), (low, _) in pairwise(ranges):
        checks.require(high is not None and low <= high, "cells", "must join without a gap", ((_, high), (low, _)))
    limit = arb(bound.numerator) / bound.denominator if isinstance(bound, Fraction) else arb(bound)
    checks.require(limit.is_finite(), "bound", "must be a number", bound)
    balls = [cell.ball for cell in cells]
    below = relation == "<="
    if not all(ball.is_finite() for ball in balls):
        shows: Shows = "undecided"
    elif all(ball <= limit if below else ball >= limit for ball in balls):
        shows = "supports"
    elif any(ball > limit if below else ball < limit for ball in balls):
        shows = "contradicts"
    else:
        shows = "undecided"
    ends = [float(ball.upper() if below else ball.lower()) for ball in balls]
    worst = max(ends) if below else min(ends)
    if shows == "undecided" and not all(ball.is_finite() for ball in balls):
        worst = float("nan")
    return Outcome(shows, worst, relation, float(limit.mid()), len(balls), 0, ranges[-1][1] is None, detail)


def _symbolic(
    proved: Sequence[bool], refuted: Sequence[bool], telling: Sequence[bool], unbounded: bool, detail: str
) -> Outcome:
    """``unbounded``: the statement has symbols, so it speaks of all their values."""
    checks.require(any(telling), "cases", "must hold one that exercises the statement", f"{len(telling)} trivial cases")
    shows: Shows = "supports" if all(proved) else "contradicts" if any(refuted) else "undecided"
    missing, trivial = proved.count(False), telling.count(False)
    return Outcome(shows, float(missing), "<=", 0.0, len(telling) - trivial, trivial, bool(unbounded), detail)


def _check_symbols(expressions: Iterable[Any], signs: bool = False) -> None:
    """Refuse floats, symbols for integers alone, and, where signs are judged, symbols that may be negative."""
    for expression in expressions:
        checks.require(not expression.has(sympy.Float), "expressions", "must be exact, without floats", expression)
        for symbol in expression.free_symbols:
            fine = not symbol.is_integer and (not signs or symbol.is_nonnegative or symbol.is_real is None)
            checks.require(bool(fine), "symbols", "must range over all numbers >= 0", symbol)


def _is_zero(expression: Any) -> bool:
    if expression.is_rational_function():
        above, below = sympy.fraction(sympy.together(expression))
        return sympy.expand(above) == 0 and sympy.expand(below) != 0
    return sympy.simplify(expression) == 0


def _coefficients_nonnegative(expression: Any, strictly: bool) -> bool:
    symbols = sorted(expression.free_symbols, key=str)
    if not symbols:
        return bool(expression > 0 if strictly else expression >= 0)
    parts = [sympy.Poly(part, *symbols) for part in sympy.fraction(expression)]
    signs = [{sympy.sign(c) for c in part.coeffs()} for part in parts]
    if not any(all(found <= {0, sign} for found in signs) for sign in (1, -1)):
        return False
    constants = [part.coeff_monomial(1) for part in parts]
    # A denominator that vanishes where all symbols do would leave the quotient undefined there.
    return constants[1] != 0 and (not strictly or constants[0] != 0)


def _counterexample(expression: Any, wrong: Any) -> bool:
    """Whether the expression is ``wrong`` at one of some rational points with positive coordinates."""
    symbols, random = sorted(expression.free_symbols, key=str), Random(0)
    sizes = (sympy.Rational(1, 1000), sympy.Rational(1, 10), sympy.Integer(1), sympy.Integer(10), sympy.Integer(1000))
    for _ in range(POINTS if symbols else 1):
        point = {s: random.choice(sizes) * sympy.Rational(random.randint(1, 9), random.randint(1, 9)) for s in symbols}
        value = expression.subs(point)
        if not value.is_Rational:
            value = sympy.N(value, 60)
            if not value.is_real or abs(value) < sympy.Rational(1, 10**40):
                continue
        if wrong(value):
            return True
    return False
