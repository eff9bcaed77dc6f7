"""A run or a saved model on disk, as models that can be called."""

from pathlib import Path
from typing import NamedTuple

import jax

from circuits import require
from circuits.tasks.token_format import TokenFormat
from circuits.transformer import weights_file
from circuits.transformer.model import Predictor
from circuits.transformer.training import loop, run_folder
from circuits.transformer.training.checkpoints import Checkpoints
from circuits.transformer.training.config import TrainConfig
from circuits.transformer.training.step import model_of


class Stored(NamedTuple):
    """A trained model of a folder, and what it was trained on."""

    name: str
    model: Predictor
    format: TokenFormat
    one_in: int
    teacherless: bool
    seed: int
    notes: dict[str, object]


def read_run(folder: Path, step: int | None = None) -> list[Stored]:
    """The models of a run, one a seed, at a step that was kept, or at the latest whole checkpoint.

    Raises ValueError for a folder that is no run, a step that was not kept, or damage, naming it.
    """
    config = run_folder.read_config(folder, TrainConfig)
    with Checkpoints(folder / "checkpoints", config.keep, config.keep_every) as checkpoints:
        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        shapes = jax.eval_shape(lambda: loop.fresh_state(config))
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), shapes)
        found = checkpoints.restore(like, step)
    objective, one_in = config.objective, config.task.one_in
    notes = {"step": found.step, "objective": objective.name, "heads": objective.heads, "one_in": one_in}
    teacherless = config.objective.name == "teacherless"
    return [
        Stored(
            f"{folder.name}, seed {seed}, step {found.step}",
            model_of(config, jax.tree.map(lambda leaf, row=number: leaf[row], found.state.params)),
            config.task.format,
            config.task.one_in,
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
    require.that(folder.is_dir(), "checkpoint", "must be a folder: a run, or a saved model", str(folder))
    if not (folder / "model.safetensors").exists():
        return read_run(folder, step)
    require.that(step is None, "step", "must be left out for a saved model, which holds one", step)
    model, form, notes = weights_file.load_model(folder)
    require.that(form is not None, "checkpoint", "must say what it was trained on to be evaluated", str(folder))
    assert form is not None
    teacherless = notes.get("objective") == "teacherless"
    one_in, seed = (int(str(notes.get(name, usual))) for name, usual in (("one_in", 64), ("seed", 0)))
    return [Stored(folder.name, model, form, one_in, teacherless, seed, notes)]
