"""A run or a saved model on disk, as models that can be called."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

from circuits import checks
from circuits.training import loop, run_folder
from circuits.training.checkpoints import Checkpoints
from circuits.training.config import TaskConfig, TrainConfig
from circuits.training.run_graph import read_task, settled
from circuits.training.step import model_of
from circuits.transformer import weights_file


class Stored(NamedTuple):
    """A trained model of a folder, and what it was trained on.

    ``task`` is about the graph that the folder holds, if it holds one; ``notes`` say where that came from.
    The model is a ``Predictor``, or a ``OneLayer`` where its config is of the kind one-layer.
    """

    name: str
    model: Any
    task: TaskConfig
    teacherless: bool
    seed: int
    notes: dict[str, object]


def kept_steps(folder: Path) -> list[int]:
    """The steps at which a run was kept, in order. Raises ValueError for a folder that is no run."""
    config = run_folder.read_config(folder, TrainConfig)
    with Checkpoints(folder / run_folder.CHECKPOINTS, config.keep, config.keep_every) as checkpoints:
        return checkpoints.steps()


def read_run(folder: Path, step: int | None = None) -> list[Stored]:
    """The models of a run, one a seed, at a step that was kept, or at the latest whole checkpoint.

    Raises ValueError for a folder that is no run, a step that was not kept, or damage, naming it.
    """
    asked = run_folder.read_config(folder, TrainConfig)
    config = settled(asked, folder)
    with Checkpoints(folder / run_folder.CHECKPOINTS, config.keep, config.keep_every) as checkpoints:
        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        shapes = jax.eval_shape(lambda: loop.fresh_state(config))
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), shapes)
        found = checkpoints.restore(like, step)
    notes = {"step": found.step, "objective": config.objective.name, "heads": config.objective.heads}
    notes["task"] = {**run_folder.as_json(asked.task), **run_folder.as_written(folder).get("task", {})}
    teacherless = config.objective.name == "teacherless"
    return [
        Stored(
            f"{folder.name}, seed {seed}, step {found.step}",
            model_of(config, jax.tree.map(lambda leaf, row=number: leaf[row], found.state.params)),
            config.task,
            teacherless,
            seed,
            {**notes, "seed": seed},
        )
        for number, seed in enumerate(range(config.first_seed, config.first_seed + config.seeds))
    ]


def read(folder: Path, step: int | None = None) -> list[Stored]:
    """The models of a run's folder, or the one of a folder with model.safetensors.

    Raises ValueError for a folder that is neither, or that can't be read.
    """
    checks.require(folder.is_dir(), "checkpoint", "must be a folder: a run, or a saved model", str(folder))
    if not (folder / "model.safetensors").exists():
        return read_run(folder, step)
    checks.require(step is None, "step", "must be left out for a saved model, which holds one", step)
    model, _, notes = weights_file.load_saved_model(folder)
    rule = "must say what it was trained on (notes.task) to be evaluated"
    checks.require("task" in notes, "checkpoint", rule, str(folder))
    graph = folder / weights_file.GRAPH
    task = read_task(notes["task"], graph if graph.exists() else None)
    teacherless, seed = notes.get("objective") == "teacherless", int(str(notes.get("seed", 0)))
    return [Stored(folder.name, model, task, teacherless, seed, notes)]
