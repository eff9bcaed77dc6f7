"""Scores of attention patterns on one planning problem: pure functions of the patterns and the problem's layout.

With A = pattern[layer, head], q the query position, and edge k = 0..M-2 of the path at positions (a_k, b_k), parent and
child; hop i = 0..M-2 is edge k = M-2-i, which is i edges away from the goal:

    goal            Σ A[q, s] over the positions s of the goal, in the prompt's query and in edges
    start           Σ A[q, s] over the positions s of the start
    goal_in_query   A[q, the goal in the prompt's query], and likewise start_in_query
    predecessor     mean over listed edges of A[child, parent], the attention to the previous token
    content_match   mean over positions t of Σ A[t, s] over s < t with the same node; t without such s, and symbols, are
                    omitted
    backward_trace  by hop: A[q, a_k] + A[q, b_k], the attention from the query position to the edge
    distractor_attention
                    by hop: the same, averaged over the edges off the path at the same depth. It equals backward_trace
                    in a model that does not know the goal
    edge_attention_elsewhere
                    by hop: A[t, a_k] + A[t, b_k], averaged over the positions t != q after edge k that hold its child
                    n_{k+1}; NaN if there is none. At hop 0 the goal in the prompt's query is one of them

All are sums of attention weights, from 0 to 1. The first step of the circuit (attend to the goal) is ``goal``. The
second (trace the path backward) is ``backward_trace`` in a model that decides at the query position, and
``edge_attention_elsewhere`` in one that joins edges at their own positions first.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from circuits import checks, display
from circuits.display import Figure
from circuits.probes.layout import DISTRACTOR, SYMBOL, Layout
from circuits.transformer.layers import upcast
from circuits.typing import AnyArray

Patterns = Float[Array, "L H Q Q"]


class CircuitScores(NamedTuple):
    """Scores of each layer and attention head; the last three also by hop."""

    goal: Float[Array, "L H"]
    start: Float[Array, "L H"]
    goal_in_query: Float[Array, "L H"]
    start_in_query: Float[Array, "L H"]
    predecessor: Float[Array, "L H"]
    content_match: Float[Array, "L H"]
    backward_trace: Float[Array, "L H hops"]
    distractor_attention: Float[Array, "L H hops"]
    edge_attention_elsewhere: Float[Array, "L H hops"]

    def plot(self, score: str = "backward_trace", *, hop: int | None = None, title: str | None = None) -> Figure:
        """Draw one score of every attention head, layers down and heads across.

        Args:
            score: the name of a field.
            hop: of a score by hop; by default the highest of all hops.
            title: by default the score's name in words.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: if there is no such score or hop, or the score is undefined for some head.

        Example:
            >>> from circuits.probes import CircuitScores
            >>> scores = CircuitScores(*[np.array([[0.1, 0.6]])] * 6, *[np.zeros((1, 2, 2))] * 3)
            >>> scores.plot("goal").get_suptitle()
            'goal'
        """
        checks.choice("score", score, self._fields)
        values = np.asarray(getattr(self, score))
        if score in BY_HOP and hop is not None:
            checks.integer("hop", hop, min_value=0, max_value=values.shape[-1] - 1)
        if score in BY_HOP:
            values = np.fmax.reduce(values, axis=-1) if hop is None else values[..., hop]
        return display.plotting.head_score_heatmap(values, score.replace("_", " ") if title is None else title)

    @display.safe
    def _repr_html_(self) -> str:
        steps = [display.picture(self.plot(score)) for score in ("goal_in_query", "backward_trace")]
        rows = []
        for name, scores in self._asdict().items():
            by_head = np.asarray(scores) if name not in BY_HOP else np.fmax.reduce(np.asarray(scores), axis=-1)
            layer, head = np.unravel_index(int(np.nanargmax(by_head)), by_head.shape)
            rows.append((name.replace("_", " "), f"L{layer}H{head}", f"{by_head[layer, head]:.2f}"))
        return display.table("Highest scores", ("score", "head", "value"), rows) + display.beside(steps)


BY_HOP = ("backward_trace", "distractor_attention", "edge_attention_elsewhere")
READS_LABELS = ("content_match", *BY_HOP)
"""Scores whose positions depend on the labels of a problem, for which another problem's layout is a null. The others
use mostly positions that are the same in every problem: the prompt's query, and pairs of neighbours."""
FILE_KEYS = {name: name for name in CircuitScores._fields} | dict(zip(BY_HOP, ("trace", "astray", "link"), strict=True))
"""The key of each score in development.npz, whose format is older than the names."""


