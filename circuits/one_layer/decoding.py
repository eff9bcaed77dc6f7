"""Greedy paths of the one-layer model."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits.typing import Label


def follow(content: Float[Array, "V V"], about: Float[Array, " V"], token: Label, count: int) -> Int[Array, " {count}"]:
    """The ``count`` tokens after ``token``, each the most likely one of step 1; of equally likely ones the lowest id.

    ``content`` is W^M and ``about`` the target's row of W^V.
    """

    def step(current: Int[Array, ""], _: None) -> tuple[Int[Array, ""], Int[Array, ""]]:
        after = jnp.argmax(content[current] + about).astype(jnp.int32)
        return after, after

    return jax.lax.scan(step, jnp.asarray(token, jnp.int32), None, length=count)[1]
