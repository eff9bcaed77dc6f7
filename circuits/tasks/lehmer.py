"""Lehmer codes: sequences of distinct numbers, represented by independent digits."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int


def decode_lehmer(digits: Int[Array, " length"]) -> Int[Array, " length"]:
    """Return the sequence whose i-th entry is the digits[i]-th smallest number not used before it.

    Digits with digits[i] in {0..n-1-i} represent each sequence of distinct numbers of {0..n-1} exactly once. Digits
    out of range are not checked; they give numbers >= n.
    """
    positions = jnp.arange(digits.shape[0])

    def add_entry(step: Int[Array, ""], values: Int[Array, " length"]) -> Int[Array, " length"]:
        # Later entries were computed as if entry i were unused; those at or above it move up by one.
        i = digits.shape[0] - 1 - step
        return values + ((positions > i) & (values >= values[i])).astype(values.dtype)

    return jax.lax.fori_loop(0, digits.shape[0], add_entry, digits)
