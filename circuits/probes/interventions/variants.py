"""Many variants of one run, some at a time: one compiled program, and memory for one block of them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from circuits import checks
from circuits.probes.streaming import Show, Tree


def in_blocks(function: Callable[[Tree], Tree], variants: Tree, block: int) -> Tree:
    """``function`` of each variant, stacked; ``block`` of them are computed at once.

    Blocks are of one size, the last filled up with repetitions that are dropped, so that there is one program.

    Raises ValueError for a block that is no positive integer.
    """
    checks.integer("block", block, min_value=1)
    count = len(jax.tree.leaves(variants)[0])
    blocks = -(-count // block)
    size = -(-count // blocks)
    if blocks == 1:
        return jax.vmap(function)(variants)
    at = np.minimum(np.arange(blocks * size), count - 1).reshape(blocks, size)
    found = jax.lax.map(jax.vmap(function), jax.tree.map(lambda part: jnp.asarray(part)[at], variants))
    return jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:])[:count], found)


def flattened(variants: Tree, inner: int) -> tuple[Tree, tuple[int, ...]]:
    """All leading axes of one array as one; the shape that they had. ``inner`` axes at the end stay."""
    shape = np.shape(variants)
    lead = shape[: len(shape) - inner]
    checks.require(0 not in shape, "masks", "must hold at least one", shape)
    return variants.reshape(-1, *shape[len(lead) :]), lead


def counted(show: Show | None, total: int) -> Callable[[int], None] | None:
    """A callback of (done, total) as one of what is done."""
    return None if show is None else lambda done: show(done, total)
