"""An independent, slow twin of layouts and scores: lists and dictionaries, loops over edges and positions."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from circuits.tasks import TokenFormat, solve
from circuits.tasks.answers import Edges


class Naive(NamedTuple):
    """What ``Layout`` holds, the path, and the edges (u, v) in the order listed."""

    query: int
    goal: int
    start: int
    parents: list[int]
    children: list[int]
    tokens: list[int]
    roles: list[str]
    depths: list[int]
    order: list[int]
    listed_parents: list[int]
    path: list[int]
    edges: Edges


def naive_layout(format: TokenFormat, ids: list[int], query: int) -> Naive:
    """Read the words from left to right; the path is not taken from the answer but solved."""
    count, step = format.family.edge_count, 3 if format.style == "text" else 2
    listed = [step * i for i in range(count)]
    edges = [(ids[t], ids[t + 1]) for t in listed]
    first, second = step * count, step * count + 1
    start, goal = (first, second) if format.query == "start-goal" else (second, first)
    path = solve(format.family, np.asarray(edges), ids[start], ids[goal])
    depth = {ids[start]: 0}
    while len(depth) <= count:
        depth |= {v: depth[u] + 1 for u, v in edges if u in depth}
    where = dict(zip(edges, listed, strict=True))
    steps = list(pairwise(path))
    off = [edge for edge in edges if edge not in steps]
    ranked = [*steps, *sorted(off, key=lambda edge: (depth[edge[1]], edge[0] not in path))]
    order = [where[edge] + i for edge in ranked for i in range(step)]
    return Naive(
        query,
        goal,
        start,
        [where[edge] for edge in steps],
        [where[edge] + 1 for edge in steps],
        ids[: query + 1],
        [role(format, ids, t, path) for t in range(query + 1)],
        [depth.get(ids[t], 0) for t in range(query + 1)],
        [*order, *range(step * count, query + 1)],
        listed,
        path,
        edges,
    )


def role(format: TokenFormat, ids: list[int], position: int, path: list[int]) -> str:
    if ids[position] >= format.family.labels:
        return "symbol"
    if position >= format.prompt_length:
        return "answer"
    return {path[0]: "start", path[-1]: "goal"}.get(ids[position], "path" if ids[position] in path else "distractor")


def naive_scores(a: np.ndarray, at: Naive) -> dict[str, float | list[float]]:
    """Every score of one pattern [Q, Q], from its definition at the head of the module that computes it."""
    q, ids, nodes = at.query, at.tokens, [t for t in range(len(at.tokens)) if at.roles[t] != "symbol"]
    depth = {ids[t]: at.depths[t] for t in nodes}
    scores: dict[str, float | list[float]] = {
        "goal": sum(a[q, s] for s in nodes if ids[s] == at.path[-1]),
        "start": sum(a[q, s] for s in nodes if ids[s] == at.path[0]),
        "goal_in_query": a[q, at.goal],
        "start_in_query": a[q, at.start],
        "predecessor": mean([a[t + 1, t] for t in at.listed_parents]),
    }
    before = {t: [s for s in nodes if s < t and ids[s] == ids[t]] for t in nodes}
    scores["content_match"] = mean([sum(a[t, s] for s in earlier) for t, earlier in before.items() if earlier])
    by_hop: dict[str, list[float]] = {
        name: [] for name in ("backward_trace", "distractor_attention", "edge_attention_elsewhere")
    }
    listed = list(zip(at.listed_parents, at.edges, strict=True))
    for parent, child in list(pairwise(at.path))[::-1]:
        own = next(t for t, edge in listed if edge == (parent, child))
        others = [t for t, (u, v) in listed if depth[v] == depth[child] and (u, v) != (parent, child)]
        readers = [t for t in nodes if ids[t] == child and t > own + 1 and t != q]
        by_hop["backward_trace"].append(a[q, own] + a[q, own + 1])
        by_hop["distractor_attention"].append(mean([a[q, t] + a[q, t + 1] for t in others]))
        by_hop["edge_attention_elsewhere"].append(mean([a[t, own] + a[t, own + 1] for t in readers]))
    return scores | by_hop


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def random_pattern(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Causal rows that sum to 1, most of their mass at few positions; ``shape`` ends in the number of positions."""
    raw = rng.exponential(size=(*shape, shape[-1])) ** 3
    kept = np.tril(raw)
    return kept / kept.sum(axis=-1, keepdims=True)
