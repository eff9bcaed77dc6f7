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

# Enough problems for one vectorised step, few enough for their random words to stay in the cache.
CHUNK = 16384


def sample(spec: Family, key: PRNGKeyArray, count: int) -> Problem:
    """``count`` >= 1 independent problems, uniform over the labelings and over all E! edge orders; int32.

    The goal is the canonical one, which loses nothing: the leaves are alike, and the labels are uniform. The
    same key gives the same problems. Jittable with ``spec`` and ``count`` static.

    Raises ValueError when ``count`` is no integer of at least 1.
    """
    checks.integer("count", count, 1)
    return _sample(spec, key, count)


@partial(jax.jit, static_argnums=(0, 2))
def _sample(spec: Family, key: PRNGKeyArray, count: int) -> Problem:
    # Equal chunks, the last one cut, for a remainder would be compiled separately.
    chunks = math.ceil(count / CHUNK)
    keys = jax.random.split(key, (chunks, math.ceil(count / chunks)))
    problems = jax.lax.map(jax.vmap(partial(_one, spec)), keys)
    return Problem(*(part.reshape(-1, *part.shape[2:])[:count] for part in problems))


def _one(spec: Family, key: PRNGKeyArray) -> Problem:
    # Sorting 32-bit random keys is not exactly uniform, for equal keys keep their places. The digits of a
    # Lehmer code are independent, so each can be made exactly uniform by rejection, and then so is the code.
    bounds = [*range(spec.labels, spec.labels - spec.node_count, -1), *range(spec.edge_count, 0, -1)]
    digits = _below(key, np.asarray(bounds, dtype=np.uint32))
    labels = decode_lehmer(digits[: spec.node_count])
    order = decode_lehmer(digits[spec.node_count :])
    return relabel(canonical_problem(spec, order), labels)


def _below(key: PRNGKeyArray, bounds: np.ndarray) -> Int[Array, " n"]:
    # Words above the last whole multiple of the bound would favour small digits, so they are drawn again.
    last = jnp.asarray([2**32 // int(bound) * int(bound) - 1 for bound in bounds], dtype=jnp.uint32)

    def draw(state: tuple[PRNGKeyArray, Array, Array]) -> tuple[PRNGKeyArray, Array, Array]:
        key, words, wanted = state
        key, fresh = jax.random.split(key)
        words = jnp.where(wanted, jax.random.bits(fresh, words.shape, jnp.uint32), words)
        return key, words, words > last

    state = key, jnp.zeros_like(last), jnp.ones_like(last, dtype=bool)
    _, words, _ = jax.lax.while_loop(lambda state: jnp.any(state[-1]), draw, state)
    return (words % bounds).astype(jnp.int32)
