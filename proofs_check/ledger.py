"""Running checks, and what came of them: results, their record in JSON, and the line that sums them up."""

import json
import math
import platform
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

from proofs_check import evidence
from proofs_check.evidence import Evidence, Findings, Verdict
from proofs_check.registry import Claim

SCHEMA = 1
VERDICTS = ("holds", "amended", "fails", "open", "error")
_VERSIONS = ("jax", "numpy", "python-flint", "reverse-circuits")
_NOTHING = Findings((), ())


@dataclass(frozen=True)
class Result:
    """What came of one check. ``error`` is empty, or the exception in one line and below it the traceback."""

    claim: Claim
    verdict: Verdict | Literal["error"]
    findings: Findings | None
    error: str
    seconds: float

    @property
    def agrees(self) -> bool:
        """The verdict is the recorded one, there is a control, and every control was rejected."""
        return not self.complaint

    @property
    def complaint(self) -> str:
        """Why the result does not agree with the record, in one line; empty if it does."""
        if self.findings is None:
            return f"the check raised {self.error.splitlines()[0]}"
        reasons = []
        if self.verdict != self.claim.recorded:
            reasons.append(f"verdict {self.verdict}, recorded {self.claim.recorded}")
        if not self.findings.controls:
            reasons.append("no control")
        for control in self.findings.controls:
            if not control.rejected:
                reasons.append(f"control {control.name!r} was not rejected ({control.evidence.shows})")
        return "; ".join(reasons)

    @property
    def controls(self) -> str:
        """How many controls were rejected, of how many: "2/3"."""
        controls = (self.findings or _NOTHING).controls
        return f"{sum(control.rejected for control in controls)}/{len(controls)}"


def decide(claim: Claim) -> Result:
    """Run one check and compute its verdict. What the check raises becomes part of the result."""
    start = time.perf_counter()
    try:
        findings = claim.check()
        if not isinstance(findings, Findings):
            raise TypeError(f"check: must return Findings, got {findings!r}")
        verdict = evidence.verdict(findings.evidence, limit=claim.limit)
    except (Exception, SystemExit) as error:  # a check may fail in any way, and the others must still run
        return Result(claim, "error", None, _describe(error), time.perf_counter() - start)
    return Result(claim, verdict, findings, "", time.perf_counter() - start)


def run(claims: Iterable[Claim]) -> Iterator[Result]:
    """Decide claims one after another, each as it is asked for."""
    for claim in claims:
        yield decide(claim)


def counts(results: Iterable[Result]) -> dict[str, int]:
    """How many results have each verdict, in the order of ``VERDICTS``."""
    found = Counter(result.verdict for result in results)
    return {verdict: found[verdict] for verdict in VERDICTS}


def summary(results: Sequence[Result]) -> str:
    """One line: claims by verdict, agreement with the record, controls, time."""
    number = counts(results)
    verdicts = [
        _counted(number["holds"], "holds", "hold"),
        f"{number['amended']} amended",
        _counted(number["fails"], "fails", "fail"),
        f"{number['open']} open",
    ]
    if number["error"]:
        verdicts.append(_counted(number["error"], "error", "errors"))
    other = sum(result.verdict != result.claim.recorded for result in results)
    agreement = _counted(other, "verdict", "verdicts") + " not as recorded" if other else "every verdict as recorded"
    controls = [control for result in results for control in (result.findings or _NOTHING).controls]
    rejected = f"{sum(control.rejected for control in controls)} of {len(controls)} controls rejected"
    if bare := sum(result.findings is not None and not result.findings.controls for result in results):
        rejected += f", {_counted(bare, 'claim', 'claims')} without a control"
    seconds = f"{sum(result.seconds for result in results):.0f} s"
    total = f"{_counted(len(results), 'claim', 'claims')}: {', '.join(verdicts)}"
    return " · ".join((total, agreement, rejected, seconds))


def document(results: Iterable[Result]) -> dict[str, Any]:
    """All results as JSON values, with the versions that they were obtained with."""
    versions = {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}}
    return {"schema": SCHEMA, "versions": versions, "claims": [record(result) for result in results]}


def record(result: Result) -> dict[str, Any]:
    """One result as JSON values. Floats that JSON can't hold become the strings "inf", "-inf" and "nan"."""
    claim, findings = result.claim, result.findings or _NOTHING
    return {
        "id": claim.id,
        "source": claim.source,
        "statement": claim.statement,
        "formula": claim.formula,
        "setting": claim.setting,
        "limit": claim.limit,
        "verdict": result.verdict,
        "recorded": claim.recorded,
        "agrees": result.agrees,
        "complaint": result.complaint,
        "amendment": claim.amendment,
        "intent": claim.intent,
        "evidence": [_record(item) for item in findings.evidence],
        "controls": [
            {"name": control.name, "rejected": control.rejected, "evidence": _record(control.evidence)}
            for control in findings.controls
        ],
        "example": findings.example,
        "error": result.error,
        "seconds": round(result.seconds, 3),
    }


def to_json(results: Iterable[Result]) -> str:
    """The text of ``document``."""
    return json.dumps(document(results), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _record(item: Evidence) -> dict[str, Any]:
    values = asdict(item)
    return {**values, "value": _number(item.value), "bound": _number(item.bound)}


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))


def _counted(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _describe(error: BaseException) -> str:
    line = traceback.format_exception_only(error)[-1].splitlines()[0]
    inner = error.__traceback__.tb_next if error.__traceback__ else None  # from the check on, not from decide
    return f"{line}\n" + "".join(traceback.format_exception(type(error), error, inner))
