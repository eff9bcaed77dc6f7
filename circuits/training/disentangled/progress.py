"""How a run appears while it trains: a bar on a terminal, a line an evaluation in a file or a pipe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from circuits.training.disentangled.config import TrainConfig
from circuits.training.disentangled.runs import History

LEAST_WIDTH = 110
"""A file or a pipe has no width of its own: nothing is folded early there."""


def console() -> Console:
    """The standard output."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=max(LEAST_WIDTH, plain.width))


@contextmanager
def shown(out: Console, config: TrainConfig) -> Iterator[Callable[[int, History], None]]:
    """What to call after each evaluation, with the step and the history."""
    columns = BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    bar = Progress(*columns, TextColumn("{task.description}"), console=out, disable=not out.is_terminal)
    with bar:
        task = bar.add_task("compiling", total=config.steps)

        def show(step: int, history: History) -> None:
            bar.update(task, completed=step, description=now(config, history))
            if not out.is_terminal:
                out.print(f"step {step:>7}/{config.steps}  {now(config, history)}", soft_wrap=True)

        yield show


def now(config: TrainConfig, history: History) -> str:
    """The last evaluation in a line: means over seeds, and the least of the accuracies."""
    last = {name: values[-1] for name, values in history.metrics.items()}
    parts = last["plan"], last["replay"], last["goal"]
    loss = sum(weight * float(part.mean()) for weight, part in zip(config.mix, parts, strict=True))
    first, path = last["first_accuracy"], last["path_accuracy"]
    return f"loss {loss:.4f}  v {first.mean():.1%} (least {first.min():.1%})  path {path.mean():.1%} ({path.min():.1%})"


def summary(history: History) -> list[tuple[str, float, float, float]]:
    """Each metric at the last evaluation: its name, and the mean, least and greatest over seeds."""
    last = {name: values[-1] for name, values in history.metrics.items()}
    return [(name, float(x.mean()), float(x.min()), float(x.max())) for name, x in last.items()]
