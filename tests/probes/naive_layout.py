"""An independent, slow twin of layouts and scores: lists and dictionaries, loops over edges and positions."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from circuits.tasks import BinaryTree, TokenFormat, solve_star, solve_tree
from circuits.tasks.token_format import Edges


class Naive(NamedTuple):
    """What ``Layout`` holds, and the edges (u, v) in the order listed."""

    query: int
    goal: int
    start: int
    tails: list[int]
    heads: list[int]
    tokens: list[int]
    roles: list[str]
    levels: list[int]
    order: list[int]
    listed: list[int]
    path: list[int]
    edges: Edges


def naive_layout(format: TokenFormat, ids: list[int], query: int) -> Naive:
    """Read the words from left to right; the path is not taken from the answer but solved."""
    count, step = format.family.edge_count, 3 if format.style == "text" else 2
    listed = [step * i for i in range(count)]
    edges = [(ids[t], ids[t + 1]) for t in listed]
    first, second = step * count, step * count + 1
    start, goal = (first, second) if format.query == "start-goal" else (second, first)
    solver = solve_tree if isinstance(format.family, BinaryTree) else solve_star
    path = solver(np.asarray(edges), ids[start], ids[goal])
    depth = {ids[start]: 0}
    while len(depth) <= count:
        depth |= {v: depth[u] + 1 for u, v in edges if u in depth}
    where = dict(zip(edges, listed, strict=True))
    steps = list(pairwise(path))
    off = [edge for edge in edges if edge not in steps]
    ranked = [*steps, *sorted(off, key=lambda edge: (depth[edge[1]], edge[0] not in path))]
    places = [where[edge] + i for edge in ranked for i in range(step)]
    return Naive(
        query,
        goal,
        start,
        [where[edge] for edge in steps],
        [where[edge] + 1 for edge in steps],
        ids[: query + 1],
        [role(format, ids, t, path) for t in range(query + 1)],
        [depth.get(ids[t], 0) for t in range(query + 1)],
        [*places, *range(step * count, query + 1)],
        listed,
        path,
        edges,
    )


def role(format: TokenFormat, ids: list[int], place: int, path: list[int]) -> str:
    if ids[place] >= format.family.labels:
        return "symbol"
    if place >= format.prompt_length:
        return "answer"
    return {path[0]: "start", path[-1]: "goal"}.get(ids[place], "path" if ids[place] in path else "distractor")


def naive_scores(a: np.ndarray, at: Naive) -> dict[str, float | list[float]]:
    """Every score of one pattern [Q, Q], from what is said of them at the head of the module that computes them."""
    q, ids, nodes = at.query, at.tokens, [t for t in range(len(at.tokens)) if at.roles[t] != "symbol"]
    hops, depth = len(at.path) - 1, {ids[t]: at.levels[t] for t in nodes}
    found: dict[str, float | list[float]] = {
        "goal": sum(a[q, s] for s in nodes if ids[s] == at.path[-1]),
        "start": sum(a[q, s] for s in nodes if ids[s] == at.path[0]),
        "goal_in_query": a[q, at.goal],
        "start_in_query": a[q, at.start],
        "predecessor": mean([a[t + 1, t] for t in at.listed]),
    }
    before = {t: [s for s in nodes if s < t and ids[s] == ids[t]] for t in nodes}
    found["content_match"] = mean([sum(a[t, s] for s in earlier) for t, earlier in before.items() if earlier])
    trace, astray, link = [], [], []
    for i in range(1, hops + 1):
        k = hops + 1 - i
        n = at.path[k]
        tail = next(t for t, edge in zip(at.listed, at.edges, strict=True) if edge == (at.path[k - 1], n))
        off = [
            t for t, (u, v) in zip(at.listed, at.edges, strict=True) if depth[v] == k and (u, v) != (at.path[k - 1], n)
        ]
        trace.append(a[q, tail] + a[q, tail + 1])
        astray.append(mean([a[q, t] + a[q, t + 1] for t in off]))
        readers = [t for t in nodes if ids[t] == n and t > tail + 1 and t != q]
        link.append(mean([a[t, tail] + a[t, tail + 1] for t in readers]))
    return found | {"trace": trace, "astray": astray, "link": link}


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def random_pattern(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Causal rows that sum to 1, most of their mass in few places; ``shape`` ends in the number of positions."""
    raw = rng.exponential(size=(*shape, shape[-1])) ** 3
    kept = np.tril(raw)
    return kept / kept.sum(axis=-1, keepdims=True)
