"""Full-batch training on counts: the exact gradient, any optax optimiser, all steps in one compiled loop."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from circuits import checks
from circuits.one_layer.counts import Counts
from circuits.one_layer.losses import objective
from circuits.one_layer.parameters import Options, Parameters, check


class Trained(NamedTuple):
    """What full-batch training leaves: the parameters, and L_1 .. L_k before each of the steps."""

    parameters: Parameters
    losses: Float[Array, "s k"]


def train_full_batch(
    counts: Counts,
    start: Parameters,
    options: Options,
    weights: tuple[float, ...],
    steps: int,
    optimiser: optax.GradientTransformation,
) -> Trained:
    """``steps`` steps of an optimiser on sum_n w_n L_n, from ``start``.

    ``optax.sgd(eta)`` is plain gradient descent. Raises ValueError where the counts do not fit, a weight is negative
    or no number, or ``steps`` is below 1.
    """
    checks.integer("steps", steps, min_value=1)
    check(start)
    fine = len(weights) == len(counts.steps) and all(0 <= weight < float("inf") for weight in weights)
    checks.require(fine, "weights", f"must be {len(counts.steps)} numbers, finite and at least 0", weights)
    return _train(counts, start, options, jnp.asarray(weights, start.content.dtype), steps, optimiser)


@partial(jax.jit, static_argnums=(2, 4, 5))
def _train(
    counts: Counts,
    start: Parameters,
    options: Options,
    weights: Float[Array, " k"],
    steps: int,
    optimiser: optax.GradientTransformation,
) -> Trained:
    def step(state: Any, _: None) -> tuple[Any, Float[Array, " k"]]:
        parameters, memory = state
        found = objective(parameters, counts, options, weights)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a decay to the power of a count
            change, memory = optimiser.update(found.gradient, memory, parameters)
        return (optax.apply_updates(parameters, change), memory), found.steps

    (parameters, _), losses = jax.lax.scan(step, (start, optimiser.init(start)), length=steps)
    return Trained(parameters, losses)
