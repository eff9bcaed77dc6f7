"""Results as text for other readers: Markdown, JUnit XML, and a page in HTML. They write nothing to disk."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from proofs_check.ledger.evidence import STATEMENTS
from proofs_check.ledger.outcome import Outcome
from proofs_check.ledger.report_html import html, number
from proofs_check.ledger.run import Result, summary

__all__ = ["html", "junit", "markdown"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(results: Sequence[Result]) -> str:
    """A table of all claims, then a section for each that does not hold or does not agree with the record."""
    table = [
        "| | claim | verdict | recorded | provenance | controls passed | processor-seconds | note |",
        "|---|---|---|---|---|---:|---:|---|",
        *(_row(result) for result in results),
    ]
    sections = [_section(result) for result in results if result.verdict != "holds" or not result.agrees]
    return "\n\n".join(["# Claims", summary(results), "\n".join(table), *sections]) + "\n"


def junit(results: Sequence[Result]) -> str:
    """JUnit XML: a test case for each claim, failed exactly if the result does not agree with the record."""
    seconds = f"{sum(result.seconds for result in results):.3f}"
    failures = str(sum(not result.agrees for result in results))
    totals = {"tests": str(len(results)), "failures": failures, "errors": "0", "time": seconds}
    root = ElementTree.Element("testsuites", {"name": "circuits verify", **totals})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "claims", **totals, "skipped": "0"})
    for result in results:
        _case(suite, result)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, result: Result) -> None:
    chapter, _, _ = result.claim.id.partition(".")
    names = {"classname": chapter, "name": result.claim.id, "time": f"{result.seconds:.3f}"}
    case = ElementTree.SubElement(suite, "testcase", names)
    if not result.agrees:
        message = {"message": _xml(result.complaint), "type": result.verdict}
        ElementTree.SubElement(case, "failure", message).text = _xml(result.error or result.complaint)
    ElementTree.SubElement(case, "system-out").text = _xml("\n".join(_lines(result)))


def _lines(result: Result) -> list[str]:
    lines = [result.claim.statement, f"verdict {result.verdict}, recorded {result.claim.recorded}"]
    for item in result.evidence:
        about = f"{item.kind} evidence {item.outcome.shows} {STATEMENTS[item.of]}"
        lines.append(f"{about}: {item.quantity} = {_measured(item.outcome)}")
    for control in result.controls:
        outcome = "as it must be" if control.passed else f"not as it must be, {control.must}"
        about = f"control {control.name!r} of {control.quantity} {control.outcome.shows}, {outcome}"
        lines.append(f"{about}: {_measured(control.outcome)}")
    return [*lines, result.example] if result.example else lines


def _measured(outcome: Outcome) -> str:
    asked = f"asked {outcome.relation} {number(outcome.bound)}, cases {outcome.cases}"
    measured = f"{number(outcome.value)}, {asked}"
    return f"{measured} ({outcome.detail})" if outcome.detail else measured


def _row(result: Result) -> str:
    cells = (
        "✓" if result.agrees else "✗",
        f"`{result.claim.id}`",
        result.verdict,
        result.claim.recorded,
        result.claim.provenance,
        result.controls_passed,
        f"{result.seconds:.1f}",
        _inline(result.complaint or result.reason),
    )
    return f"| {' | '.join(cells)} |"


def _section(result: Result) -> str:
    claim = result.claim
    parts = [f"## `{claim.id}` · {result.verdict}", f"{_inline(claim.statement)} ({_inline(claim.source)})"]
    if not result.agrees:
        parts.append(f"**Not as recorded:** {_inline(result.complaint)}")
    if claim.formula:
        parts.append(_fence(claim.formula, "math"))
    if claim.amendment:
        parts.append(f"**Correction:** {_inline(claim.amendment)}")
    if claim.intent:
        parts.append(f"**Meant to establish:** {_inline(claim.intent)}")
    if claim.refutation:
        parts.append(f"**Refuted by:** {_inline(claim.refutation)}")
    if result.example:
        parts.append(_fence(result.example, "text"))
    if result.error:
        parts.append(_fence(result.error, "text"))
    return "\n\n".join(parts)


def _inline(text: str) -> str:
    """Text on one line, in which Markdown and HTML find nothing to act on."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_|$\[\]])", r"\\\1", flat)


def _fence(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 can't hold, such as the escape codes of a coloured traceback."""
    return _NOT_XML.sub("", text)
