"""Results as text for other readers: Markdown, JUnit XML, and an HTML page. Nothing is written to disk here."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from proofs_check.ledger.report_html import html
from proofs_check.ledger.run import Result, describe, summary

__all__ = ["html", "junit", "markdown"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(results: Sequence[Result]) -> str:
    """Return a table of all claims, and a section for each that does not hold or does not agree with the record."""
    table = [
        "| | claim | verdict | recorded | provenance | controls passed | processor-seconds | note |",
        "|---|---|---|---|---|---:|---:|---|",
        *(_row(result) for result in results),
    ]
    sections = [_section(result) for result in results if result.verdict != "holds" or not result.agrees]
    return "\n\n".join(["# Claims", summary(results), "\n".join(table), *sections]) + "\n"


def junit(results: Sequence[Result]) -> str:
    """Return JUnit XML: a test case for each claim, failed exactly if the result does not agree with the record."""
    seconds = f"{sum(result.seconds for result in results):.3f}"
    failures = str(sum(not result.agrees for result in results))
    totals = {"tests": str(len(results)), "failures": failures, "errors": "0", "time": seconds}
    root = ElementTree.Element("testsuites", {"name": "circuits verify", **totals})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "claims", **totals, "skipped": "0"})
    for result in results:
        name = result.claim.id
        attributes = {"classname": name.partition(".")[0], "name": name, "time": f"{result.seconds:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", attributes)
        if not result.agrees:
            message = {"message": _xml(result.complaint), "type": result.verdict}
            ElementTree.SubElement(case, "failure", message).text = _xml(result.error or result.complaint)
        lines = [result.claim.statement, f"verdict {result.verdict}, recorded {result.claim.recorded}"]
        lines += [*map(describe, (*result.evidence, *result.controls)), result.example]
        ElementTree.SubElement(case, "system-out").text = _xml("\n".join(filter(None, lines)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _row(result: Result) -> str:
    claim, mark = result.claim, "✓" if result.agrees else "✗"
    cells = (mark, f"`{claim.id}`", result.verdict, claim.recorded, claim.provenance, result.controls_passed)
    return f"| {' | '.join(cells)} | {result.seconds:.1f} | {_inline(result.complaint or result.reason)} |"


def _section(result: Result) -> str:
    claim = result.claim
    parts = [f"## `{claim.id}` · {result.verdict}", f"{_inline(claim.statement)} ({_inline(claim.source)})"]
    if not result.agrees:
        parts.append(f"**Not as recorded:** {_inline(result.complaint)}")
    if claim.formula:
        parts.append(_fenced(claim.formula, "math"))
    labels = {"Correction": claim.amendment, "Meant to establish": claim.intent, "Refuted by": claim.refutation}
    parts += [f"**{label}:** {_inline(text)}" for label, text in labels.items() if text]
    parts += [_fenced(text, "text") for text in (result.example, result.error) if text]
    return "\n\n".join(parts)


def _inline(text: str) -> str:
    """Put text on one line and escape Markdown and HTML."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_|$\[\]])", r"\\\1", flat)


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def _xml(text: str) -> str:
    """Remove characters that XML 1.0 cannot hold, such as the escape codes of a coloured traceback."""
    return _NOT_XML.sub("", text)
