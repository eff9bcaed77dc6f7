"""``circuits probe interventions``: what carries the goal and the steps back, and what breaks without them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from circuits import checks
from circuits.cli import usage
from circuits.cli.checkpoint import answer_place, open_checkpoint, planning_task, progress, test_problems
from circuits.cli.intervention_sweeps import SWEEPS, Study
from circuits.files import check_folder, write_arrays, write_text, writing
from circuits.plotting.style import write_figure
from circuits.probes import PlanningTwins, planning_twins
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.model import Predictor


@dataclass(frozen=True, kw_only=True)
class Interventions:
    """Change a run and see what the answer does: patching, path patching, ablation, knock-out, logit lens and probes.

    Twins are problems that differ in the goal alone. Writes interventions.npz, summary.json and a heatmap each.

    Args:
        checkpoint: a run or a saved model of planning problems.
        out: folder for what is found; made if it is not there.
        examples: held-out problems, and as many others to fit linear probes on.
        token: of the answer, from 1; the first that needs look-ahead if left out.
        step: of a run; the latest if left out.
        seed: of a run; the first if left out.
    """

    checkpoint: Annotated[Positional[Path], arg(metavar="CHECKPOINT")]
    out: Annotated[Path, arg(metavar="DIR")]
    examples: int = 256
    token: int | None = None
    step: int | None = None
    seed: int | None = None


def interventions(asked: Interventions) -> int:
    """Run every sweep, writing each as it is done."""
    screen = Console(highlight=False)
    with usage():
        check_folder(asked.out)
        name, model, form, first, second = _opened(asked)
    half = len(first.corrupt)
    table = Table(title=f"{name}: {half} held-out problems")
    for column in ("sweep", "what it says"):
        table.add_column(column)
    summary: dict[str, Any] = {"model": name, "problems": half}
    arrays: dict[str, np.ndarray] = {}
    with progress(screen) as part:
        for sweep_name, sweep in SWEEPS.items():
            bar = part(sweep_name, half)
            found = sweep(Study(name, model, form, first, second, lambda done, _, bar=bar: bar(done)))
            bar(half)
            arrays |= {f"{sweep_name}/{key}": value for key, value in found.arrays.items()}
            summary[sweep_name] = found.says
            table.add_row(sweep_name, found.says)
            with usage(), writing(asked.out):
                if found.figure is not None:
                    write_figure(asked.out, sweep_name.replace(",", "").replace(" ", "-"), found.figure)
                write_arrays(asked.out / "interventions.npz", arrays)
                write_text(asked.out / "summary.json", json.dumps(summary, indent=2) + "\n")
    screen.print(table)
    screen.print(f"wrote {asked.out}", soft_wrap=True, markup=False)
    return 0


def _opened(asked: Interventions) -> tuple[str, Predictor, TokenFormat, PlanningTwins, PlanningTwins]:
    """Name, model and format, twins to look at, and others to fit on. Raises ValueError for bad usage."""
    checks.integer("examples", asked.examples, min_value=2)
    opened = open_checkpoint(asked.checkpoint, asked.step, asked.seed)
    task, form = planning_task(opened)
    answer = answer_place(form, asked.token)
    least = 1 - form.first_node
    rule = "must not be that of the start, which is the same in twins"
    checks.require(answer is None or answer >= least, "token", rule, asked.token)
    problems = jnp.asarray(test_problems(task, 2 * asked.examples))
    half = len(problems) // 2
    checks.require(half >= 2, "checkpoint", "must have at least 4 test problems", len(problems))
    parts = enumerate((problems[:half], problems[half:]))
    first, second = (planning_twins(form, part, jax.random.key(number), answer) for number, part in parts)
    return opened.name, opened.model, form, first, second
