"""Argument checks. Every message names the argument, the rule and the value. Does not import jax."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np


def require(condition: bool, argument: str, rule: str, value: Any) -> None:
    """Raise ``ValueError("argument: rule, got value")`` unless the condition holds.

    Example:
        >>> require(False, "paths", "must be at least 2", 1)
        Traceback (most recent call last):
        ValueError: paths: must be at least 2, got 1
    """
    if not condition:
        raise ValueError(f"{argument}: {rule}, got {value!r}")


def integer(argument: str, value: Any, min_value: int, max_value: int | None = None) -> None:
    """Require an integer (not a bool) in [min_value, max_value]."""
    span = f"at least {min_value}" if max_value is None else f"between {min_value} and {max_value}"
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    inside = whole and bool(value >= min_value) and (max_value is None or bool(value <= max_value))
    require(inside, argument, f"must be an integer {span}", value)


def choice(argument: str, value: Any, options: Sequence[str]) -> None:
    """Require one of the options."""
    require(value in options, argument, f"must be one of {', '.join(options)}", value)


def shape(argument: str, array: Any, expected: tuple[int, ...]) -> None:
    """Require an array of exactly this shape."""
    require(np.shape(array) == expected, argument, f"must have shape {expected}", np.shape(array))


def finite(argument: str, array: Any) -> None:
    """Require no NaN and no infinity. Traced arrays pass: they have no values yet."""
    if is_traced(array):
        return
    values = np.asarray(array)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise ValueError(f"{argument}: must be finite, got {values[index]} at {index} ({len(bad)} such entries)")


def token_sequence(argument: str, tokens: Any, *, vocab: int, positions: int) -> None:
    """Require one sequence of 1 to ``positions`` ids in range(vocab). Traced ids are not checked.

    A model would read a batch as one sequence of rows, and clamp an id outside the vocabulary.
    """
    require(tokens.ndim == 1, argument, "must be one sequence (vmap over a batch)", tokens.shape)
    length = tokens.shape[0]
    require(0 < length <= positions, argument, f"must be 1 to {positions} tokens (config.positions)", length)
    if not is_traced(tokens):
        ids = np.asarray(tokens)
        smallest, largest = int(ids.min()), int(ids.max())
        inside = smallest >= 0 and largest < vocab
        require(inside, argument, f"must hold ids in range({vocab})", (smallest, largest))


def is_traced(array: Any) -> bool:
    """Return whether jax is tracing the array, so that its values are unknown. Does not import jax."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(array, jax.core.Tracer)