@jax.jit
def attention_scores(patterns: Patterns, layout: Layout) -> CircuitScores:
    """Return every score of one problem, in at least float32. Works under jit and vmap.

    Args:
        patterns: attention up to the query position, [L, H, Q, Q]; see ``attention_patterns``.
        layout: of the same problem and query position; see ``problem_layout``.

    Returns:
        Sums of attention weights, [L, H] or [L, H, hops], from 0 to 1. The module's docstring defines each.

    Raises:
        ValueError: if patterns and layout have different numbers of positions.

    Example:
        >>> import jax.numpy as jnp
        >>> from circuits.probes import attention_scores, problem_layout
        >>> from circuits.tasks import StarGraph, TokenFormat
        >>> format = TokenFormat(StarGraph(paths=2, nodes=3, labels=10), "pairs", "goal-start")
        >>> layout = problem_layout(jnp.array([3, 7, 6, 0, 7, 2, 3, 6, 0, 3, 6, 0]), format, query=9)
        >>> even = jnp.tril(jnp.ones((1, 1, 10, 10))) / jnp.arange(1.0, 11.0).reshape(1, 1, 10, 1)
        >>> attention_scores(even, layout).backward_trace.shape  # layers, attention heads, hops
        (1, 1, 2)
    """
    length = layout.tokens.shape[0]
    square = patterns.shape[2:] == (length, length)
    checks.require(square, "patterns", f"must be [L, H, {length}, {length}]", patterns.shape)
    patterns = upcast(patterns)  # sums in bfloat16 would lose a percent
    row = patterns[:, :, layout.query]
    on_edges = patterns[..., layout.parents] + patterns[..., layout.children]  # [L, H, Q, M-1]
    return CircuitScores(
        goal=_mass(row, _same_node(layout, layout.goal)),
        start=_mass(row, _same_node(layout, layout.start)),
        goal_in_query=row[..., layout.goal],
        start_in_query=row[..., layout.start],
        predecessor=jnp.mean(patterns[:, :, layout.listed_parents + 1, layout.listed_parents], axis=-1),
        content_match=_content_match(patterns, layout),
        backward_trace=on_edges[:, :, layout.query, ::-1],
        distractor_attention=_distractor_attention(row, layout)[..., ::-1],
        edge_attention_elsewhere=_edge_attention_elsewhere(on_edges, layout)[..., ::-1],
    )


def _same_node(layout: Layout, position: AnyArray) -> Bool[Array, " Q"]:
    """Return which positions hold the same node as ``position``."""
    return (layout.tokens == layout.tokens[position]) & (layout.roles != SYMBOL)


def _content_match(patterns: Patterns, layout: Layout) -> Float[Array, "L H"]:
    same = (layout.tokens[:, None] == layout.tokens[None]) & (layout.roles != SYMBOL)[None]
    earlier = jnp.tril(same, -1)
    some = jnp.any(earlier, axis=1)
    return _mass(_mass(patterns, earlier), some) / _count(some, patterns)


def _distractor_attention(row: Float[Array, "L H Q"], layout: Layout) -> Float[Array, "L H hops"]:
    """Return the attention from the query position to edges off the path; entry k is for the depth of edge k."""
    children = layout.listed_parents + 1
    depths = jnp.arange(1, layout.parents.shape[0] + 1, dtype=layout.depths.dtype)[:, None]
    chosen = (layout.roles[children] == DISTRACTOR)[None] & (layout.depths[children][None] == depths)
    mass = row[..., layout.listed_parents] + row[..., children]
    return _mass(mass[:, :, None], chosen) / _count(chosen, mass)[None, None]


def _edge_attention_elsewhere(on_edges: Float[Array, "L H Q hops"], layout: Layout) -> Float[Array, "L H hops"]:
    """Return the attention to edge k from later positions of its child, other than the query position."""
    position = jnp.arange(layout.tokens.shape[0], dtype=layout.children.dtype)[:, None]
    holds = (layout.tokens[:, None] == layout.tokens[layout.children][None]) & (layout.roles != SYMBOL)[:, None]
    readers = holds & (position > layout.children[None]) & (position != layout.query)
    mean = jnp.sum(jnp.where(readers, on_edges, 0), axis=2) / _count(readers.T, on_edges)[None, None]
    return jnp.where(jnp.any(readers, axis=0), mean, jnp.nan)


def _mass(rows: Float[Array, "... Q"], mask: Bool[Array, "... Q"]) -> Float[Array, "..."]:
    return jnp.sum(jnp.where(mask, rows, 0), axis=-1)


def _count(mask: Bool[Array, "... n"], like: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the number of entries that are true, at least 1."""
    return jnp.maximum(jnp.sum(mask, axis=-1, dtype=like.dtype), 1)
