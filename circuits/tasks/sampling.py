"""Uniform random problems of a family."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int, PRNGKeyArray

from circuits import checks
from circuits.tasks.lehmer import decode_lehmer
from circuits.tasks.problem import Family, Problem, canonical_problem, relabel

CHUNK = 16384
"""Problems per vectorised step: enough to vectorise, and few enough for their random bits to stay in the cache."""


def sample(family: Family, key: PRNGKeyArray, count: int) -> Problem:
    """Return independent random problems, uniform over all labelings and all E! edge orders.

    The goal is the canonical one in every draw, without loss of generality: the leaves are equivalent, and their
    labels are uniform. The same key gives the same problems. Jittable with ``family`` and ``count`` static.

    Args:
        family: the graphs to sample from.
        key: a jax random key.
        count: the number of problems, at least 1.

    Returns:
        A batch of ``count`` problems, int32.

    Raises:
        ValueError: if ``count`` is not an integer of at least 1.

    Example:
        >>> from circuits.tasks import StarGraph
        >>> sample(StarGraph(2, 3, 10), jax.random.key(0), 3).edges.shape
        (3, 4, 2)
    """
    checks.integer("count", count, 1)
    return _sample(family, key, count)


@partial(jax.jit, static_argnums=(0, 2))
def _sample(family: Family, key: PRNGKeyArray, count: int) -> Problem:
    # Equal chunks, the last one truncated: a smaller last chunk would be compiled separately.
    chunks = math.ceil(count / CHUNK)
    keys = jax.random.split(key, (chunks, math.ceil(count / chunks)))
    problems = jax.lax.map(jax.vmap(partial(_sample_one, family)), keys)
    return Problem(*(part.reshape(-1, *part.shape[2:])[:count] for part in problems))


def _sample_one(family: Family, key: PRNGKeyArray) -> Problem:
    # Sorting 32-bit random keys is not exactly uniform, because equal keys keep their order. The digits of a Lehmer
    # code are independent: rejection makes each of them exactly uniform, and hence the permutation.
    bounds = [*range(family.labels, family.labels - family.node_count, -1), *range(family.edge_count, 0, -1)]
    digits = _uniform_below(key, np.asarray(bounds, dtype=np.uint32))
    labels = decode_lehmer(digits[: family.node_count])
    edge_order = decode_lehmer(digits[family.node_count :])
    return relabel(canonical_problem(family, edge_order), labels)


def _uniform_below(key: PRNGKeyArray, bounds: np.ndarray) -> Int[Array, " n"]:
    # Words above the last multiple of the bound would favour small digits, so they are drawn again.
    last = jnp.asarray([2**32 // int(bound) * int(bound) - 1 for bound in bounds], dtype=jnp.uint32)

    def draw(state: tuple[PRNGKeyArray, Array, Array]) -> tuple[PRNGKeyArray, Array, Array]:
        key, words, rejected = state
        key, subkey = jax.random.split(key)
        words = jnp.where(rejected, jax.random.bits(subkey, words.shape, jnp.uint32), words)
        return key, words, words > last

    state = key, jnp.zeros_like(last), jnp.ones_like(last, dtype=bool)
    _, words, _ = jax.lax.while_loop(lambda state: jnp.any(state[-1]), draw, state)
    return (words % bounds).astype(jnp.int32)
