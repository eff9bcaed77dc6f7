"""Load the models of a run or of a saved model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from circuits import checks
from circuits.tasks.task import Task, TaskConfig, build_task
from circuits.training import run_folder
from circuits.training.checkpoints import Checkpoints
from circuits.training.config import TrainConfig
from circuits.training.records import as_json, from_json
from circuits.training.step import model_of
from circuits.training.transformer import initial_states, seeds_of
from circuits.transformer import weights_file


class Stored(NamedTuple):
    """A trained model, a ``Predictor`` or a ``OneLayer``, with its task, seed and notes."""

    name: str
    model: Any
    task: Task
    teacherless: bool
    seed: int
    notes: dict[str, object]


def kept_steps(folder: Path) -> list[int]:
    """Return the steps of a run's checkpoints, in order. Raises ValueError for a folder that is not a run."""
    config = run_folder.read_config(folder, TrainConfig)
    with Checkpoints(folder / run_folder.CHECKPOINTS, config.keep, config.keep_every) as checkpoints:
        return checkpoints.steps()


def run_task(folder: Path) -> tuple[TrainConfig, Task]:
    """Return the config of a run and its task, built with the run's own files. Raises ValueError naming damage."""
    config = run_folder.read_config(folder, TrainConfig)
    return config, build_task(config.task, run_folder.own_files(folder, TrainConfig))


def read_run(folder: Path, step: int | None = None) -> list[Stored]:
    """Return the models of a run, one for each seed, at ``step`` or at the last undamaged checkpoint.

    Raises ValueError for a folder that is not a run, a step without a checkpoint, and a damaged checkpoint.
    """
    config, task = run_task(folder)
    with Checkpoints(folder / run_folder.CHECKPOINTS, config.keep, config.keep_every) as checkpoints:
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        shapes = jax.eval_shape(lambda: initial_states(config, task))
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), shapes)
        restored = checkpoints.restore(like, step)
    notes = {"step": restored.step, "objective": config.objective.name, "heads": config.objective.heads}
    notes["task"] = as_json(config.task)
    return [
        Stored(
            f"{folder.name}, seed {seed}, step {restored.step}",
            model_of(config, task, jax.tree.map(lambda leaf, row=row: leaf[row], restored.state.params)),
            task,
            config.objective.name == "teacherless",
            seed,
            {**notes, "seed": seed},
        )
        for row, seed in enumerate(seeds_of(config))
    ]


def read(folder: Path, step: int | None = None) -> list[Stored]:
    """Return the models of a run, or the one model of a folder with model.safetensors.

    Raises ValueError for a folder that is neither, or that cannot be read.
    """
    checks.require(folder.is_dir(), "checkpoint", "must be a folder: a run, or a saved model", str(folder))
    if not (folder / weights_file.WEIGHTS).exists():
        return read_run(folder, step)
    checks.require(step is None, "step", "must be left out for a saved model, which has no steps", step)
    model, _, notes = weights_file.load_saved_model(folder)
    rule = "must have been saved with its task (notes.task)"
    checks.require("task" in notes, "checkpoint", rule, str(folder))
    task = noted_task(folder, notes)
    teacherless, seed = notes.get("objective") == "teacherless", int(str(notes.get("seed", 0)))
    return [Stored(folder.name, model, task, teacherless, seed, notes)]


def noted_task(folder: Path, notes: Mapping[str, Any]) -> Task:
    """Return the task that a saved model was trained on, built with the model's own files."""
    config = from_json(TaskConfig, notes["task"], "notes.task")
    return build_task(config, folder if (folder / weights_file.GRAPH).exists() else None)
