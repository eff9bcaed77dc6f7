"""``circuits verify``: decide every claim, show the results as they come, and write the reports."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import jax
from rich.console import Console
from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg

from circuits import checks
from circuits.cli import usage
from circuits.files import check_writable, write_text
from proofs_check.ledger import cache, record, registry, report, terminal
from proofs_check.ledger.claim import Claim
from proofs_check.ledger.run import Result, run
from proofs_check.registries import own

File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Patterns = Annotated[tuple[str, ...], arg(metavar="GLOB")]
Registries = Annotated[tuple[Path, ...], arg(metavar="PATH")]
Seconds = Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint="")]


def verify(
    only: UseAppendAction[Patterns] = (),
    json: File = None,
    markdown: File = None,
    junit: File = None,
    html: File = None,
    claims: UseAppendAction[Registries] = (),
    all: FlagCreatePairsOff[bool] = False,
    list: FlagCreatePairsOff[bool] = False,
    jobs: int = 1,
    time_limit: Seconds = None,
    fresh: FlagCreatePairsOff[bool] = False,
) -> int:
    """Decide every claim and compare the verdicts with the recorded ones.

    Exit code 0: every verdict is the recorded one and every control came out as it must. 1: not so. 2: bad usage.
    130: interrupted.

    Args:
        only: decide the claims whose id matches, such as 'lemma-3.*'; commas separate several.
        json: write the results with all their evidence as JSON.
        markdown: write a table and the findings as Markdown.
        junit: write one test case a claim as JUnit XML.
        html: write a page to read in a browser; it needs no network.
        claims: decide the claims of this registry instead: a YAML file, or a Python file that defines CLAIMS.
        all: with --claims, decide our claims and those of installed packages as well.
        list: list the claims and stop.
        jobs: how many claims to decide side by side, each in a process of its own.
        time_limit: stop a claim's check after this many seconds; it counts as an error.
        fresh: decide everything, also what the same code has decided on the same data before.
    """
    broken: tuple[str, ...] = ()
    with usage():
        checks.integer("jobs", jobs, min_value=1)
        checks.require(time_limit is None or time_limit > 0, "time-limit", "must be positive", time_limit)
        found = [each for path in claims for each in registry.load(path)]
        if all or not claims:
            installed = registry.discover()
            broken = installed.errors
            found = [*own(), *installed.claims, *found]
        chosen = registry.select(registry.unique(found), only)
        outputs = _outputs(json, markdown, junit, html)
        if not list:
            cache.code()  # what is edited from here on is not what is decided
            registry.importable(chosen)
    out = terminal.console()
    for message in broken:
        out.print(f"✗ {message}", style="bold red", soft_wrap=True, markup=False, emoji=False)
    if list:
        terminal.listing(out, chosen)
        return 0

    results, finished = _decide(out, chosen, jobs, time_limit, fresh)
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
    return 1 if broken or not _fine(results) else 0


def _fine(results: Sequence[Result]) -> bool:
    return not [result for result in results if not result.agrees]


def _decide(
    out: Console, chosen: Sequence[Claim], jobs: int, time_limit: float | None, fresh: bool
) -> tuple[list[Result], bool]:
    """The results, a row printed for each, and whether they are all there: Ctrl-C keeps what was decided."""
    results: list[Result] = []
    terminal.head(out, chosen)
    try:
        with terminal.progress(out) as progress:
            task = progress.add_task("", total=len(chosen))
            found = _results(chosen, jobs, time_limit, fresh)
            for claim in chosen:
                progress.update(task, description=claim.id)
                results.append(next(found))
                terminal.row(out, chosen, results[-1])
                progress.advance(task)
    except KeyboardInterrupt:
        return results, False
    return results, True


def _results(chosen: Sequence[Claim], jobs: int, time_limit: float | None, fresh: bool) -> Iterator[Result]:
    """In the order of the claims: what was kept, and what is decided now."""
    kept = {} if fresh else {claim.id: found for claim in chosen if (found := cache.find(claim))}
    decided = run([claim for claim in chosen if claim.id not in kept], jobs, time_limit, _float64)
    for claim in chosen:
        if claim.id in kept:
            yield kept[claim.id]
        else:
            result = next(decided)
            cache.keep(result)
            yield result


def _float64() -> None:
    jax.config.update("jax_enable_x64", True)


def _outputs(
    json: Path | None, markdown: Path | None, junit: Path | None, html: Path | None
) -> dict[Path, Callable[[Sequence[Result]], str]]:
    """The files to write and how. Raises ``ValueError`` naming the flag of one that can't be written."""
    wanted = (
        ("--json", json, record.to_json),
        ("--markdown", markdown, report.markdown),
        ("--junit", junit, report.junit),
        ("--html", html, report.html),
    )
    outputs: dict[Path, Callable[[Sequence[Result]], str]] = {}
    for flag, path, render in wanted:
        if path is not None:
            check_writable(flag, path)
            checks.require(path not in outputs, flag, "must be a file of its own", str(path))
            outputs[path] = render
    return outputs
