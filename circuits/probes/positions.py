"""Positions by name, such as "query", "goal in query" or "edge 0 child", for all probes.

start, goal, path, distractor, symbol, answer    every position of that role
query                                            the query position, where the answer token is predicted
goal in query, start in query                    the goal and the start in the prompt's query
edge k parent, edge k child                      the two nodes of edge k = 0..M-2 of the path
any                                              every position
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from circuits import checks
from circuits.probes.layout import ROLES, Layout


def position_names(nodes: int) -> tuple[str, ...]:
    """Return every name for problems with paths of M = ``nodes`` nodes, in the order of ``position_masks``."""
    edges = (f"edge {k} {end}" for k in range(nodes - 1) for end in ("parent", "child"))
    return (*ROLES, "query", "goal in query", "start in query", *edges, "any")


def position_masks(layout: Layout) -> Bool[Array, "names Q"]:
    """Return the positions of each name in one problem."""
    roles = layout.roles[None] == jnp.arange(len(ROLES), dtype=layout.roles.dtype)[:, None]
    single = jnp.stack(list(_single_positions(layout).values()))
    own = jnp.arange(len(layout.roles), dtype=jnp.int32)
    return jnp.concatenate([roles, own[None] == single[:, None], jnp.ones((1, len(own)), bool)])


def position_of(layout: Layout, position: str | int) -> Int[Array, ""]:
    """Return the position in one problem of a name that stands for one position, or of an entry of the aligned order.

    Raises ValueError for any other name, and for an entry that is out of range.
    """
    if isinstance(position, str):
        known = _single_positions(layout)
        checks.choice("position", position, tuple(known))
        return known[position]
    checks.integer("position", position, min_value=0, max_value=layout.order.shape[0] - 1)
    return jnp.asarray(layout.order)[position]


def _single_positions(layout: Layout) -> dict[str, Int[Array, ""]]:
    known = {"query": layout.query, "goal in query": layout.goal, "start in query": layout.start}
    for k in range(layout.parents.shape[0]):
        known |= {f"edge {k} parent": layout.parents[k], f"edge {k} child": layout.children[k]}
    return {name: jnp.asarray(position, jnp.int32) for name, position in known.items()}
