"""Blocksworld: the states of some named blocks, the graph of moves between them, and plans as walks in it.

A state is a set of stacks: the order within a stack matters, the order of the stacks does not. There are 1, 3, 13, 73,
501, 4051 states of 1 to 6 blocks (partitions of a set into lists, OEIS A000262). A move puts the top block of a stack
on the table or on top of another stack. Every move can be undone, and every state can be taken apart, so every state
can be reached from every other. arXiv:2509.23186 uses 4 blocks.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Int

from circuits import checks, display
from circuits.tasks.walks.format import WalkFormat
from circuits.tasks.walks.graphs import graph_from_edges

MAX_BLOCKS = 6

Stacks = tuple[tuple[int, ...], ...]
"""The blocks of each stack, bottom first; blocks are 0, 1, ..., and stacks are sorted."""


class Blocksworld(NamedTuple):
    """All states of some blocks, and the moves between them. State 0 has each block on the table."""

    states: tuple[Stacks, ...]
    """The state of each node, sorted."""
    names: tuple[str, ...]
    """The name of each node: "AB|C|D" has B on A."""
    graph: nx.DiGraph
    """The graph on range(number of states) whose edges are the moves."""
    moves: dict[tuple[int, int], str]
    """The move of each edge: "move B to table", or "stack B on C"."""

    _repr_html_ = display.html


class PlanCheck(NamedTuple):
    """The result of checking a plan."""

    valid: bool
    """Whether the plan leads from source to target by moves, without repeating a state."""
    optimal: bool
    """Whether it is valid, and no valid plan has fewer moves."""
    reason: str
    """A description of the first error, or a note that fewer moves suffice; "" for an optimal plan."""

    _repr_html_ = display.html


def make_blocksworld(blocks: int) -> Blocksworld:
    """Return the states and moves of some blocks, named "A", "B", ...

    Args:
        blocks: number of blocks, 1 to 6.

    Raises:
        ValueError: if ``blocks`` is out of range.

    Example:
        >>> make_blocksworld(2).names
        ('A|B', 'AB', 'BA')
    """
    checks.integer("blocks", blocks, 1, MAX_BLOCKS)
    table: Stacks = tuple((block,) for block in range(blocks))
    moves_from: dict[Stacks, dict[Stacks, str]] = {table: dict(_moves(table))}
    unvisited: list[Stacks] = [table]
    while unvisited:
        new = [state for state in moves_from[unvisited.pop()] if state not in moves_from]
        moves_from |= {state: dict(_moves(state)) for state in new}
        unvisited += new
    states = tuple(sorted(moves_from))
    node = {state: index for index, state in enumerate(states)}
    moves = {(node[u], node[v]): move for u in states for v, move in sorted(moves_from[u].items())}
    return Blocksworld(states, tuple(map(_name, states)), graph_from_edges(len(states), list(moves)), moves)


def plan_format(world: Blocksworld, extra_moves: int = 2) -> WalkFormat:
    """Return the format for plans with up to ``extra_moves`` moves more than the longest of all shortest plans.

    Args:
        world: the blocks.
        extra_moves: number of additional moves, at least 0.

    Raises:
        ValueError: if ``extra_moves`` is not an integer of at least 0.

    Example:
        >>> plan_format(make_blocksworld(3))
        WalkFormat(nodes=13, longest=7)
    """
    checks.integer("extra_moves", extra_moves, 0)
    return WalkFormat(len(world.states), nx.diameter(world.graph) + 1 + extra_moves)


def shortest_plans(world: Blocksworld, source: int, target: int) -> list[list[int]]:
    """Return all plans with the minimum number of moves, as sorted lists of nodes from source to target.

    Args:
        world: the blocks.
        source: the node of the initial state.
        target: the node of the final state.

    Raises:
        ValueError: if ``source`` or ``target`` is not a node.

    Example:
        >>> shortest_plans(make_blocksworld(2), 1, 2)
        [[1, 0, 2]]
    """
    _check_node(world, "source", source)
    _check_node(world, "target", target)
    return sorted(nx.all_shortest_paths(world.graph, source, target))


def describe_plan(world: Blocksworld, plan: Sequence[int] | Int[np.ndarray, " nodes"]) -> list[str]:
    """Return a description of each move of a plan.

    Args:
        world: the blocks.
        plan: the nodes of the plan.

    Raises:
        ValueError: if two consecutive nodes are not joined by a move.

    Example:
        >>> describe_plan(make_blocksworld(2), [1, 0, 2])
        ['move B to table', 'stack A on B']
    """
    edges = list(pairwise(np.asarray(plan).tolist()))
    for edge in edges:
        checks.require(edge in world.moves, "plan", "each step must be a move", edge)
    return [world.moves[edge] for edge in edges]


def check_plan(
    world: Blocksworld, source: int, target: int, plan: Sequence[int] | Int[np.ndarray, " nodes"]
) -> PlanCheck:
    """Check a plan, and compare its number of moves with the minimum. ``check_walk`` accepts the same plans as valid.

    Args:
        world: the blocks.
        source: the node in which the plan must start.
        target: the node in which it must end.
        plan: the nodes of the plan.

    Raises:
        ValueError: if ``source`` or ``target`` is not a node; never for a wrong plan.

    Example:
        >>> check_plan(make_blocksworld(2), 1, 2, [1, 2])
        PlanCheck(valid=False, optimal=False, reason='no move from AB to BA at step 1')
    """
    _check_node(world, "source", source)
    _check_node(world, "target", target)
    nodes = np.asarray(plan, dtype=np.int64).tolist()
    fault = next(_faults(world, source, target, nodes), "")
    if fault:
        return PlanCheck(False, False, fault)
    moves, minimum = len(nodes) - 1, nx.shortest_path_length(world.graph, source, target)
    return PlanCheck(True, moves == minimum, "" if moves == minimum else f"{moves} moves, where {minimum} suffice")


def _moves(state: Stacks) -> Iterator[tuple[Stacks, str]]:
    for stack in state:
        *below, block = stack
        rest = [other for other in state if other != stack] + ([tuple(below)] if below else [])
        if below:
            yield tuple(sorted([*rest, (block,)])), f"move {_letter(block)} to table"
        for other in state:
            if other != stack:
                stacked = [(*each, block) if each == other else each for each in rest]
                yield tuple(sorted(stacked)), f"stack {_letter(block)} on {_letter(other[-1])}"


def _faults(world: Blocksworld, source: int, target: int, nodes: list[int]) -> Iterator[str]:
    if not nodes or nodes[0] != source:
        yield f"starts at {_describe(world, nodes[0]) if nodes else 'no state'}, not at {world.names[source]}"
    for step, edge in enumerate(pairwise(nodes), start=1):
        if edge not in world.moves:
            yield f"no move from {_describe(world, edge[0])} to {_describe(world, edge[1])} at step {step}"
        if edge[1] in nodes[:step]:
            yield f"returns to {_describe(world, edge[1])} at step {step}"
    if nodes[-1] != target:
        yield f"ends at {_describe(world, nodes[-1])}, not at {world.names[target]}"


def _describe(world: Blocksworld, node: int) -> str:
    return world.names[node] if 0 <= node < len(world.names) else f"{node}, which is not a state"


def _name(state: Stacks) -> str:
    return "|".join("".join(map(_letter, stack)) for stack in state)


def _letter(block: int) -> str:
    return chr(ord("A") + block)


def _check_node(world: Blocksworld, argument: str, node: int) -> None:
    checks.integer(argument, node, 0, len(world.states) - 1)
