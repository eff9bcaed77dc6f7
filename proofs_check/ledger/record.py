"""Results as JSON values, and back."""

import functools
import json
import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from proofs_check.ledger.claim import TEXTS, Claim
from proofs_check.ledger.evidence import Control, Evidence
from proofs_check.ledger.outcome import Outcome
from proofs_check.ledger.run import Result

SCHEMA = 2
PACKAGES = (
    *("jax", "jaxlib", "numpy", "python-flint", "scipy", "sympy", "mpmath"),
    *("diffrax", "optimistix", "optax", "flax", "networkx", "reverse-circuits"),
)
"""Packages that results are computed with; a record names their versions."""
_KEYS = {"statement": "of", "expected": "must"}
"""Keys of the file format that differ from the names of fields."""


def to_json(results: Iterable[Result]) -> str:
    """Return all results as a JSON document, with the versions of the packages that computed them."""
    document = {"schema": SCHEMA, "versions": versions(), "claims": [to_record(result) for result in results]}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of ``PACKAGES``."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def to_record(result: Result) -> dict[str, Any]:
    """Return one result as JSON values. Floats that JSON cannot hold become the strings "inf", "-inf" and "nan"."""
    claim = result.claim
    return {
        "id": claim.id,
        **{name: getattr(claim, name) for name in TEXTS},
        "provenance": claim.provenance,
        "decided_by": list(claim.decided_by),
        "limit": list(claim.limit),
        "statistics": {quantity: asdict(plan) for quantity, plan in claim.statistics.items()},
        "data": list(claim.data),
        "verdict": result.verdict,
        "reason": result.reason,
        "recorded": claim.recorded,
        "agrees": result.agrees,
        "complaint": result.complaint,
        "evidence": [_item(item) for item in result.evidence],
        "controls": [{**_item(control), "passed": control.passed} for control in result.controls],
        "cross_checks": list(result.cross_checks),
        "example": result.example,
        "error": result.error,
        "seconds": round(result.seconds, 3),
        "reused": result.reused,
    }


def from_record(claim: Claim, values: Mapping[str, Any]) -> Result:
    """Return the result with this record, marked as reused."""
    return Result(
        claim,
        values["verdict"],
        values["reason"],
        tuple(Evidence(e["kind"], e["of"], e["quantity"], _outcome(e)) for e in values["evidence"]),
        tuple(Control(c["quantity"], c["name"], c["must"], _outcome(c)) for c in values["controls"]),
        tuple(values["cross_checks"]),
        values["example"],
        values["error"],
        values["seconds"],
        reused=True,
    )


def _item(item: Evidence | Control) -> dict[str, Any]:
    values = {_KEYS.get(name, name): value for name, value in asdict(item).items()}
    outcome = values.pop("outcome")
    return {**values, **outcome, **{name: _number(outcome[name]) for name in ("value", "bound")}}


def _outcome(values: Mapping[str, Any]) -> Outcome:
    fields = {name: values[name] for name in Outcome.__dataclass_fields__}
    return Outcome(**{**fields, "value": float(fields["value"]), "bound": float(fields["bound"])})


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))
