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


def test_single_precision_is_refused():
    with pytest.raises(ValueError, match="actual: must be float64 or exact"):
        equal(jnp.ones(3, jnp.float32), jnp.ones(3))


def test_trivial_cases_do_not_count():
    outcome = equal(np.array([0.0, 2.0, 0.0]), np.array([0.0, 2.0, 0.0]))
    assert (outcome.cases, outcome.trivial) == (1, 2)
    outcome = at_most([5.0, 0.0], 1.0, nontrivial=[False, True])
    assert (outcome.shows, outcome.cases, outcome.trivial) == ("supports", 1, 1)
    with pytest.raises(ValueError, match="expected: must differ from 0 in some case"):
        equal(np.zeros(2), np.zeros(2))
    assert equal(np.zeros(2), np.zeros(2), nontrivial=[True, False]).cases == 1
    with pytest.raises(ValueError, match="cases: must include one"):
        every([True], nontrivial=[False])
    with pytest.raises(ValueError, match="cases: must include one"):
        at_most([], 1.0)


def test_bad_bounds_are_refused():
    with pytest.raises(ValueError, match="bound: must be a number"):
        at_most([0.0], NAN)
    with pytest.raises(ValueError, match="refuted: must not be on the near side"):
        at_most([0.0], 1.0, refuted_above=0.5)
    with pytest.raises(ValueError, match="holds: must be booleans"):
        every([1, 0])


def test_a_wrong_value_where_zero_was_expected_is_not_trivial():
    assert equal(np.array([5.0, 1.0]), np.array([0.0, 1.0])).shows == "contradicts"
    assert equal(np.array([NAN, 1.0]), np.array([0.0, 1.0])).shows == "undecided"


def test_quantities_below_the_tolerance_are_trivial():
    """The gap is absolute below 1: 1e-14 and 5e-13 would agree."""
    with pytest.raises(ValueError, match="expected: must differ from 0 in some case"):
        equal(np.array([5e-13]), np.array([1e-14]))


@pytest.mark.parametrize(
    "compare",
    [
        lambda: equal(np.array([1 + 2j]), np.array([1 + 3j])),
        lambda: equal(np.array([1.0001], np.float16), np.array([1.0])),
        lambda: equal(np.zeros((2, 0)), np.zeros((2, 0)), nontrivial=[True, True]),
        lambda: every(np.ones((3, 0), bool)),
        lambda: at_most(np.array([0.5 + 100j]), 1.0),
        lambda: at_most(np.array([arb(0.9, 0.5), arb(0.5, 0.1)], object), 1.0),
    ],
)
def test_what_cannot_be_compared_is_refused(compare):
    with pytest.raises(ValueError, match=r"must be|must hold|must not be"):
        compare()


def test_a_bound_is_not_rounded_to_the_dtype_of_the_values():
    assert at_most(np.array([1.0], np.float32), 0.99999999).shows == "contradicts"
    assert at_least(np.array([-128], np.int8), 0).shows == "contradicts"
