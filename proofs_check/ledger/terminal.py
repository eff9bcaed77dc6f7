"""How results appear in a terminal: a row as each is decided, then what was found, then one line."""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from proofs_check.ledger.claim import Claim
from proofs_check.ledger.evidence import STATEMENTS
from proofs_check.ledger.outcome import Outcome
from proofs_check.ledger.run import Result, summary

_STYLES = {"holds": "green", "amended": "yellow", "fails": "red", "open": "cyan", "error": "bold magenta"}
_MIN_WIDTH = 110


def console() -> Console:
    """The standard output. A file or a pipe has no width of its own: nothing is wrapped early there."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=max(_MIN_WIDTH, plain.width))


def progress(out: Console) -> Progress:
    """The line below the rows that says what is being decided; invisible unless the output is a terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=out,
        transient=True,
        disable=not out.file.isatty(),
    )


def head(out: Console, claims: Sequence[Claim]) -> None:
    """The names of the columns."""
    names = ("verdict", "recorded", "controls", "cpu s")
    line = f"  {'claim':<{_width(claims)}}  {names[0]:<20}  {names[1]:<20}  {names[2]:>8}  {names[3]:>6}  note"
    out.print(Text(line, style="bold"), soft_wrap=True)


def row(out: Console, claims: Sequence[Claim], result: Result) -> None:
    """One result."""
    line = Text.assemble(
        ("✓ ", "green") if result.agrees else ("✗ ", "bold red"),
        f"{result.claim.id:<{_width(claims)}}  ",
        (f"{result.verdict:<20}", _STYLES[result.word]),
        f"  {result.claim.recorded:<20}  {result.controls_passed:>8}  {result.seconds:>6.1f}  ",
        (result.complaint, "bold red") if result.complaint else result.reason,
        (" (reused)" if result.reused else "", "dim"),
    )
    line.rstrip()
    out.print(line, soft_wrap=True)


def findings(out: Console, results: Sequence[Result]) -> None:
    """What is wrong with each claim that is amended or fails; and of each that is not as recorded, every number."""
    for result in results:
        if result.agrees and result.word not in ("amended", "fails"):
            continue
        claim = result.claim
        out.print()
        out.print(Text.assemble((claim.id, "bold"), "  ", (result.verdict, _STYLES[result.word])))
        _indented(out, claim.statement)
        _indented(out, f"Correction: {claim.amendment}" if claim.amendment else "")
        _indented(out, f"Meant to establish: {claim.intent}" if claim.intent else "")
        _indented(out, f"Refuted by: {claim.refutation}" if claim.refutation else "")
        _indented(out, result.example, style="cyan")
        _indented(out, "" if result.agrees else _numbers(result), style="magenta")
        _indented(out, result.error, style="magenta")


def _numbers(result: Result) -> str:
    """Each piece of evidence, and each control that did not come out as it must, with value and bound."""
    lines = [f"Not as recorded: {result.complaint}"] if result.verdict != "error" else []
    for item in result.evidence:
        lines.append(f"{item.outcome.shows} {STATEMENTS[item.of]}: {item.quantity}: {_measured(item.outcome)}")
    for control in result.controls:
        if not control.passed:
            lines.append(
                f"control {control.name!r} of {control.quantity}: {control.outcome.shows}, must be {control.must}: "
                f"{_measured(control.outcome)}"
            )
    return "\n".join(lines)


def _measured(outcome: Outcome) -> str:
    detail = f" ({outcome.detail})" if outcome.detail else ""
    return f"{outcome.value:.6g}, asked {outcome.relation} {outcome.bound:.6g}, {outcome.cases} cases{detail}"


def end(out: Console, results: Sequence[Result]) -> None:
    """The line that sums up."""
    out.print()
    style = "bold green" if all(result.agrees for result in results) else "bold red"
    out.print(Text(summary(results), style=style), soft_wrap=True)


def listing(out: Console, claims: Sequence[Claim]) -> None:
    """The claims without deciding them."""
    for claim in claims:
        line = Text(f"{claim.id:<{_width(claims)}}  ")
        line.append(f"{claim.recorded:<20}", style=_STYLES[claim.recorded.partition(",")[0]])
        line.append(f"  {claim.source}")
        out.print(line, soft_wrap=True)


def _width(claims: Sequence[Claim]) -> int:
    return max((len(claim.id) for claim in claims), default=0)


def _indented(out: Console, text: str, style: str = "default") -> None:
    if text.strip():
        out.print(Padding(Text(text.rstrip(), style=style), (0, 0, 0, 4), expand=False))
