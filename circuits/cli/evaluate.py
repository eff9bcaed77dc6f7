"""``circuits evaluate``: how often a trained model is right."""

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
    """Answer problems with a trained model, and show how often it is right.

    Answers to star graphs and trees are shown next to the accuracy of guessing. Every valid walk counts as right; walks
    are shown by the degree and the distance of their pair.

    Args:
        checkpoint: folder of a run or of a saved model, or the name of a shipped one such as star-2x5-mtp3.
        examples: maximum number of problems; if left out, 4096 star graphs or trees, or all pairs of a task of walks.
        split: train are problems that the model was trained on, or fresh ones like them for an endless stream; test
            problems share no graph with them, and test walks no pair of source and target.
        step: of the run; the latest if left out.
        json_file: also write the figures to this file.
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
