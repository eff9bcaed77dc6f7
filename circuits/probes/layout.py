"""Where things stand in the tokens of one planning problem: its ends, the edges of its path, and everything else.

A problem is written with its edges in random order, so averages over problems mix, at each position, whatever stands
there. ``Layout.order`` puts the edges of every problem into one order, in which the same place is the same part of the
graph: the edges of the path from start to goal, then the others, level by level.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from circuits import checks
from circuits.tasks.token_format import TokenFormat

ROLES = ("start", "goal", "path", "distractor", "symbol", "answer")
"""What can stand at a position. ``Layout.roles`` holds places in this list; "answer" are tokens of the answer."""
START, GOAL, PATH, DISTRACTOR, SYMBOL, ANSWER = range(len(ROLES))


class Layout(NamedTuple):
    """Positions, from 0, in the first Q tokens of one problem, whose path has the nodes n_0 .. n_{M-1}.

    Edge k = 1..M-1 of the path is the pair (n_{k-1}, n_k); there is one edge into every node but n_0.
    """

    query: Int[Array, ""]
    """Where the chosen token is predicted: the last of the Q positions."""
    goal: Int[Array, ""]
    """Of the goal in the query."""
    start: Int[Array, ""]
    """Of the start in the query."""
    tails: Int[Array, " M-1"]
    """Of n_{k-1} in edge k of the path; entry 0 is edge 1."""
    heads: Int[Array, " M-1"]
    """Of n_k in edge k."""
    tokens: Int[Array, " Q"]
    """The ids themselves."""
    roles: Int[Array, " Q"]
    """Places in ``ROLES``."""
    levels: Int[Array, " Q"]
    """How many edges the node at a position is away from the start; 0 at symbols."""
    order: Int[Array, " Q"]
    """order[i] is the position of what stands at place i in the common order."""
    listed: Int[Array, " E"]
    """Of the tail of each edge, in the order listed; its head is the next one."""


def chosen_position(format: TokenFormat, answer: int | None = None) -> int:
    """The position at which a token of the answer is predicted, by default the first one that needs look-ahead.

    Raises ValueError for a place outside the answer, and where no token needs look-ahead and none is named.
    """
    if answer is None:
        checks.require(len(format.hard) > 0, "answer", "must be given, for no token needs look-ahead", answer)
        answer = min(format.hard)
    checks.integer("answer", answer, min_value=0, max_value=format.answer_length - 1)
    return format.prompt_length - 1 + answer


def layout(format: TokenFormat, tokens: Int[Array, " T"], query: int) -> Layout:
    """The layout of a problem up to position ``query``, from its ids, answer included. Jittable; vmap for a batch.

    Raises ValueError unless the ids are as many as a problem has, and the query is a position from the prompt's end on.
    """
    checks.shape("tokens", tokens, (format.length,))
    checks.integer("query", query, min_value=format.prompt_length - 1, max_value=format.length - 2)
    tokens = jnp.asarray(tokens, jnp.int32)
    start, goal = ends(format)
    path = jnp.concatenate([tokens[start][None], tokens[format.length - format.family.nodes + 1 :]])
    at = _edge_starts(format)
    tails, heads = tokens[at], tokens[at + 1]
    levels = _levels(tails, heads, format.family.nodes)
    into = jnp.argmax(heads == path[1:, None], axis=1)  # the one edge into each node of the path
    is_node = np.ones(query + 1, bool)
    is_node[_symbols(format, query)] = False
    seen = tokens[: query + 1]
    level = jnp.where(is_node, jnp.sum(jnp.where(seen[:, None] == heads, levels, 0), axis=1), 0)
    return Layout(
        jnp.asarray(query, jnp.int32),
        jnp.asarray(goal, jnp.int32),
        jnp.asarray(start, jnp.int32),
        jnp.asarray(at)[into],
        jnp.asarray(at)[into] + 1,
        seen,
        _roles(format, seen, path, is_node),
        level.astype(jnp.int32),
        _order(format, tails, heads, path, levels, query),
        jnp.asarray(at),
    )


def place_names(found: Layout) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and roles of the places in the common order, the same for every problem of a format.

    "s" is the start, "n1", "n2", ... the nodes of the path, "g" the goal, "x1", ... nodes off the path by their level,
    "·" a symbol. Takes the layout of any one problem.
    """
    order, roles, levels = (np.asarray(part) for part in (found.order, found.roles, found.levels))
    tokens, goal = np.asarray(found.tokens), np.asarray(found.tokens)[int(found.goal)]
    names = []
    for place in order.tolist():
        role, level = int(roles[place]), int(levels[place])
        at_goal = tokens[place] == goal and role != SYMBOL
        node = "g" if at_goal else f"{'x' if role == DISTRACTOR else 'n'}{level}" if level else "s"
        names.append("·" if role == SYMBOL else node)
    return tuple(names), tuple(ROLES[roles[place]] for place in order.tolist())


