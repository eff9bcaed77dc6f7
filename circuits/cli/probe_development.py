"""``circuits probe development``: the scores of every head over the checkpoints of a run."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
from jax import Array
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from circuits import checks
from circuits.cli import usage
from circuits.cli.checkpoint import by_seed, progress, test_problems
from circuits.files import check_folder, checksum, read_arrays, write_arrays, writing
from circuits.plotting.lines import Line, LinePanel, line_panels
from circuits.plotting.style import write_figure
from circuits.probes.attention.development import circuit_strengths, formation
from circuits.probes.attention.planning import problem_scores
from circuits.probes.attention.scores import CircuitScores
from circuits.probes.layout import query_position
from circuits.probes.nulls import untrained_scores
from circuits.probes.streaming import stream
from circuits.training import run_folder
from circuits.training.config import TrainConfig
from circuits.training.records import as_json
from circuits.training.stored import Stored, kept_steps, read_run

ARRAYS = "development.npz"
NULL_MODELS, NULL_EXAMPLES = 20, 64


@dataclass(frozen=True, kw_only=True)
class Development:
    """When each step of the circuit forms: scores over the checkpoints of a run, and the step at which each rose.

    Writes as it goes; the same command again goes on where it stopped.

    Args:
        run: folder of a run that kept several checkpoints.
        out: folder for development.{npz,png,pdf}; made if it is not there.
        examples: held-out problems at each checkpoint.
        seed: of the run; the first if left out.
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    out: Annotated[Path, arg(metavar="DIR")]
    examples: int = 256
    seed: int | None = None


def development(asked: Development) -> int:
    """Score every checkpoint that is not scored yet, and draw all of them."""
    screen = Console(highlight=False)
    with usage():
        check_folder(asked.out)
        steps = kept_steps(asked.run)
        rule = "must hold at least 2 checkpoints: train with --keep-every"
        checks.require(len(steps) >= 2, "run", rule, str(asked.run))
        first = by_seed(read_run(asked.run, steps[0]), asked.seed)
        done = _done(asked, first)
        problems = test_problems(first.task, asked.examples)
    function = partial(problem_scores, first.task.format, query_position(first.task.format))
    with progress(screen) as part:
        show = part("checkpoints", len(steps))
        for number, step in enumerate(steps):
            if step not in done:
                with usage():
                    model = by_seed(read_run(asked.run, step), first.seed).model
                moments = stream(function, model, (problems,))
                done[step] = jax.tree.map(_mean, moments.count, moments.mean)
                with usage(), writing(asked.out):
                    _write(asked, first, done)
            show(number + 1)
    kept = np.array(sorted(done))
    found = circuit_strengths([done[step] for step in kept.tolist()])
    with usage(), writing(asked.out):
        write_figure(asked.out, "development", development_figure(first.name.split(",")[0], kept, found))
    baseline = _untrained(function, first, problems[:NULL_EXAMPLES])
    screen.print(_table(f"{asked.run.name}, seed {first.seed}", kept, found, baseline))
    screen.print(f"wrote {asked.out}", soft_wrap=True, markup=False)
    return 0


def _mean(count: Array, mean: Array) -> np.ndarray:
    """NaN for what no problem has."""
    return np.where(np.asarray(count) > 0, np.asarray(mean), np.nan)


def _table(title: str, steps: np.ndarray, found: dict[str, np.ndarray], baseline: dict[str, float]) -> Table:
    table = Table(title=f"{title}: when each part came to stay above half-way")
    for column in ("part", "untrained", "formed at step", "final"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, values in found.items():
        when = formation(steps, values, baseline=baseline[name])
        formed = "never" if when.step is None else str(when.step)
        table.add_row(name, f"{baseline[name]:.2f}", formed, f"{when.final:.2f}")
    return table


def _untrained(function: Callable[..., CircuitScores], first: Stored, problems: np.ndarray) -> dict[str, float]:
    """Mean strengths of untrained models."""
    null = jax.tree.map(np.asarray, untrained_scores(function, first.model.config, (problems,), models=NULL_MODELS))
    each = [jax.tree.map(lambda values, number=number: values[number], null) for number in range(NULL_MODELS)]
    return {name: float(values.mean()) for name, values in circuit_strengths(each).items()}


def development_figure(title: str, steps: np.ndarray, found: dict[str, np.ndarray]) -> Figure:
    """One panel of every strength over training steps."""
    lines = [Line(name, steps, values, number) for number, (name, values) in enumerate(found.items())]
    panel = LinePanel("strongest head", "mass of attention", lines, limits=(-0.03, 1.03))
    return line_panels([panel], "training steps", log_x=False, title=title)


def _done(asked: Development, first: Stored) -> dict[int, CircuitScores]:
    """What an earlier call with the same run, seed and problems has scored."""
    path = asked.out / ARRAYS
    if not path.exists():
        return {}
    arrays = read_arrays(path)
    about = str(arrays.get("about"))
    whole = arrays.keys() == {*CircuitScores._fields, "steps", "about"} and about == _about(asked, first)
    checks.require(whole, "out", f"must be new, or hold the scores of {_about(asked, first)}", about)
    return {
        int(step): CircuitScores(*(arrays[name][number] for name in CircuitScores._fields))
        for number, step in enumerate(arrays["steps"])
    }


def _write(asked: Development, first: Stored, done: dict[int, CircuitScores]) -> None:
    steps = sorted(done)
    arrays = {name: np.stack([getattr(done[s], name) for s in steps]).astype(np.float32) for name in CircuitScores._fields}
    about = {"steps": np.asarray(steps), "about": np.asarray(_about(asked, first))}
    write_arrays(asked.out / ARRAYS, arrays | about)


def _about(asked: Development, first: Stored) -> str:
    """Which run, seed and problems: runs of one name are told apart by their config, but for how long they went on."""
    config = as_json(run_folder.read_config(asked.run, TrainConfig))
    trained = {name: config[name] for name in ("task", "objective", "model", "optimiser", "batch")}
    found = checksum(json.dumps(trained, sort_keys=True).encode())
    said = {"run": asked.run.name, "seed": first.seed, "examples": asked.examples}
    return json.dumps(said | {"objective": first.notes["objective"], "config": found})
