"""What tests share: families and weights drawn at random, and one comparison that says where and by how much."""

from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from circuits.disentangled.weights import Weights, random
from circuits.tasks.problem import Problem
from circuits.tasks.sampling import sample
from circuits.tasks.star.graph import StarGraph, encode_prompt, targets

EXAMPLE = (3, 7, 6, 0, 7, 2, 3, 6, 0, 3)
"""The paper's running example; its path is 3, 6, 0."""
EXAMPLE_TARGETS = (6, 0)
PAPER = StarGraph(paths=2, nodes=3, labels=10)


def example() -> tuple[jax.Array, jax.Array, jax.Array]:
    y1, y2 = (jnp.asarray(y, jnp.int32) for y in EXAMPLE_TARGETS)
    return jnp.asarray(EXAMPLE, jnp.int32), y1, y2


@st.composite
def star_graphs(draw: st.DrawFn, least_nodes: int = 2) -> StarGraph:
    paths, nodes = draw(st.integers(2, 4)), draw(st.integers(least_nodes, 4))
    return StarGraph(paths, nodes, paths * (nodes - 1) + 1 + draw(st.integers(0, 4)))


seeds = st.integers(0, 2**31 - 1)


def prompt(spec: StarGraph, seed: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    problem = first_sample(spec, seed)
    return encode_prompt(problem), *targets(problem)


def first_sample(spec: StarGraph, seed: int) -> Problem:
    return jax.tree.map(lambda array: array[0], sample(spec, jax.random.key(seed), 1))


def weights_for(spec: StarGraph, seed: int, depth: int = 2, scale: float = 1.0) -> Weights:
    return random(jax.random.key(seed), depth, spec.labels, spec.sequence_length, scale)


def rounding(dtype: Any, operations: int, size: float = 1.0) -> float:
    """How far apart two programs may be that compute the same numbers of up to ``size``, by so many operations each.

    An operation rounds by at most half of eps. A sum of n terms counts as n operations, in whatever order it is taken,
    and what follows one after the other adds up (Higham 2002, section 3.1, to first order). This holds where nothing
    divides by numbers much smaller than those that were rounded.
    """
    return operations * float(jnp.finfo(dtype).eps) * size


def assert_close(ours: Any, truth: Any, atol: float, rtol: float = 0.0) -> None:
    """Every leaf equal to tolerance; otherwise the leaf, the place, both values and the gap."""
    leaves, structure = jax.tree.flatten_with_path(ours)
    others, other_structure = jax.tree.flatten_with_path(truth)
    assert structure == other_structure, f"trees differ: {structure} and {other_structure}"
    for (path, a), (_, b) in zip(leaves, others, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        name = jax.tree_util.keystr(path)
        assert a.shape == b.shape, f"{name}: shapes {a.shape} and {b.shape}"
        # Equal infinities are equal; their difference is NaN, and so is every other gap that must not pass.
        a, b = (np.where(a == b, 0, array) for array in (a, b))
        wrong = ~(np.abs(a - b) <= atol + rtol * np.abs(b))
        if wrong.any():
            place = np.unravel_index(np.argmax(np.where(wrong, np.abs(a - b), -1)), a.shape)
            raise AssertionError(
                f"{name or 'value'}{[int(i) for i in place]}: {a[place]!r} and {b[place]!r} differ by "
                f"{abs(a[place] - b[place]):.3e}, {wrong.sum()} of {wrong.size} entries beyond {atol:g} + {rtol:g} |b|"
            )
