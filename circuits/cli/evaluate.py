"""``circuits evaluate``: how often a trained model is right."""

import json
from pathlib import Path
from typing import Annotated, Literal

import jax
from rich.console import Console
from tyro.conf import Positional, arg

from circuits import checks
from circuits.cli import usage
from circuits.files import check_writable, write_text
from circuits.training import data
from circuits.training.parallel import where
from circuits.training.scoring import score, scoring
from circuits.training.stored import read
from circuits.training.tables import accuracy_table, walk_table


def evaluate(
    checkpoint: Annotated[Positional[Path], arg(metavar="DIR")],
    examples: int | None = None,
    split: Literal["test", "train"] = "test",
    step: int | None = None,
    json_file: Annotated[Path | None, arg(name="json", metavar="FILE")] = None,
) -> int:
    """Answer problems with a trained model, and show how often it is right.

    Beside answers to star graphs and trees stands what guessing gives. Of walks every valid one is right; they are
    shown by the degree and the distance of their pair.

    Args:
        checkpoint: folder of a run, or of a saved model.
        examples: how many problems, at most. If left out, 4096 star graphs or trees, or all pairs of a task of walks.
        split: train are those that the model was trained on, or fresh ones like them if they were a stream; test
            problems share no graph with them, and walks no pair of source and target.
        step: of the run; the latest if left out.
        json_file: write the figures there too.
    """
    with usage():
        if examples is not None:
            checks.integer("examples", examples, min_value=1)
        if json_file is not None:
            check_writable("json", json_file)
        models = read(checkpoint, step)
    screen, rows = Console(highlight=False), []
    for stored in models:
        with usage():
            problems = data.problems(stored.task, split, examples)
        figures = score(scoring(stored.task, stored.teacherless), stored.model, problems)
        table = walk_table if stored.task.is_walks else accuracy_table
        screen.print(table(stored, figures, len(problems), split))
        about = {"model": stored.name, "notes": stored.notes, "device": where(), "jax": jax.__version__}
        rows.append(about | {"examples": len(problems), "split": split} | figures)
    if json_file is not None:
        write_text(json_file, json.dumps(rows, indent=2) + "\n")
    return 0
