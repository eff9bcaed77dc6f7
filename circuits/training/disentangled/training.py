"""Training of a disentangled model, as a ``Training`` record for the loop.

The paper trains 300 epochs on 1M generated examples, but the 2-path 3-node family with N = 10 has only 725,760
sequences, most of which are among those examples. Fresh graphs at each step have the same distribution, without
overfitting. The evaluation set is drawn once, from another key.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, Key

from circuits.disentangled.metrics import Metrics, measure
from circuits.disentangled.models import Model, Params, full_model, prompts, reduced_model
from circuits.tasks.star.graph import StarGraph
from circuits.training import loop
from circuits.training.disentangled.config import EVALUATION_SEED, DisentangledConfig
from circuits.training.loop import Report, Schedule, Training, every
from circuits.training.progress import means

LEGEND = "means over seeds, with the minimum: loss; v: accuracy of the first token; path: of both tokens, decoded"
PRECISION = "highest"
"""Precision of matrix products: accelerators would otherwise round float32 products to fewer bits."""


class State(NamedTuple):
    """Parameters and optimiser state of every seed, along the first axis of each array.

    The graphs of step t are drawn from the seed's key with t folded in, so the state holds no key.
    """

    params: Params
    optimiser: optax.OptState


def train(config: DisentangledConfig, folder: Path, show: Callable[[Report], None] = lambda report: None) -> State:
    """Train, evaluate and save until the last step, from the latest checkpoint in the folder if there is one.

    Raises as ``circuits.training.transformer.train`` does.
    """
    return loop.finish(loop.open_run(prepare(config), folder, resume=True), show)


def prepare(config: DisentangledConfig) -> Training:
    """Return the training of a config. Raises ValueError naming a field that is not possible for star graphs."""
    graphs_of(config)
    compiled = replace(config, steps=1, evaluate_every=1)  # no compiled program depends on these
    initial = partial(initial_state, compiled)
    shapes = jax.eval_shape(initial)
    return Training(
        config=config,
        abstract=jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), shapes),
        initial=initial,
        advance=lambda state, start, stop: (advance(compiled, state, jnp.int32(start), jnp.int32(stop)), None),
        evaluate=lambda state, _: records(config, jax.device_get(evaluate(compiled, state.params))),
        snapshot=lambda state: by_name(config, state.params),
        schedule=Schedule(evaluation_steps(config), snapshot_steps(config), every(config.evaluate_every, config.steps)),
        keep=2,
        keep_every=0,
        stride=None,
        tokens_per_step=config.seeds * config.batch * graphs_of(config).sequence_length,
        growing=frozenset({"steps"}),
        files={},
        status=partial(status, config),
        legend=LEGEND,
    )


def evaluation_steps(config: DisentangledConfig) -> frozenset[int]:
    """Return 0, every ``evaluate_every`` steps, the last step, and 1, 2 and 5 times powers of 10 early on."""
    early = [m * 10**power for power in range(10) for m in (1, 2, 5) if m * 10**power < config.evaluate_every]
    often = range(0, config.steps, config.evaluate_every)
    steps = {step for step in (*early, *often, *snapshot_steps(config)) if step < config.steps}
    return frozenset(steps | {config.steps})


def snapshot_steps(config: DisentangledConfig) -> frozenset[int]:
    """Return 0, the last step, and five steps per decade from 100, each a power of 10 rounded to two digits."""
    log_spaced = {digits * 10**power for power in range(1, 9) for digits in (10, 16, 25, 40, 63)}
    return frozenset({0, config.steps} | {step for step in log_spaced if step < config.steps})


@partial(jax.jit, static_argnums=0)
def initial_state(config: DisentangledConfig) -> State:
    """Return random parameters of every seed, and a fresh optimiser."""
    params = jax.vmap(lambda seed: model_for(config).initial(_keys(seed)[0]))(_seeds(config))
    return State(params, jax.vmap(_optimiser(config).init)(params))


@partial(jax.jit, static_argnums=0)
def advance(config: DisentangledConfig, state: State, start: Int[Array, ""], stop: Int[Array, ""]) -> State:
    """Return the state after step ``stop``, given that after ``start``: one compiled loop for any number of steps."""
    model, optimiser, graphs = model_for(config), _optimiser(config), graphs_of(config)

    def one_seed(seed: Int[Array, ""], state: State) -> State:
        _, stream = _keys(seed)

        def one_step(step: Int[Array, ""], state: State) -> State:
            tokens, y1, y2 = prompts(graphs, jax.random.fold_in(stream, step), config.batch)
            _, gradient = model.gradient(state.params, tokens, y1, y2)
            with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
                updates, moments = optimiser.update(gradient, state.optimiser, state.params)
            return State(optax.apply_updates(state.params, updates), moments)

        return jax.lax.fori_loop(start, stop, one_step, state)

    with jax.default_matmul_precision(PRECISION):
        return jax.lax.map(lambda pair: one_seed(*pair), (_seeds(config), state), batch_size=config.seeds_at_once)


@partial(jax.jit, static_argnums=0)
def evaluate(config: DisentangledConfig, params: Params) -> Metrics:
    """Return the mean of each metric over the evaluation set, for every seed."""
    model = model_for(config)
    batch = prompts(graphs_of(config), jax.random.key(EVALUATION_SEED), config.evaluation_size)

    def one_seed(params: Params) -> Metrics:
        def one_prompt(*prompt: Int[Array, "..."]) -> Metrics:
            return measure(partial(model.read, params), model.losses(params, *prompt), *prompt)

        return jax.tree.map(lambda values: jnp.mean(values, axis=0), jax.vmap(one_prompt)(*batch))

    with jax.default_matmul_precision(PRECISION):
        return jax.lax.map(one_seed, params, batch_size=config.seeds_at_once)


def records(config: DisentangledConfig, metrics: Metrics) -> list[dict[str, Any]]:
    """Return a record for each seed."""
    columns = {name: np.asarray(values, np.float64).tolist() for name, values in metrics._asdict().items()}
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    return [{"seed": seed} | {name: column[row] for name, column in columns.items()} for row, seed in enumerate(seeds)]


def status(config: DisentangledConfig, records: list[dict[str, Any]]) -> str:
    """Return a line about an evaluation, with means over seeds, and minima of the accuracies."""
    mean = means(records)
    loss = sum(weight * mean[name] for name, weight in config.mix._asdict().items())
    lowest = {name: min(record[name] for record in records) for name in ("first_accuracy", "path_accuracy")}
    first, path = (f"{mean[name]:.1%} (min {lowest[name]:.1%})" for name in lowest)
    return f"loss {loss:.4f}  v {first}  path {path}"


def model_for(config: DisentangledConfig) -> Model:
    """Return the model of a config in float32."""
    if config.model == "full":
        return full_model(graphs_of(config), config.mix, config.init_scale)
    return reduced_model(graphs_of(config), config.mix, config.init_scale, config.hold_content_1)


def graphs_of(config: DisentangledConfig) -> StarGraph:
    """Return the family of graphs. The two targets are the whole answer, so paths have 3 nodes."""
    return StarGraph(config.paths, 3, config.labels)


def by_name(config: DisentangledConfig, params: Params) -> dict[str, np.ndarray]:
    """Return the parameters of all seeds by name."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    return dict(zip(model_for(config).names, leaves, strict=True))


def _seeds(config: DisentangledConfig) -> Int[Array, " seeds"]:
    return config.first_seed + jnp.arange(config.seeds, dtype=jnp.int32)


def _keys(seed: Int[Array, ""]) -> tuple[Key[Array, ""], Key[Array, ""]]:
    """Return one key for the initial parameters and one for the stream of graphs."""
    initial, stream = jax.random.split(jax.random.key(seed))
    return initial, stream


def _optimiser(config: DisentangledConfig) -> optax.GradientTransformation:
    return optax.adamw(config.learning_rate, b1=0.9, b2=0.999, weight_decay=config.weight_decay)
