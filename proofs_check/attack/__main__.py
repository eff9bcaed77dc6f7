"""``python -m proofs_check.attack functions`` and ``formulas``."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, UseAppendAction, arg

from circuits.files import check_writable
from proofs_check.attack import engine, formulas, functions, report
from proofs_check.attack.engine import Target
from proofs_check.attack.record import Record, explanations

Globs = UseAppendAction[Annotated[tuple[str, ...], arg(metavar="GLOB")]]
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Number = Annotated[int, arg(metavar="N")]


def attack(
    what: Positional[Literal["functions", "formulas"]],
    only: Globs = (),
    files: str = "*",
    sample: Number = 0,
    seed: Number = 0,
    json: File = None,
) -> int:
    """Damage the library, and see whether the claims that use it notice.

    Exit code 0: every attack that changed a value was detected, crashed, or is explained. 1: otherwise.

    Args:
        what: "functions" damages the result of every library function that a check calls; "formulas" changes every
            operator, index, axis and constant of the formulas.
        only: decide the claims whose id matches; commas separate several. Others may detect a mutant that these miss.
        files: glob pattern of the library's files whose formulas to mutate, such as 'flow/*'.
        sample: number of attacks to draw at random; 0 for all.
        seed: random seed of the sample.
        json: save outcomes to this file, and reuse those that were saved by the same code.
    """
    target, entries, complete = Target(), explanations(what), what == "functions" and not sample
    if json is not None:
        check_writable("--json", json)
    record = Record.open(json, engine.code_checksum(target))
    say = partial(print, flush=True)
    if what == "functions":
        rows = functions.campaign(target, only, sample, seed, record, say)
        print(report.functions(rows, entries, complete=complete))
    else:
        rows, untested = formulas.campaign(target, only, files, sample, seed, record, say)
        print(report.formulas(rows, untested, entries))
    survivors = report.unexplained(rows, entries, complete=complete)
    unfit = [name for name, trace in record.traces.items() if trace.outcome != "green"]
    if unfit:
        print(f"not as recorded even without an attack: {', '.join(unfit)}")
    if survivors:
        print(f"{len(survivors)} survivors without an explanation")
    return 1 if survivors or unfit else 0


if __name__ == "__main__":
    try:
        sys.exit(tyro.cli(attack, prog="python -m proofs_check.attack"))
    except ValueError as error:
        sys.exit(f"attack: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
