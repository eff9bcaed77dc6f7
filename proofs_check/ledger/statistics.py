"""Statistical evidence: samples measured on independent runs, judged by a plan that the registry states beforehand.

A check returns counts or measurements. The interval, the effect that it must reach and the number of comparisons that
share one error rate come from the claim's plan.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import binomtest, t

from circuits import checks, display
from proofs_check.ledger.outcome import Outcome, Shows


@dataclass(frozen=True)
class Plan:
    """The bound and the confidence level of a statistical test, fixed in the registry before the data are read.

    Args:
        at_most: bound that the whole interval must not exceed.
        at_least: bound that it must reach or exceed. Exactly one of the two bounds is given.
        comparisons: number of intervals that must hold jointly: all that were looked at, not only those reported.
        level: probability that all of them hold.

    Raises:
        ValueError: for both bounds or none, a level outside [0.5, 1), or fewer than one comparison.

    Example:
        >>> Plan(at_least=0.5, comparisons=10).interval_level  # Bonferroni
        0.995
    """

    at_most: int | float | None = None
    at_least: int | float | None = None
    comparisons: int = 1
    level: float = 0.95

    _repr_html_ = display.html

    def __post_init__(self) -> None:
        one = (self.at_most is None) != (self.at_least is None)
        checks.require(one, "statistics", "must give one of at_most and at_least", (self.at_most, self.at_least))
        checks.integer("comparisons", self.comparisons, min_value=1)
        checks.require(0.5 <= self.level < 1, "level", "must be in [0.5, 1)", self.level)

    @property
    def interval_level(self) -> float:
        """The level of one interval (Bonferroni)."""
        return 1 - (1 - self.level) / self.comparisons


@dataclass(frozen=True)
class Counts:
    """Numbers of successes; the statement is about the success rate of every run (Clopper-Pearson interval).

    Args:
        successes: successes in each run, [runs].
        trials: number of independent trials in each run.
        around: if given, the statement is about |rate - around|.

    Example:
        >>> judge(Counts([0, 1], trials=10_000), Plan(at_most=0.001, comparisons=2)).shows
        'supports'
    """

    successes: Any
    trials: int
    around: float | None = None

    _repr_html_ = display.html


@dataclass(frozen=True)
class Mean:
    """One number per run; the statement is about the mean over runs (Student's interval).

    Args:
        values: the numbers, [runs], of at least three runs.

    Example:
        >>> judge(Mean([1.0, 1.1, 0.9]), Plan(at_least=0)).shows
        'supports'
    """

    values: Any

    _repr_html_ = display.html


@dataclass(frozen=True)
class Intervals:
    """Confidence intervals that the check computed itself; the statement is about every one of them.

    Args:
        low: lower ends, [intervals].
        high: upper ends, [intervals].
        level: the level of each, at least that of the plan's intervals.

    Example:
        >>> judge(Intervals([0.1, -0.1], [0.2, 0.1], level=0.95), Plan(at_least=0)).shows
        'undecided'
    """

    low: Any
    high: Any
    level: float

    _repr_html_ = display.html


Sample = Counts | Mean | Intervals


def judge(sample: Sample, plan: Plan) -> Outcome:
    """Compare a sample's confidence intervals with the bound of a plan.

    Args:
        sample: what was measured.
        plan: the bound, and the level at which all intervals are to hold.

    Returns:
        Support if every interval is within the bound, contradiction if one is wholly beyond it, otherwise undecided.

    Raises:
        ValueError: for intervals at a lower level than the plan asks for, or a mean of fewer than three runs.

    Example:
        >>> judge(Counts([0, 40], trials=100), Plan(at_most=0.1)).shows
        'contradicts'
    """
    low, high = _intervals(sample, plan)
    below = plan.at_most is not None
    bound = float(plan.at_most if plan.at_most is not None else plan.at_least)  # pyright: ignore[reportArgumentType]
    far, near = (high, low) if below else (low, high)
    sign = 1 if below else -1
    shows: Shows = "undecided"
    if np.isfinite(low).all() and np.isfinite(high).all():
        if (sign * far <= sign * bound).all():
            shows = "supports"
        elif (sign * near > sign * bound).any():
            shows = "contradicts"
    worst = int(np.argmax(sign * far)) if np.isfinite(far).all() else 0
    levels = f"{plan.interval_level:.4%} each, {plan.comparisons} at once"
    detail = f"worst interval {low[worst]:.4g} to {high[worst]:.4g}, {levels}"
    cases = sample.trials * len(low) if isinstance(sample, Counts) else np.size(getattr(sample, "values", low))
    return Outcome(shows, float(far[worst]), "<=" if below else ">=", bound, int(cases), detail=detail)


def _intervals(sample: Sample, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    level = plan.interval_level
    if isinstance(sample, Counts):
        successes = np.atleast_1d(np.asarray(sample.successes))
        checks.require(successes.dtype.kind in "iu", "successes", "must be whole numbers", sample.successes)
        low, high = np.array([_exact_interval(n, sample.trials, level) for n in successes.tolist()]).T
        return (low, high) if sample.around is None else _distance(low, high, sample.around)
    if isinstance(sample, Mean):
        values = np.asarray(sample.values, float)
        checks.require(values.ndim == 1, "values", "must hold one number per run", values.shape)
        checks.require(len(values) >= 3, "values", "must hold at least three runs", len(values))
        half = t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        return np.array([values.mean() - half]), np.array([values.mean() + half])
    rule = f"must be at least {level:.6f}, as the plan asks"
    checks.require(sample.level >= level - 1e-12, "level", rule, sample.level)
    low, high = (np.atleast_1d(np.asarray(ends, float)) for ends in (sample.low, sample.high))
    ordered = low.shape == high.shape and not (low > high).any()
    checks.require(ordered, "low", "must not exceed high", (sample.low, sample.high))
    return low, high


@cache
def _exact_interval(successes: int, trials: int, level: float) -> tuple[float, float]:
    interval = binomtest(successes, trials).proportion_ci(level, method="exact")
    return float(interval.low), float(interval.high)


def _distance(low: np.ndarray, high: np.ndarray, centre: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of |x - centre| for x from low to high."""
    ends = np.abs(np.stack([low, high]) - centre)
    inside = (low <= centre) & (centre <= high)
    return np.where(inside, 0.0, ends.min(axis=0)), ends.max(axis=0)
