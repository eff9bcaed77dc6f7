"""Activation patching between planning twins: does this activation carry the goal?

An activation of the source run replaces that of the base run, which is on the twin problem. With D = logit(clean
answer) - logit(corrupt answer) at the query position,

    effect = mean(D_patched - D_base) / mean(D_source - D_base),

means over examples: 0 if the answer stays that of the base run, 1 if it becomes that of the source run. Denoising
patches from the clean run into the corrupt one and shows what is sufficient; noising does the reverse and shows what is
necessary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from circuits import checks
from circuits.probes.interventions.pairs import PlanningTwins
from circuits.probes.interventions.sites import (
    Mask,
    Masks,
    capture_layers,
    check_masks,
    last_logits,
    mask_grid,
    masks_to_positions,
    replacement_edits,
)
from circuits.probes.interventions.variants import flatten_variants, map_in_blocks
from circuits.probes.streaming import Moments, OnProgress, stream
from circuits.transformer.layers import upcast
from circuits.transformer.model import Predictor

DIRECTIONS = ("denoise", "noise")


class PatchingEffects(NamedTuple):
    """Effects of patching: arrays in the shape of the sweep, except for the last three fields, which are numbers."""

    effect: Float[np.ndarray, "..."]
    """mean(D_patched - D_base) / mean(D_source - D_base); 0 if the denominator is 0."""
    error: Float[np.ndarray, "..."]
    """Its standard error by the delta method, from the mean of (D_patched - D_base) - effect (D_source - D_base)."""
    shift: Float[np.ndarray, "..."]
    """mean(D_patched - D_base), in logits."""
    flips: Float[np.ndarray, "..."]
    """Share of examples whose answer becomes that of the source run, among those whose two unpatched runs answer
    differently; 0 if there are none."""
    span: float
    """mean(D_source - D_base), in logits. If it is small, the model ignores the goal and effects are meaningless."""
    span_error: float
    """The standard error of the span."""
    counted: int
    """The number of examples whose two unpatched runs answer differently."""


def patch(
    model: Predictor,
    twins: PlanningTwins,
    site: str,
    by: Sequence[str] = ("layer", "position"),
    *,
    direction: str = "denoise",
    aligned: bool = False,
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    on_progress: OnProgress | None = None,
) -> PatchingEffects:
    """Return the effect of patching one activation at each layer, position or attention head.

    Args:
        model: a transformer of planning problems.
        twins: a batch of planning twins.
        site: an activation: "resid_pre", "resid_post", "attn_out", "mlp_out", "attn.z", "attn.q", ...
        by: the axes to sweep over, of "layer", "position" and "head".
        direction: "denoise" or "noise".
        aligned: sweep over entries of the aligned order instead of positions.
        head: the prediction head to read.
        chunk: examples computed at once.
        block: patches of each example computed at once.
        on_progress: called with the number of examples done.

    Returns:
        Effects in the shape of the axes in ``by``.

    Raises:
        ValueError: for an unknown site, axis, direction or prediction head.

    Example:
        >>> import jax
        >>> from circuits.probes import patch, planning_twins, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> twins = planning_twins(problems, format, jax.random.key(0))
        >>> patch(model, twins, "attn.z", ("layer", "head")).effect.shape
        (1, 2)
    """
    masks = mask_grid(model.config, site, by, twins.clean_tokens.shape[-1])
    options = {"direction": direction, "aligned": aligned, "head": head, "chunk": chunk, "block": block}
    return patch_masks(model, twins, site, masks, **options, on_progress=on_progress)


def patch_masks(
    model: Predictor,
    twins: PlanningTwins,
    site: str,
    masks: Masks,
    *,
    direction: str = "denoise",
    aligned: bool = False,
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    on_progress: OnProgress | None = None,
) -> PatchingEffects:
    """Return the effect of patching several layers, positions or attention heads at once.

    Args:
        model: a transformer of planning problems.
        twins: a batch of planning twins.
        site: an activation, as for ``patch``.
        masks: the patches, one mask each, [..., L, T or 1, heads or 1].
        direction: "denoise" or "noise".
        aligned: whether masks are over entries of the aligned order instead of positions.
        head: the prediction head to read.
        chunk: examples computed at once.
        block: patches of each example computed at once.
        on_progress: called with the number of examples done.

    Returns:
        Effects in the shape of the masks' leading axes.

    Raises:
        ValueError: as ``patch``, and for masks of another shape.

    Example:
        >>> import numpy as np
        >>> import jax
        >>> from circuits.probes import patch_masks, planning_twins, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> twins = planning_twins(problems, format, jax.random.key(0))
        >>> both_heads = np.ones((1, 1, 1, 2), bool)  # one variant; layers, positions, heads
        >>> patch_masks(model, twins, "attn.z", both_heads).effect.shape
        (1,)
    """
    check_masks(masks, model.config, site, twins.clean_tokens.shape[-1])
    checks.choice("direction", direction, DIRECTIONS)
    checks.integer("head", head, min_value=0, max_value=model.config.prediction_heads - 1)
    variants, shape = flatten_variants(masks)

    def one_example(model: Predictor, twin: PlanningTwins) -> dict[str, Array]:
        base, source = base_and_source(twin, direction)
        values = capture_layers(model, source, site)

        def patched(mask: Mask) -> Float[Array, " V"]:
            mask = masks_to_positions(mask, twin.layout.order) if aligned else mask
            return last_logits(model, base, replacement_edits(site, mask, values), head)

        return compare_runs(model, twin, direction, head, map_in_blocks(patched, variants, block))

    return summarise(stream(one_example, model, (twins,), chunk=chunk, on_progress=on_progress), shape)


def base_and_source(twin: PlanningTwins, direction: str) -> tuple[Array, Array]:
    """Return the tokens of the base run and of the source run."""
    clean, corrupt = jnp.asarray(twin.clean_tokens), jnp.asarray(twin.corrupt_tokens)
    return (corrupt, clean) if direction == "denoise" else (clean, corrupt)


def compare_runs(
    model: Predictor, twin: PlanningTwins, direction: str, head: int, patched: Float[Array, "variants V"]
) -> dict[str, Array]:
    """Return the contribution of one example to ``PatchingEffects``."""
    base, source = (last_logits(model, tokens, head=head) for tokens in base_and_source(twin, direction))

    def difference(logits: Float[Array, "*n V"]) -> Float[Array, "*n"]:
        logits = upcast(logits)
        return logits[..., twin.clean_answer] - logits[..., twin.corrupt_answer]

    shift, span = difference(patched) - difference(base), difference(source) - difference(base)
    base_best, source_best = jnp.argmax(base), jnp.argmax(source)
    flipped = (jnp.argmax(patched, axis=-1) == source_best).astype(span.dtype)
    flips = jnp.where(source_best != base_best, flipped, jnp.nan)
    return {"shift": shift, "span": span, "rest": shift - span, "flips": flips}


def summarise(moments: Moments, shape: tuple[int, ...]) -> PatchingEffects:
    """Return ratios of means, their errors, and flips, in the shape of the sweep.

    The covariance of shift and span follows from the squares of shift, span and their difference, which avoids the
    cancellation in products of large numbers.
    """
    count, mean, squares = ({name: np.asarray(a, np.float64) for name, a in part.items()} for part in moments)
    span = float(mean["span"])
    effect = mean["shift"] / span if span else np.zeros_like(mean["shift"])
    product = (squares["shift"] + squares["span"] - squares["rest"]) / 2
    residual = np.maximum(squares["shift"] - 2 * effect * product + effect**2 * squares["span"], 0)
    n = max(float(count["span"]), 2.0)
    scale = np.sqrt(n * (n - 1))
    error = np.sqrt(residual) / scale / abs(span) if span else np.zeros_like(effect)
    effect, error, shift, flips = (a.reshape(shape) for a in (effect, error, mean["shift"], mean["flips"]))
    span_error = float(np.sqrt(squares["span"]) / scale)
    return PatchingEffects(effect, error, shift, flips, span, span_error, int(count["flips"].max()))
