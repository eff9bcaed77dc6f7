"""Solve a star problem by following edges, and say where a proposed answer first goes wrong."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import index
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from circuits import require
from circuits.tasks.star_graph import Problem, single
from circuits.typing import AnyArray, Label


class AnswerCheck(NamedTuple):
    """Whether an answer is correct, and the first wrong step; the reason is "" when it is correct."""

    correct: bool
    reason: str


def solve(edges: Int[AnyArray, "E 2"] | Sequence[Sequence[int]], start: Label, goal: Label) -> list[int]:
    """The path from start to goal, after checking that the edges form a star rooted at ``start``.

    A star: no self loop, no edge twice, one predecessor for every node but the start, no cycle, no branching
    but at the start, every node reached from it, and at least 2 paths, all of one length.

    Raises ValueError naming what breaks the rule: ``edges``, ``start``, or ``goal`` (which must be the last
    node of a path, and not the start).
    """
    pairs, start, goal = _pairs(edges), _label("start", start), _label("goal", goal)
    _check_edges(pairs)
    nodes = {node for pair in pairs for node in pair}
    require.that(start in nodes, "start", "must be in the graph", start)
    require.that(goal in nodes, "goal", "must be in the graph", goal)
    require.that(goal != start, "goal", "must differ from start", goal)
    paths = _paths(pairs, start, goal)
    matching = [path for path in paths if path[-1] == goal]
    require.that(bool(matching), "goal", "must be a leaf, the last node of its path", goal)
    return matching[0]


def check_answer(problem: Problem, proposed: Sequence[int] | Int[AnyArray, " n"]) -> AnswerCheck:
    """Compare an answer with the path that the edges of one problem dictate, and name its first wrong step.

    The answer has to begin at the start, follow edges that exist (step i goes to ``proposed[i]``), and end at
    the goal, with nothing after it.

    Raises ValueError when the problem is a batch or no star (see ``solve``); never for a wrong answer.
    """
    single("problem", problem)
    path = solve(problem.edges, problem.start, problem.goal)
    nodes = [index(node) for node in proposed]
    return AnswerCheck(nodes == path, next(_faults(set(_pairs(problem.edges)), path, nodes), ""))


def _faults(edges: set[tuple[int, int]], path: list[int], nodes: list[int]) -> Iterator[str]:
    length = len(path)
    if not nodes:
        yield f"too short: 0 of {length} nodes"
    elif nodes[0] != path[0]:
        yield f"starts at {nodes[0]}, not at the start {path[0]}"
    for step, edge in enumerate(pairwise(nodes[:length]), start=1):
        if edge not in edges:
            yield f"no edge from {edge[0]} to {edge[1]} at step {step}"
    if len(nodes) < length:
        yield f"too short: {len(nodes)} of {length} nodes"
    elif nodes[length - 1] != path[-1]:
        yield f"ends at another leaf: {nodes[length - 1]}, not the goal {path[-1]}"
    if len(nodes) > length:
        yield f"too long: {len(nodes)} nodes, the goal {path[-1]} is node {length}"


def _pairs(edges: Int[AnyArray, "E 2"] | Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    rows = np.asarray(edges).tolist() if isinstance(edges, AnyArray) else edges
    for row in rows:
        pair = isinstance(row, Sequence) and len(row) == 2
        require.that(pair, "edges", "must be pairs (u, v) of labels", row)
        for node in row:
            require.integer("edges", node, 0)
    return [(int(u), int(v)) for u, v in rows]


def _check_edges(pairs: list[tuple[int, int]]) -> None:
    seen: set[tuple[int, int]] = set()
    into: dict[int, int] = {}
    for u, v in pairs:
        require.that(u != v, "edges", "must hold no self loop", (u, v))
        require.that((u, v) not in seen, "edges", "must hold no duplicate edge", (u, v))
        rule = f"node {v} must have one predecessor, for with two its path is ambiguous"
        require.that(v not in into, "edges", rule, [into.get(v), u])
        seen.add((u, v))
        into[v] = u


def _paths(pairs: list[tuple[int, int]], start: int, goal: int) -> list[list[int]]:
    # Each node has at most one predecessor here, so the graph is a set of trees and of cycles with trees.
    into = {v: u for u, v in pairs}
    out: dict[int, list[int]] = {}
    for u, v in pairs:
        out.setdefault(u, []).append(v)
    for node in into:
        _climb(into, node)
    rule = f"must be the root of the star, without predecessor {into.get(start)}"
    require.that(start not in into, "start", rule, start)
    require.that(_climb(into, goal) == start, "goal", f"must be reachable from start {start}", goal)
    rule = f"every node must be reachable from start {start}"
    for node in into:
        require.that(_climb(into, node) == start, "edges", rule, node)
    for node, heads in out.items():
        rule = f"no node but the start may branch, and node {node} does"
        require.that(node == start or len(heads) == 1, "edges", rule, heads)
    require.that(len(out[start]) > 1, "edges", "must form at least 2 paths", 1)
    paths = []
    for head in out[start]:
        path = [start, head]
        while path[-1] in out:
            path.append(out[path[-1]][0])
        paths.append(path)
    lengths = [len(path) for path in paths]
    require.that(len(set(lengths)) == 1, "edges", "must form paths of equal length", lengths)
    return paths


def _climb(into: dict[int, int], node: int) -> int:
    """The root above a node."""
    seen = [node]
    while node in into:
        node = into[node]
        require.that(node not in seen, "edges", "must hold no cycle", [*seen, node])
        seen.append(node)
    return node


def _label(argument: str, label: Label) -> int:
    value = np.asarray(label).tolist()
    require.integer(argument, value, 0)
    return value
