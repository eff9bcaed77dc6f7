"""``python -m proofs_check.attack functions`` and ``formulas``."""

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg
from tyro.extras import SubcommandApp

from circuits.files import check_writable
from proofs_check.attack import campaigns, engine, report
from proofs_check.attack.engine import Target
from proofs_check.attack.record import Record, Row, explanations

Globs = UseAppendAction[Annotated[tuple[str, ...], arg(metavar="GLOB")]]
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Number = Annotated[int, arg(metavar="N")]
app = SubcommandApp()


@app.command
def functions(only: Globs = (), sample: Number = 0, seed: Number = 0, json: File = None) -> int:
    """Damage the result of every library function that a check calls, and see whether its claim notices.

    Exit code 0: every attack that changed a value was detected, crashed, or is explained. 1: some survivor is not.

    Args:
        only: attack the claims whose id matches; commas separate several.
        sample: number of attacks to draw at random; 0 for all.
        seed: random seed of the sample.
        json: save outcomes to this file, and reuse those that were saved by the same code.
    """
    target, entries = Target(), explanations("functions")
    record = _record(target, json)
    rows = campaigns.functions(target, only, sample, seed, record, _say)
    complete = not sample
    print(report.functions(rows, entries, complete=complete))
    return _end(report.unexplained(rows, entries, complete=complete), record)


@app.command
def formulas(only: Globs = (), files: str = "*", sample: Number = 0, seed: Number = 0, json: File = None) -> int:
    """Change every operator, index, axis and constant of the formulas, and see whether a claim that runs it notices.

    Exit code 0: every mutant was detected, crashed, or is explained. 1: some survivor is not.

    Args:
        only: decide only the claims whose id matches; other claims may detect a mutant that these miss.
        files: glob pattern of the library's files to mutate, such as 'flow/*'.
        sample: number of mutants to draw at random; 0 for all.
        seed: random seed of the sample.
        json: save outcomes to this file, and reuse those that were saved by the same code.
    """
    target, entries = Target(), explanations("formulas")
    record = _record(target, json)
    rows, uncovered = campaigns.formulas(target, only, files, sample, seed, record, _say)
    print(report.formulas(rows, uncovered, entries))
    return _end(report.unexplained(rows, entries, complete=False), record)


def _record(target: Target, json: Path | None) -> Record:
    if json is not None:
        check_writable("--json", json)
    return Record.open(json, engine.code(target))


def _end(left: list[Row], record: Record) -> int:
    unfit = [name for name, trace in record.traces.items() if trace.outcome != "green"]
    if unfit:
        print(f"not as recorded even without an attack: {', '.join(unfit)}")
    if left:
        print(f"{len(left)} survivors without an explanation")
    return 1 if left or unfit else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(app.cli(prog="python -m proofs_check.attack"))
    except ValueError as error:
        sys.exit(f"attack: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
