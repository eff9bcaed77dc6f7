"""``python -m proofs_check.attack functions`` and ``formulas``."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg
from tyro.extras import SubcommandApp

from circuits.files import check_writable
from proofs_check.attack import engine, formulas, functions, report
from proofs_check.attack.engine import Target
from proofs_check.attack.record import Record, Row, explanations

Globs = UseAppendAction[Annotated[tuple[str, ...], arg(metavar="GLOB")]]
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Number = Annotated[int, arg(metavar="N")]
app = SubcommandApp()
_say = partial(print, flush=True)


@app.command(name="functions")
def attack_functions(only: Globs = (), sample: Number = 0, seed: Number = 0, json: File = None) -> int:
    """Damage the result of every library function that a check calls, and see whether its claim notices.

    Exit code 0: every attack that changed a value was detected, crashed, or is explained. 1: otherwise.

    Args:
        only: attack the claims whose id matches; commas separate several.
        sample: number of attacks to draw at random; 0 for all.
        seed: random seed of the sample.
        json: save outcomes to this file, and reuse those that were saved by the same code.
    """
    target, entries, complete = Target(), explanations("functions"), not sample
    record = _record(target, json)
    rows = functions.campaign(target, only, sample, seed, record, _say)
    print(report.functions(rows, entries, complete=complete))
    return _exit_code(report.unexplained(rows, entries, complete=complete), record)


@app.command(name="formulas")
def attack_formulas(only: Globs = (), files: str = "*", sample: Number = 0, seed: Number = 0, json: File = None) -> int:
    """Change every operator, index, axis and constant of the formulas, and see whether a claim that runs it notices.

    Exit code 0: every mutant was detected, crashed, or is explained. 1: otherwise.

    Args:
        only: decide only the claims whose id matches; other claims may detect a mutant that these miss.
        files: glob pattern of the library's files to mutate, such as 'flow/*'.
        sample: number of mutants to draw at random; 0 for all.
        seed: random seed of the sample.
        json: save outcomes to this file, and reuse those that were saved by the same code.
    """
    target, entries = Target(), explanations("formulas")
    record = _record(target, json)
    rows, untested = formulas.campaign(target, only, files, sample, seed, record, _say)
    print(report.formulas(rows, untested, entries))
    return _exit_code(report.unexplained(rows, entries, complete=False), record)


def _record(target: Target, json: Path | None) -> Record:
    if json is not None:
        check_writable("--json", json)
    return Record.open(json, engine.code_checksum(target))


def _exit_code(survivors: list[Row], record: Record) -> int:
    unfit = [name for name, trace in record.traces.items() if trace.outcome != "green"]
    if unfit:
        print(f"not as recorded even without an attack: {', '.join(unfit)}")
    if survivors:
        print(f"{len(survivors)} survivors without an explanation")
    return 1 if survivors or unfit else 0


if __name__ == "__main__":
    try:
        sys.exit(app.cli(prog="python -m proofs_check.attack"))
    except ValueError as error:
        sys.exit(f"attack: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
