"""Random problems of any family from numpy alone, and the statistic that tests of uniformity share."""

import math

import numpy as np

from circuits.tasks import BinaryTree, Problem, StarGraph
from tests.tasks.star.naive_star import random_problem
from tests.tasks.tree.naive_tree import random_tree

FALSE_ALARM = 1e-7
"""How often a fair sampler or split fails one test. All tests have fixed seeds."""


def draw(family: StarGraph | BinaryTree, seed: int) -> Problem:
    if isinstance(family, StarGraph):
        return random_problem(family.paths, family.nodes, family.labels, seed)
    return random_tree(family.nodes, family.labels, seed)


def draw_batch(family: StarGraph | BinaryTree, count: int) -> Problem:
    return Problem(*map(np.stack, zip(*(draw(family, seed) for seed in range(count)), strict=True)))


def same(one: Problem, other: Problem) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def rows(batch: Problem) -> list[tuple[tuple[tuple[int, int], ...], int]]:
    """The list of edges and the goal of each problem."""
    pairs = [tuple((u, v) for u, v in edges) for edges in np.asarray(batch.edges).tolist()]
    return list(zip(pairs, np.asarray(batch.goal).tolist(), strict=True))


def excess(counts: np.ndarray, tests: int = 1) -> float:
    """Pearson's statistic for equally likely cells, over a bound it exceeds with chance FALSE_ALARM / tests.

    The bound k + 2 sqrt(k x) + 2 x, x = log(tests / FALSE_ALARM), is Laurent and Massart's for chi-square.
    """
    expected = counts.sum() / counts.size
    statistic = float(((counts - expected) ** 2).sum() / expected)
    freedom, x = counts.size - 1, math.log(tests / FALSE_ALARM)
    return statistic / (freedom + 2 * math.sqrt(freedom * x) + 2 * x)
