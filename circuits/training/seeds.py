"""What a seed determines, and seeds side by side."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Int, Key

PARAMETERS, STREAM = 2**32 - 1, 2**32 - 2
"""Folded into a seed's key. Steps and parts of a data set, which are folded into keys as well, are below 2^31."""

Seed = Int[Array, ""] | int


def parameter_key(seed: Seed) -> Key[Array, ""]:
    """Return the key of a seed's initial parameters."""
    return jax.random.fold_in(jax.random.key(seed), PARAMETERS)


def stream_key(seed: Seed) -> Key[Array, ""]:
    """Return the key of a seed's stream of problems; the key of a step is this with the step folded in."""
    return jax.random.fold_in(jax.random.key(seed), STREAM)


def over_seeds(function: Callable[..., Any], *arrays: Any) -> Any:
    """Apply a function to every seed side by side. A single seed gets no extra axis, which compiles to slower code."""
    if jax.tree.leaves(arrays)[0].shape[0] > 1:
        return jax.vmap(function)(*arrays)
    alone = function(*jax.tree.map(lambda leaf: leaf[0], arrays))
    return jax.tree.map(lambda leaf: leaf[None], alone)
