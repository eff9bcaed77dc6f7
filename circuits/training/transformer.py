"""Training of a transformer on a task, as a ``Training`` record for the loop."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Int

from circuits.tasks.task import Task, build_task
from circuits.training import loop
from circuits.training.batches import Data, load, token_source
from circuits.training.config import TrainConfig
from circuits.training.devices import Devices
from circuits.training.evaluation import Answers, answers, metrics
from circuits.training.loop import Report, Schedule, Training, every
from circuits.training.parallel import mesh, replicated, state_shardings
from circuits.training.progress import means
from circuits.training.seeds import over_seeds
from circuits.training.shapes import check_fits, tokens_per_step, transformer_config
from circuits.training.step import Losses, State, graphdef, initial_state, update
from circuits.transformer.config import TransformerConfig

LEGEND = (
    "means over seeds: loss of the last batch; test and train: share of test and training problems whose whole answer "
    "is correct; "
)


def train(
    config: TrainConfig,
    folder: str | Path,
    devices: Devices | None = None,
    resume: bool = False,
    show: Callable[[Report], None] = lambda report: None,
) -> State:
    """Train a transformer, and write config.json, metrics.jsonl, checkpoints and the task's own files to a folder.

    Args:
        config: the task, the model and the training schedule.
        folder: the run folder, made if it does not exist.
        devices: the devices to use. None: one.
        resume: continue the run in the folder, if there is one.
        show: called after each evaluation.

    Returns:
        The last state. Every leaf has the seeds as its first axis.

    Raises:
        ValueError: for a folder that holds another run, or a task or data that cannot be used.
        ArithmeticError: when a loss or a parameter is no longer finite.
        OSError: when nothing can be written.
        circuits.training.loop.Interrupted: on Ctrl-C, after saving a checkpoint.
    """
    return loop.finish(loop.open_run(prepare(config, build_task(config.task), devices), Path(folder), resume), show)


def prepare(config: TrainConfig, task: Task, devices: Devices | None = None) -> Training:
    """Load the data, and return the training of a config on its task; nothing is compiled or written yet.

    Raises ValueError naming a field that does not fit the task or the devices, or data that cannot be used.
    """
    check_fits(config, task)
    grid = mesh(devices or Devices(), config.batch // config.accumulate)
    data = load(task, config.batch, config.test_examples)
    steps, constant = config.steps, (config.optimiser.schedule, config.objective.weight_schedule)
    growing = frozenset({"steps"} if constant == ("constant", "constant") else ())
    initial, step_all = _programs(_without_schedule(config, growing), task, grid)
    answer_all = _answer_all(transformer_config(config, task), task, config.objective.name == "teacherless", grid)
    shapes = jax.eval_shape(initial)
    return Training(
        config=config,
        abstract=jax.tree.map(
            lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=s),
            shapes,
            state_shardings(grid, shapes),
        ),
        initial=initial,
        advance=_advance(step_all, token_source(task, data, seeds_of(config), config.batch, grid)),
        evaluate=_evaluate(answer_all, task, data, seeds_of(config)),
        snapshot=None,
        schedule=Schedule(
            every(config.evaluate_every, steps) | {1}, frozenset(), every(config.checkpoint_every, steps)
        ),
        keep=config.keep,
        keep_every=config.keep_every,
        stride=1,
        tokens_per_step=tokens_per_step(config, task),
        growing=growing,
        files=task.files,
        status=partial(status, task),
        legend=LEGEND + task.legend,
    )


def initial_states(config: TrainConfig, task: Task) -> State:
    """Return the state of every seed before the first step."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(initial_state(config, task, s) for s in seeds_of(config)))


def seeds_of(config: TrainConfig) -> range:
    """Return the seeds of a run."""
    return range(config.first_seed, config.first_seed + config.seeds)


def status(task: Task, records: list[dict[str, Any]]) -> str:
    """Return a line about an evaluation, with means over seeds."""
    mean, test = means(records), task.status(means(records, "test_"))
    details = f" ({test})" if test else ""
    return (
        f"loss {mean['loss']:.4f}  test {mean['test_exact']:.1%}{details}  train {mean['train_exact']:.1%}  "
        f"{mean['tokens_per_second']:,.0f} tokens/s"
    )


class _Programs(NamedTuple):
    initial: Callable[[], State]
    step_all: Callable[..., tuple[State, Losses]]


def _without_schedule(config: TrainConfig, growing: frozenset[str]) -> TrainConfig:
    """Return the config with constants in place of the fields on which no compiled program depends."""
    fixed: dict[str, Any] = dict.fromkeys(("evaluate_every", "checkpoint_every", "keep", "test_examples"), 1)
    if "steps" in growing:
        fixed["steps"] = max(config.objective.curriculum, default=0) + 1
    return replace(config, keep_every=0, **fixed)


@lru_cache(maxsize=8)  # runs that differ only in their schedule, and resumed runs, share their programs
def _programs(config: TrainConfig, task: Task, grid: Mesh) -> _Programs:
    initial = partial(initial_states, config, task)
    shardings = state_shardings(grid, jax.eval_shape(initial))

    @partial(jax.jit, donate_argnums=0, out_shardings=(shardings, replicated(grid)))
    def step_all(state: State, tokens: Int[Array, "seeds B T"], step: Int[Array, ""]) -> tuple[State, Losses]:
        return over_seeds(lambda state, tokens: update(config, task, state, tokens, step), state, tokens)

    return _Programs(jax.jit(initial, out_shardings=shardings), step_all)


@lru_cache(maxsize=8)
def _answer_all(config: TransformerConfig, task: Task, teacherless: bool, grid: Mesh) -> Callable[..., Answers]:
    @partial(jax.jit, out_shardings=replicated(grid))
    def answer_all(params: Any, rows: Int[Array, "n T"]) -> Answers:
        return over_seeds(lambda params: answers(nnx.merge(graphdef(config), params), task, rows, teacherless), params)

    return answer_all


def _advance(
    step_all: Callable[..., tuple[State, Losses]], tokens_at: Callable[[int], Int[Array, "seeds B T"]]
) -> Callable[[State, int, int], tuple[State, Any]]:
    def advance(state: State, start: int, stop: int) -> tuple[State, Any]:
        losses = None
        for step in range(start, stop):
            state, losses = step_all(state, tokens_at(step), np.int32(step))
        return state, losses

    return advance


def _evaluate(
    answer_all: Callable[..., Answers], task: Task, data: Data, seeds: range
) -> Callable[[State, Losses], list[dict[str, Any]]]:
    sets = {"test_": np.asarray(data.test, np.int32), "train_": np.asarray(data.train_sample, np.int32)}

    def evaluate(state: State, losses: Losses) -> list[dict[str, Any]]:
        answered = [answer_all(state.params, rows) for rows in sets.values()]
        measured, answered = jax.device_get((losses, answered))
        records = []
        for row, seed in enumerate(seeds):
            loss, heads = (np.asarray(part[row], np.float64).tolist() for part in measured)
            record = {"seed": seed, "loss": loss, "head_losses": heads}
            for (prefix, rows), by_seed in zip(sets.items(), answered, strict=True):
                one = jax.tree.map(lambda leaf, row=row: leaf[row], by_seed)
                record |= {prefix + name: value for name, value in metrics(task, one, rows).items()}
            records.append(record)
        return records

    return evaluate
