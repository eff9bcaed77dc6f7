"""Statistical evidence: the plan's bound, level and number of comparisons decide, and an interval must clear them."""

import numpy as np
import pytest
from scipy.stats import binomtest

from proofs_check.ledger.statistics import Counts, Intervals, Mean, Plan, judge


@pytest.mark.parametrize(
    ("sample", "plan", "shows"),
    [
        (Counts([0, 1], 10_000), Plan(at_most=0.001, comparisons=2), "supports"),
        (Counts([0, 500], 10_000), Plan(at_most=0.001, comparisons=2), "contradicts"),
        (Counts([0, 10], 10_000), Plan(at_most=0.001, comparisons=2), "undecided"),
        (Counts([5000], 10_000, around=0.5), Plan(at_most=0.03), "supports"),
        (Counts([6000], 10_000, around=0.5), Plan(at_most=0.03), "contradicts"),
        (Counts([4000], 10_000, around=0.5), Plan(at_most=0.03), "contradicts"),
        (Mean([1.0, 1.1, 0.9]), Plan(at_least=0.0), "supports"),
        (Mean([1.0, 1.1, -0.9]), Plan(at_least=0.0), "undecided"),
        (Mean([-1.0, -1.1, -0.9]), Plan(at_least=0.0), "contradicts"),
        (Mean([1.0, 1.1, float("nan")]), Plan(at_least=0.0), "undecided"),
        (Intervals([0.1], [0.2], 0.95), Plan(at_least=0.0), "supports"),
        (Intervals([0.1, -0.1], [0.2, 0.1], 0.95), Plan(at_least=0.0), "undecided"),
        (Intervals([float("nan")], [float("nan")], 0.95), Plan(at_least=0.0), "undecided"),
    ],
)
def test_what_a_sample_shows(sample, plan, shows):
    assert judge(sample, plan).shows == shows


def test_more_comparisons_need_wider_intervals():
    counts, one, many = Counts([3], 1000), Plan(at_most=0.01), Plan(at_most=0.01, comparisons=1000)
    assert (judge(counts, one).shows, judge(counts, many).shows) == ("supports", "undecided")
    expected = binomtest(3, 1000).proportion_ci(1 - 0.05 / 1000, method="exact").high
    assert judge(counts, many).value == pytest.approx(expected)


def test_the_interval_of_a_mean_has_its_level():
    rng = np.random.default_rng(0)
    plan = Plan(at_least=-10.0, level=0.9)
    ends = [judge(Mean(rng.normal(size=5)), plan).value for _ in range(1000)]
    assert np.mean(np.array(ends) > 0) == pytest.approx(0.05, abs=0.02)


PLAN = Plan(at_most=0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Plan(), "statistics: must give one of at_most and at_least"),
        (lambda: Plan(at_most=1.0, at_least=0.0), "statistics: must give one of at_most and at_least"),
        (lambda: Plan(at_most=1.0, level=0.2), "level: must be in"),
        (lambda: judge(Mean([1.0, 2.0]), PLAN), "values: must hold at least three runs"),
        (lambda: judge(Mean(np.ones((3, 1000))), PLAN), "values: must hold one number per run"),
        (
            lambda: judge(Intervals([0.0], [1.0], 0.95), Plan(at_least=0.0, comparisons=2)),
            "level: must be at least 0.975",
        ),
        (lambda: judge(Intervals([0.9], [0.1], 0.95), PLAN), "low: must not exceed high"),
        (lambda: judge(Counts([0.9], 100), PLAN), "successes: must be whole numbers"),
    ],
)
def test_bad_plans_and_samples_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
