"""Full-batch training on counts, with exact gradients and any optax optimiser, in one compiled loop."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from circuits import checks, display
from circuits.one_layer.counts import Counts
from circuits.one_layer.losses import objective
from circuits.one_layer.parameters import Options, Parameters, check


class TrainingResult(NamedTuple):
    """The parameters after training, and L_1 .. L_k before each optimiser step."""

    parameters: Parameters
    losses: Float[Array, "steps k"]

    _repr_html_ = display.html


def train_full_batch(
    counts: Counts,
    start: Parameters,
    options: Options,
    weights: tuple[float, ...],
    steps: int,
    optimiser: optax.GradientTransformation,
) -> TrainingResult:
    """Train on the loss sum_n w_n L_n.

    Args:
        counts: the data set, see ``count_contexts``.
        start: the initial parameters.
        options: the variant of the model.
        weights: w_1 .. w_k, at least 0.
        steps: number of optimiser steps.
        optimiser: any optax optimiser; ``optax.sgd(eta)`` is plain gradient descent.

    Returns:
        The parameters after training, and the losses before each step.

    Raises:
        ValueError: if the counts do not fit, a weight is negative or not finite, or ``steps`` is below 1.

    Example:
        >>> import numpy as np
        >>> from circuits.one_layer import count_contexts, zeros
        >>> data = count_contexts(np.array([[0, 2, 0, 1, 2]]), tokens=4, steps=1, pad=3)
        >>> losses = train_full_batch(data, zeros(4, 1), Options(), (1.0,), 2, optax.sgd(0.1)).losses
        >>> bool(losses[1, 0] < losses[0, 0])
        True
    """
    checks.integer("steps", steps, min_value=1)
    check(start)
    fits = len(weights) == len(counts.steps) and all(0 <= weight < float("inf") for weight in weights)
    checks.require(fits, "weights", f"must be {len(counts.steps)} numbers, finite and at least 0", weights)
    return _train(counts, start, options, jnp.asarray(weights, start.content.dtype), steps, optimiser)


@partial(jax.jit, static_argnums=(2, 4, 5))
def _train(
    counts: Counts,
    start: Parameters,
    options: Options,
    weights: Float[Array, " k"],
    steps: int,
    optimiser: optax.GradientTransformation,
) -> TrainingResult:
    def step(state: Any, _: None) -> tuple[Any, Float[Array, " k"]]:
        parameters, memory = state
        value = objective(parameters, counts, options, weights)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a decay to the power of a count
            update, memory = optimiser.update(value.gradient, memory, parameters)
        return (optax.apply_updates(parameters, update), memory), value.steps

    (parameters, _), losses = jax.lax.scan(step, (start, optimiser.init(start)), length=steps)
    return TrainingResult(parameters, losses)