def ends(format: TokenFormat) -> tuple[int, int]:
    """The positions of start and goal in the query."""
    step = 3 if format.style == "text" else 2
    first, second = step * format.family.edge_count, step * format.family.edge_count + 1
    return (first, second) if format.query == "start-goal" else (second, first)


def _edge_starts(format: TokenFormat) -> Int[np.ndarray, " E"]:
    """The position of the tail of each edge in the order listed; its head is the next one."""
    return np.arange(format.family.edge_count, dtype=np.int32) * (3 if format.style == "text" else 2)


def _symbols(format: TokenFormat, query: int) -> Int[np.ndarray, " _"]:
    """The positions, up to the query, at which no node stands."""
    if format.style == "pairs":
        return np.zeros(0, np.int32)
    found = np.append(_edge_starts(format) + 2, format.prompt_length - 1)
    return found[found <= query]


def _levels(tails: Int[Array, " E"], heads: Int[Array, " E"], nodes: int) -> Int[Array, " E"]:
    """The level of the head of each edge: one more than that of the edge into its tail, and 1 where there is none."""
    parent = tails[:, None] == heads[None, :]
    level = jnp.ones(len(tails), jnp.int32)
    for _ in range(nodes - 1):
        level = 1 + jnp.sum(jnp.where(parent, level, 0), axis=1, dtype=jnp.int32)
    return level


def _roles(format: TokenFormat, tokens: Int[Array, " Q"], path: Int[Array, " M"], is_node: np.ndarray) -> Array:
    on_path = jnp.any(tokens[:, None] == path, axis=1)
    role = jnp.where(on_path, PATH, DISTRACTOR)
    role = jnp.where(tokens == path[0], START, role)
    role = jnp.where(tokens == path[-1], GOAL, role)
    role = jnp.where(np.arange(len(tokens)) >= format.prompt_length, ANSWER, role)
    return jnp.where(is_node, role, SYMBOL).astype(jnp.int32)


def _order(
    format: TokenFormat,
    tails: Int[Array, " E"],
    heads: Int[Array, " E"],
    path: Int[Array, " M"],
    levels: Int[Array, " E"],
    query: int,
) -> Int[Array, " Q"]:
    """Edges on the path, then by level, at each level those that leave the path first; all else where it is."""
    off = ~jnp.any(heads[:, None] == path, axis=1)
    hangs = ~jnp.any(tails[:, None] == path, axis=1)
    key = 2 * (jnp.where(off, format.family.nodes, 0) + levels) + jnp.where(hangs, 1, 0)
    edges = jnp.argsort(key, stable=True)
    step = 3 if format.style == "text" else 2
    places = (step * edges[:, None] + np.arange(step)).reshape(-1)
    rest = np.arange(step * format.family.edge_count, query + 1)
    return jnp.concatenate([places, jnp.asarray(rest, places.dtype)]).astype(jnp.int32)
