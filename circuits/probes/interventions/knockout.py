"""Attention knock-out: forbid positions of one kind to look at positions of another (Geva et al. 2023).

The scores there become minus infinity before softmax, so what is left is divided among the other keys. A row that would
lose every key keeps its own position.
"""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from circuits import checks
from circuits.probes.interventions.effects import Change, Effects, effects
from circuits.probes.interventions.pairs import Twins
from circuits.probes.interventions.sites import Masks, check_masks
from circuits.probes.interventions.variants import flattened
from circuits.probes.layout import ROLES, Layout
from circuits.probes.streaming import Show
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Edit

ENDS = ("query", "goal in query", "start in query")
"""Sites of one position: where the chosen token is predicted, and the two ends as the prompt names them."""


def site_names(nodes: int) -> tuple[str, ...]:
    """Every site of a problem with M = ``nodes`` nodes a path.

    The roles, all positions of which count; ``ENDS``; "edge k tail" and "edge k head" of the path, k = 1 .. M-1; "any".
    """
    edges = [f"edge {k} {end}" for k in range(1, nodes) for end in ("tail", "head")]
    return (*ROLES, *ENDS, *edges, "any")


def site_positions(layout: Layout) -> Bool[Array, "sites Q"]:
    """The positions of each site of ``site_names`` in one problem."""
    roles = layout.roles == jnp.arange(len(ROLES), dtype=layout.roles.dtype)[:, None]
    pairs = jnp.stack([layout.tails, layout.heads], axis=1).reshape(-1)
    single = jnp.concatenate([jnp.stack([layout.query, layout.goal, layout.start]), pairs.astype(layout.query.dtype)])
    here = jnp.arange(len(layout.roles), dtype=layout.query.dtype)
    return jnp.concatenate([roles, here == single[:, None], jnp.ones((1, len(here)), bool)])


def windows(layers: int, width: int) -> Bool[np.ndarray, "windows L 1 1"]:
    """Masks of ``width`` consecutive layers, from the first window to the last.

    Raises ValueError unless the width is between 1 and the number of layers.
    """
    checks.integer("width", width, min_value=1, max_value=layers)
    gap = np.arange(layers) - np.arange(layers - width + 1)[:, None]
    return ((gap >= 0) & (gap < width))[..., None, None]


def knock_out(
    model: Predictor,
    twins: Twins,
    queries: Sequence[str],
    keys: Sequence[str],
    *,
    masks: Masks | None = None,
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    show: Show | None = None,
) -> Effects:
    """Forbid each site of ``queries`` to look at each site of ``keys``: arrays [..., queries, keys].

    ``masks`` [..., L, 1, heads or 1] say in which layers and heads; by default in all of them. Only the clean problems
    of the twins are looked at. Where a problem has no such position nothing changes.

    Raises ValueError for a site that there is not, and for masks of another shape.
    """
    names = site_names(twins.layout.tails.shape[-1] + 1)
    for argument, chosen in (("queries", queries), ("keys", keys)):
        checks.require(len(chosen) > 0, argument, "must hold at least one site", tuple(chosen))
        for name in chosen:
            checks.choice(argument, name, names)
    masks = np.ones((model.config.layers, 1, 1), bool) if masks is None else masks
    check_masks(masks, model.config, "attn.z", 1)
    flat, shape = flattened(masks, inner=3)
    ends = [np.array([names.index(name) for name in chosen], np.int32) for chosen in (queries, keys)]
    at = np.indices((len(flat), len(queries), len(keys))).reshape(3, -1)
    variants = (flat[at[0]], ends[0][at[1]], ends[1][at[2]])

    def change(model: Predictor, twin: Twins) -> Change:
        sites = site_positions(twin.layout)

        def edited(variant: tuple[Array, Array, Array]) -> dict[str, Edit]:
            mask, query, key = variant
            edge = sites[query][:, None] & sites[key]
            return {
                f"blocks.{i}.attn.scores": partial(blocked, edge & mask[i, 0, :, None, None]) for i in range(len(mask))
            }

        return Change(twin.layout.tokens, twin.clean_token, edited)

    shape = (*shape, len(queries), len(keys))
    return effects(model, (twins,), variants, change, shape, head=head, chunk=chunk, block=block, show=show)


def blocked(edge: Bool[Array, "h T T"], scores: Array) -> Array:
    """Scores [H, T, T] without these edges; a row that would lose all it sees keeps its own position."""
    gone = edge | (scores == -jnp.inf)
    own = jnp.eye(scores.shape[-1], dtype=bool) & jnp.all(gone, axis=-1, keepdims=True)
    return jnp.where(edge & ~own, jnp.asarray(-jnp.inf, scores.dtype), scores)
