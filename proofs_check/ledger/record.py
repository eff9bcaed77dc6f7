"""Results as JSON values, and back."""

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
"""Those whose versions a record names: results are computed with them."""


def document(results: Iterable[Result]) -> dict[str, Any]:
    """All results as JSON values, with the versions that they were obtained with."""
    return {"schema": SCHEMA, "versions": versions(), "claims": [record(result) for result in results]}


def to_json(results: Iterable[Result]) -> str:
    """The text of ``document``."""
    return json.dumps(document(results), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def versions() -> dict[str, str]:
    """Of Python and of ``PACKAGES``."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def record(result: Result) -> dict[str, Any]:
    """One result as JSON values. Floats that JSON can't hold become the strings "inf", "-inf" and "nan"."""
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
        "evidence": [_piece(item) for item in result.evidence],
        "controls": [{**_piece(control), "passed": control.passed} for control in result.controls],
        "cross_checks": list(result.cross_checks),
        "example": result.example,
        "error": result.error,
        "seconds": round(result.seconds, 3),
        "reused": result.reused,
    }


def restored(claim: Claim, values: Mapping[str, Any]) -> Result:
    """The result whose ``record`` this is, marked as reused."""
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


def _piece(item: Evidence | Control) -> dict[str, Any]:
    values = asdict(item)
    outcome = values.pop("outcome")
    return {**values, **outcome, **{name: _number(outcome[name]) for name in ("value", "bound")}}


def _outcome(values: Mapping[str, Any]) -> Outcome:
    given = {name: values[name] for name in Outcome.__dataclass_fields__}
    return Outcome(**{**given, "value": float(given["value"]), "bound": float(given["bound"])})


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))
