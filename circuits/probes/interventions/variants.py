"""Map a function over many variants of one run, block by block: one compiled program, in memory for one block."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from circuits import checks
from circuits.probes.streaming import Tree


def map_in_blocks(function: Callable[[Tree], Tree], variants: Tree, block: int) -> Tree:
    """Return ``function(variant)`` of each variant, stacked, computing at most ``block`` of them at once.

    All blocks have one size, which needs a single program: the last is padded with repetitions, which are dropped.
    Raises ValueError unless ``block`` is a positive integer.
    """
    checks.integer("block", block, min_value=1)
    count = len(jax.tree.leaves(variants)[0])
    blocks = -(-count // block)
    if blocks == 1:
        return jax.vmap(function)(variants)
    size = -(-count // blocks)
    indices = np.minimum(np.arange(blocks * size), count - 1).reshape(blocks, size)
    results = jax.lax.map(jax.vmap(function), jax.tree.map(lambda part: jnp.asarray(part)[indices], variants))
    return jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:])[:count], results)


def flatten_variants(masks: Tree) -> tuple[Tree, tuple[int, ...]]:
    """Return masks with all axes but the last three merged into one, and the shape of the merged axes."""
    shape = np.shape(masks)
    checks.require(0 not in shape, "masks", "must hold at least one", shape)
    return masks.reshape(-1, *shape[-3:]), shape[:-3]
