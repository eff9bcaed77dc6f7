"""Independent, slow twins for graphs, walks and blocks: loops, sets and powers of matrices, without networkx."""

import itertools

import numpy as np

Edges = set[tuple[int, int]]


def powers(edges: np.ndarray) -> np.ndarray:
    """[n - 1, u, v]: there is a walk of exactly n edges from u to v, n = 1..N."""
    step, result = edges.astype(np.int64), [edges.astype(bool)]
    for _ in range(len(edges) - 1):
        result.append((result[-1].astype(np.int64) @ step) > 0)
    return np.stack(result)


def reach(edges: np.ndarray) -> np.ndarray:
    return np.logical_or.reduce(powers(edges))


def distance(edges: np.ndarray, u: int, v: int) -> int | None:
    """The smallest power of the matrix with an entry at (u, v), 0 on the diagonal."""
    if u == v:
        return 0
    lengths = np.flatnonzero(powers(edges)[:, u, v])
    return int(lengths[0]) + 1 if len(lengths) else None


def simple_paths(edges: Edges, source: int, target: int) -> list[list[int]]:
    """Every path from source to target without a repeated node."""
    paths, unfinished = [], [[source]]
    while unfinished:
        path = unfinished.pop()
        if path[-1] == target:
            paths.append(path)
        else:
            unfinished += [[*path, v] for u, v in edges if u == path[-1] and v not in path]
    return paths


def verdict(edges: Edges, source: int, target: int, answer: list[int], nodes: int) -> str:
    """What ``check_walk`` should return, from the whole answer at once instead of token by token."""
    if not answer or answer[0] != source:
        return "wrong start"
    path = list(itertools.takewhile(lambda token: token != nodes, answer))
    wrong = [i for i, pair in enumerate(itertools.pairwise(path), start=1) if pair not in edges]
    repeated = [i for i, node in enumerate(path) if node in path[:i]]
    if wrong or repeated:
        return "no such edge" if min(wrong, default=len(path)) <= min(repeated, default=len(path)) else "repeated node"
    if len(path) == len(answer):
        return "no end"
    return "valid" if path[-1] == target else "wrong end"


def seen(nodes: int, rows: list[list[int]]) -> tuple[Edges, Edges]:
    """The edges that lines of ids show, and the pairs (u, t): u is in a walk to t, but not its first node."""
    edges, reached = set(), set()
    for _, target, *answer in rows:
        path = [token for token in answer if token < nodes]
        edges |= set(itertools.pairwise(path))
        reached |= {(u, target) for u in path[1:]}
    return edges, reached


def degree(edges: np.ndarray, reached: Edges, source: int, target: int) -> int:
    """By a search outwards from the source, one ring of nodes after the other."""
    ring = {source}
    for distance in range(3):
        if any((u, target) in reached for u in ring):
            return distance
        ring = {int(v) for u in ring for v in np.flatnonzero(edges[u])}
    return 3


def block_states(blocks: int) -> set[frozenset[tuple[int, ...]]]:
    """Every set of stacks, by cutting every order of the blocks at every set of positions."""
    states = set()
    for order in itertools.permutations(range(blocks)):
        for cuts in itertools.product([False, True], repeat=blocks - 1):
            bounds = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), blocks]
            states.add(frozenset(order[a:b] for a, b in itertools.pairwise(bounds)))
    return states


def supports(state: frozenset[tuple[int, ...]]) -> dict[int, int | None]:
    """What each block stands on; None is the table."""
    return {block: stack[i - 1] if i else None for stack in state for i, block in enumerate(stack)}


def is_move(one: frozenset[tuple[int, ...]], other: frozenset[tuple[int, ...]]) -> bool:
    """One block has moved, and nothing stands on it before or after, nor on what it is put on."""
    before, after = supports(one), supports(other)
    moved = [block for block in before if before[block] != after[block]]
    if len(moved) != 1:
        return False
    block = moved[0]
    free = block not in before.values() and block not in after.values()
    return free and (after[block] is None or after[block] not in before.values())
