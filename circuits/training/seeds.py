"""Random keys of a seed, and functions over several seeds."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Int, Key

PARAMETERS, STREAM = 2**32 - 1, 2**32 - 2
"""Folded into a seed's key. Steps and chunks of a data set, which are also folded into keys, are below 2^31."""

Seed = Int[Array, ""] | int


def parameter_key(seed: Seed) -> Key[Array, ""]:
    """Return the key of a seed's initial parameters."""
    return jax.random.fold_in(jax.random.key(seed), PARAMETERS)


def stream_key(seed: Seed) -> Key[Array, ""]:
    """Return the key of a seed's stream of problems. Folding in a step gives the key of its batch."""
    return jax.random.fold_in(jax.random.key(seed), STREAM)


def over_seeds(function: Callable[..., Any], *arrays: Any) -> Any:
    """Map a function over seeds. A single seed is not vmapped, which would compile to slower code."""
    if jax.tree.leaves(arrays)[0].shape[0] > 1:
        return jax.vmap(function)(*arrays)
    alone = function(*jax.tree.map(lambda leaf: leaf[0], arrays))
    return jax.tree.map(lambda leaf: leaf[None], alone)
