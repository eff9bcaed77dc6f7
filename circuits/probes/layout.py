"""The layout of a planning problem: the positions of its start and goal, the edges of its path, and everything else.

A problem lists its edges in random order, so an average over problems mixes different parts of the graph at each
position. ``Layout.order`` sorts the edges of every problem into the same **aligned order**: the edges of the path from
start to goal, then the others by depth. Entry i of the aligned order is the same part of the graph in every problem.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from circuits import checks, display
from circuits.tasks.token_format import TokenFormat
from circuits.typing import AnyArray

ROLES = ("start", "goal", "path", "distractor", "symbol", "answer")
"""Roles of positions, indexed by ``Layout.roles``; "answer" is any token of the answer, "symbol" any non-node token."""
START, GOAL, PATH, DISTRACTOR, SYMBOL, ANSWER = range(len(ROLES))


class Layout(NamedTuple):
    """Positions in the first Q tokens of one problem, whose path has the nodes n_0 .. n_{M-1}.

    Edge k = 0..M-2 of the path leads from its parent n_k to its child n_{k+1}; the two are written side by side.
    """

    query: Int[AnyArray, ""]
    """The query position: the last of the Q positions, where a token of the answer is predicted."""
    goal: Int[AnyArray, ""]
    """The position of the goal in the prompt's query, not in an edge."""
    start: Int[AnyArray, ""]
    """The position of the start in the prompt's query."""
    parents: Int[AnyArray, " M-1"]
    """The position of n_k in edge k of the path."""
    children: Int[AnyArray, " M-1"]
    """The position of n_{k+1} in edge k of the path."""
    tokens: Int[AnyArray, " Q"]
    """The token ids."""
    roles: Int[AnyArray, " Q"]
    """Indices into ``ROLES``."""
    depths: Int[AnyArray, " Q"]
    """The number of edges between the start and the node at each position; 0 at symbols."""
    order: Int[AnyArray, " Q"]
    """order[i] is the position of entry i of the aligned order."""
    listed_parents: Int[AnyArray, " E"]
    """The position of the parent in every edge of the graph, as listed; its child is at the next position."""

    _repr_html_ = display.html


def query_position(format: TokenFormat, token: int | None = None) -> int:
    """Return the position at which a token of the answer is predicted.

    Args:
        format: how problems are written.
        token: index of the token in the answer; by default the (first) branching token.

    Raises:
        ValueError: if ``token`` is not in the answer, or is None although no token needs look-ahead.

    Example:
        >>> from circuits.probes import query_position
        >>> from circuits.tasks import StarGraph, TokenFormat
        >>> query_position(TokenFormat(StarGraph(paths=2, nodes=3, labels=10), "pairs", "goal-start"))
        9
    """
    if token is None:
        checks.require(
            len(format.branching_positions) > 0, "token", "must be given if no token needs look-ahead", token
        )
        token = min(format.branching_positions)
    checks.integer("token", token, min_value=0, max_value=format.answer_length - 1)
    return format.prompt_length - 1 + token


@partial(jax.jit, static_argnames=("format", "query"))
def problem_layout(tokens: Int[AnyArray, " T"], format: TokenFormat, query: int) -> Layout:
    """Return the layout of one problem. Works under jit and vmap.

    Args:
        tokens: ids of the whole problem, answer included, [T].
        format: how the problem is written.
        query: the query position, at least the last one of the prompt; see ``query_position``.

    Returns:
        Positions in the first Q = ``query`` + 1 tokens.

    Raises:
        ValueError: if the format has another number of tokens, or no token of the answer is predicted at ``query``.

    Example:
        >>> import jax.numpy as jnp
        >>> from circuits.probes import aligned_names, problem_layout
        >>> from circuits.tasks import StarGraph, TokenFormat
        >>> format = TokenFormat(StarGraph(paths=2, nodes=3, labels=10), "pairs", "goal-start")
        >>> layout = problem_layout(jnp.array([3, 7, 6, 0, 7, 2, 3, 6, 0, 3, 6, 0]), format, query=9)
        >>> layout.parents.tolist(), layout.children.tolist()  # the path is 3, 6, 0
        ([6, 2], [7, 3])
        >>> " ".join(aligned_names(layout)[0])
        's n1 n1 g s x1 x1 x2 g s'
    """
    checks.shape("tokens", tokens, (format.length,))
    checks.integer("query", query, min_value=format.prompt_length - 1, max_value=format.length - 2)
    tokens = jnp.asarray(tokens, jnp.int32)
    start, goal = start_goal_positions(format)
    path = jnp.concatenate([tokens[start][None], tokens[format.length - format.family.nodes + 1 :]])
    listed = np.arange(format.family.edge_count, dtype=np.int32) * edge_width(format)
    parents, children = tokens[listed], tokens[listed + 1]
    child_depths = _child_depths(parents, children, format.family.nodes)
    into_path = jnp.argmax(children[None] == path[1:, None], axis=1)  # every node but the start has one edge into it
    is_node = np.ones(query + 1, bool)
    if format.style == "text":
        is_node[np.append(listed + 2, format.prompt_length - 1)] = False
    seen = tokens[: query + 1]
    depths = jnp.where(is_node, jnp.sum(jnp.where(seen[:, None] == children[None], child_depths[None], 0), axis=1), 0)
    return Layout(
        query=jnp.asarray(query, jnp.int32),
        goal=jnp.asarray(goal, jnp.int32),
        start=jnp.asarray(start, jnp.int32),
        parents=jnp.asarray(listed)[into_path],
        children=jnp.asarray(listed)[into_path] + 1,
        tokens=seen,
        roles=_roles(format, seen, path, is_node),
        depths=depths.astype(jnp.int32),
        order=_aligned_order(format, parents, children, path, child_depths, query),
        listed_parents=jnp.asarray(listed),
    )


