"""Scores of attention patterns on planning problems: pure functions of the patterns of one problem and its layout.

With A = pattern[l, h], q the position at which the chosen token is predicted, and (a_k, b_k) the positions of edge k
of the path, k = 1..M-1:

    goal            Σ A[q, s] over the positions s that hold the end node: in the query, and where it is listed
    start           Σ A[q, s] over the positions that hold the start node
    goal_in_query   A[q, the goal in the query], and likewise start_in_query
    predecessor     mean over listed edges of A[head, tail]: a token looks at the one before it
    content_match   mean over positions t whose node stood before of Σ A[t, s], s < t of the same node; symbols do
                    not count
    trace           hop i = 1..M-1: A[q, a_k] + A[q, b_k] with k = M - i: the query reads the edge i steps from the
                    goal
    astray          hop i: the same, averaged over the edges off the path as far from the start; what a model does
                    that does not know the goal is in trace and in astray alike
    link            hop i: the same sum as in trace, but from the positions that hold n_k and come after edge k,
                    averaged, q left out; NaN where there is none. At hop 1 the goal in the query is one of them, unless
                    that is q

All are masses of attention, from 0 to 1. Trace is the backward walk of a model that decides at the query; link is that
of a model which joins edges on their own positions first. The first step of the circuit (attend to the goal) is
``goal``, the second (trace the path backward) is ``trace`` or ``link``, by hop.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from circuits import checks
from circuits.probes.layout import DISTRACTOR, SYMBOL, Layout
from circuits.transformer.layers import wide

Patterns = Float[Array, "L H Q Q"]


class Scores(NamedTuple):
    """Scores of each layer and head; the last three by hop as well."""

    goal: Float[Array, "L H"]
    start: Float[Array, "L H"]
    goal_in_query: Float[Array, "L H"]
    start_in_query: Float[Array, "L H"]
    predecessor: Float[Array, "L H"]
    content_match: Float[Array, "L H"]
    trace: Float[Array, "L H hops"]
    astray: Float[Array, "L H hops"]
    link: Float[Array, "L H hops"]


READS_CONTENT = ("content_match", "trace", "astray", "link")
"""Scores whose positions depend on the labels of a problem. Another problem's layout is a null for them alone: goal and
start are mostly read in the query, which stands at the same positions in every problem, and so does predecessor."""


def scores(patterns: Patterns, at: Layout) -> Scores:
    """All scores of one problem, in float32 at least.

    Raises ValueError unless the patterns are over the layout's Q positions.
    """
    length = at.tokens.shape[0]
    square = patterns.shape[2:] == (length, length)
    checks.require(square, "patterns", f"must be [L, H, {length}, {length}]", patterns.shape)
    patterns = wide(patterns)  # sums in bfloat16 would lose a percent
    row = patterns[:, :, at.query]
    edges = patterns[..., at.tails] + patterns[..., at.heads]  # [L, H, Q, M-1]: the mass on each edge of the path
    return Scores(
        goal=_mass(row, holding(at, at.goal)),
        start=_mass(row, holding(at, at.start)),
        goal_in_query=row[..., at.goal],
        start_in_query=row[..., at.start],
        predecessor=predecessor(patterns, at),
        content_match=content_match(patterns, at),
        trace=edges[:, :, at.query, ::-1],
        astray=_astray(row, at)[..., ::-1],
        link=_link(edges, at)[..., ::-1],
    )


def holding(at: Layout, position: Array) -> Bool[Array, " Q"]:
    """The positions that hold the node which stands at a position."""
    return (at.tokens == at.tokens[position]) & (at.roles != SYMBOL)


def predecessor(patterns: Patterns, at: Layout) -> Float[Array, "L H"]:
    """Mean attention from the head of a listed edge to its tail."""
    return jnp.mean(patterns[:, :, at.listed + 1, at.listed], axis=-1)


def content_match(patterns: Patterns, at: Layout) -> Float[Array, "L H"]:
    """Mean attention from a position to the earlier ones of the same token, over positions that have some."""
    same = (at.tokens[:, None] == at.tokens) & (at.roles != SYMBOL)
    earlier = jnp.tril(same, -1)
    return _mean(_mass(patterns, earlier), jnp.any(earlier, axis=1))


def _astray(row: Float[Array, "L H Q"], at: Layout) -> Float[Array, "L H hops"]:
    """From the query to edges off the path, entry k - 1 for those at level k."""
    level, off = at.levels[at.listed + 1], at.roles[at.listed + 1] == DISTRACTOR
    chosen = off & (level == jnp.arange(1, at.tails.shape[0] + 1, dtype=level.dtype)[:, None])
    mass = row[..., at.listed] + row[..., at.listed + 1]
    return _mass(mass[:, :, None], chosen) / _count(chosen, mass)


def _link(edges: Float[Array, "L H Q hops"], at: Layout) -> Float[Array, "L H hops"]:
    """From the positions of node n_k after edge k to that edge, entry k - 1."""
    place = jnp.arange(at.tokens.shape[0], dtype=at.heads.dtype)[:, None]
    holds = (at.tokens[:, None] == at.tokens[at.heads]) & (at.roles != SYMBOL)[:, None]
    readers = holds & (place > at.heads) & (place != at.query)
    mean = jnp.sum(jnp.where(readers, edges, 0), axis=2) / _count(readers.T, edges)
    return jnp.where(jnp.any(readers, axis=0), mean, jnp.nan)


def _mass(rows: Float[Array, "... Q"], mask: Bool[Array, "... Q"]) -> Float[Array, "..."]:
    return jnp.sum(jnp.where(mask, rows, 0), axis=-1)


def _mean(values: Float[Array, "L H n"], mask: Bool[Array, " n"]) -> Float[Array, "L H"]:
    return _mass(values, mask) / _count(mask, values)


def _count(mask: Bool[Array, "... n"], like: Float[Array, "..."]) -> Float[Array, "..."]:
    """How many are true, and 1 where none is."""
    return jnp.maximum(jnp.sum(mask, axis=-1, dtype=like.dtype), 1)
