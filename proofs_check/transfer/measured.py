"""What ``proofs_check.transfer.measure`` wrote, and intervals over graphs or seeds."""

import json
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import t

from proofs_check.ledger.data import MEASURED


@cache
def graphs(name: str) -> tuple[dict[str, Any], ...]:
    """The measured graphs of ``one_layer/<name>``."""
    found = json.loads((MEASURED / "one_layer" / name / "measured.json").read_text(encoding="utf-8"))
    return tuple(found["graphs"])


def half_length(values: Float[np.ndarray, "runs *some"], level: float) -> Float[np.ndarray, "*some"]:
    """Half the length of Student's interval of the mean over runs."""
    runs = len(values)
    return t.ppf((1 + level) / 2, runs - 1) * values.std(axis=0, ddof=1) / np.sqrt(runs)
