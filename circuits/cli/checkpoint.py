"""Any checkpoint that a command can be pointed at, as a model that can be called."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tokenizers import Tokenizer

from circuits import checks
from circuits.pretrained.gguf import load_gguf
from circuits.pretrained.hugging_face import load_pretrained
from circuits.pretrained.safe_files import read_json
from circuits.tasks.task import Task
from circuits.tasks.token_format import TokenFormat
from circuits.training.stored import Stored, read


class Opened(NamedTuple):
    """A model, and what it can be shown: the problems it was trained on, or text.

    The model is a ``Predictor``, or a ``OneLayer`` where its config is of the kind one-layer.
    """

    name: str
    model: Any
    task: Task | None
    tokenizer: Tokenizer | None


def open_checkpoint(path: Path, step: int | None = None, seed: int | None = None) -> Opened:
    """The model of a run's folder, of a saved model's, of a folder in the Hugging Face layout, or of a GGUF file.

    ``step`` and ``seed`` choose among those of a run, the latest and the first if None. Raises ValueError for anything
    else, for damage, and for a step or seed that is not there.
    """
    if path.suffix != ".gguf" and not _names_its_family(path / "config.json"):
        chosen = by_seed(read(path, step), seed)
        return Opened(chosen.name, chosen.model, chosen.task, None)
    rule = "must be left out for a checkpoint that holds one model"
    checks.require(step is None and seed is None, "step and seed", rule, (step, seed))
    found = load_gguf(path) if path.suffix == ".gguf" else load_pretrained(path)
    return Opened(path.name, found.model, None, found.tokenizer)


def _names_its_family(config: Path) -> bool:
    """Whether this is a config in the Hugging Face layout."""
    try:
        return "model_type" in read_json(config)
    except (OSError, ValueError):  # what reads our own folders says what is wrong
        return False


def by_seed(stored: list[Stored], seed: int | None) -> Stored:
    """The model of a seed, or the first."""
    found = {one.seed: one for one in stored}
    wanted = min(found) if seed is None else seed
    checks.require(wanted in found, "seed", f"must be one of {sorted(found)}", seed)
    return found[wanted]


def planning_task(opened: Opened) -> tuple[Task, TokenFormat]:
    """The star graphs or trees that a model was trained on. Raises ValueError for a model of anything else."""
    task = opened.task
    if task is None:
        raise ValueError(f"checkpoint: must be a model trained on planning problems here, got {opened.name!r}")
    check_planning(task)
    return task, task.format


def check_planning(task: Task) -> None:
    """Raise ValueError for a model of walks, in words."""
    rule = "must be a model trained on star graphs or binary trees here"
    checks.require(isinstance(task.format, TokenFormat), "checkpoint", rule, task.words)


def answer_place(form: TokenFormat, token: int | None) -> int | None:
    """The place in the answer, from 0, of the token that is counted from 1. Raises ValueError for one that is not."""
    if token is None:
        return None
    checks.integer("token", token, min_value=1, max_value=form.answer_length)
    return token - 1


def test_problems(task: Task, examples: int) -> Int[np.ndarray, "n T"]:
    """Held-out problems with their answers, as tokens.

    Raises ValueError for a task of walks, and unless ``examples`` is a positive integer.
    """
    check_planning(task)
    checks.integer("examples", examples, min_value=1)
    return np.asarray(task.problems("test", examples), np.int32)


@contextmanager
def progress(screen: Console) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Bars on a terminal, nothing elsewhere. The name and total of a part give what to call with how much is done."""
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()
    times = TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, *times, console=screen, disable=not screen.is_terminal) as bar:

        def part(name: str, total: int) -> Callable[[int], None]:
            task = bar.add_task(name, total=total)
            return lambda done: bar.update(task, completed=done)

        yield part
