"""Functions for the solvers of all families: check that edges form a tree, climb it, and compare an answer."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import index
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from circuits import checks, display
from circuits.tasks.problem import Problem
from circuits.typing import AnyArray, Label

Edges = Int[AnyArray, "E 2"] | Sequence[Sequence[int]]


class AnswerCheck(NamedTuple):
    """The result of checking an answer."""

    correct: bool
    """Whether the answer is the path of the problem."""
    reason: str
    """A description of the first wrong step; "" for a correct answer."""

    _repr_html_ = display.html


class RootedTree(NamedTuple):
    """A directed tree in which every node can be reached from the start."""

    start: int
    goal: int
    predecessor: dict[int, int]
    """The predecessor of every node but the start."""
    successors: dict[int, list[int]]
    """The successors of every node that is not a leaf."""


def rooted_tree(edges: Edges, start: Label, goal: Label, name: str) -> RootedTree:
    """Return the tree of the edges, after checking that it is one, with root ``start`` and another node ``goal``.

    A tree has no self loop, no duplicate edge, no cycle, one predecessor for every node but the start, and all its
    nodes can be reached from the start. Error messages call the graph by ``name``.

    Raises ValueError naming ``edges``, ``start`` or ``goal``.
    """
    pairs, start, goal = _pairs(edges), _label("start", start), _label("goal", goal)
    predecessor: dict[int, int] = {}
    successors: dict[int, list[int]] = {}
    for u, v in pairs:
        checks.require(u != v, "edges", "must have no self loop", (u, v))
        checks.require(v not in successors.get(u, []), "edges", "must have no duplicate edge", (u, v))
        rule = f"node {v} must have one predecessor"
        checks.require(v not in predecessor, "edges", rule, [predecessor.get(v), u])
        predecessor[v] = u
        successors.setdefault(u, []).append(v)
    nodes = {node for pair in pairs for node in pair}
    checks.require(start in nodes, "start", "must be in the graph", start)
    checks.require(goal in nodes, "goal", "must be in the graph", goal)
    checks.require(goal != start, "goal", "must differ from start", goal)
    roots = {node: path_to_root(predecessor, node)[-1] for node in predecessor}
    rule = f"must be the root of the {name}, without predecessor {predecessor.get(start)}"
    checks.require(start not in predecessor, "start", rule, start)
    checks.require(roots.get(goal) == start, "goal", f"must be reachable from start {start}", goal)
    for node, root in roots.items():
        checks.require(root == start, "edges", f"every node must be reachable from start {start}", node)
    return RootedTree(start, goal, predecessor, successors)


def path_to_root(predecessor: dict[int, int], node: int) -> list[int]:
    """Return the nodes from ``node`` up to its root. Raises ValueError naming ``edges`` for a cycle."""
    path = [node]
    while node in predecessor:
        node = predecessor[node]
        checks.require(node not in path, "edges", "must have no cycle", [*path, node])
        path.append(node)
    return path


def compare_paths(problem: Problem, path: list[int], proposed: Sequence[int] | Int[AnyArray, " nodes"]) -> AnswerCheck:
    """Compare an answer with the true path of a problem."""
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
        is_pair = isinstance(row, Sequence) and len(row) == 2
        checks.require(is_pair, "edges", "must be pairs (u, v) of labels", row)
        for node in row:
            checks.integer("edges", node, 0)
    return [(int(u), int(v)) for u, v in rows]


def _label(argument: str, label: Label) -> int:
    value = np.asarray(label).tolist()
    checks.integer(argument, value, 0)
    return value
