"""Every star problem of a family, each exactly once.

A problem is an edge list and a goal. Swapping two distractor paths changes the canonical names and not the
problem, so one canonical edge order is kept of each class of (P - 1)! orders, and all labelings are applied.
"""

from collections.abc import Iterator
from functools import partial
from itertools import chain, islice, permutations
from math import factorial, perm

import jax
import numpy as np
from jaxtyping import Int

from circuits import checks
from circuits.tasks.problem import Problem, canonical_problem
from circuits.tasks.star.graph import StarGraph

MAX_EDGE_ORDERS = 5_000_000
"""E = 10 edges have 3,628,800 orders; the 39,916,800 of 11 edges would fill gigabytes."""
CHUNK = 65536


def edge_orders(spec: StarGraph) -> Int[np.ndarray, "O E"]:
    """One edge order per class, in lexicographic order; O = E! / (P - 1)! classes under swaps of distractors.

    The representative is the order in which the first-listed edges of the distractor paths 1..P-1 come in
    increasing path order.

    Raises ValueError when E! is above 5,000,000, that is for more than 10 edges.
    """
    total = factorial(spec.edge_count)
    checks.require(total <= MAX_EDGE_ORDERS, "spec", f"must have E! <= {MOST_ORDERS} edge orders", spec)
    blocks = _permutations(spec.edge_count, spec.edge_count, CHUNK)
    return np.concatenate([_kept(spec, block) for block in blocks])


def canonical_problems(spec: StarGraph) -> Problem:
    """The O canonical problems, one for each row of ``edge_orders``, as a batch.

    Raises ValueError when E! is above 5,000,000.
    """
    return jax.vmap(canonical_problem, in_axes=(None, 0))(spec, edge_orders(spec))


def labelings(spec: StarGraph, chunk: int = CHUNK) -> Iterator[Int[np.ndarray, "chunk K"]]:
    """All N! / (N - K)! sequences of K distinct labels, in lexicographic order, at most ``chunk`` at a time.

    Only the last block is shorter than ``chunk`` >= 1. Lazy, so a huge family can be begun.

    Raises ValueError when ``chunk`` is no integer of at least 1.
    """
    checks.integer("chunk", chunk, 1)
    return _permutations(spec.labels, spec.node_count, chunk)


def num_problems(spec: StarGraph) -> int:
    """The number of distinct (edge list, goal), O N! / (N - K)! where O = E! / (P - 1)!, exactly."""
    orders = factorial(spec.edge_count) // factorial(spec.paths - 1)
    return orders * perm(spec.labels, spec.node_count)


def enumerate_problems(spec: StarGraph, chunk: int = CHUNK) -> Iterator[Problem]:
    """All ``count(spec)`` problems, each once, in batches of at most ``chunk`` >= 1.

    The edge order varies slowest, in the order of ``edge_orders``, then the labeling, in lexicographic order.
    Every batch holds one edge order, so only its last batch is shorter than ``chunk``. Arrays are numpy.

    Raises ValueError when ``chunk`` is no integer of at least 1, or E! is above 5,000,000.
    """
    checks.integer("chunk", chunk, 1)
    problems = map(partial(canonical_problem, spec), edge_orders(spec))
    pairs = ((problem, block) for problem in problems for block in labelings(spec, chunk))
    return (Problem(*(block[:, part] for part in problem)) for problem, block in pairs)


def _permutations(things: int, places: int, chunk: int) -> Iterator[np.ndarray]:
    rows = permutations(range(things), places)
    while (block := np.fromiter(chain.from_iterable(islice(rows, chunk)), dtype=np.int32)).size:
        yield block.reshape(-1, places)


def _kept(spec: StarGraph, orders: Int[np.ndarray, "chunk E"]) -> Int[np.ndarray, "kept E"]:
    path = orders // (spec.nodes - 1)
    firsts = np.stack([np.argmax(path == p, axis=-1) for p in range(1, spec.paths)], axis=-1)
    return orders[(np.diff(firsts, axis=-1) > 0).all(axis=-1)]
