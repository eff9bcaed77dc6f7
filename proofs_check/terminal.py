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

from proofs_check.ledger import Result, summary
from proofs_check.registry import Claim

_STYLES = {"holds": "green", "amended": "yellow", "fails": "red", "open": "cyan", "error": "bold magenta"}
_LEAST_WIDTH = 110


def console() -> Console:
    """The standard output. A file or a pipe has no width of its own: nothing is folded early there."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=max(_LEAST_WIDTH, plain.width))


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
    names = ("verdict", "recorded", "controls", "seconds")
    line = f"  {'claim':<{_width(claims)}}  {names[0]:<8}  {names[1]:<8}  {names[2]:>8}  {names[3]:>7}  note"
    out.print(Text(line, style="bold"), soft_wrap=True)


def row(out: Console, claims: Sequence[Claim], result: Result) -> None:
    """One result."""
    line = Text.assemble(
        ("✓ ", "green") if result.agrees else ("✗ ", "bold red"),
        f"{result.claim.id:<{_width(claims)}}  ",
        (f"{result.verdict:<8}", _STYLES[result.verdict]),
        f"  {result.claim.recorded:<8}  {result.controls:>8}  {result.seconds:>7.1f}",
        (f"  {result.complaint}" if result.complaint else "", "bold red"),
    )
    out.print(line, soft_wrap=True)


def findings(out: Console, results: Sequence[Result]) -> None:
    """The correction or counterexample of each amended or failing claim, and what a broken check raised."""
    for result in results:
        if result.verdict not in ("amended", "fails", "error"):
            continue
        claim = result.claim
        out.print()
        out.print(Text.assemble((claim.id, "bold"), "  ", (result.verdict, _STYLES[result.verdict])))
        _indented(out, claim.statement)
        _indented(out, f"Correction: {claim.amendment}" if claim.amendment else "")
        _indented(out, f"Meant to establish: {claim.intent}" if claim.intent else "")
        _indented(out, result.findings.example if result.findings else "", style="cyan")
        _indented(out, result.error.partition("\n")[2], style="magenta")


def end(out: Console, results: Sequence[Result]) -> None:
    """The line that sums up."""
    out.print()
    style = "bold green" if all(result.agrees for result in results) else "bold red"
    out.print(Text(summary(results), style=style), soft_wrap=True)


def listing(out: Console, claims: Sequence[Claim]) -> None:
    """The claims without deciding them."""
    for claim in claims:
        line = Text(f"{claim.id:<{_width(claims)}}  ")
        line.append(f"{claim.recorded:<8}", style=_STYLES[claim.recorded])
        line.append(f"  {claim.source}")
        out.print(line, soft_wrap=True)


def _width(claims: Sequence[Claim]) -> int:
    return max(len(claim.id) for claim in claims)


def _indented(out: Console, text: str, style: str = "default") -> None:
    if text.strip():
        out.print(Padding(Text(text.rstrip(), style=style), (0, 0, 0, 4), expand=False))
