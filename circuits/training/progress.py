"""How a run appears while it trains: a bar on a terminal, a line an evaluation in a file or a pipe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from circuits.training.config import TrainConfig
from circuits.training.loop import Report


@contextmanager
def shown(out: Console, config: TrainConfig) -> Iterator[Callable[[Report], None]]:
    """What to call after each evaluation."""
    columns = BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    bar = Progress(*columns, TextColumn("{task.description}"), console=out, disable=not out.is_terminal)
    told: set[str] = set()
    with bar:
        task = bar.add_task("compiling", total=config.steps)

        def show(report: Report) -> None:
            for note in (note for note in report.notes if note not in told):
                out.print(note, style="yellow", soft_wrap=True, markup=False)
            told.update(report.notes)
            bar.update(task, completed=report.step, description=now(report))
            if not out.is_terminal:
                out.print(f"step {report.step:>7}/{config.steps}  {now(report)}", soft_wrap=True, markup=False)

        yield show


def now(report: Report) -> str:
    """The last evaluation in a line: means over seeds, and tokens a second."""
    names = ("loss", "test_exact", "train_exact", "tokens_per_second")
    mean = {name: np.mean([record[name] for record in report.records]) for name in names}
    test = f"test {mean['test_exact']:.1%} ({_details(report.records)})"
    return (
        f"loss {mean['loss']:.4f}  {test}  train {mean['train_exact']:.1%}  {mean['tokens_per_second']:,.0f} tokens/s"
    )


def _details(records: list[dict[str, Any]]) -> str:
    """The tokens that need look-ahead, or walks by the degree of their pair."""
    if "test_hard" in records[0]:
        return f"hard {np.mean([record['test_hard'] for record in records]):.1%}"
    degrees = zip(*(record["test_by_degree"] for record in records), strict=True)
    shares = ["-" if None in each else f"{100 * np.mean(each):.0f}" for each in degrees]
    return f"by degree {'/'.join(shares)}%"
