"""One optimiser step of a transformer, for one seed."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.one_layer.module import OneLayer
from circuits.tasks.task import Task
from circuits.training.config import OptimiserConfig, TrainConfig
from circuits.training.head_weights import weights_at
from circuits.training.seeds import Seed, parameter_key
from circuits.training.shapes import first_position, hide_answer, transformer_config
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor, build
from circuits.transformer.objectives import batch_losses, target_shares

Params = Any
"""Parameters: an ``nnx.State``."""


class State(NamedTuple):
    """Parameters and optimiser state. The loop counts the steps, which determine the data."""

    params: Params
    optimiser: Any


class Losses(NamedTuple):
    """The loss on a batch, and the mean cross-entropy of each prediction head."""

    loss: Float[Array, "*seeds"]
    heads: Float[Array, "*seeds k"]


def initial_state(config: TrainConfig, task: Task, seed: Seed) -> State:
    """Return random parameters and a fresh optimiser."""
    model = build(transformer_config(config, task), nnx.Rngs(params=parameter_key(seed)))
    params: Params = nnx.state(model, nnx.Param)
    return State(params, adamw(config.optimiser, config.steps).init(params))


def model_of(config: TrainConfig, task: Task, params: Params) -> Predictor | OneLayer:
    """Return the model with these parameters."""
    return nnx.merge(graphdef(transformer_config(config, task)), params)


def update(
    config: TrainConfig, task: Task, state: State, tokens: Int[Array, "B T"], step: Int[Array, ""] | int
) -> tuple[State, Losses]:
    """Return the state after a step, and the losses before it.

    ``step`` is the number of earlier steps, on which the weights of the heads depend. With ``token_weights`` each term
    of a head's mean is multiplied by the weight of its target; the divisor is still the number of targets.
    """
    (loss, heads), gradient = loss_and_gradient(config, task, state.params, tokens, step)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
        change, moments = adamw(config.optimiser, config.steps).update(gradient, state.optimiser, state.params)
    return State(optax.apply_updates(state.params, change), moments), Losses(loss, heads)


def loss_and_gradient(
    config: TrainConfig, task: Task, params: Params, tokens: Int[Array, "B T"], step: Int[Array, ""] | int
) -> tuple[tuple[Float[Array, ""], Float[Array, " k"]], Params]:
    """Return the loss with the heads' mean cross-entropies, and its gradient, over ``accumulate`` parts of a batch."""
    parts, weights = config.accumulate, weights_at(config.objective, config.steps, step)
    one = jax.value_and_grad(partial(_loss, config, task, weights), has_aux=True)
    if parts == 1:
        return one(params, tokens)
    # Part i has rows i, i + parts, ..., so that a sharded batch keeps its sharding.
    rows = tokens.reshape(-1, parts, tokens.shape[-1]).swapaxes(0, 1)
    shapes = jax.eval_shape(one, params, rows[0])
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, _sum_dtype(leaf.dtype)), shapes)

    def add(total, part):
        return jax.tree.map(lambda a, b: a + b.astype(a.dtype) / parts, total, one(params, part)), None

    total = jax.lax.scan(add, zero, rows)[0]
    return jax.tree.map(lambda leaf, shape: leaf.astype(shape.dtype), total, shapes)


def adamw(config: OptimiserConfig, steps: int) -> optax.GradientTransformation:
    """Return gradient clipping followed by AdamW, with the learning-rate schedule of a run of ``steps`` steps."""
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
    config: TrainConfig, task: Task, weights: Float[Array, " k"], params: Params, tokens: Int[Array, "B T"]
) -> tuple[Float[Array, ""], Float[Array, " k"]]:
    objective, first, inputs = config.objective, first_position(config, task), tokens
    if objective.name == "teacherless":
        inputs = jax.vmap(partial(hide_answer, task))(tokens)
    by_token = jnp.asarray(objective.token_weights, jnp.float32) if objective.token_weights else None
    each = batch_losses(model_of(config, task, params), inputs, tokens, first, by_token, task.pad_token)
    shares = target_shares(tokens, objective.heads, first, task.pad_token)
    means = each / jnp.where(shares > 0, shares, 1.0).astype(each.dtype)
    return jnp.sum(weights.astype(each.dtype) * each) / objective.heads, means


def _sum_dtype(dtype: Any) -> Any:
    """Return the dtype in which gradients are summed; in 16 bits small terms would be lost."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype


@cache
def graphdef(config: TransformerConfig) -> nnx.GraphDef[Predictor | OneLayer]:
    """Return the part of a model that is not its parameters."""
    return nnx.split(nnx.eval_shape(lambda: build(config, nnx.Rngs(0))))[0]
