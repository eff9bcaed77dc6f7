"""What an attention page or figure shows: patterns of every layer and attention head over named positions."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from circuits import checks


class AttentionMaps(NamedTuple):
    """Attention of L layers and H heads (1 for the mean over heads), from queries down to keys across.

    Averages are over examples of one length and one order of positions. Where examples were put into the aligned order,
    position i is the same part of the graph in each of them, and the pattern need not be zero above the diagonal.
    """

    patterns: Float[np.ndarray, "L H T T"]
    """From 0 to 1; every row sums to 1."""
    tokens: tuple[str, ...]
    """What stands at each position, T texts."""
    roles: tuple[str, ...]
    """The role of each position, such as "start", "goal", "path", "distractor"; "" where there are no roles."""
    query: int
    """The query position, where the branching token is predicted."""
    heads: tuple[str, ...]
    """Names of the H columns: "0" .. "H-1", or "mean of 8"."""
    title: str
    notes: dict[str, object]
    """What was averaged, over how many examples: values for JSON, shown as they are."""
    errors: Float[np.ndarray, "L H T T"] | None = None
    """Standard errors of the means, where there are several examples."""
    positions: Int[np.ndarray, " T"] | None = None
    """The position in the sequence of each row and column, where that is not its index here."""


def check_maps(maps: AttentionMaps) -> None:
    """Raise ValueError unless names, roles and query fit the patterns, and these are finite and between 0 and 1."""
    shape = maps.patterns.shape
    square = len(shape) == 4 and shape[2] == shape[3] and min(shape) > 0
    checks.require(square, "patterns", "must be [L, H, T, T], none of them 0", shape)
    checks.finite("patterns", maps.patterns)
    low, high = float(maps.patterns.min()), float(maps.patterns.max())
    checks.require(low >= 0 and high <= 1 + 1e-3, "patterns", "must lie between 0 and 1", (low, high))
    for field, length in (("tokens", shape[2]), ("roles", shape[2]), ("heads", shape[1])):
        count = len(getattr(maps, field))
        checks.require(count == length, field, f"must hold {length} texts", count)
    checks.integer("query", maps.query, min_value=0, max_value=shape[2] - 1)
    if maps.errors is not None:
        checks.shape("errors", maps.errors, shape)
