"""Carry out ``circuits probe interventions``: run every sweep on planning twins, and write the results."""

import json
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from circuits import checks
from circuits.cli import usage
from circuits.cli.checkpoint import open_checkpoint, planning_format, progress_bars
from circuits.cli.intervention_sweeps import SWEEPS, Study
from circuits.cli.options import print_written
from circuits.cli.probe import InterventionsOptions
from circuits.files import check_folder, write_arrays, write_text, writing
from circuits.models import held_out_problems
from circuits.plotting import write_figure
from circuits.probes import planning_twins

FORMAT = 2
"""Format of summary.json. Format 2 counts layers, attention heads and edges from 0; older files, which have no number,
from 1."""


def probe_interventions(options: InterventionsOptions) -> int:
    """Run every sweep, and write the results of each as soon as it is done."""
    screen = Console(highlight=False)
    with usage():
        check_folder(options.out)
        study = _study(options)
    count = len(study.twins.clean_tokens)
    table = Table(title=f"{study.name}: {count} held-out problems")
    for column in ("sweep", "result"):
        table.add_column(column)
    summary: dict[str, Any] = {"format": FORMAT, "model": study.name, "problems": count}
    arrays: dict[str, np.ndarray] = {}
    drawn: list[str] = []
    with progress_bars(screen) as add_bar:
        for name, sweep in SWEEPS.items():
            bar = add_bar(name, count)
            result = sweep(study._replace(on_progress=bar))
            bar(count)
            arrays |= {f"{name}/{key}": value for key, value in result.arrays.items()}
            summary[name] = result.text
            table.add_row(name, result.text)
            with usage(), writing(options.out):
                if result.figure is not None:
                    file = name.replace(",", "").replace(" ", "-")
                    write_figure(options.out, file, result.figure)
                    drawn.append(f"{file}.{{pdf,png}}")
                write_arrays(options.out / "interventions.npz", arrays)
                write_text(options.out / "summary.json", json.dumps(summary, indent=2) + "\n")
    screen.print(table)
    print_written(screen, options.out, ["summary.json", "interventions.npz", *drawn])
    return 0


def _study(options: InterventionsOptions) -> Study:
    """Return the model, twins to study, and others to fit linear probes on. Raises ValueError for bad usage."""
    checks.integer("examples", options.examples, min_value=2)
    opened = open_checkpoint(options.checkpoint, options.step, options.seed)
    format = planning_format(opened)
    problems = held_out_problems(opened, 2 * options.examples)
    half = len(problems) // 2
    checks.require(half >= 2, "checkpoint", "must have at least 4 test problems", len(problems))
    twins, others = (
        planning_twins(part, format, jax.random.key(number), options.token)
        for number, part in enumerate((problems[:half], problems[half:]))
    )
    return Study(opened.name, opened.model, format, twins, others)
