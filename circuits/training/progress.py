"""The progress display of training: a bar on a terminal, or one line per evaluation in a file or a pipe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from circuits.training.loop import Report, Training

MIN_WIDTH = 110
"""Minimum width of lines in a file or a pipe, which have no width of their own."""


def console() -> Console:
    """Return a rich console for the standard output."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=max(MIN_WIDTH, plain.width))


@contextmanager
def shown(out: Console, training: Training) -> Iterator[Callable[[Report], None]]:
    """Yield a function that shows an evaluation."""
    steps, legend = training.config.steps, training.legend
    columns = BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    bar = Progress(*columns, TextColumn("{task.description}"), console=out, disable=not out.is_terminal)
    printed: set[str] = set()
    with bar:
        task = bar.add_task("compiling", total=steps)

        def show(report: Report) -> None:
            for note in (note for note in (*report.notes, legend) if note not in printed):
                out.print(note, style="dim" if note == legend else "yellow", soft_wrap=True, markup=False)
                printed.add(note)
            line = training.status(report.records)
            bar.update(task, completed=report.step, description=line)
            if not out.is_terminal:
                out.print(f"step {report.step:>7}/{steps}  {line}", soft_wrap=True, markup=False)

        yield show


def means(records: list[dict[str, Any]], prefix: str = "") -> dict[str, Any]:
    """Return the mean over seeds of each metric that has a prefix, entry by entry; None if a seed has None."""
    names = [name for name in records[0] if name.startswith(prefix)]
    return {name.removeprefix(prefix): _mean([record[name] for record in records]) for name in names}


def _mean(values: list[Any]) -> Any:
    if isinstance(values[0], list):
        return [_mean(list(entries)) for entries in zip(*values, strict=True)]
    numbers = all(isinstance(value, int | float) for value in values)
    return float(np.mean(values)) if numbers else None
