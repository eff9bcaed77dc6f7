"""Carry out ``circuits probe development``: score every attention head over the checkpoints of a run."""

import json
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax import Array
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from circuits import checks
from circuits.cli import usage
from circuits.cli.checkpoint import open_checkpoint, planning_format, progress_bars
from circuits.cli.options import print_written
from circuits.cli.probe import DevelopmentOptions
from circuits.files import check_folder, checksum, read_arrays, write_arrays, writing
from circuits.models import LoadedModel, held_out_problems
from circuits.plotting import Line, LinePanel, line_panels, write_figure
from circuits.probes import CircuitScores, circuit_strengths, formation, problem_scores, query_position, stream
from circuits.probes.attention.scores import FILE_KEYS
from circuits.probes.nulls import untrained_scores
from circuits.training import run_folder
from circuits.training.config import TrainConfig
from circuits.training.records import as_json
from circuits.training.stored import kept_steps

ARRAYS = "development.npz"
NULL_MODELS, NULL_EXAMPLES = 20, 64


def probe_development(options: DevelopmentOptions) -> int:
    """Score every checkpoint that has no scores yet, and draw the scores of all."""
    screen = Console(highlight=False)
    with usage():
        check_folder(options.out)
        steps = kept_steps(options.run)
        rule = "must hold at least 2 checkpoints: train with --keep-every"
        checks.require(len(steps) >= 2, "run", rule, str(options.run))
        checks.integer("examples", options.examples, min_value=1)
        first = open_checkpoint(options.run, steps[0], options.seed)
        format, seed = planning_format(first), first.notes["seed"]
        scored = _read_scores(options, first)
        problems = held_out_problems(first, options.examples)
    function = partial(problem_scores, format=format, query=query_position(format))
    with progress_bars(screen) as add_bar:
        on_progress = add_bar("checkpoints", len(steps))
        for number, step in enumerate(steps):
            if step not in scored:
                with usage():
                    model = open_checkpoint(options.run, step, seed).model
                moments = stream(function, model, (problems,))
                scored[step] = jax.tree.map(_mean, moments.count, moments.mean)
                with usage(), writing(options.out):
                    _write_scores(options, first, scored)
            on_progress(number + 1)
    scored_steps = np.array(sorted(scored))
    strengths = circuit_strengths([scored[step] for step in scored_steps.tolist()])
    with usage(), writing(options.out):
        title = first.name.split(",")[0]
        write_figure(options.out, "development", development_figure(title, scored_steps, strengths))
    baselines = _untrained_strengths(function, first, problems[:NULL_EXAMPLES])
    screen.print(_table(f"{options.run.name}, seed {seed}", scored_steps, strengths, baselines))
    print_written(screen, options.out, ["development.{npz,pdf,png}"])
    return 0


def development_figure(title: str, steps: np.ndarray, strengths: dict[str, np.ndarray]) -> Figure:
    """Draw every strength over training steps."""
    lines = [Line(name, steps, values, number) for number, (name, values) in enumerate(strengths.items())]
    panel = LinePanel("strongest head", "mass of attention", lines, limits=(-0.03, 1.03))
    return line_panels([panel], "training steps", log_x=False, title=title)


def _mean(count: Array, mean: Array) -> np.ndarray:
    """Return the mean; NaN if no problem has the score."""
    return np.where(np.asarray(count) > 0, np.asarray(mean), np.nan)


def _table(title: str, steps: np.ndarray, strengths: dict[str, np.ndarray], baselines: dict[str, float]) -> Table:
    table = Table(title=f"{title}: when each part permanently exceeded half of its rise")
    for column in ("part", "untrained", "formed at step", "final"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, values in strengths.items():
        when = formation(steps, values, baseline=baselines[name])
        formed = "never" if when.step is None else str(when.step)
        table.add_row(name, f"{baselines[name]:.2f}", formed, f"{when.final:.2f}")
    return table


def _untrained_strengths(
    function: Callable[..., CircuitScores], first: LoadedModel, problems: np.ndarray
) -> dict[str, float]:
    """Return the mean strengths of untrained models."""
    null = jax.tree.map(np.asarray, untrained_scores(function, first.model.config, (problems,), models=NULL_MODELS))
    each = [jax.tree.map(lambda values, number=number: values[number], null) for number in range(NULL_MODELS)]
    return {name: float(values.mean()) for name, values in circuit_strengths(each).items()}


def _read_scores(options: DevelopmentOptions, first: LoadedModel) -> dict[int, CircuitScores]:
    """Return the scores of an earlier call with the same run, seed and problems, by step."""
    path = options.out / ARRAYS
    if not path.exists():
        return {}
    arrays = read_arrays(path)
    about = str(arrays.get("about"))
    same = arrays.keys() == {*FILE_KEYS.values(), "steps", "about"} and about == _about(options, first)
    checks.require(same, "out", f"must be new, or hold the scores of {_about(options, first)}", about)
    return {
        int(step): CircuitScores(*(arrays[key][number] for key in FILE_KEYS.values()))
        for number, step in enumerate(arrays["steps"])
    }


def _write_scores(options: DevelopmentOptions, first: LoadedModel, scored: dict[int, CircuitScores]) -> None:
    steps = sorted(scored)
    arrays = {
        key: np.stack([getattr(scored[step], name) for step in steps]).astype(np.float32)
        for name, key in FILE_KEYS.items()
    }
    about = {"steps": np.asarray(steps), "about": np.asarray(_about(options, first))}
    write_arrays(options.out / ARRAYS, arrays | about)


def _about(options: DevelopmentOptions, first: LoadedModel) -> str:
    """Describe run, seed and problems, with a checksum of the config except for the length of the training."""
    config = as_json(run_folder.read_config(options.run, TrainConfig))
    trained = {name: config[name] for name in ("task", "objective", "model", "optimiser", "batch")}
    digest = checksum(json.dumps(trained, sort_keys=True).encode())
    about = {"run": options.run.name, "seed": first.notes["seed"], "examples": options.examples}
    return json.dumps(about | {"objective": first.notes["objective"], "config": digest})
