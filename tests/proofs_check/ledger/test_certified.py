"""Balls and symbols: what they prove, what they refute, and how far they reach."""

from fractions import Fraction

import pytest
import sympy
from flint import arb

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
    ],
)
def test_what_is_proved_and_how_far_it_reaches(outcome, shows, unbounded):
    assert (outcome.shows, outcome.unbounded) == (shows, unbounded)


def test_a_range_with_a_gap_is_refused():
    with pytest.raises(ValueError, match="cells: must join without a gap"):
        balls_at_most([Cell(0, 1, arb(1)), Cell(2, None, arb(1))], 2)
    with pytest.raises(ValueError, match="cells: must join without a gap"):
        balls_at_most([Cell(0, None, arb(1)), Cell(2, None, arb(1))], 2)


def test_what_says_nothing_is_refused():
    with pytest.raises(ValueError, match="cases: must hold one that exercises the statement"):
        same([(sympy.Integer(0), sympy.Integer(0))])
    with pytest.raises(ValueError, match="cases: must hold one that exercises the statement"):
        nonnegative([x - x])
    with pytest.raises(ValueError, match="cells: must not be empty"):
        balls_at_most([], 1)


def test_floats_and_symbols_of_other_ranges_are_refused():
    with pytest.raises(ValueError, match="expressions: must be exact, without floats"):
        same([(1e16 * x + x, 1e16 * x)])
    with pytest.raises(ValueError, match="symbols: must range over all numbers >= 0"):
        nonnegative([sympy.Symbol("r", real=True) ** 3])
    with pytest.raises(ValueError, match="symbols: must range over all numbers >= 0"):
        nonnegative([sympy.Symbol("n", integer=True, nonnegative=True) + 1])


def test_a_quotient_by_zero_is_no_identity():
    zero = (x + 1) ** 2 - x**2 - 2 * x - 1
    assert same([(((x + 2) ** 2 - x**2 - 4 * x - 4) / zero, sympy.Integer(7))]).shows != "supports"
