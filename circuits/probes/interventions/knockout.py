"""Attention knock-out: stop positions of one kind from attending to positions of another (Geva et al. 2023).

Their attention scores become minus infinity before softmax, so the attention is redistributed over the other keys. A
query that would lose every key keeps its own position.
"""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from circuits import checks
from circuits.probes.interventions.axes import Axis, unnamed
from circuits.probes.interventions.effects import Change, Effects, measure_effects
from circuits.probes.interventions.pairs import PlanningTwins
from circuits.probes.interventions.sites import Masks, check_masks
from circuits.probes.interventions.variants import flatten_variants
from circuits.probes.positions import position_masks, position_names
from circuits.probes.streaming import OnProgress
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Edit


def layer_windows(layers: int, width: int) -> Bool[np.ndarray, "windows L 1 1"]:
    """Return a mask for every window of consecutive layers, for ``knock_out``.

    Args:
        layers: the number of layers.
        width: the number of layers in a window.

    Raises:
        ValueError: unless the width is between 1 and the number of layers.

    Example:
        >>> from circuits.probes import layer_windows
        >>> layer_windows(layers=4, width=2)[:, :, 0, 0].astype(int).tolist()
        [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    """
    checks.integer("width", width, min_value=1, max_value=layers)
    gap = np.arange(layers) - np.arange(layers - width + 1)[:, None]
    return ((gap >= 0) & (gap < width))[..., None, None]


def knock_out(
    model: Predictor,
    twins: PlanningTwins,
    queries: Sequence[str],
    keys: Sequence[str],
    *,
    masks: Masks | None = None,
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    on_progress: OnProgress | None = None,
) -> Effects:
    """Return the change of loss and accuracy when one kind of query position cannot attend to one kind of key.

    Args:
        model: a transformer of planning problems.
        twins: a batch of planning twins; only the clean problems are used.
        queries: names of positions: "query", "goal in query", "start in query", "edge 0 parent", "edge 0 child", ...,
            "any", or a role such as "path" or "distractor".
        keys: names of positions, likewise.
        masks: the layers and attention heads to change, [..., L, 1, heads or 1]; by default all of them at once.
        head: the prediction head to read.
        chunk: examples computed at once.
        block: variants computed at once.
        on_progress: called with the number of examples done.

    Returns:
        Effects [..., queries, keys]. In a problem without positions of a name nothing changes.

    Raises:
        ValueError: if a name is unknown, or the masks have another shape.

    Example:
        >>> import jax
        >>> from circuits.probes import knock_out, planning_twins, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> twins = planning_twins(problems, format, jax.random.key(0))
        >>> knock_out(model, twins, ["query"], ["goal in query", "path"]).loss_change.shape
        (1, 2)
    """
    names = position_names(twins.layout.parents.shape[-1] + 1)
    for argument, chosen in (("queries", queries), ("keys", keys)):
        checks.require(len(chosen) > 0, argument, "must hold at least one name", tuple(chosen))
        for name in chosen:
            checks.choice(argument, name, names)
    masks = np.ones((model.config.layers, 1, 1), bool) if masks is None else masks
    check_masks(masks, model.config, "attn.z", 1)
    flat, shape = flatten_variants(masks)
    ends = [np.array([names.index(name) for name in chosen], np.int32) for chosen in (queries, keys)]
    variant = np.indices((len(flat), len(queries), len(keys))).reshape(3, -1)
    variants = (flat[variant[0]], ends[0][variant[1]], ends[1][variant[2]])
    options = {"head": head, "chunk": chunk, "block": block}
    shape = (*shape, len(queries), len(keys))
    effects = measure_effects(model, (twins,), variants, _without_pairs, shape, **options, on_progress=on_progress)
    ends = (Axis("query", tuple(queries)), Axis("key", tuple(keys)))
    return effects._replace(axes=(*unnamed(shape[:-2]), *ends))


def _without_pairs(model: Predictor, values: None, twin: PlanningTwins) -> Change:
    """Return the run and the edits of one problem; a variant is a mask, and the numbers of two names of positions."""
    positions = position_masks(twin.layout)

    def edits(variant: tuple[Array, Array, Array]) -> dict[str, Edit]:
        mask, query, key = variant
        pairs = positions[query][:, None] & positions[key][None]
        return {
            f"blocks.{i}.attn.scores": partial(block_scores, pairs[None] & mask[i, 0, :, None, None])
            for i in range(len(mask))
        }

    return Change(twin.clean_tokens, twin.clean_answer, edits)


def block_scores(pairs: Bool[Array, "heads T T"], scores: Array) -> Array:
    """Return attention scores [H, T, T] with minus infinity at these pairs of query and key.

    A query that would lose every key keeps its own position.
    """
    masked = pairs | (scores == -jnp.inf)
    own = jnp.eye(scores.shape[-1], dtype=bool)[None] & jnp.all(masked, axis=-1, keepdims=True)
    return jnp.where(pairs & ~own, jnp.asarray(-jnp.inf, scores.dtype), scores)
