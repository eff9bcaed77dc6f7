"""Results in a notebook: a table of claims with their verdicts, or one claim with its evidence."""

from collections.abc import Sequence
from itertools import chain

from circuits import display
from circuits.display import Markup
from proofs_check.ledger.claim import Claim
from proofs_check.ledger.evidence import STATEMENTS, Control, Evidence
from proofs_check.ledger.mathml import to_mathml
from proofs_check.ledger.run import Result, summary

COLOURS = {"holds": "#1c7a48", "amended": "#9a5b00", "fails": "#bb2533", "open": "#41659b", "error": "#7b2c9b"}
"""The colour of each verdict, as on the page of all claims."""
MAX_ROWS = 60
"""Of more results, only those are listed that do not hold or are not as recorded."""
_MEASURED = ("quantity", "shows", "value", "expected", "cases")


def results_table(results: Sequence[Result]) -> Markup:
    """Return the verdict of every claim, with the correction or counterexample of those that do not hold."""
    listed = [one for one in results if len(results) <= MAX_ROWS or one.word != "holds" or not one.agrees]
    rows = [(one.claim.id, _badge(one), _agreement(one), one.controls_passed, _note(one)) for one in listed]
    head = ("claim", "verdict", "as recorded", "controls passed", "statement, and what was found instead")
    more = f"; {len(results) - len(listed)} that hold are not listed" if len(listed) < len(results) else ""
    return display.table(summary(results) + more, head, rows)


def result_card(result: Result) -> Markup:
    """Return one claim: verdict, statement, formula, correction or counterexample, and the numbers behind them."""
    claim = result.claim
    more = {
        "example": _preformatted(result.example),
        "error": _preformatted(result.error),
        "reason": result.reason,
    }
    first = {"verdict": _badge(result), "as recorded": _agreement(result)}
    facts = first | claim_facts(claim) | {name: text for name, text in more.items() if text}
    parts = [display.facts(claim.id, facts)]
    if result.evidence:
        rows = [(STATEMENTS[item.statement], item.kind, *_measured(item)) for item in result.evidence]
        parts.append(display.table("Evidence", ("tested", "kind of evidence", *_MEASURED), rows))
    if result.controls:
        rows = [(control.name, display.describe(control.passed), *_measured(control)) for control in result.controls]
        parts.append(display.table("Controls", ("variant", "passed", *_MEASURED), rows))
    return Markup("".join(parts))


def claim_facts(claim: Claim) -> dict[str, Markup | str]:
    """Return the texts of a claim by name."""
    facts = {
        "source": claim.source,
        "recorded verdict": claim.recorded,
        "statement": claim.statement,
        "formula": _formula(claim.formula),
        "setting": claim.setting,
        "correction": claim.amendment,
        "meant to establish": claim.intent,
        "refuted by": claim.refutation,
    }
    return {name: text for name, text in facts.items() if text}


def _badge(result: Result) -> Markup:
    return display.badge(result.verdict, COLOURS[result.word])


def _agreement(result: Result) -> str:
    return "✓" if result.agrees else f"✗ {result.complaint}"


def _note(result: Result) -> Markup:
    """Return the statement; for a claim that does not hold, behind it the correction and the counterexample."""
    claim = result.claim
    if result.word == "holds":
        return display.text(claim.statement)
    lines = filter(None, (claim.amendment, claim.refutation, result.reason))
    inside = [*map(display.paragraph, lines), *filter(None, [_preformatted(result.example)])]
    return display.details(claim.statement, Markup("".join(inside))) if inside else display.text(claim.statement)


def _formula(latex: str) -> Markup | str:
    try:
        return Markup(to_mathml(latex, "block")) if latex else ""
    except ValueError:
        return latex


def _preformatted(text: str) -> Markup | str:
    return display.preformatted(text) if text else ""


def _measured(item: Evidence | Control) -> tuple[str, ...]:
    outcome = item.outcome
    quantity = " ".join(chain([item.quantity], [f"({outcome.detail})"] * bool(outcome.detail)))
    bound = f"{'≤' if outcome.relation == '<=' else '≥'} {display.number(outcome.bound)}"
    return quantity, outcome.shows, display.number(outcome.value), bound, str(outcome.cases)
