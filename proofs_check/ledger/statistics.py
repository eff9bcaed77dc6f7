"""Statistical evidence: what was measured on independent runs, against a plan that the registry states beforehand.

A check hands over what it counted or measured; the interval, the effect that it must reach and the number of
comparisons that share one error rate come from the claim's plan.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest, t

from circuits import checks
from proofs_check.ledger.outcome import Outcome, Shows


@dataclass(frozen=True)
class Plan:
    """What a statistical test asks for, set in the registry before the data are read.

    Args:
        at_most: the effect: the whole interval must lie at or below it.
        at_least: or at or above this; exactly one of the two is given.
        comparisons: how many intervals hold at once: all that were looked at, not only those shown.
        level: the probability that they all do.
    """

    at_most: int | float | None = None
    at_least: int | float | None = None
    comparisons: int = 1
    level: float = 0.95

    def __post_init__(self) -> None:
        given = (self.at_most is None) != (self.at_least is None)
        checks.require(given, "statistics", "must give one of at_most and at_least", (self.at_most, self.at_least))
        checks.integer("comparisons", self.comparisons, min_value=1)
        checks.require(0.5 <= self.level < 1, "level", "must lie in [0.5, 1)", self.level)

    @property
    def each(self) -> float:
        """The level of one interval (Bonferroni)."""
        return 1 - (1 - self.level) / self.comparisons


@dataclass(frozen=True)
class Counts:
    """Of independent trials in each run, how many succeeded. The statement is about the rate of every run.

    With ``around``, it is about |rate - around|.
    """

    successes: Any
    trials: int
    around: float | None = None


@dataclass(frozen=True)
class Mean:
    """One number a run; the statement is about the mean over runs (Student's interval)."""

    values: Any


@dataclass(frozen=True)
class Intervals:
    """Intervals that were computed otherwise, each at ``level``; the statement is about every one of them."""

    low: Any
    high: Any
    level: float


Sample = Counts | Mean | Intervals


def judge(sample: Sample, plan: Plan) -> Outcome:
    """Supports if every interval lies within the bound, contradicts if one lies wholly beyond it.

    Raises ValueError for intervals at a lower level than the plan asks for, or a mean of fewer than three runs.
    """
    low, high = _intervals(sample, plan)
    below = plan.at_most is not None
    bound = float(plan.at_most if plan.at_most is not None else plan.at_least)  # pyright: ignore[reportArgumentType]
    far, near = (high, low) if below else (low, high)
    sign = 1 if below else -1
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        shows: Shows = "undecided"
    elif (sign * far <= sign * bound).all():
        shows = "supports"
    else:
        shows = "contradicts" if (sign * near > sign * bound).any() else "undecided"
    worst = int(np.argmax(sign * far)) if np.isfinite(far).all() else 0
    detail = f"worst interval {low[worst]:.4g} to {high[worst]:.4g}, {plan.each:.4%} each, {plan.comparisons} at once"
    cases = sample.trials * len(low) if isinstance(sample, Counts) else np.size(getattr(sample, "values", low))
    return Outcome(shows, float(far[worst]), "<=" if below else ">=", bound, int(cases), detail=detail)


def _intervals(sample: Sample, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(sample, Counts):
        whole = np.asarray(sample.successes).dtype.kind in "iu"
        checks.require(whole, "successes", "must be whole numbers", sample.successes)
        counts = np.atleast_1d(np.asarray(sample.successes)).tolist()
        found = [binomtest(int(n), sample.trials).proportion_ci(plan.each, method="exact") for n in counts]
        low, high = (np.array([float(getattr(each, end)) for each in found]) for end in ("low", "high"))
        return (low, high) if sample.around is None else _distance(low, high, sample.around)
    if isinstance(sample, Mean):
        values = np.asarray(sample.values, float)
        checks.require(values.ndim == 1, "values", "must hold one number a run", values.shape)
        checks.require(len(values) >= 3, "values", "must hold at least three runs", len(values))
        half = t.ppf((1 + plan.each) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        return np.array([values.mean() - half]), np.array([values.mean() + half])
    enough = sample.level >= plan.each - 1e-12
    checks.require(enough, "level", f"must be at least {plan.each:.6f}, as the plan asks", sample.level)
    low, high = (np.atleast_1d(np.asarray(ends, float)) for ends in (sample.low, sample.high))
    ordered = low.shape == high.shape and not (low > high).any()
    checks.require(ordered, "low", "must not exceed high", (sample.low, sample.high))
    return low, high


def _distance(low: np.ndarray, high: np.ndarray, centre: float) -> tuple[np.ndarray, np.ndarray]:
    ends = np.abs(np.stack([low, high]) - centre)
    inside = (low <= centre) & (centre <= high)
    return np.where(inside, 0.0, ends.min(axis=0)), ends.max(axis=0)
