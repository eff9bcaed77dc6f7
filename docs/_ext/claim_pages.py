"""A page for each section of the registries, with an entry for each claim, and an index of all claims.

What is shown comes from the registries. The evidence is added where ``circuits verify`` has decided the same code on
this machine before and its result is cached; building the site decides nothing.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import indent

from pages import escape, heading, slug, table, toctree, write_pages
from sphinx.application import Sphinx

from proofs_check.ledger import KINDS, Claim, Result, cache
from proofs_check.ledger.evidence import STATEMENTS
from proofs_check.ledger.reference import Reference
from proofs_check.prose import count_verdicts
from proofs_check.verification import own_claims

PROVENANCE = {
    "second-hand": "The primary text was not read; the claim is quoted second-hand.",
    "ours": "The statement is our own.",
}
LEGEND = """\
:verdict:`holds`
    True as printed, in its own setting.
:verdict:`amended`
    False or ill-typed as printed, but what it was meant to establish stands, with the stated correction.
:verdict:`fails`
    False as printed, and so is what it was meant to establish.
:verdict:`open`
    Not decided, and the reason is given.

A verdict on a limit that rests on a simulation rather than on a proof is marked *numerically*. No verdict is written by
hand: ``circuits verify`` computes it from evidence, and every test must also reject deliberately wrong variants of its
statement, the *controls*.
"""


def pages(claims: Sequence[Claim], results: dict[str, Result]) -> dict[str, str]:
    """Return the text of every page, in reStructuredText, by its name."""
    sections = {section: list(group) for section, group in groupby(claims, key=lambda claim: claim.section)}
    texts = {slug(section): page(section, members, results) for section, members in sections.items()}
    return {"index": index(sections), **texts}


def index(sections: dict[str, list[Claim]]) -> str:
    """Return the page that lists all claims."""
    claims = [claim for members in sections.values() for claim in members]
    parts = [heading("All claims"), count_verdicts(claims), LEGEND]
    for section, members in sections.items():
        parts.append(heading(f":doc:`{section} <{slug(section)}>`", "-", title=section))
        rows = ((f":claim:`{each.id}`", f":verdict:`{each.recorded}`", escape(each.statement)) for each in members)
        parts.append(table(("claim", "verdict", "statement"), rows, widths="27 13 60", name="claims"))
    return "\n\n".join([*parts, toctree([slug(section) for section in sections])]) + "\n"


def page(section: str, claims: Sequence[Claim], results: dict[str, Result]) -> str:
    """Return the page of one section."""
    return "\n\n".join([heading(section), *(entry(claim, results.get(claim.id)) for claim in claims)]) + "\n"


def entry(claim: Claim, result: Result | None = None) -> str:
    """Return the entry of one claim."""
    content = "\n\n".join(part for part in _content(claim, result) if part)
    return f".. claim:: {claim.id}\n   :verdict: {claim.recorded}\n\n{indent(content, '   ')}"


def _content(claim: Claim, result: Result | None) -> Iterator[str]:
    yield f"*{escape(claim.source)}*"
    yield escape(claim.statement)
    if claim.formula:
        yield ".. math::\n\n" + indent(claim.formula, "   ")
    fields = {
        "Setting": escape(claim.setting),
        "Provenance": PROVENANCE.get(claim.provenance, ""),
        "Correction": escape(claim.amendment),
        "Meant to establish": escape(claim.intent),
        "Intent decided by": "; ".join(map(escape, claim.decided_by)),
        "Refuted by": escape(claim.refutation),
        "Limit of": "; ".join(map(escape, claim.limit)),
        "Measured data": ", ".join(f"``{name}``" for name in claim.data),
    }
    yield "\n".join(f":{name}: {' '.join(text.split())}" for name, text in fields.items() if text)
    if result:
        yield from _evidence(result)
    if isinstance(claim.check, Reference):
        yield "Decided by:"
        yield f".. autofunction:: {claim.check.text.replace(':', '.')}\n   :no-index:"


def _evidence(result: Result) -> Iterator[str]:
    rows = (
        (
            f":abbr:`{item.statement} ({STATEMENTS[item.statement]})`",
            item.outcome.shows,
            escape(item.quantity),
            f":abbr:`{item.kind} ({KINDS[item.kind]})`",
            f"{item.outcome.cases:,}",
        )
        for item in result.evidence
    )
    yield table(("tested", "outcome", "quantity", "kind", "cases"), rows, widths="12 14 50 14 10", name="evidence")
    yield f"{result.controls_passed.replace('/', ' of ')} controls passed."
    if result.example:
        yield ".. code-block:: none\n\n" + indent(result.example, "   ")


def cached_results(claims: Sequence[Claim]) -> dict[str, Result]:
    """Return the cached results of these claims that agree with the record."""
    results = {claim.id: cache.load(claim) for claim in claims}
    return {name: result for name, result in results.items() if result and result.agrees}


def generate(app: Sphinx) -> None:
    claims = own_claims()
    write_pages(Path(app.srcdir) / "theory" / "claims", pages(claims, cached_results(claims)))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
