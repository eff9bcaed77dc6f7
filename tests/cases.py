"""What tests share: random weights and prompts, rounding bounds, and one comparison that says where and how far."""

from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from circuits.disentangled.weights import Layer, Weights
from circuits.tasks.problem import canonical_problem, relabel
from circuits.tasks.star.graph import StarGraph

EXAMPLE = (3, 7, 6, 0, 7, 2, 3, 6, 0, 3)
"""The paper's running example; its path is 3, 6, 0."""
EXAMPLE_TARGETS = (6, 0)
PAPER = StarGraph(paths=2, nodes=3, labels=10)
FAST_TO_COMPILE = {"xla_backend_optimization_level": "0"}
"""For programs that run a few times only: half the compile time."""

seeds = st.integers(0, 2**31 - 1)


def example() -> tuple[jax.Array, jax.Array, jax.Array]:
    y1, y2 = (jnp.asarray(y, jnp.int32) for y in EXAMPLE_TARGETS)
    return jnp.asarray(EXAMPLE, jnp.int32), y1, y2


def prompt(spec: StarGraph, seed: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Tokens, y1 and y2 of a random problem; drawn and encoded by numpy, so nothing is compiled."""
    rng = np.random.default_rng(seed)
    order, labels = rng.permutation(spec.edge_count), rng.permutation(spec.labels)[: spec.node_count]
    problem = relabel(canonical_problem(spec, order.astype(np.int32)), labels.astype(np.int32))
    tokens = [*np.ravel(problem.edges), problem.goal, problem.start]
    y1, y2 = (problem.path[step] if step < len(problem.path) else problem.goal for step in (1, 2))
    return tuple(jnp.asarray(np.asarray(part, np.int32)) for part in (tokens, y1, y2))  # pyright: ignore


def weights_for(spec: StarGraph, seed: int, depth: int = 2, scale: float = 1.0) -> Weights:
    """Independent normal entries, drawn by numpy."""
    rng, sizes = np.random.default_rng(seed), (spec.labels, spec.sequence_length)
    return tuple(Layer(*(jnp.asarray(scale * rng.normal(size=(n, n))) for n in sizes)) for _ in range(depth))


def rounding(dtype: Any, operations: int, size: float = 1.0) -> float:
    """Bound the distance between two programs that compute the same numbers of up to ``size`` by this many operations.

    An operation rounds by at most half of eps. A sum of n terms counts as n operations, in whatever order it is taken,
    and errors of successive operations add up (Higham 2002, section 3.1, to first order). The bound holds if nothing
    is divided by numbers much smaller than those that were rounded.
    """
    return operations * float(jnp.finfo(dtype).eps) * size


def assert_close(ours: Any, truth: Any, atol: float, rtol: float = 0.0) -> None:
    """Assert that every leaf is equal to tolerance; otherwise name the leaf, the index, both values and the gap."""
    leaves, structure = jax.tree.flatten_with_path(ours)
    others, other_structure = jax.tree.flatten_with_path(truth)
    assert structure == other_structure, f"trees differ: {structure} and {other_structure}"
    for (path, a), (_, b) in zip(leaves, others, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        name = jax.tree_util.keystr(path)
        assert a.shape == b.shape, f"{name}: shapes {a.shape} and {b.shape}"
        # Equal infinities are equal; their difference is NaN, as is every other gap that must not pass.
        a, b = (np.where(a == b, 0, array) for array in (a, b))
        wrong = ~(np.abs(a - b) <= atol + rtol * np.abs(b))
        if wrong.any():
            index = np.unravel_index(np.argmax(np.where(wrong, np.abs(a - b), -1)), a.shape)
            raise AssertionError(
                f"{name or 'value'}{[int(i) for i in index]}: {a[index]!r} and {b[index]!r} differ by "
                f"{abs(a[index] - b[index]):.3e}, {wrong.sum()} of {wrong.size} entries beyond {atol:g} + {rtol:g} |b|"
            )
