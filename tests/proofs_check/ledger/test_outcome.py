"""What comparisons show, above all with NaN, infinity and trivial cases."""

from fractions import Fraction
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from flint import arb
from jax import Array

from proofs_check.ledger.outcome import at_least, at_most, equal, every

NAN, INF = float("nan"), float("inf")
HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("outcome", "shows"),
    [
        (at_most([1.0, 0.0], 1.0), "supports"),
        (at_most([1.1, 0.0], 1.0), "contradicts"),
        (at_most([1.1], 1.0, refuted_above=2.0), "undecided"),
        (at_most([2.1], 1.0, refuted_above=2.0), "contradicts"),
        (at_most([0.0, NAN], 1.0), "undecided"),
        (at_most([NAN, 5.0], 1.0), "undecided"),
        (at_most([INF], 1.0), "contradicts"),
        (at_most([-INF], 1.0), "undecided"),
        (at_least([1.0, 2.0], 1.0), "supports"),
        (at_least([0.9, 2.0], 1.0), "contradicts"),
        (at_least([0.9], 1.0, refuted_below=0.5), "undecided"),
        (at_least([NAN, 2.0], 1.0), "undecided"),
        (at_least([INF], 1.0), "undecided"),
        (at_most([HALF], HALF), "supports"),
        (at_most([HALF + Fraction(1, 10**30)], HALF), "contradicts"),
        (every([True, True]), "supports"),
        (every([True, False]), "contradicts"),
        (every([[True, True], [True, False]]), "contradicts"),
        (equal([[1.0]], [[1.0 + 1e-13]]), "supports"),
        (equal([[1.0]], [[1.0 + 1e-9]]), "undecided"),
        (equal([[1.0]], [[1.0 + 1e-5]]), "contradicts"),
        (equal([[1.0], [NAN]], [[1.0], [2.0]]), "undecided"),
        (equal([[NAN]], [[NAN]]), "undecided"),
        (equal([[INF]], [[INF]]), "undecided"),
        (equal([[INF]], [[1.0]]), "undecided"),
        (equal([HALF], [HALF]), "supports"),
        (equal([HALF], [HALF + Fraction(1, 10**30)]), "contradicts"),
        (equal([3], [4]), "contradicts"),
        (equal(np.array([5.0, 1.0]), np.array([0.0, 1.0])), "contradicts"),  # not trivial, although 0 is expected
        (equal(np.array([NAN, 1.0]), np.array([0.0, 1.0])), "undecided"),
        (at_most(np.array([1.0], np.float32), 0.99999999), "contradicts"),  # the bound is not rounded to float32
        (at_least(np.array([-128], np.int8), 0), "contradicts"),
    ],
)
def test_what_a_comparison_shows(outcome, shows):
    assert outcome.shows == shows


def test_nan_is_not_lost_whatever_its_position():
    """Python's max([1e-16, nan]) is 1e-16: an earlier engine called NaN agreement."""
    for position in range(4):
        gaps = np.full(4, 1e-16)
        gaps[position] = NAN
        assert at_most(gaps, 1e-12).shows == "undecided"
        assert np.isnan(at_most(gaps, 1e-12).value)
    ours, truth = jnp.ones((3, 2)), jnp.ones((3, 2))
    assert equal(ours.at[1, 1].set(NAN), truth).shows == "undecided"


class Pair(NamedTuple):
    a: Array
    b: Array


def test_trees_are_compared_leaf_by_leaf_and_case_by_case():
    truth = Pair(jnp.ones((3, 2)), jnp.ones((3, 2, 2)))
    assert equal(truth, truth).cases == 3
    wrong = Pair(truth.a, truth.b.at[2, 0, 1].set(2.0))
    assert equal(wrong, truth).shows == "contradicts"
    assert equal([(1.0, np.ones(2))] * 3, [(1.0, np.ones(2))] * 3).cases == 3
    with pytest.raises(ValueError, match="actual: must have the shapes of expected"):
        equal(Pair(truth.a, truth.a), truth)
    with pytest.raises(ValueError, match="actual: must have 3 cases"):
        equal([1.0], truth)


def test_trivial_cases_do_not_count():
    outcome = equal(np.array([0.0, 2.0, 0.0]), np.array([0.0, 2.0, 0.0]))
    assert (outcome.cases, outcome.trivial) == (1, 2)
    outcome = at_most([5.0, 0.0], 1.0, nontrivial=[False, True])
    assert (outcome.shows, outcome.cases, outcome.trivial) == ("supports", 1, 1)
    assert equal(np.zeros(2), np.zeros(2), nontrivial=[True, False]).cases == 1


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        (lambda: equal(jnp.ones(3, jnp.float32), jnp.ones(3)), "actual: must be float64 or exact"),
        (lambda: equal(np.array([1 + 2j]), np.array([1 + 3j])), "actual: must be float64 or exact"),
        (lambda: equal(np.array([1.0001], np.float16), np.array([1.0])), "actual: must be float64 or exact"),
        (lambda: equal(np.zeros((2, 0)), np.zeros((2, 0)), nontrivial=[True, True]), "expected: must hold an entry"),
        (lambda: every(np.ones((3, 0), bool)), "holds: must not be empty"),
        (lambda: every([1, 0]), "holds: must be booleans"),
        (lambda: at_most([0.0], NAN), "bound: must be a number"),
        (lambda: at_most([0.0], 1.0, refuted_above=0.5), "refuted: must not be on the near side"),
        (lambda: at_most(np.array([0.5 + 100j]), 1.0), "values: must be real numbers"),
        (lambda: at_most(np.array([arb(0.9, 0.5), arb(0.5, 0.1)], object), 1.0), "values: must be real numbers"),
        (lambda: at_most([], 1.0), "cases: must include one"),
        (lambda: every([True], nontrivial=[False]), "cases: must include one"),
        (lambda: equal(np.zeros(2), np.zeros(2)), "expected: must differ from 0 in some case"),
        # The gap is absolute below 1, so quantities below the tolerance would always agree.
        (lambda: equal(np.array([5e-13]), np.array([1e-14])), "expected: must differ from 0 in some case"),
    ],
)
def test_what_cannot_be_compared_is_refused(compare, message):
    with pytest.raises(ValueError, match=message):
        compare()