def aligned_names(layout: Layout) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a name and a role for each entry of the aligned order, the same for every problem of a format.

    Args:
        layout: of any one problem.

    Returns:
        Q names and Q roles. Names are "s" for the start, "n1", "n2", ... for nodes of the path, "g" for the goal,
        "x1", "x2", ... for nodes off the path by their depth, and "·" for a symbol.

    Example:
        >>> from circuits.probes import aligned_names, problem_layout, tiny_planning_model
        >>> _, problems, format = tiny_planning_model()
        >>> names, roles = aligned_names(problem_layout(problems[0], format, query=9))
        >>> names[:4], roles[:4]
        (('s', 'n1', 'n1', 'g'), ('start', 'path', 'path', 'goal'))
    """
    order, roles, depths, tokens = (np.asarray(x) for x in (layout.order, layout.roles, layout.depths, layout.tokens))
    names = []
    for position in order.tolist():
        role, depth = int(roles[position]), int(depths[position])
        if role == SYMBOL:
            names.append("·")
        elif tokens[position] == tokens[int(layout.goal)]:
            names.append("g")
        else:
            names.append(f"{'x' if role == DISTRACTOR else 'n'}{depth}" if depth else "s")
    return tuple(names), tuple(ROLES[roles[position]] for position in order.tolist())


def start_goal_positions(format: TokenFormat) -> tuple[int, int]:
    """Return the positions of start and goal in the prompt's query."""
    first = edge_width(format) * format.family.edge_count
    return (first, first + 1) if format.query == "start-goal" else (first + 1, first)


def edge_width(format: TokenFormat) -> int:
    """Return the number of tokens of an edge in the prompt: its nodes, and in style "text" a symbol."""
    return 3 if format.style == "text" else 2


def _child_depths(parents: Int[Array, " E"], children: Int[Array, " E"], nodes: int) -> Int[Array, " E"]:
    """Return the depth of each edge's child: one more than its parent's, which is 0 if no edge leads to it."""
    follows = parents[:, None] == children[None, :]
    depth = jnp.ones(len(parents), jnp.int32)
    for _ in range(nodes - 1):
        depth = 1 + jnp.sum(jnp.where(follows, depth[None], 0), axis=1, dtype=jnp.int32)
    return depth


def _roles(
    format: TokenFormat, tokens: Int[Array, " Q"], path: Int[Array, " M"], is_node: Bool[np.ndarray, " Q"]
) -> Int[Array, " Q"]:
    role = jnp.where(jnp.any(tokens[:, None] == path[None], axis=1), PATH, DISTRACTOR)
    role = jnp.where(tokens == path[0], START, role)
    role = jnp.where(tokens == path[-1], GOAL, role)
    role = jnp.where(np.arange(len(tokens)) >= format.prompt_length, ANSWER, role)
    return jnp.where(is_node, role, SYMBOL).astype(jnp.int32)


def _aligned_order(
    format: TokenFormat,
    parents: Int[Array, " E"],
    children: Int[Array, " E"],
    path: Int[Array, " M"],
    depths: Int[Array, " E"],
    query: int,
) -> Int[Array, " Q"]:
    """Return edges of the path, then the others by depth (those that leave the path first), then the rest."""
    off_path = ~jnp.any(children[:, None] == path[None], axis=1)
    detached = ~jnp.any(parents[:, None] == path[None], axis=1)
    key = 2 * (jnp.where(off_path, format.family.nodes, 0) + depths) + jnp.where(detached, 1, 0)
    width = edge_width(format)
    edges = (width * jnp.argsort(key, stable=True)[:, None] + np.arange(width)[None]).reshape(-1)
    rest = np.arange(width * format.family.edge_count, query + 1)
    return jnp.concatenate([edges, jnp.asarray(rest, edges.dtype)]).astype(jnp.int32)
