"""Blocksworld: states of b named blocks, the graph of moves between them, and plans as walks in it.

A state is a set of stacks: the order within a stack counts, the order of the stacks does not. There are 1, 3, 13,
73, 501, 4051 states for b = 1..6 (partitions of a set into lists, OEIS A000262). A move takes the top block of a
stack to the table, or onto the top of another stack. Every move can be taken back, and every state can be taken
apart, so each state can be reached from each other one. Source: arXiv:2509.23186 (4 blocks).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Int

from circuits import checks
from circuits.tasks.walks.format import WalkFormat
from circuits.tasks.walks.graphs import graph_from_edges

MAX_BLOCKS = 6

Stacks = tuple[tuple[int, ...], ...]
"""Blocks 0..b-1 of each stack, bottom first; stacks are sorted."""


class Blocksworld(NamedTuple):
    """All states of some blocks. State 0 has each block on the table."""

    states: tuple[Stacks, ...]
    """Sorted; the place of a state is its node."""
    names: tuple[str, ...]
    """Of each state, bottom first: "AB|C|D" has B on A."""
    graph: nx.DiGraph
    """On range(number of states): an edge is a move."""
    moves: dict[tuple[int, int], str]
    """Of each edge: "move B to table", or "stack B on C"."""


class PlanCheck(NamedTuple):
    """Whether a plan leads to its goal by moves, whether no plan has fewer moves, and what is wrong or ""."""

    valid: bool
    optimal: bool
    reason: str


def blocksworld(blocks: int) -> Blocksworld:
    """The world of ``blocks`` blocks, in {1..6}, named "A", "B", ...

    Raises ValueError naming ``blocks`` when it is out of range.
    """
    checks.integer("blocks", blocks, 1, MAX_BLOCKS)
    table: Stacks = tuple((block,) for block in range(blocks))
    after: dict[Stacks, dict[Stacks, str]] = {table: dict(_moves(table))}
    waiting: list[Stacks] = [table]
    while waiting:
        new = [state for state in after[waiting.pop()] if state not in after]
        after |= {state: dict(_moves(state)) for state in new}
        waiting += new
    states = tuple(sorted(after))
    node = {state: place for place, state in enumerate(states)}
    moves = {(node[u], node[v]): move for u in states for v, move in sorted(after[u].items())}
    return Blocksworld(states, tuple(map(_name, states)), graph_from_edges(len(states), list(moves)), moves)


def plan_format(world: Blocksworld, spare: int = 2) -> WalkFormat:
    """The format for plans of up to ``spare`` >= 0 moves more than the longest of all shortest plans.

    Raises ValueError naming ``spare`` when it is no integer of at least 0.
    """
    checks.integer("spare", spare, 0)
    return WalkFormat(len(world.states), nx.diameter(world.graph) + 1 + spare)


def shortest_plans(world: Blocksworld, source: int, target: int) -> list[list[int]]:
    """Every plan with the fewest moves, as lists of nodes from source to target, sorted.

    Raises ValueError naming ``source`` or ``target`` when it is no node.
    """
    _check_node(world, "source", source)
    _check_node(world, "target", target)
    return sorted(nx.all_shortest_paths(world.graph, source, target))


def describe_plan(world: Blocksworld, plan: Sequence[int] | Int[np.ndarray, " n"]) -> list[str]:
    """The moves of a plan, given by its nodes, in words.

    Raises ValueError naming ``plan`` when two nodes in a row are joined by no move.
    """
    for edge in pairwise(np.asarray(plan).tolist()):
        checks.require(edge in world.moves, "plan", "each step must be a move", edge)
    return [world.moves[edge] for edge in pairwise(np.asarray(plan).tolist())]


def check_plan(world: Blocksworld, source: int, target: int, plan: Sequence[int] | Int[np.ndarray, " n"]) -> PlanCheck:
    """Check a plan, given by its nodes: from source to target, by moves, no state twice; and count its moves.

    A plan is valid where ``check_walk`` finds its line valid.

    Raises ValueError naming ``source`` or ``target`` when it is no node; never for a wrong plan.
    """
    _check_node(world, "source", source)
    _check_node(world, "target", target)
    nodes = np.asarray(plan, dtype=np.int64).tolist()
    fault = next(_faults(world, source, target, nodes), "")
    if fault:
        return PlanCheck(False, False, fault)
    fewest = nx.shortest_path_length(world.graph, source, target)
    longer = f"{len(nodes) - 1} moves, where {fewest} are enough"
    return PlanCheck(True, len(nodes) - 1 == fewest, "" if len(nodes) - 1 == fewest else longer)


def _moves(state: Stacks) -> Iterator[tuple[Stacks, str]]:
    for stack in state:
        *below, block = stack
        rest = [other for other in state if other != stack] + ([tuple(below)] if below else [])
        if below:
            yield tuple(sorted([*rest, (block,)])), f"move {_letter(block)} to table"
        for other in state:
            if other != stack:
                grown = [(*each, block) if each == other else each for each in rest]
                yield tuple(sorted(grown)), f"stack {_letter(block)} on {_letter(other[-1])}"


def _faults(world: Blocksworld, source: int, target: int, nodes: list[int]) -> Iterator[str]:
    if not nodes or nodes[0] != source:
        yield f"starts at {_named(world, nodes[0]) if nodes else 'no state'}, not at {world.names[source]}"
    for step, edge in enumerate(pairwise(nodes), start=1):
        if edge not in world.moves:
            yield f"no move from {_named(world, edge[0])} to {_named(world, edge[1])} at step {step}"
        if edge[1] in nodes[:step]:
            yield f"comes back to {_named(world, edge[1])} at step {step}"
    if nodes[-1] != target:
        yield f"ends at {_named(world, nodes[-1])}, not at {world.names[target]}"


def _named(world: Blocksworld, node: int) -> str:
    return world.names[node] if 0 <= node < len(world.names) else f"{node}, which is no state"


def _name(state: Stacks) -> str:
    return "|".join("".join(map(_letter, stack)) for stack in state)


def _letter(block: int) -> str:
    return chr(ord("A") + block)


def _check_node(world: Blocksworld, argument: str, node: int) -> None:
    checks.integer(argument, node, 0, len(world.states) - 1)
