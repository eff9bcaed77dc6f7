"""One optimiser step, for one seed; the loop runs it on every seed."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.one_layer.module import OneLayer
from circuits.training.config import OptimiserConfig, TrainConfig
from circuits.training.head_weights import weights_at
from circuits.transformer.model import Predictor, build
from circuits.transformer.objectives import batch_losses, target_shares, teacherless_inputs

Params = Any
"""Parameters: an ``nnx.State``."""


class State(NamedTuple):
    """What a step changes. The number of steps taken is kept beside it, and decides the data."""

    params: Params
    optimiser: Any


def initial_state(config: TrainConfig, seed: int) -> State:
    """Random parameters and a fresh optimiser."""
    params: Params = nnx.state(build(config.transformer, nnx.Rngs(seed)), nnx.Param)
    return State(params, adamw(config.optimiser, config.steps).init(params))


def model_of(config: TrainConfig, params: Params) -> Predictor | OneLayer:
    """The model with these parameters."""
    return nnx.merge(_graphdef(config), params)


def update(
    config: TrainConfig, state: State, tokens: Int[Array, "B T"], step: Int[Array, ""] | int
) -> tuple[State, tuple[Float[Array, ""], Float[Array, " k"]]]:
    """The state after a step, and the loss and each head's mean cross-entropy before it.

    ``step`` counts from 0: the steps taken before. What heads weigh follows from it alone. With ``token_weights``
    each term of a head's mean has its target's weight, and the divisor is still the number of targets.
    """
    (loss, heads), gradient = loss_and_gradient(config, state.params, tokens, step)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
        change, moments = adamw(config.optimiser, config.steps).update(gradient, state.optimiser, state.params)
    return State(optax.apply_updates(state.params, change), moments), (loss, heads)


def loss_and_gradient(
    config: TrainConfig, params: Params, tokens: Int[Array, "B T"], step: Int[Array, ""] | int
) -> tuple[tuple[Float[Array, ""], Float[Array, " k"]], Params]:
    """The loss with the heads' mean cross-entropies, and its gradient, over ``accumulate`` equal parts of a batch."""
    parts, weights = config.accumulate, weights_at(config.objective, config.steps, step)
    one = jax.value_and_grad(partial(_loss, config, weights), has_aux=True)
    if parts == 1:
        return one(params, tokens)
    # Every part takes each so-many-th row, so that a batch split over devices stays split in the same way.
    rows = tokens.reshape(-1, parts, tokens.shape[-1]).swapaxes(0, 1)
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(one, params, rows[0]))

    def add(total, part):
        return jax.tree.map(lambda a, b: a + b / parts, total, one(params, part)), None

    return jax.lax.scan(add, zero, rows)[0]


def adamw(config: OptimiserConfig, steps: int) -> optax.GradientTransformation:
    """Clipping and AdamW with the schedule of a run of ``steps`` steps."""
    peak, rest = config.learning_rate, max(1, steps - config.warmup)
    after = {
        "constant": optax.constant_schedule(peak),
        "cosine": optax.cosine_decay_schedule(peak, rest, config.final_share),
        "linear": optax.linear_schedule(peak, peak * config.final_share, rest),
    }[config.schedule]
    rate = optax.join_schedules([optax.linear_schedule(0.0, peak, config.warmup), after], [config.warmup])
    decay = optax.adamw(rate, b1=config.b1, b2=config.b2, weight_decay=config.weight_decay)
    return optax.chain(optax.clip_by_global_norm(config.clip), decay)


def _loss(
    config: TrainConfig, weights: Float[Array, " k"], params: Params, tokens: Int[Array, "B T"]
) -> tuple[Float[Array, ""], Float[Array, " k"]]:
    task, objective, inputs = config.task, config.objective, tokens
    if objective.name == "teacherless":
        form = task.problem_format
        inputs = jax.vmap(lambda row: teacherless_inputs(row, form.prompt_length, form.dummy_token))(tokens)
    pad = task.walk_format.pad_token if task.is_walks else None
    by_token = jnp.asarray(objective.token_weights, jnp.float32) if objective.token_weights else None
    each = batch_losses(model_of(config, params), inputs, tokens, config.first, by_token, pad)
    shares = target_shares(tokens, objective.heads, config.first, pad)
    means = each / jnp.where(shares > 0, shares, 1.0).astype(each.dtype)
    return jnp.sum(weights.astype(each.dtype) * each) / objective.heads, means


@cache
def _graphdef(config: TrainConfig) -> nnx.GraphDef[Predictor | OneLayer]:
    return nnx.split(nnx.eval_shape(lambda: build(config.transformer, nnx.Rngs(0))))[0]
