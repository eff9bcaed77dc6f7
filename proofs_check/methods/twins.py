"""Cross-checks of two implementations of our own, such as the library and a naive twin."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from proofs_check.ledger import CrossCheck, equal


def twins_agree(quantity: str, ours: Any, twin: Any, mutants: Mapping[str, Any] | None = None) -> CrossCheck:
    """Compare two arrays with cases on the first axis. Zero and the other sign are mutants of every array."""
    values, expected = np.asarray(ours), np.asarray(twin)
    wrong = {"zero": 0 * values, "negated": -values, **(mutants or {})}
    return CrossCheck(quantity, lambda variant: equal(variant, expected), values, wrong)
