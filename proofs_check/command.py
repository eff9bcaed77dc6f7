"""``circuits verify``: decide claims, print the results as they come, and write the reports."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg

from circuits.cli.options import File

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

    A claim is a statement of a paper, or one of our own. Its verdict (holds, amended, fails or open) is computed from
    evidence. Controls are variants of the statement, most of them wrong, which the check must judge correctly.

    Exit code 0: every verdict is the recorded one, and every control came out as expected. 1: otherwise. 2: bad usage.
    130: interrupted.

    Example: circuits verify --only 'lemma-3.*' --markdown report.md

    Args:
        only: decide the claims whose id matches a pattern such as 'lemma-3.*', or several, separated by commas.
        json: write the results with all their evidence to this file, as JSON.
        markdown: write a table of the verdicts and the findings to this file, as Markdown.
        junit: write a test case for each claim to this file, as JUnit XML.
        html: write a page for a browser to this file.
        claims: decide the claims of this file instead of ours: YAML, or Python that defines CLAIMS.
        all: with --claims, decide our claims and those of installed packages as well.
        list: list the claims without deciding them.
        jobs: number of claims to decide in parallel, each in a process of its own.
        time_limit: stop a claim's check after this many seconds; it then counts as an error. By default there is none.
        fresh: decide anew instead of reusing the results of the same code on the same data.
    """
    from circuits import checks
    from circuits.cli import usage
    from circuits.files import write_text
    from proofs_check import verification
    from proofs_check.ledger import terminal

    with usage():
        checks.integer("jobs", jobs, min_value=1)
        checks.require(time_limit is None or time_limit > 0, "time-limit", "must be positive", time_limit)
        selected, errors = verification.select_claims(only, claims, all)
        outputs = _outputs(json, markdown, junit, html)
        if not list:
            verification.prepare(selected)
    out = terminal.console()
    for message in errors:
        out.print(f"✗ {message}", style="bold red", soft_wrap=True, markup=False, emoji=False)
    if list:
        terminal.print_list(out, selected)
        return 0

    decided = verification.results(selected, jobs, time_limit, fresh)
    results, interrupted = [], False
    terminal.print_header(out, selected)
    try:
        with terminal.progress(out) as progress:
            task = progress.add_task("", total=len(selected))
            for claim in selected:
                progress.update(task, description=claim.id)
                results.append(next(decided))
                terminal.print_row(out, selected, results[-1])
                progress.advance(task)
    except KeyboardInterrupt:  # print what has been decided
        interrupted = True
    terminal.print_details(out, results)
    terminal.print_summary(out, results)
    if interrupted:
        unwritten = "; no file written" if outputs else ""
        out.print(f"interrupted after {len(results)} of {len(selected)} claims{unwritten}")
        return 130
    for path, render in outputs.items():
        write_text(path, render(results))
        out.print(f"wrote {path}", soft_wrap=True, markup=False)
    return 1 if errors or [result for result in results if not result.agrees] else 0


def _outputs(
    json: Path | None, markdown: Path | None, junit: Path | None, html: Path | None
) -> dict[Path, Callable[..., str]]:
    """Map each output file to the function that renders it. Raises ValueError naming the flag of an unusable file."""
    from circuits import checks
    from circuits.files import check_writable
    from proofs_check.ledger import record, report

    flags = {
        "--json": (json, record.to_json),
        "--markdown": (markdown, report.markdown),
        "--junit": (junit, report.junit),
        "--html": (html, report.html),
    }
    outputs = {}
    for flag, (path, render) in flags.items():
        if path is not None:
            check_writable(flag, path)
            checks.require(path not in outputs, flag, "must be a file of its own", str(path))
            outputs[path] = render
    return outputs
