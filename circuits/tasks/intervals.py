"""Shares of problems in words, with Wilson's intervals at 95%."""

from typing import SupportsFloat


def percent(share: SupportsFloat | None) -> str:
    """Return a share as a percentage, "-" for None."""
    return "-" if share is None else f"{float(share):.1%}"


def with_interval(share: float, count: int) -> tuple[str, str]:
    """Return a share of ``count`` problems as a percentage, and its interval."""
    from scipy.stats import binomtest  # importing it takes longer than all of jax

    interval = binomtest(round(share * count), count).proportion_ci(0.95, method="wilson")
    return percent(share), f"{float(interval.low):.1%} to {float(interval.high):.1%}"
