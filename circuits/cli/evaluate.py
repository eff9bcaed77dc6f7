"""``circuits evaluate``: the accuracy of a trained model."""

import json
from typing import Annotated, Literal

from tyro.conf import arg

from circuits.cli.options import Checkpoint, File, Integer


def evaluate(
    checkpoint: Checkpoint,
    examples: Integer = None,
    split: Literal["test", "train"] = "test",
    step: Integer = None,
    json_file: Annotated[File, arg(name="json")] = None,
) -> int:
    """Measure the accuracy of a trained model on test or training problems.

    Prints a table for each seed of a run. For star graphs and trees it has the accuracy of every token of the answer,
    next to that of guessing; for walks the share of valid ones, by degree and distance of source and target.

    With --split test, no problem shares a graph, or for walks a pair of source and target, with the training problems.

    With --split train, problems are those of the training, or fresh ones like them if every step had fresh ones.

    Exit code 0: done. 2: bad usage.

    Example: circuits evaluate star-2x5-mtp3 --examples 512

    Args:
        checkpoint: name of a shipped checkpoint, or folder of a run or of a saved model.
        examples: maximum number of problems; by default 4096 star graphs or trees, or all pairs of source and target.
        split: held-out problems or training problems.
        step: training step of a run; by default that of its latest checkpoint.
        json_file: write the results to this file, as JSON.
    """
    import jax
    from rich.console import Console
    from rich.table import Table

    from circuits import checks
    from circuits.cli import usage
    from circuits.cli.checkpoint import naming_checkpoint
    from circuits.files import check_writable, write_text
    from circuits.models import checkpoint_path
    from circuits.training.evaluation import score
    from circuits.training.parallel import device_name
    from circuits.training.stored import read

    with usage(), naming_checkpoint():
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
        screen.print(f"wrote {json_file}", soft_wrap=True, markup=False)
    return 0
