"""Training in discrete steps on the same exact gradients as the flow: gradient descent, or any optax optimiser."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from circuits import checks
from circuits.flow.coordinates import Theta
from circuits.flow.fields import Field


def optimise(
    field: Field, start: Theta, optimiser: optax.GradientTransformation, steps: int, save_every: int = 1
) -> Float[Array, "times D"]:
    """Return theta along the path of an optimiser whose gradient is -field(theta).

    Weights that share a coordinate have equal gradients, so an optimiser that works entry by entry gives all of them,
    and their coordinate, the same update.

    Args:
        field: the velocity of the gradient flow.
        start: theta before the first step [D].
        optimiser: ``optax.sgd(eta)`` is explicit Euler with time step eta; ``optax.adamw(5e-4, weight_decay=0.0)`` is
            the experiments' optimiser without the noise of batches.
        steps: number of steps.
        save_every: must divide ``steps``.

    Returns:
        theta after 0, save_every, 2 save_every, .. steps [steps / save_every + 1, D].

    Raises:
        ValueError: for a number below 1, and if ``save_every`` does not divide ``steps``.

    Example:
        >>> optimise(lambda theta: 3.0 - theta, jnp.zeros(1), optax.sgd(0.5), steps=4, save_every=2).ravel().tolist()
        [0.0, 2.25, 2.8125]
    """
    checks.integer("save_every", save_every, min_value=1)
    checks.integer("steps", steps, min_value=1)
    checks.require(steps % save_every == 0, "steps", f"must be a multiple of save_every = {save_every}", steps)
    return _optimise(field, optimiser, steps // save_every, save_every, start)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _optimise(
    field: Field, optimiser: optax.GradientTransformation, blocks: int, save_every: int, start: Theta
) -> Float[Array, "times D"]:
    def step(state: tuple[Theta, optax.OptState], _: None) -> tuple[tuple[Theta, optax.OptState], None]:
        theta, memory = state
        gradient = -field(theta)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a decay to the power of a count
            update, memory = optimiser.update(gradient, memory, theta)
        return (theta + jnp.asarray(update), memory), None

    def block(state: tuple[Theta, optax.OptState], _: None) -> tuple[tuple[Theta, optax.OptState], Theta]:
        state, _ = jax.lax.scan(step, state, length=save_every)
        return state, state[0]

    _, path = jax.lax.scan(block, (start, optimiser.init(start)), length=blocks)
    return jnp.concatenate([start[None], path])
