"""Greedy paths of the one-layer model."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits.typing import Label


def greedy_path(
    content: Float[Array, "V V"], target_row: Float[Array, " V"], token: Label, count: int
) -> Int[Array, " {count}"]:
    """Return the ``count`` tokens after ``token``, each the most likely next one, the lowest id in case of ties.

    ``content`` is W^M and ``target_row`` the target's row of W^V.
    """

    def step(current: Int[Array, ""], _: None) -> tuple[Int[Array, ""], Int[Array, ""]]:
        following = jnp.argmax(content[current] + target_row).astype(jnp.int32)
        return following, following

    return jax.lax.scan(step, jnp.asarray(token, jnp.int32), None, length=count)[1]
