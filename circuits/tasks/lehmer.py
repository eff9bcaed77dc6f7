"""Lehmer codes: injective sequences as independent digits."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int


def decode_lehmer(digits: Int[Array, " K"]) -> Int[Array, " K"]:
    """The sequence whose i-th entry is the digits[i]-th smallest number not used before it.

    Digit i in {0..n-1-i} gives K distinct numbers of {0..n-1}, each such sequence exactly once; K = n gives
    the permutations of range(n). Traced code cannot be checked: digits out of range give numbers >= n.
    """
    places = jnp.arange(digits.shape[0])

    def make_room(step: Int[Array, ""], values: Int[Array, " K"]) -> Int[Array, " K"]:
        # Later entries were counted as if entry i were still free; those at or above it move up by one.
        i = digits.shape[0] - 1 - step
        return values + ((places > i) & (values >= values[i])).astype(values.dtype)

    return jax.lax.fori_loop(0, digits.shape[0], make_room, digits)
