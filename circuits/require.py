"""Argument checks. Every message names the argument, the rule and the value."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.core import Tracer


def that(condition: bool, argument: str, rule: str, value: Any) -> None:
    """Raise ``ValueError("argument: rule, got value")`` unless the condition holds."""
    if not condition:
        raise ValueError(f"{argument}: {rule}, got {value!r}")


def integer(argument: str, value: Any, least: int, most: int | None = None) -> None:
    """An integer (no bool) in [least, most]."""
    span = f"at least {least}" if most is None else f"between {least} and {most}"
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    inside = whole and bool(value >= least) and (most is None or bool(value <= most))
    that(inside, argument, f"must be an integer {span}", value)


def choice(argument: str, value: Any, options: Sequence[str]) -> None:
    """One of a few words."""
    that(value in options, argument, f"must be one of {', '.join(options)}", value)


def shape(argument: str, array: Any, expected: tuple[int, ...]) -> None:
    """An array of exactly this shape."""
    that(np.shape(array) == expected, argument, f"must have shape {expected}", np.shape(array))


def finite(argument: str, array: Any) -> None:
    """No NaN and no infinity. Skipped for traced arrays, whose values do not exist yet."""
    if isinstance(array, Tracer):
        return
    values = np.asarray(array)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise ValueError(f"{argument}: must be finite, got {values[place]} at {place} ({len(bad)} such entries)")
