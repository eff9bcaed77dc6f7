"""``circuits verify``: decide every claim, show the results as they come, and write the reports."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg

from circuits import require
from circuits.cli import check_writable, usage, write_text
from proofs_check import ledger, registry, report, terminal
from proofs_check.ledger import Result
from proofs_check.registry import Claim

File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Patterns = Annotated[tuple[str, ...], arg(metavar="GLOB")]
Registries = Annotated[tuple[Path, ...], arg(metavar="PATH")]


def verify(
    only: UseAppendAction[Patterns] = (),
    json: File = None,
    markdown: File = None,
    junit: File = None,
    html: File = None,
    claims: UseAppendAction[Registries] = (),
    list: FlagCreatePairsOff[bool] = False,
) -> int:
    """Decide every claim and compare the verdicts with the recorded ones.

    Exit code 0: every verdict is the recorded one and every control is rejected. 1: not so. 2: bad usage.
    130: interrupted.

    Args:
        only: decide the claims whose id matches, such as 'lemma-3.*'; commas separate several.
        json: write the results with all their evidence as JSON.
        markdown: write a table and the findings as Markdown.
        junit: write one test case a claim as JUnit XML.
        html: write a page to read in a browser; it needs no network.
        claims: add the claims of a registry: a YAML file, or a Python file that defines CLAIMS.
        list: list the claims and stop.
    """
    with usage():
        chosen = registry.select(registry.gather(claims), only)
        outputs = _outputs(json, markdown, junit, html)
        if not list:
            registry.importable(chosen)
    out = terminal.console()
    if list:
        terminal.listing(out, chosen)
        return 0

    results, finished = _decide(out, chosen)
    if finished:
        for path, render in outputs.items():
            write_text(path, render(results))
    terminal.findings(out, results)
    terminal.end(out, results)
    if not finished:
        out.print(f"interrupted after {len(results)} of {len(chosen)} claims" + "; no file written" * bool(outputs))
        return 130
    for path in outputs:
        out.print(f"wrote {path}", soft_wrap=True, markup=False)
    return 0 if all(result.agrees for result in results) else 1


def _decide(out: Console, chosen: Sequence[Claim]) -> tuple[list[Result], bool]:
    """The results, a row printed for each, and whether they are all there: Ctrl-C keeps what was decided."""
    results: list[Result] = []
    terminal.head(out, chosen)
    try:
        with terminal.progress(out) as progress:
            task = progress.add_task("", total=len(chosen))
            for claim in chosen:
                progress.update(task, description=claim.id)
                results.append(ledger.decide(claim))
                terminal.row(out, chosen, results[-1])
                progress.advance(task)
    except KeyboardInterrupt:
        return results, False
    return results, True


def _outputs(
    json: Path | None, markdown: Path | None, junit: Path | None, html: Path | None
) -> dict[Path, Callable[[Sequence[Result]], str]]:
    """The files to write and how. Raises ``ValueError`` naming the flag of one that can't be written."""
    wanted = (
        ("--json", json, ledger.to_json),
        ("--markdown", markdown, report.markdown),
        ("--junit", junit, report.junit),
        ("--html", html, report.html),
    )
    outputs: dict[Path, Callable[[Sequence[Result]], str]] = {}
    for flag, path, render in wanted:
        if path is not None:
            check_writable(flag, path)
            require.that(path not in outputs, flag, "must be a file of its own", str(path))
            outputs[path] = render
    return outputs
