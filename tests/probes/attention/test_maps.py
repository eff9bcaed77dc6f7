"""What fits an attention page, and what does not."""

from typing import Any

import numpy as np
import pytest

from circuits.probes.attention.maps import AttentionMaps, check_maps


def maps(**changes: Any) -> AttentionMaps:
    fine: dict[str, Any] = {
        "patterns": np.full((2, 1, 3, 3), 1 / 3),
        "tokens": ("s", "n1", "g"),
        "roles": ("start", "", "goal"),
        "query": 2,
        "heads": ("mean of 4",),
        "title": "by hand",
        "notes": {"examples": 7},
    }
    return AttentionMaps(**(fine | changes))


def patterns_with(value: float) -> np.ndarray:
    values = maps().patterns.copy()
    values[1, 0, 2, 1] = value
    return values


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"query": 0},
        {"patterns": patterns_with(0.0)},
        {"patterns": patterns_with(1.0 + 1e-4)},  # rounded in half precision
        {"errors": np.zeros((2, 1, 3, 3)), "positions": np.array([2, 0, 1])},
        {"examples": np.zeros((4, 2, 1, 3, 3))},
    ],
)
def test_what_fits_passes(changes):
    assert check_maps(maps(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patterns": np.full((2, 1, 3, 4), 0.1)}, r"patterns: must be \[L, H, T, T\]"),
        ({"patterns": np.full((2, 0, 3, 3), 0.1)}, r"patterns: must be \[L, H, T, T\]"),
        ({"patterns": np.full((3, 3), 0.1)}, r"patterns: must be \[L, H, T, T\]"),
        ({"patterns": patterns_with(np.nan)}, "patterns: must be finite"),
        ({"patterns": patterns_with(-0.1)}, "patterns: must lie between 0 and 1"),
        ({"patterns": patterns_with(1.1)}, "patterns: must lie between 0 and 1"),
        ({"tokens": ("s", "g")}, "tokens: must hold 3 texts"),
        ({"roles": ()}, "roles: must hold 3 texts"),
        ({"heads": ("1", "2")}, "heads: must hold 1 texts"),
        ({"query": 3}, "query: must be an integer between 0 and 2"),
        ({"query": -1}, "query: must be an integer between 0 and 2"),
        ({"errors": np.zeros((2, 1, 3, 2))}, r"errors: must have shape \(2, 1, 3, 3\)"),
        ({"examples": np.zeros((4, 1, 3, 3))}, r"examples: must be \[n, L, H, T, T\]"),
        ({"examples": np.full((4, 2, 1, 3, 3), 1.1)}, "examples: must lie between 0 and 1"),
        ({"examples": np.full((4, 2, 1, 3, 3), np.nan)}, "examples: must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_maps(maps(**changes))
