"""Training in steps, on the same exact gradients as the flow: gradient descent, or any optax optimiser."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from circuits import checks
from circuits.flow.coordinates import Theta
from circuits.flow.fields import Field


def optimise(
    field: Field, start: Theta, optimiser: optax.GradientTransformation, steps: int, every: int = 1
) -> Float[Array, "K D"]:
    """theta after 0, every, 2 every, .. steps of an optimiser whose gradient is -field(theta); K = steps / every + 1.

    ``optax.sgd(eta)`` is explicit Euler with time step eta. ``optax.adamw(5e-4, weight_decay=0.0)`` is the experiments'
    optimiser without the noise of batches. Entries that a coordinate stands for have equal gradients, so an optimiser
    that works entry by entry does to the coordinate what it does to each of them.

    Raises ValueError unless ``every`` >= 1 divides ``steps`` >= 1.
    """
    checks.integer("every", every, min_value=1)
    checks.integer("steps", steps, min_value=1)
    checks.require(steps % every == 0, "steps", f"must be a multiple of every = {every}", steps)
    return _optimise(field, optimiser, steps // every, every, start)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _optimise(
    field: Field, optimiser: optax.GradientTransformation, blocks: int, every: int, start: Theta
) -> Float[Array, "K D"]:
    def step(state: tuple[Theta, optax.OptState], _: None) -> tuple[tuple[Theta, optax.OptState], None]:
        theta, memory = state
        gradient = -field(theta)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a decay to the power of a count
            update, memory = optimiser.update(gradient, memory, theta)
        return (theta + jnp.asarray(update), memory), None

    def block(state: tuple[Theta, optax.OptState], _: None) -> tuple[tuple[Theta, optax.OptState], Theta]:
        state, _ = jax.lax.scan(step, state, length=every)
        return state, state[0]

    _, path = jax.lax.scan(block, (start, optimiser.init(start)), length=blocks)
    return jnp.concatenate([start[None], path])
