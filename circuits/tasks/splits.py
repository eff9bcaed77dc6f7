"""Train and test problems that share no graph: a hash of the labelled graph decides the split, so nothing is stored.

All integers are unsigned 32-bit words and wrap around. With murmur3's finalizer f = ``fmix32`` (Appleby 2011), the code
of edge (u, v) is f(f(u + c) + v), c = 0x9E3779B9, and the hash of a graph is f(sum of the codes of its edges). The sum
makes the hash independent of the order of the edges; f is a bijection in u and in v, so both ends and the direction
of an edge count.
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
MIN_TEST_GRAPHS = 32
"""Minimal expected number of graphs in the test split; the chance that the split is empty is about exp(-32)."""


def fmix32(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Return murmur3's finalizer: a bijection of 32-bit words in which every output bit depends on every input bit."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return word ^ (word >> 16)


def graph_hash(problem: Problem) -> UInt32[Array, ""]:
    """Return a 32-bit hash of the set of directed edges of one problem.

    It does not depend on the order of the edges, the goal or the path. Jittable; vmap over a batch.

    Args:
        problem: one problem.

    Raises:
        ValueError: for a batch.

    Example:
        >>> from circuits.tasks import parse_line
        >>> one, other = parse_line("0,1|0,2/0,1=0,1"), parse_line("0,2|0,1/0,2=0,2")
        >>> bool(graph_hash(one) == graph_hash(other))
        True
    """
    check_single("problem", problem)
    ends = jnp.asarray(problem.edges).astype(jnp.uint32)
    codes = fmix32(fmix32(ends[:, 0] + jnp.uint32(0x9E3779B9)) + ends[:, 1])
    return fmix32(jnp.sum(codes, dtype=jnp.uint32))


def is_test(problem: Problem, one_in: int = 64) -> Bool[Array, ""]:
    """Return whether one problem belongs to the test split: whether its hash is a multiple of ``one_in``.

    Args:
        problem: one problem; vmap over a batch.
        one_in: one graph in this many is a test graph; 2 to 2^31 - 1.

    Raises:
        ValueError: for a batch, or for ``one_in`` out of range.

    Example:
        >>> from circuits.tasks import parse_line
        >>> bool(is_test(parse_line("0,1|0,2/0,1=0,1")))
        False
    """
    checks.integer("one_in", one_in, 2, 2**31 - 1)
    return graph_hash(problem) % jnp.uint32(one_in) == 0


def sample_split(family: Family, split: str, key: PRNGKeyArray, count: int, one_in: int = 64) -> Problem:
    """Return independent random problems, uniform over the labelled problems of one split.

    Draws of ``sample`` that belong to the other split are rejected. The same key gives the same problems; different
    keys, and the two splits of one key, give independent ones. Jittable with all arguments but ``key`` static.

    Args:
        family: the graphs to sample from.
        split: "train" or "test".
        key: a jax random key.
        count: the number of problems, at least 1.
        one_in: one graph in this many is a test graph; 2 to 2^31 - 1.

    Returns:
        A batch of ``count`` problems, int32.

    Raises:
        ValueError: if ``split``, ``count`` or ``one_in`` is out of range, or if the family has fewer than
            32 ``one_in`` graphs, so that the test split might be empty.

    Example:
        >>> from circuits.tasks import StarGraph
        >>> sample_split(StarGraph(2, 3, 10), "train", jax.random.key(0), 3).path.shape
        (3, 3)
    """
    checks.choice("split", split, SPLITS)
    checks.integer("count", count, 1)
    checks.integer("one_in", one_in, 2, 2**31 - 1)
    graphs = perm(family.labels, family.node_count) // family.num_automorphisms
    rule = f"must have at least {MIN_TEST_GRAPHS * one_in} labelled graphs"
    checks.require(graphs >= MIN_TEST_GRAPHS * one_in, "family", rule, graphs)
    return _sample_split(family, split, key, count, one_in)


@partial(jax.jit, static_argnums=(0, 1, 3, 4))
def _sample_split(family: Family, split: str, key: PRNGKeyArray, count: int, one_in: int) -> Problem:
    share = 1 / one_in if split == "test" else 1 - 1 / one_in
    # Four standard deviations more than needed on average: one chunk nearly always suffices for a small count.
    chunk = min(CHUNK, ceil((count + 4 * sqrt(count * (1 - share)) + 1) / share))
    draw = partial(sample, family, count=chunk)
    shapes = jax.eval_shape(draw, key)
    empty = Problem(*(jnp.zeros((count, *part.shape[1:]), part.dtype) for part in shapes))

    def add(state: tuple[PRNGKeyArray, Array, Problem]) -> tuple[PRNGKeyArray, Array, Problem]:
        key, filled, accepted = state
        key, subkey = jax.random.split(key)
        drawn = draw(subkey)
        in_split = jax.vmap(partial(is_test, one_in=one_in))(drawn) == (split == "test")
        # Draws of the split fill the next free rows in order. Other draws, and those beyond the last row, get an index
        # out of range and are dropped.
        ranks = filled + jnp.cumsum(in_split, dtype=jnp.int32)
        rows = jnp.where(in_split, ranks - 1, count)
        accepted = Problem(
            *(jnp.asarray(old).at[rows].set(new, mode="drop") for old, new in zip(accepted, drawn, strict=True))
        )
        return key, ranks[-1], accepted

    # Without the index of the split, the train and test problems of one key would come from the same random bits.
    key = jax.random.fold_in(key, SPLITS.index(split))
    _, _, accepted = jax.lax.while_loop(lambda state: state[1] < count, add, (key, jnp.int32(0), empty))
    return accepted
