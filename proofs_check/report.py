"""Results as text for other readers: Markdown, JUnit XML, and a page in HTML. They write nothing to disk."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from proofs_check.evidence import Evidence
from proofs_check.ledger import Result, summary
from proofs_check.report_html import html, number

__all__ = ["html", "junit", "markdown"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(results: Sequence[Result]) -> str:
    """A table of all claims, then a section for each that does not hold or does not agree with the record."""
    table = [
        "| | claim | verdict | recorded | controls rejected | seconds | note |",
        "|---|---|---|---|---:|---:|---|",
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
    if result.findings:
        lines += [_line(item) for item in result.findings.evidence]
        for control in result.findings.controls:
            outcome = "rejected" if control.rejected else "not rejected"
            lines.append(f"control {control.name!r} {outcome}: {_measured(control.evidence)}")
        lines += [result.findings.example] if result.findings.example else []
    return lines


def _line(item: Evidence) -> str:
    return f"{item.kind} evidence {item.shows} what is {item.of}: {_measured(item)}"


def _measured(item: Evidence) -> str:
    measured = f"{item.quantity} = {number(item.value)}, asked {item.relation} {number(item.bound)}, cases {item.cases}"
    return f"{measured} ({item.detail})" if item.detail else measured


def _row(result: Result) -> str:
    cells = (
        "✓" if result.agrees else "✗",
        f"`{result.claim.id}`",
        result.verdict,
        result.claim.recorded,
        result.controls,
        f"{result.seconds:.1f}",
        _inline(result.complaint),
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
    if result.findings and result.findings.example:
        parts.append(_fence(result.findings.example, "text"))
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
