"""Results in a terminal: a row as each claim is decided, then the details of some, then a summary line."""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from proofs_check.ledger.claim import Claim
from proofs_check.ledger.run import Result, describe, summary

_STYLES = {"holds": "green", "amended": "yellow", "fails": "red", "open": "cyan", "error": "bold magenta"}
_MIN_WIDTH = 110


def console() -> Console:
    """Return a console on the standard output. A file or a pipe has no width, so lines are not wrapped early there."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=max(_MIN_WIDTH, plain.width))


def progress(out: Console) -> Progress:
    """Return the progress line below the rows; invisible unless the output is a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24))
    hidden = not out.file.isatty()
    return Progress(*columns, MofNCompleteColumn(), TimeElapsedColumn(), console=out, transient=True, disable=hidden)


def print_header(out: Console, claims: Sequence[Claim]) -> None:
    """Print the names of the columns."""
    names = f"{'verdict':<20}  {'recorded':<20}  {'controls':>8}  {'cpu s':>6}  note"
    out.print(Text(f"  {'claim':<{_width(claims)}}  {names}", style="bold"), soft_wrap=True)


def print_row(out: Console, claims: Sequence[Claim], result: Result) -> None:
    """Print one result."""
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


def print_details(out: Console, results: Sequence[Result]) -> None:
    """Print the explanation of each claim that is amended or fails, and all evidence of one that is not as recorded."""
    for result in results:
        if result.agrees and result.word not in ("amended", "fails"):
            continue
        claim = result.claim
        out.print()
        out.print(Text.assemble((claim.id, "bold"), "  ", (result.verdict, _STYLES[result.word])))
        _print_indented(out, claim.statement)
        _print_indented(out, f"Correction: {claim.amendment}" if claim.amendment else "")
        _print_indented(out, f"Meant to establish: {claim.intent}" if claim.intent else "")
        _print_indented(out, f"Refuted by: {claim.refutation}" if claim.refutation else "")
        _print_indented(out, result.example, style="cyan")
        if not result.agrees:
            items = (*result.evidence, *(control for control in result.controls if not control.passed))
            headline = [f"Not as recorded: {result.complaint}"] if result.verdict != "error" else []
            _print_indented(out, "\n".join([*headline, *map(describe, items)]), style="magenta")
        _print_indented(out, result.error, style="magenta")


def print_summary(out: Console, results: Sequence[Result]) -> None:
    """Print the summary line."""
    style = "bold green" if all(result.agrees for result in results) else "bold red"
    out.print()
    out.print(Text(summary(results), style=style), soft_wrap=True)


def print_list(out: Console, claims: Sequence[Claim]) -> None:
    """Print the claims without deciding them."""
    for claim in claims:
        style = _STYLES[claim.recorded.partition(",")[0]]
        line = Text.assemble(f"{claim.id:<{_width(claims)}}  ", (f"{claim.recorded:<20}", style), f"  {claim.source}")
        out.print(line, soft_wrap=True)


def _width(claims: Sequence[Claim]) -> int:
    return max((len(claim.id) for claim in claims), default=0)


def _print_indented(out: Console, text: str, style: str = "default") -> None:
    if text.strip():
        out.print(Padding(Text(text.rstrip(), style=style), (0, 0, 0, 4), expand=False))
