"""What the solvers of every family share: reading edges, finding the root, and comparing an answer."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import index
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from circuits import checks
from circuits.tasks.problem import Problem
from circuits.typing import AnyArray, Label

Edges = Int[AnyArray, "E 2"] | Sequence[Sequence[int]]


class AnswerCheck(NamedTuple):
    """Whether an answer is correct, and the first wrong step; the reason is "" when it is correct."""

    correct: bool
    reason: str


class RootedTree(NamedTuple):
    """A directed tree, every node of which is reached from the start."""

    start: int
    goal: int
    into: dict[int, int]
    """The predecessor of each node but the start."""
    out: dict[int, list[int]]
    """The successors of each node that has some."""


def rooted_tree(edges: Edges, start: Label, goal: Label, shape: str) -> RootedTree:
    """Check that the edges form a tree with the root ``start`` that holds ``goal``, another node.

    A tree: no self loop, no edge twice, one predecessor for every node but the start, no cycle, and every node
    reached from the start. ``shape`` names the graph in errors.

    Raises ValueError naming what breaks the rule: ``edges``, ``start`` or ``goal``.
    """
    pairs, start, goal = _pairs(edges), _label("start", start), _label("goal", goal)
    _check_edges(pairs)
    nodes = {node for pair in pairs for node in pair}
    checks.require(start in nodes, "start", "must be in the graph", start)
    checks.require(goal in nodes, "goal", "must be in the graph", goal)
    checks.require(goal != start, "goal", "must differ from start", goal)
    # Each node has at most one predecessor here, so the graph is a set of trees and of cycles with trees.
    into = {v: u for u, v in pairs}
    out: dict[int, list[int]] = {}
    for u, v in pairs:
        out.setdefault(u, []).append(v)
    for node in into:
        path_to_root(into, node)
    rule = f"must be the root of the {shape}, without predecessor {into.get(start)}"
    checks.require(start not in into, "start", rule, start)
    checks.require(path_to_root(into, goal)[-1] == start, "goal", f"must be reachable from start {start}", goal)
    rule = f"every node must be reachable from start {start}"
    for node in into:
        checks.require(path_to_root(into, node)[-1] == start, "edges", rule, node)
    return RootedTree(start, goal, into, out)


def path_to_root(into: dict[int, int], node: int) -> list[int]:
    """The nodes from ``node`` up to the root above it, by the predecessors ``into``.

    Raises ValueError naming ``edges`` when they run in a cycle.
    """
    seen = [node]
    while node in into:
        node = into[node]
        checks.require(node not in seen, "edges", "must hold no cycle", [*seen, node])
        seen.append(node)
    return seen


def compare_paths(problem: Problem, path: list[int], proposed: Sequence[int] | Int[AnyArray, " n"]) -> AnswerCheck:
    """Compare an answer with the true path of a problem, and name its first wrong step."""
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


def _pairs(edges: Edges) -> list[tuple[int, int]]:
    rows = np.asarray(edges).tolist() if isinstance(edges, AnyArray) else edges
    for row in rows:
        pair = isinstance(row, Sequence) and len(row) == 2
        checks.require(pair, "edges", "must be pairs (u, v) of labels", row)
        for node in row:
            checks.integer("edges", node, 0)
    return [(int(u), int(v)) for u, v in rows]


def _check_edges(pairs: list[tuple[int, int]]) -> None:
    seen: set[tuple[int, int]] = set()
    into: dict[int, int] = {}
    for u, v in pairs:
        checks.require(u != v, "edges", "must hold no self loop", (u, v))
        checks.require((u, v) not in seen, "edges", "must hold no duplicate edge", (u, v))
        rule = f"node {v} must have one predecessor, for with two its path is ambiguous"
        checks.require(v not in into, "edges", rule, [into.get(v), u])
        seen.add((u, v))
        into[v] = u


def _label(argument: str, label: Label) -> int:
    value = np.asarray(label).tolist()
    checks.integer(argument, value, 0)
    return value
