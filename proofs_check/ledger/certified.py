"""Comparisons that prove a statement for a whole range: balls over ranges, identities and signs in symbols."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain, pairwise
from random import Random
from typing import Any, NamedTuple

import sympy
from flint import arb

from circuits import checks, display
from proofs_check.ledger.outcome import Number, Outcome, Relation, Shows

POINTS = 60
"""Number of rational points that are searched for a counterexample to a symbolic statement that is not proved."""
_SIZES = (sympy.Rational(1, 1000), sympy.Rational(1, 10), sympy.Integer(1), sympy.Integer(10), sympy.Integer(1000))


class Cell(NamedTuple):
    """A ball that encloses a quantity for every parameter from ``low`` to ``high``, or to infinity if ``high`` is None.

    Example:
        >>> Cell(5.0, None, (-arb(5)).exp().union(arb(0)))  # e^-x for x >= 5
        Cell(low=5.0, high=None, ball=[+/- 6.74e-3])
    """

    low: float
    high: float | None
    ball: arb

    _repr_html_ = display.html


def balls_at_most(cells: Iterable[Cell], bound: Number | arb, *, detail: str = "") -> Outcome:
    """State that a quantity, or each of several, is at most ``bound`` over the joint range of the cells.

    An ``arb`` comparison is true only if it is certain, so support and contradiction are tested separately. The outcome
    is unbounded if every quantity has a cell that reaches infinity: as many cells as cover any other part of the range.

    Args:
        cells: enclosures whose ranges join without a gap.
        bound: the bound.
        detail: a remark for the reader.

    Returns:
        An outcome whose value is the largest upper end of a ball.

    Raises:
        ValueError: if there are no cells, their ranges leave a gap, or the bound is not finite.

    Example:
        >>> outcome = balls_at_most([Cell(5.0, None, (-arb(5)).exp().union(arb(0)))], Fraction(1, 100))
        >>> outcome.shows, outcome.unbounded
        ('supports', True)
    """
    return _balls(list(cells), "<=", bound, detail)


def balls_at_least(cells: Iterable[Cell], bound: Number | arb, *, detail: str = "") -> Outcome:
    """State that a quantity is at least ``bound`` over the joint range of the cells; the mirror of ``balls_at_most``.

    Args:
        cells: enclosures whose ranges join without a gap.
        bound: the bound.
        detail: a remark for the reader.

    Returns:
        An outcome whose value is the smallest lower end of a ball.

    Raises:
        ValueError: if there are no cells, their ranges leave a gap, or the bound is not finite.

    Example:
        >>> balls_at_least([Cell(0.0, 1.0, arb(2, 0.5)), Cell(1.0, None, arb(3, 0.5))], 1).shows
        'supports'
    """
    return _balls(list(cells), ">=", bound, detail)


def to_ball(value: Number | arb) -> arb:
    """Return a ball that encloses a number."""
    return arb(value.numerator) / value.denominator if isinstance(value, Fraction) else arb(value)


def same(pairs: Iterable[tuple[Any, Any]], *, detail: str = "") -> Outcome:
    """State that the two expressions of each pair are identical.

    A rational point at which its sides differ refutes a pair. The pair (0, 0) is trivial. The outcome is unbounded if
    every other pair has symbols, even ones that cancel.

    Args:
        pairs: expressions of sympy without floats, or numbers.
        detail: a remark for the reader.

    Returns:
        An outcome whose value is the number of pairs that are not proved.

    Raises:
        ValueError: for floats, for symbols that range over integers alone, and if all pairs are trivial.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> outcome = same([((x + y) ** 2, x**2 + 2 * x * y + y**2)])
        >>> outcome.shows, outcome.unbounded
        ('supports', True)
    """
    parts = [(sympy.sympify(left), sympy.sympify(right)) for left, right in pairs]
    _check_symbols(parts)
    differences, nontrivial = [left - right for left, right in parts], [part != (0, 0) for part in parts]
    return _symbolic(parts, differences, nontrivial, _is_zero, lambda value: value != 0, detail)


def nonnegative(expressions: Iterable[Any], *, strictly: bool = False, detail: str = "") -> Outcome:
    """State that rational expressions are >= 0, or > 0, for all values >= 0 of their symbols.

    An expression is proved if its numerator and denominator have no negative coefficient (for > 0, a positive constant
    term as well), refuted by a rational point at which it is negative, and undecided otherwise. 0 is trivial. The
    outcome is unbounded if every other expression has symbols. Pass a pair (larger, smaller) instead of a difference
    whose symbols may cancel: the symbols of both sides count.

    Args:
        expressions: expressions of sympy without floats, or pairs (larger, smaller).
        strictly: whether to ask for > 0.
        detail: a remark for the reader.

    Returns:
        An outcome whose value is the number of expressions that are not proved.

    Raises:
        ValueError: for floats, for symbols that range over other numbers, and if all expressions are trivial.

    Example:
        >>> x = sympy.Symbol("x", nonnegative=True)
        >>> nonnegative([x**2 + 3 * x, (x, x / (1 + x))]).shows
        'supports'
        >>> nonnegative([x - 1]).shows
        'contradicts'
    """
    pairs = (each if isinstance(each, tuple) else (each, 0) for each in expressions)
    parts = [(sympy.sympify(larger), sympy.sympify(smaller)) for larger, smaller in pairs]
    _check_symbols(parts, signs=True)
    differences = [sympy.together(larger - smaller) for larger, smaller in parts]
    is_proved = partial(_has_nonnegative_coefficients, strictly=strictly)
    nontrivial = [difference != 0 for difference in differences]
    return _symbolic(parts, differences, nontrivial, is_proved, lambda x: x <= 0 if strictly else x < 0, detail)


def _balls(cells: Sequence[Cell], relation: Relation, bound: Number | arb, detail: str) -> Outcome:
    checks.require(bool(cells), "cells", "must not be empty", cells)
    ranges = sorted({(cell.low, cell.high) for cell in cells}, key=lambda ends: ends[0])
    for (_, high), (low, _) in pairwise(ranges):
        checks.require(high is not None and low <= high, "cells", "must join without a gap", ((_, high), (low, _)))
    limit = to_ball(bound)
    checks.require(limit.is_finite(), "bound", "must be a number", bound)
    balls, below = [cell.ball for cell in cells], relation == "<="
    finite = all(ball.is_finite() for ball in balls)
    shows: Shows = "undecided"
    if finite and all(ball <= limit if below else ball >= limit for ball in balls):
        shows = "supports"
    elif finite and any(ball > limit if below else ball < limit for ball in balls):
        shows = "contradicts"
    ends = [float(ball.upper() if below else ball.lower()) for ball in balls]
    worst = (max(ends) if below else min(ends)) if finite else float("nan")
    covering = [sum(c.low <= x and (c.high is None or x < c.high) for c in cells) for x in {c.low for c in cells}]
    to_infinity = sum(cell.high is None for cell in cells)
    unbounded = to_infinity > 0 and to_infinity >= max(covering)
    return Outcome(shows, worst, relation, float(limit.mid()), len(balls), 0, unbounded, detail)


def _symbolic(
    parts: Sequence[tuple[Any, Any]],
    differences: Sequence[Any],
    nontrivial: Sequence[bool],
    is_proved: Callable[[Any], bool],
    is_wrong: Callable[[Any], bool],
    detail: str,
) -> Outcome:
    """Decide a statement about the difference of each pair."""
    checks.require(any(nontrivial), "cases", "must include one that is not trivial", f"{len(parts)} trivial cases")
    proved = [is_proved(difference) for difference in differences]
    refuted = any(_has_counterexample(d, is_wrong) for fine, d in zip(proved, differences, strict=True) if not fine)
    shows: Shows = "supports" if all(proved) else "contradicts" if refuted else "undecided"
    # Symbols are collected before the subtraction: a difference may be the same number for all their values.
    unbounded = all(a.free_symbols | b.free_symbols for (a, b), counts in zip(parts, nontrivial, strict=True) if counts)
    cases = nontrivial.count(True)
    return Outcome(shows, float(proved.count(False)), "<=", 0.0, cases, len(parts) - cases, unbounded, detail)


def _check_symbols(parts: Iterable[tuple[Any, Any]], signs: bool = False) -> None:
    """Refuse floats, symbols for integers alone, and, where signs are judged, symbols that may be negative."""
    for expression in chain.from_iterable(parts):
        checks.require(not expression.has(sympy.Float), "expressions", "must be exact, without floats", expression)
        for symbol in expression.free_symbols:
            fine = not symbol.is_integer and (not signs or symbol.is_nonnegative or symbol.is_real is None)
            checks.require(bool(fine), "symbols", "must range over all numbers >= 0", symbol)


def _is_zero(expression: Any) -> bool:
    if expression.is_rational_function():
        above, below = sympy.fraction(sympy.together(expression))
        return sympy.expand(above) == 0 and sympy.expand(below) != 0
    return sympy.simplify(expression) == 0


def _has_nonnegative_coefficients(expression: Any, strictly: bool) -> bool:
    symbols = sorted(expression.free_symbols, key=str)
    if not symbols:
        return bool(expression > 0 if strictly else expression >= 0)
    parts = [sympy.Poly(part, *symbols) for part in sympy.fraction(expression)]
    signs = [{sympy.sign(c) for c in part.coeffs()} for part in parts]
    if not any(all(present <= {0, sign} for present in signs) for sign in (1, -1)):
        return False
    constants = [part.coeff_monomial(1) for part in parts]
    # Where all symbols vanish, a denominator without a constant term would leave the quotient undefined.
    return constants[1] != 0 and (not strictly or constants[0] != 0)


def _has_counterexample(expression: Any, is_wrong: Callable[[Any], bool]) -> bool:
    """Return whether the expression is wrong at one of ``POINTS`` rational points with positive coordinates."""
    symbols, random = sorted(expression.free_symbols, key=str), Random(0)
    for _ in range(POINTS if symbols else 1):
        point = {s: random.choice(_SIZES) * sympy.Rational(random.randint(1, 9), random.randint(1, 9)) for s in symbols}
        value = expression.subs(point)
        if not value.is_Rational:
            value = sympy.N(value, 60)
            if not value.is_real or abs(value) < sympy.Rational(1, 10**40):
                continue
        if is_wrong(value):
            return True
    return False
