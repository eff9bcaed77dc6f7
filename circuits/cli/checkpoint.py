"""Open a checkpoint and show progress bars: shared by ``circuits attention``, ``evaluate`` and ``probe``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from circuits import checks
from circuits.models import LoadedModel, load_model
from circuits.one_layer.module import OneLayer
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.model import Predictor


def open_checkpoint(
    checkpoint: str | Path, step: int | None = None, seed: int | None = None, option: str = "checkpoint"
) -> LoadedModel:
    """Return ``load_model(checkpoint)``. Raises ValueError, naming the option, if the model is no transformer."""
    with naming_checkpoint(option):
        loaded = load_model(checkpoint, step=step, seed=seed)
    transformer = isinstance(loaded.model, Predictor | OneLayer)
    checks.require(transformer, option, "must hold a transformer", loaded.name)
    return loaded


@contextmanager
def naming_checkpoint(option: str = "checkpoint") -> Iterator[None]:
    """Name the option in errors, as on the command line; the library's loaders have other names."""
    try:
        yield
    except ValueError as error:
        argument, _, rest = str(error).partition(":")
        raise ValueError(f"{option}:{rest}" if argument in ("source", "path", "file") else str(error)) from error


def planning_format(loaded: LoadedModel) -> TokenFormat:
    """Return the token format of a model of star graphs or trees. Raises ValueError for any other model."""
    if loaded.task is None:
        raise ValueError(f"checkpoint: must be a model trained on planning problems, got {loaded.name!r}")
    rule = "must be a model trained on star graphs or binary trees"
    checks.require(isinstance(loaded.task.format, TokenFormat), "checkpoint", rule, loaded.task.words)
    return loaded.task.format


@contextmanager
def progress_bars(screen: Console) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Show progress bars on a terminal, and nothing elsewhere.

    Yields a function that adds a bar with a name and a total, and returns a function to call with the number done.
    """
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()
    times = TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, *times, console=screen, disable=not screen.is_terminal) as progress:

        def add_bar(name: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(name, total=total)
            return lambda done: progress.update(task, completed=done)

        yield add_bar
