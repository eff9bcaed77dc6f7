"""Train and test problems that share no graph: a hash of the labelled graph decides, so no list is kept.

Integers are 32 bits, unsigned, and wrap around. With murmur3's finalizer f = ``fmix32`` (Appleby 2011), the code
of edge (u, v) is f(f(u + c) + v), c = 0x9E3779B9, and the hash of a graph is f(sum of the codes of its edges).
A sum has no order, and f is a bijection in each of u and v, so both ends and their direction count.
"""

from functools import partial
from math import ceil, perm, sqrt

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, PRNGKeyArray, UInt32

from circuits import checks
from circuits.tasks.problem import Family, Problem, check_single
from circuits.tasks.sampling import CHUNK, sample

SPLITS = ("train", "test")
SHIFT = 0x9E3779B9
MIN_TEST_GRAPHS = 32
"""Expected graphs of the test split below which it could be empty: the chance is about exp(-32)."""


def fmix32(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """The finalizer of murmur3: a bijection of 32-bit words in which each bit of the result needs every bit."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return word ^ (word >> 16)


def graph_hash(problem: Problem) -> UInt32[Array, ""]:
    """A number of 32 bits that depends on the set of directed edges of one problem, and on nothing else.

    Not on the order of the edges, and not on the goal or the path.

    Raises ValueError for a batch; vmap over it.
    """
    check_single("problem", problem)
    ends = jnp.asarray(problem.edges).astype(jnp.uint32)
    codes = fmix32(fmix32(ends[:, 0] + jnp.uint32(SHIFT)) + ends[:, 1])
    return fmix32(jnp.sum(codes, dtype=jnp.uint32))


def is_test(problem: Problem, one_in: int = 64) -> Bool[Array, ""]:
    """Whether one problem belongs to the test split: its hash is a multiple of ``one_in`` in {2..2^31 - 1}.

    Raises ValueError for a batch, or for ``one_in`` out of range.
    """
    checks.integer("one_in", one_in, 2, 2**31 - 1)
    return graph_hash(problem) % jnp.uint32(one_in) == 0


def sample_split(spec: Family, split: str, key: PRNGKeyArray, count: int, one_in: int = 64) -> Problem:
    """``count`` >= 1 independent problems, uniform over the labelled problems of one split, "train" or "test".

    Draws of ``sample`` that fall in the other split are left out; 1 / ``one_in`` of the graphs are test graphs.
    The same key gives the same problems, and different keys or splits independent ones. Jittable with all but
    ``key`` static.

    Raises ValueError for ``split``, ``count`` or ``one_in`` out of range, and naming ``spec`` when the family
    has fewer than 32 ``one_in`` graphs, of which perhaps none would be a test graph.
    """
    checks.choice("split", split, SPLITS)
    checks.integer("count", count, 1)
    checks.integer("one_in", one_in, 2, 2**31 - 1)
    # Each graph has K! names of its nodes, but only as many as K! / symmetries of them differ.
    graphs = perm(spec.labels, spec.node_count) // spec.symmetries
    checks.require(graphs >= MIN_TEST_GRAPHS * one_in, "spec", f"must have at least {MIN_TEST_GRAPHS * one_in} labelled graphs", graphs)
    return _sample_split(spec, split, key, count, one_in)


@partial(jax.jit, static_argnums=(0, 1, 3, 4))
def _sample_split(spec: Family, split: str, key: PRNGKeyArray, count: int, one_in: int) -> Problem:
    share = 1 / one_in if split == "test" else 1 - 1 / one_in
    # Four standard deviations more than needed on average: one chunk nearly always fills a small count.
    chunk = min(CHUNK, ceil((count + 4 * sqrt(count * (1 - share)) + 1) / share))
    draw = partial(sample, spec, count=chunk)
    shapes = jax.eval_shape(draw, key)
    empty = Problem(*(jnp.zeros((count, *part.shape[1:]), part.dtype) for part in shapes))

    def add(state: tuple[PRNGKeyArray, Array, Problem]) -> tuple[PRNGKeyArray, Array, Problem]:
        key, filled, kept = state
        key, fresh = jax.random.split(key)
        drawn = draw(fresh)
        wanted = jax.vmap(partial(is_test, one_in=one_in))(drawn) == (split == "test")
        # The draws that are wanted take the next free places in the order drawn, so the first ``count`` of them
        # are kept; the other draws, and those beyond the last place, are sent out of range and dropped.
        ranks = filled + jnp.cumsum(wanted, dtype=jnp.int32)
        places = jnp.where(wanted, ranks - 1, count)
        kept = Problem(
            *(jnp.asarray(old).at[places].set(new, mode="drop") for old, new in zip(kept, drawn, strict=True))
        )
        return key, ranks[-1], kept

    # Otherwise train and test problems of one key would come from the same words.
    key = jax.random.fold_in(key, SPLITS.index(split))
    _, _, kept = jax.lax.while_loop(lambda state: state[1] < count, add, (key, jnp.int32(0), empty))
    return kept
