"""Greedy paths of the one-layer model."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits.typing import Label


def greedy_path(
    content: Float[Array, "V V"], target_row: Float[Array, " V"], token: Label, count: int
) -> Int[Array, " {count}"]:
    """Return the tokens after a token, each the most likely next one, the lowest id in case of ties.

    Args:
        content: W^M.
        target_row: the target's row of W^V.
        token: the token to start from.
        count: number of tokens to return.

    Example:
        >>> follows = jnp.eye(4, k=1)  # 1 follows 0, 2 follows 1, 3 follows 2
        >>> greedy_path(follows, jnp.zeros(4), 0, count=3).tolist()
        [1, 2, 3]
    """

    def step(current: Int[Array, ""], _: None) -> tuple[Int[Array, ""], Int[Array, ""]]:
        following = jnp.argmax(content[current] + target_row).astype(jnp.int32)
        return following, following

    return jax.lax.scan(step, jnp.asarray(token, jnp.int32), None, length=count)[1]
