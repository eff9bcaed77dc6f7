"""Training: tokens of the step, a step on every seed, and now and then an evaluation and a checkpoint."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.training import data, run_folder
from circuits.training.checkpoints import Checkpoints
from circuits.training.config import TrainConfig
from circuits.training.parallel import Devices, batch_sharding, everywhere, mesh, state_shardings, where
from circuits.training.run_graph import kept_graph, settled
from circuits.training.scoring import scoring
from circuits.training.step import State, initial_state, model_of, update

FREE = frozenset({"evaluate_every", "checkpoint_every", "keep", "keep_every"})
"""What may differ when a run goes on: nothing that a step depends on."""


class Report(NamedTuple):
    """How a run stands after an evaluation: one record a seed, and what had to be passed over on the way."""

    step: int
    records: list[dict[str, Any]]
    notes: list[str]


def train(
    config: TrainConfig,
    folder: Path,
    devices: Devices | None = None,
    resume: bool = False,
    show: Callable[[Report], None] = lambda report: None,
) -> State:
    """Train until ``config.steps``, and leave config.json, metrics.jsonl and checkpoints in the folder.

    Of walks also their graph, in graph.txt; what becomes of ``walks.file`` from then on does not matter.

    A run that was killed and resumed on the same devices ends with the same bits as one that was not. Every leaf of
    the state that is returned has the seeds as its first axis.

    Raises ValueError for a folder that holds another run, or data that can't be used; ArithmeticError when a loss is
    not finite any more; OSError when nothing can be written.
    """
    on = mesh(devices or Devices(), config.batch // config.accumulate)
    problems = data.load(config)
    kept = kept_graph(config.task)
    on_first("folder", lambda: run_folder.claim(folder, config, resume, FREE, growing(config), kept))
    config = settled(config, folder)
    with Checkpoints(folder / "checkpoints", config.keep, config.keep_every) as checkpoints:
        step, state, notes = begin(config, on, checkpoints)
        if resume:
            notes = [*notes, f"going on from step {step}"]
        on_first("folder", lambda: run_folder.cut_metrics(folder, step))
        advance, measure, tokens_at = compiled(config, on, problems)
        largest = jax.jit(largest_entry, out_shardings=everywhere(on))
        since, counted = time.perf_counter(), step
        while step < config.steps:
            state, losses = advance(state, tokens_at(step), np.int32(step))
            step += 1
            last = step == config.steps
            if evaluated := step % config.evaluate_every == 0 or step == 1 or last:
                check_finite(losses.loss, step)
                speed = (step - counted) * tokens_a_step(config) / (time.perf_counter() - since)
                records = evaluate(config, problems, measure(state.params), losses, step, speed)
                # Shown first: a caller that must stop, such as a queue that gave the run to another, raises there.
                show(Report(step, records, notes))
                on_first("folder", partial(run_folder.append_metrics, folder, records))
            if saved := step % config.checkpoint_every == 0 or last:
                check_finite(losses.loss, step)
                check_finite(largest(state), step, "state")  # the loss is that before the step
                checkpoints.save(step, state)
            if evaluated or saved:  # the time of an evaluation is not the training's
                since, counted = time.perf_counter(), step
    return state


def growing(config: TrainConfig) -> frozenset[str]:
    """What may grow when a run goes on: its steps, unless a schedule depends on their number."""
    free = (config.optimiser.schedule, config.objective.weight_schedule) == ("constant", "constant")
    return frozenset({"steps"} if free else ())


def begin(config: TrainConfig, on: Mesh, checkpoints: Checkpoints) -> tuple[int, State, list[str]]:
    """(steps taken, state, notes about damaged checkpoints), from the latest whole checkpoint or from the seeds."""
    fresh = partial(fresh_state, config)
    like = jax.eval_shape(fresh)
    lies = state_shardings(on, like)
    if checkpoints.latest() is None:
        return 0, jax.jit(fresh, out_shardings=lies)(), []
    abstract = jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), like, lies)
    found = checkpoints.restore(abstract)
    return found.step, found.state, [f"passed over {damage}" for damage in found.passed_over]


def fresh_state(config: TrainConfig) -> State:
    """The state before the first step, every leaf with the seeds first."""
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(initial_state(config, seed) for seed in seeds))


class Losses(NamedTuple):
    """Of the batch of a step, for each seed."""

    loss: Float[Array, " S"]
    heads: Float[Array, "S k"]


class Measured(NamedTuple):
    """What ``scoring`` gives for test and training problems; every leaf has the seeds first."""

    test: Any
    train: Any


def compiled(
    config: TrainConfig, on: Mesh, problems: data.Data
) -> tuple[
    Callable[[State, Int[Array, "S B T"], np.int32], tuple[State, Losses]],
    Callable[[Any], Measured],
    Callable[[int], Int[Array, "S B T"]],
]:
    """The step, the evaluation and the tokens of a step, for all seeds, on a mesh."""
    like = jax.eval_shape(partial(initial_state, config, config.first_seed))
    lies = state_shardings(on, jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), like))
    judge = scoring(config.task, config.objective.name == "teacherless").judge
    sets = [jnp.asarray(rows, jnp.int32) for rows in (problems.test, problems.train_sample)]

    def advance(state: State, tokens: Int[Array, "S B T"], step: Int[Array, ""]) -> tuple[State, Losses]:
        state, losses = over_seeds(lambda one, rows: update(config, one, rows, step), state, tokens)
        return state, Losses(*losses)

    def measure(params: Any) -> Measured:
        def one(params: Any) -> Measured:
            model = model_of(config, params)
            return Measured(*(judge(model, rows) for rows in sets))

        return over_seeds(one, params)

    return (
        jax.jit(advance, donate_argnums=0, out_shardings=(lies, everywhere(on))),
        jax.jit(measure, out_shardings=everywhere(on)),
        tokens_source(config, on, problems),
    )


def tokens_source(config: TrainConfig, on: Mesh, problems: data.Data) -> Callable[[int], Int[Array, "S B T"]]:
    """From a step, counted from 0, to the tokens of each seed, split over the mesh."""
    split = batch_sharding(on)
    if problems.train is not None:
        rows = jax.device_put(problems.train, everywhere(on))
        take = jax.jit(lambda rows, places: rows[places].astype(jnp.int32), out_shardings=split)
        return lambda step: take(rows, data.rows_at(config, rows.shape[0], step))

    form = config.task.problem_format

    def stream(step: Int[Array, ""]) -> Int[Array, "S B T"]:
        seeds = jnp.arange(config.first_seed, config.first_seed + config.seeds, dtype=jnp.int32)
        keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), step))(seeds)
        return over_seeds(lambda key: data.fresh(form, "train", key, config.batch, config.task.one_in), keys)

    drawn = jax.jit(stream, out_shardings=split)
    return lambda step: drawn(np.int32(step))


def over_seeds(function: Callable[..., Any], *arrays: Any) -> Any:
    """The function on every seed, side by side; one seed alone is spared the extra axis, which compiles worse."""
    if jax.tree.leaves(arrays)[0].shape[0] > 1:
        return jax.vmap(function)(*arrays)
    alone = function(*jax.tree.map(lambda leaf: leaf[0], arrays))
    return jax.tree.map(lambda leaf: leaf[None], alone)


def evaluate(
    config: TrainConfig, problems: data.Data, measured: Measured, losses: Losses, step: int, speed: float
) -> list[dict[str, Any]]:
    """A record for each seed: losses of the last batch, accuracies, and tokens a second since the last evaluation."""
    found: tuple[Losses, Measured] = jax.device_get((losses, measured))
    figures, records = scoring(config.task, config.objective.name == "teacherless").figures, []
    for number in range(config.seeds):
        loss, of = jax.tree.map(lambda leaf, row=number: leaf[row], found)
        values = {name: np.asarray(part, np.float64).tolist() for name, part in loss._asdict().items()}
        parts = (("test_", of.test, problems.test), ("train_", of.train, problems.train_sample))
        accuracies = {name + key: value for name, part, rows in parts for key, value in figures(part, rows).items()}
        record = {"step": step, "seed": config.first_seed + number}
        record |= {"loss": values["loss"], "head_losses": values["heads"]}
        records.append(record | accuracies | {"tokens_per_second": round(speed), "device": where()})
    return records


def tokens_a_step(config: TrainConfig) -> int:
    """Tokens that all seeds' models read in a step."""
    return config.seeds * config.batch * (config.task.format.length - 1)


def check_finite(values: Float[Array, " S"], step: int, name: str = "loss") -> None:
    """Raise ArithmeticError naming the seed whose value is not finite."""
    for number, value in enumerate(np.asarray(values)):
        if not np.isfinite(value):
            raise ArithmeticError(f"{name}: must be finite, got {value} for seed number {number} at step {step}")


def largest_entry(state: State) -> Float[Array, " S"]:
    """The largest absolute value in each seed's state; NaN where there is one."""
    rows = [jnp.abs(leaf.astype(jnp.float32)).reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(state)]
    return jnp.max(jnp.stack([jnp.max(row, axis=1) for row in rows]), axis=0)


def on_first(argument: str, action: Callable[[], None]) -> None:
    """Do something on process 0 alone; if it fails there, all processes stop, for the others would wait for ever.

    Raises what the action raised, and on other processes ValueError naming the argument.
    """
    error: Exception | None = None
    if jax.process_index() == 0:
        try:
            action()
        except Exception as caught:
            error = caught
    failed = error is not None
    if jax.process_count() > 1:
        failed = bool(multihost_utils.broadcast_one_to_all(np.int32(failed)))
    if error is not None:
        raise error
    checks.require(not failed, argument, "must be usable by process 0", "an error there")
