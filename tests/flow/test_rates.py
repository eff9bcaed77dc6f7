"""Slopes in log t: exact on lines, uncertain on curves."""

import numpy as np
import pytest

from circuits.flow.rates import rate
from circuits.flow.solve import log_times

TIMES = np.asarray(log_times(1e8, per_decade=8))


@pytest.mark.parametrize(("slope", "constant"), [(1.0, 0.0), (0.25, -3.0), (-2.5, 7.0), (0.0, 1.0)])
def test_the_slope_of_a_line_in_log_t(slope, constant):
    fit = rate(TIMES[1:], slope * np.log(TIMES[1:]) + constant)
    assert abs(fit.slope - slope) < 1e-10
    assert 0 <= fit.uncertainty < 1e-10
    assert fit.decades == 3


@pytest.mark.parametrize("power", [-0.5, 2.0])
def test_the_exponent_of_a_power_law(power):
    fit = rate(TIMES[1:], np.log(3.0 * TIMES[1:] ** power), decades=5)
    assert abs(fit.slope - power) < 1e-10
    assert fit.uncertainty < 1e-10


def test_only_the_last_decades_count():
    values = np.where(TIMES < 0.99e6, 100.0, np.log(np.maximum(TIMES, 1.0)))
    assert abs(rate(TIMES, values, decades=2).slope - 1) < 1e-10
    assert abs(rate(TIMES, values, decades=3).slope - 1) > 1


def test_a_curve_that_bends_is_uncertain_and_a_straighter_end_less_so():
    """(log t)^2 has slope 2 log t, so single decades differ from the whole by up to 2 log 10."""
    fit = rate(TIMES[1:], np.log(TIMES[1:]) ** 2)
    decade = np.log(10)
    middle = np.log(1e8) - 1.5 * decade
    assert abs(fit.slope - 2 * middle) < 1e-6
    assert abs(fit.uncertainty - 2 * decade) < 1e-6
    settling = np.log(TIMES[1:]) + TIMES[1:] ** -0.5
    early, late = (rate(TIMES[1:][TIMES[1:] <= end * 1.001], settling[TIMES[1:] <= end * 1.001]) for end in (1e4, 1e8))
    assert 0 < late.uncertainty < early.uncertainty / 50


def test_a_time_of_zero_is_never_in_a_decade():
    assert abs(rate(TIMES, np.log1p(TIMES)).slope - 1) < 1e-4


def test_log_times_are_even_in_log_t():
    times = np.asarray(log_times(1e6, per_decade=4, first=0.1))
    assert times[0] == 0
    assert times[-1] == 1e6
    assert len(times) == 1 + 7 * 4 + 1
    np.testing.assert_allclose(np.diff(np.log10(times[1:])), 0.25, rtol=0, atol=1e-12)


def test_errors():
    cases = [
        (lambda: rate(TIMES, np.full_like(TIMES, np.nan)), r"values: must be finite, got nan at \(0,\)"),
        (lambda: rate(np.array([1e6, 1e7, 1e8]), np.ones(3), decades=3), "times: must have 2 points in each"),
        (lambda: rate(TIMES, TIMES, decades=0), "decades: must be an integer at least 1"),
        (lambda: log_times(1e-3), "end: must be finite and above first = 0.01"),
        (lambda: log_times(float("inf")), "end: must be finite and above first = 0.01"),
        (lambda: log_times(1e3, per_decade=0), "per_decade: must be an integer at least 1"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
