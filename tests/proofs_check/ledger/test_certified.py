"""Balls and symbols: what they prove and refute, and which ranges they cover."""

from fractions import Fraction

import pytest
import sympy
from flint import arb

from proofs_check.ledger import Claim, Findings, Test, decide
from proofs_check.ledger.certified import Cell, balls_at_least, balls_at_most, nonnegative, same

x, y = sympy.symbols("x y", nonnegative=True)


@pytest.mark.parametrize(
    ("outcome", "shows", "unbounded"),
    [
        (balls_at_most([Cell(0, 1, arb(1)), Cell(1, None, arb(2))], 2), "supports", True),
        (balls_at_most([Cell(0, 1, arb(1)), Cell(1, 2, arb(2))], 2), "supports", False),
        (balls_at_most([Cell(0, None, arb(1, 0.5))], 1), "undecided", True),
        (balls_at_most([Cell(0, None, arb(3, 0.5))], 2), "contradicts", True),
        (balls_at_most([Cell(0, None, arb.nan())], 2), "undecided", True),
        (balls_at_least([Cell(0, None, arb(3, 0.5))], 2), "supports", True),
        (balls_at_least([Cell(0, None, arb(2, 0.5))], 2), "undecided", True),
        (balls_at_least([Cell(0, 1, arb(1, 0.5))], 2), "contradicts", False),
        (balls_at_least([Cell(0, None, arb(1)), Cell(0, None, arb.nan())], 0), "undecided", True),
        (balls_at_most([Cell(0, 0, arb(1) / 3)], Fraction(1, 3)), "undecided", False),
        (same([((x + 1) ** 2, x**2 + 2 * x + 1)]), "supports", True),
        (same([((x + 1) ** 2, x**2 + 1)]), "contradicts", True),
        (same([(sympy.Rational(1, 2), sympy.Rational(2, 4))]), "supports", False),
        (same([(sympy.exp(x) * sympy.exp(y), sympy.exp(x + y))]), "supports", True),
        (nonnegative([x**2 + 3 * x * y, x / (1 + x)]), "supports", True),
        (nonnegative([x - y]), "contradicts", True),
        (nonnegative([x**2 - 2 * x + 1]), "undecided", True),
        (nonnegative([x], strictly=True), "undecided", True),
        (nonnegative([x + 1], strictly=True), "supports", True),
        (nonnegative([-x - 1]), "contradicts", True),
        (nonnegative([sympy.Integer(1)]), "supports", False),
        (nonnegative([1 / (x - 1)]), "contradicts", True),
        (nonnegative([1 / x]), "undecided", True),
        (nonnegative([(x + 1, x)]), "supports", True),  # cancels to a constant, for all x
        (nonnegative([x + 1, sympy.Rational(1, 2)]), "supports", False),
        (same([(x, x), (sympy.Integer(1), sympy.Integer(1))]), "supports", False),
        (same([(x, x), (sympy.Integer(0), sympy.Integer(0))]), "supports", True),
        (balls_at_most([Cell(0, 1, arb(1)), Cell(0, 1, arb(2)), Cell(1, None, arb(1))], 2), "supports", False),
        (balls_at_most([Cell(0, 1, arb(1)), Cell(1, None, arb(1))] * 2, 2), "supports", True),
    ],
)
def test_what_is_proved_and_over_which_range(outcome, shows, unbounded):
    assert (outcome.shows, outcome.unbounded) == (shows, unbounded)


REAL, WHOLE = sympy.Symbol("r", real=True), sympy.Symbol("n", integer=True, nonnegative=True)


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        (lambda: balls_at_most([Cell(0, 1, arb(1)), Cell(2, None, arb(1))], 2), "cells: must join without a gap"),
        (lambda: balls_at_most([Cell(0, None, arb(1)), Cell(2, None, arb(1))], 2), "cells: must join without a gap"),
        (lambda: balls_at_most([], 1), "cells: must not be empty"),
        (lambda: same([(sympy.Integer(0), sympy.Integer(0))]), "cases: must include one that is not trivial"),
        (lambda: nonnegative([x - x]), "cases: must include one that is not trivial"),
        (lambda: same([(1e16 * x + x, 1e16 * x)]), "expressions: must be exact, without floats"),
        (lambda: nonnegative([REAL**3]), "symbols: must range over all numbers >= 0"),
        (lambda: nonnegative([WHOLE + 1]), "symbols: must range over all numbers >= 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(compare, message):
    with pytest.raises(ValueError, match=message):
        compare()


def decided(pairs) -> str:
    """The verdict on a limit that these pairs establish."""
    test = Test("symbolic", "limit", lambda wrong: same([*pairs, (x, x + wrong)]), printed=0, mutants={"one more": 1})
    return decide(Claim("a.limit", "s", "s", "s", "holds", lambda: Findings((test,)), limit=["limit"])).verdict


def test_one_identity_in_symbols_does_not_carry_a_limit_that_is_checked_at_a_point():
    """With "any" in place of "all" the second claim would count as proved: its other part is true at t = 10 alone."""
    t = sympy.Symbol("t", positive=True)
    assert decided([((t + 1) ** 2, t**2 + 2 * t + 1)]) == "holds"
    assert decided([((t / 10).subs(t, 10), sympy.Integer(1))]) == "holds, numerically"


def test_a_quotient_by_zero_is_no_identity():
    zero = (x + 1) ** 2 - x**2 - 2 * x - 1
    assert same([(((x + 2) ** 2 - x**2 - 4 * x - 4) / zero, sympy.Integer(7))]).shows != "supports"
