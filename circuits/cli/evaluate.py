"""``circuits evaluate``: the accuracy of a trained model."""

import json
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


def evaluate(
    checkpoint: Annotated[Positional[Path], arg(metavar="DIR")],
    examples: int | None = None,
    split: Literal["test", "train"] = "test",
    step: int | None = None,
    json_file: Annotated[Path | None, arg(name="json", metavar="FILE")] = None,
) -> int:
    """Measure the accuracy of a trained model on test or training problems.

    Prints a table for each seed: for star graphs and trees the accuracy of every token next to that of guessing, for
    walks the share of valid ones by degree and distance of source and target.

    Example: circuits evaluate star-2x5-mtp3 --examples 512

    Args:
        checkpoint: folder of a run or of a saved model, or name of a shipped checkpoint such as star-2x5-mtp3.
        examples: maximum number of problems; by default 4096 star graphs or trees, or all pairs of a task of walks.
        split: "train" for problems that the model was trained on, or fresh ones like them for an endless stream; "test"
            for problems that share no graph with those, or walks that share no pair of source and target.
        step: training step of a run; by default the latest.
        json_file: file to write the results to, as JSON.
    """
    import jax
    from rich.console import Console
    from rich.table import Table

    from circuits import checks
    from circuits.cli import usage
    from circuits.files import check_writable, write_text
    from circuits.models import checkpoint_path
    from circuits.training.evaluation import score
    from circuits.training.parallel import device_name
    from circuits.training.stored import read

    with usage():
        if examples is not None:
            checks.integer("examples", examples, min_value=1)
        if json_file is not None:
            check_writable("json", json_file)
        models = read(checkpoint_path(checkpoint), step)
        problems = models[0].task.problems(split, examples)
    screen, rows = Console(highlight=False), []
    for stored in models:
        figures = score(stored.model, stored.task, problems, stored.teacherless)
        report = stored.task.report(figures, len(problems))
        table = Table(title=f"{stored.name}: {len(problems)} {split} {report.title}")
        for column in report.columns:
            table.add_column(column, justify="right" if column else "left", no_wrap=not column)
        for section in report.sections:
            for row in section:
                table.add_row(*row)
            table.add_section()
        screen.print(table)
        about = {"model": stored.name, "notes": stored.notes, "device": device_name(), "jax": jax.__version__}
        rows.append(about | {"examples": len(problems), "split": split} | figures)
    if json_file is not None:
        write_text(json_file, json.dumps(rows, indent=2) + "\n")
    return 0
