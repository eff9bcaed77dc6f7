"""Training: every seed its own parameters and its own endless stream of random graphs.

The paper trains 300 epochs on 1M generated examples, but the 2-path 3-node family with N = 10 has 725,760 sequences
in all, so those examples hold most of it. Graphs drawn afresh at each step are the same distribution, and there is
nothing to overfit. An evaluation set drawn once from another key is a sample of that distribution too.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from circuits.tasks.sampling import sample
from circuits.tasks.star.graph import encode_prompt, targets
from circuits.training.disentangled import runs
from circuits.training.disentangled.config import MOST_SEED, TrainConfig
from circuits.training.disentangled.metrics import Metrics, measure
from circuits.training.disentangled.models import Params, model_for
from circuits.training.disentangled.runs import History

EVALUATION_SEED = MOST_SEED + 1
"""No run's seed, so the evaluation set is no run's batch."""
PRECISION = "highest"
"""Of matrix products: on accelerators, float32 products are not rounded to fewer bits."""


class State(NamedTuple):
    """What a step changes, for every seed (first axis of every array). The number of steps taken is kept beside it.

    There is no key in it: the graphs of step t are drawn from the seed's key folded with t.
    """

    params: Params
    optimiser: optax.OptState


def train(
    config: TrainConfig, folder: Path, show: Callable[[int, History], None] = lambda step, history: None
) -> History:
    """Train, evaluate and save until ``config.steps``, from the checkpoint in ``folder`` if there is one.

    A run that was killed and goes on ends with the same bits as one that was not. ``show`` is called with the step
    and the history after each evaluation, and first when a run goes on.

    Raises ValueError for a folder that holds another run or a damaged one, and ArithmeticError when a loss is not
    finite any more.
    """
    history, step, state = begin(config, folder)
    if history is not None:
        show(step, history)
    for stop in evaluation_steps(config):
        if history is not None and stop <= step:
            continue
        state = advance(config, state, jnp.int32(step), jnp.int32(stop))
        step = stop
        metrics = jax.device_get(evaluate(config, state.params))._asdict()
        _check_finite(metrics, step)
        snapshot = _by_name(config, state.params) if stop in snapshot_steps(config) else None
        history = runs.append(history, step, metrics, snapshot)
        runs.save(folder, history, step, jax.device_get(state))
        show(step, history)
    assert history is not None
    return history


def begin(config: TrainConfig, folder: Path) -> tuple[History | None, int, State]:
    """The history, the steps taken and the state from which the run in a folder goes on, or starts.

    Raises ValueError for a folder that can't be written, that holds another run, or a damaged one.
    """
    runs.claim(folder, config)
    found = runs.resume(folder, jax.eval_shape(partial(initial_state, config)))
    return (None, 0, initial_state(config)) if found is None else found


def evaluation_steps(config: TrainConfig) -> list[int]:
    """0, every ``evaluate_every`` steps, the last, and before those the powers of 10 once, twice and five times."""
    early = [m * 10**power for power in range(10) for m in (1, 2, 5) if m * 10**power < config.evaluate_every]
    often = range(0, config.steps, config.evaluate_every)
    return sorted({step for step in (*early, *often, *snapshot_steps(config)) if step < config.steps} | {config.steps})


def snapshot_steps(config: TrainConfig) -> list[int]:
    """0, the last, and five steps a decade from 100, each the power of 10 rounded to two digits."""
    digits = (10, 16, 25, 40, 63)
    log_spaced = {digit * 10**power for power in range(1, 9) for digit in digits}
    return sorted({0, config.steps} | {step for step in log_spaced if step < config.steps})


@partial(jax.jit, static_argnums=0)
def initial_state(config: TrainConfig) -> State:
    """Random parameters of every seed, and a fresh optimiser."""
    params = jax.vmap(lambda seed: model_for(config).initial(_keys(seed)[0]))(_seeds(config))
    return State(params, jax.vmap(_optimiser(config).init)(params))


@partial(jax.jit, static_argnums=0)
def advance(config: TrainConfig, state: State, start: Int[Array, ""], stop: Int[Array, ""]) -> State:
    """The state after step ``stop``, from that after step ``start``; one compiled loop for any number of steps."""
    model, optimiser = model_for(config), _optimiser(config)

    def one_seed(seed: Int[Array, ""], state: State) -> State:
        _, stream = _keys(seed)

        def one_step(step: Int[Array, ""], state: State) -> State:
            tokens, y1, y2 = prompts(config, jax.random.fold_in(stream, step), config.batch)
            _, gradient = model.gradient(state.params, tokens, y1, y2)
            with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
                updates, moments = optimiser.update(gradient, state.optimiser, state.params)
            return State(optax.apply_updates(state.params, updates), moments)

        return jax.lax.fori_loop(start, stop, one_step, state)

    with jax.default_matmul_precision(PRECISION):
        return jax.lax.map(lambda of: one_seed(*of), (_seeds(config), state), batch_size=config.seeds_at_once)


@partial(jax.jit, static_argnums=0)
def evaluate(config: TrainConfig, params: Params) -> Metrics:
    """The mean of each metric over the evaluation set, for every seed."""
    model = model_for(config)
    batch = prompts(config, jax.random.key(EVALUATION_SEED), config.evaluation_size)

    def one_seed(params: Params) -> Metrics:
        def one_prompt(*prompt: Int[Array, "..."]) -> Metrics:
            return measure(partial(model.read, params), model.losses(params, *prompt), *prompt)

        return jax.tree.map(lambda values: jnp.mean(values, axis=0), jax.vmap(one_prompt)(*batch))

    with jax.default_matmul_precision(PRECISION):
        return jax.lax.map(one_seed, params, batch_size=config.seeds_at_once)


def prompts(
    config: TrainConfig, key: Key[Array, ""], count: int
) -> tuple[Int[Array, "B T"], Int[Array, " B"], Int[Array, " B"]]:
    """Random graphs as sequences, with their targets y1 and y2."""
    problems = sample(config.graphs, key, count)
    return jax.vmap(encode_prompt)(problems), *targets(problems)


def _seeds(config: TrainConfig) -> Int[Array, " S"]:
    return config.first_seed + jnp.arange(config.seeds, dtype=jnp.int32)


def _keys(seed: Int[Array, ""]) -> tuple[Key[Array, ""], Key[Array, ""]]:
    """One key for the initial parameters, one for the stream of graphs."""
    initial, stream = jax.random.split(jax.random.key(seed))
    return initial, stream


def _optimiser(config: TrainConfig) -> optax.GradientTransformation:
    return optax.adamw(config.learning_rate, b1=0.9, b2=0.999, weight_decay=config.weight_decay)


def _by_name(config: TrainConfig, params: Params) -> dict[str, np.ndarray]:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    return dict(zip(model_for(config).names, leaves, strict=True))


def _check_finite(metrics: dict[str, Float[np.ndarray, " S"]], step: int) -> None:
    for name, values in metrics.items():
        for seed in np.flatnonzero(~np.isfinite(values)):
            raise ArithmeticError(f"{name}: must be finite, got {values[seed]} for seed number {seed} at step {step}")
