"""Rates in log-time, with their uncertainty."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from circuits import checks, display
from circuits.typing import AnyArray


class Rate(NamedTuple):
    """d value / d log t over the last decades of a solution.

    Args:
        slope: slope of the least-squares line.
        uncertainty: the largest distance between the slope and that of a single decade. A solution has no noise: its
            slope is uncertain only because it still changes.
        decades: number of decades that the line spans.
    """

    slope: float
    uncertainty: float
    decades: int

    @display.safe
    def _repr_html_(self) -> str:
        slope, uncertainty = map(display.number, (self.slope, self.uncertainty))
        return display.paragraph(f"slope {slope} ± {uncertainty} per unit of log t, over {self.decades} decades")


def rate(times: Float[AnyArray, " times"], values: Float[AnyArray, " times"], decades: int = 3) -> Rate:
    """Fit value = slope log t + constant to the last decades.

    Args:
        times: increasing times.
        values: a value at each time. For a power law t^p, log values: then the slope is p.
        decades: number of decades before the last time.

    Raises:
        ValueError: for shapes that differ, values that are not finite, or fewer than 2 times in any of the decades.

    Example:
        >>> times = np.logspace(0, 6, 50)
        >>> fit = rate(times, np.log(5 * times**2))
        >>> round(fit.slope, 6), fit.uncertainty < 1e-9
        (2.0, True)
    """
    checks.integer("decades", decades, min_value=1)
    t, x = np.asarray(times, float), np.asarray(values, float)
    checks.shape("values", x, t.shape)
    checks.finite("values", x)
    slack = 1e-9  # logspace misses its own grid points by a rounding error
    ends = t[-1] * 10.0 ** -np.arange(decades, -1, -1)
    inside = [(t >= low * (1 - slack)) & (t <= high * (1 + slack)) for low, high in pairwise(ends)]
    points = int(min(decade.sum() for decade in inside))
    checks.require(points >= 2, "times", f"must have 2 points in each of the last {decades} decades", points)
    slope = _slope(t, x, t >= ends[0] * (1 - slack))
    return Rate(slope, max(abs(_slope(t, x, decade) - slope) for decade in inside), decades)


def _slope(t: np.ndarray, x: np.ndarray, where: np.ndarray) -> float:
    return float(np.polyfit(np.log(t[where]), x[where], 1)[0])
