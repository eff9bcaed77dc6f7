"""Independent, slow twins that know a star graph by its definition, written with lists and dicts."""

import functools
import itertools

import numpy as np

from circuits.tasks import Problem

Edges = list[tuple[int, int]]


def random_problem(paths: int, nodes: int, labels: int, seed: int) -> Problem:
    """A star drawn node by node with numpy, as int32 arrays."""
    rng = np.random.default_rng(seed)
    names = [int(name) for name in rng.permutation(labels)]
    start = names.pop()
    chains = [[start] + [names.pop() for _ in range(nodes - 1)] for _ in range(paths)]
    edges = [pair for chain in chains for pair in itertools.pairwise(chain)]
    shuffled = [edges[i] for i in rng.permutation(len(edges))]
    answer = chains[int(rng.integers(paths))]
    return Problem(*(np.asarray(part, dtype=np.int32) for part in (shuffled, start, answer[-1], answer)))


def walks(edges: Edges, start: int, goal: int) -> list[list[int]]:
    """Every walk without repeated nodes from start to goal."""
    after: dict[int, list[int]] = {}
    for u, v in edges:
        after.setdefault(u, []).append(v)
    paths, unfinished = [], [[start]]
    while unfinished:
        walk = unfinished.pop()
        if walk[-1] == goal:
            paths.append(walk)
        unfinished += [[*walk, v] for v in after.get(walk[-1], []) if v not in walk]
    return paths


def star_leaves(edges: Edges, start: int) -> set[int]:
    """The leaves, if the edges form a star of at least two equal paths rooted at start; else nothing."""
    depth = {start: 0}
    for _ in edges:
        depth |= {v: depth[u] + 1 for u, v in edges if u in depth and v not in depth}
    nodes = {node for edge in edges for node in edge}
    heads, tails = [v for _, v in edges], [u for u, _ in edges]
    leaves = nodes - set(tails)
    good = (
        nodes == set(depth)
        and sorted(heads) == sorted(nodes - {start})
        and all(tails.count(node) <= 1 for node in nodes - {start})
        and len({depth[leaf] for leaf in leaves}) == 1
        and len(leaves) >= 2
    )
    return leaves if good else set()


@functools.cache
def all_problems(paths: int, nodes: int, labels: int) -> frozenset[tuple[tuple[tuple[int, int], ...], int]]:
    """Every (ordered edge list, goal) that is a star of this family, out of all sets of directed edges."""
    problems = set()
    possible = list(itertools.permutations(range(labels), 2))
    for edges in itertools.combinations(possible, paths * (nodes - 1)):
        for start in {u for u, _ in edges}:
            leaves = star_leaves(list(edges), start)
            if len(leaves) == paths:
                problems |= {(order, goal) for order in itertools.permutations(edges) for goal in leaves}
    return frozenset(problems)
