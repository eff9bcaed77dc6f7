"""Enumerate the star problems of a family, each exactly once.

A problem is a list of edges and a goal. Permuting the distractor paths changes the canonical nodes but not the problem.
So one edge order is chosen from each class of (P - 1)! equivalent ones, and combined with all labelings.
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
"""10 edges have 3,628,800 orders; the 39,916,800 orders of 11 edges would fill gigabytes."""
CHUNK = 65536


def edge_orders(family: StarGraph) -> Int[np.ndarray, "orders E"]:
    """Return one edge order of each class, in lexicographic order.

    The representative of a class lists the first-listed edges of the distractor paths 1..P-1 in the order of the paths.

    Args:
        family: star graphs with at most 10 edges.

    Returns:
        E! / (P - 1)! permutations of 0..E-1, int32.

    Raises:
        ValueError: for more than 10 edges (more than 5,000,000 orders).

    Example:
        >>> edge_orders(StarGraph(2, 3, 10)).shape
        (24, 4)
    """
    total = factorial(family.edge_count)
    checks.require(total <= MAX_EDGE_ORDERS, "family", f"must have E! <= {MAX_EDGE_ORDERS} edge orders", family)
    blocks = _permutations(family.edge_count, family.edge_count, CHUNK)
    return np.concatenate([_representatives(family, block) for block in blocks])


def canonical_problems(family: StarGraph) -> Problem:
    """Return the canonical problem of each row of ``edge_orders``, as a batch.

    Args:
        family: star graphs with at most 10 edges.

    Raises:
        ValueError: for more than 10 edges.

    Example:
        >>> canonical_problems(StarGraph(2, 3, 10)).edges.shape
        (24, 4, 2)
    """
    return jax.vmap(canonical_problem, in_axes=(None, 0))(family, edge_orders(family))


def labelings(family: StarGraph, chunk: int = CHUNK) -> Iterator[Int[np.ndarray, "chunk nodes"]]:
    """Iterate over all sequences of distinct labels for the nodes, in lexicographic order.

    Args:
        family: star graphs; there are N! / (N - nodes)! labelings.
        chunk: the number of labelings per block, at least 1; the last block may be shorter.

    Returns:
        A lazy iterator of blocks, int32.

    Raises:
        ValueError: if ``chunk`` is not an integer of at least 1.

    Example:
        >>> next(labelings(StarGraph(2, 2, 4), chunk=2)).tolist()
        [[0, 1, 2], [0, 1, 3]]
    """
    checks.integer("chunk", chunk, 1)
    return _permutations(family.labels, family.node_count, chunk)


def num_problems(family: StarGraph) -> int:
    """Return the exact number of distinct problems: E! / (P - 1)! edge orders times N! / (N - nodes)! labelings.

    Args:
        family: star graphs of any size.

    Example:
        >>> num_problems(StarGraph(2, 3, 10))
        725760
    """
    orders = factorial(family.edge_count) // factorial(family.paths - 1)
    return orders * perm(family.labels, family.node_count)


def enumerate_problems(family: StarGraph, chunk: int = CHUNK) -> Iterator[Problem]:
    """Iterate over all ``num_problems(family)`` problems, each exactly once.

    The outer loop is over ``edge_orders``, the inner one over ``labelings``. All problems of a batch have the same edge
    order, so the last batch of each edge order may be shorter.

    Args:
        family: star graphs with at most 10 edges.
        chunk: the number of problems per batch, at least 1.

    Returns:
        A lazy iterator of batches, int32 numpy.

    Raises:
        ValueError: if ``chunk`` is not an integer of at least 1, or for more than 10 edges.

    Example:
        >>> sum(len(batch.goal) for batch in enumerate_problems(StarGraph(2, 2, 4)))
        48
    """
    checks.integer("chunk", chunk, 1)
    problems = map(partial(canonical_problem, family), edge_orders(family))
    pairs = ((problem, block) for problem in problems for block in labelings(family, chunk))
    return (Problem(*(block[:, part] for part in problem)) for problem, block in pairs)


def _permutations(items: int, length: int, chunk: int) -> Iterator[np.ndarray]:
    rows = permutations(range(items), length)
    while (block := np.fromiter(chain.from_iterable(islice(rows, chunk)), dtype=np.int32)).size:
        yield block.reshape(-1, length)


def _representatives(family: StarGraph, orders: Int[np.ndarray, "chunk E"]) -> Int[np.ndarray, "classes E"]:
    path = orders // (family.nodes - 1)
    firsts = np.stack([np.argmax(path == p, axis=-1) for p in range(1, family.paths)], axis=-1)
    return orders[(np.diff(firsts, axis=-1) > 0).all(axis=-1)]
