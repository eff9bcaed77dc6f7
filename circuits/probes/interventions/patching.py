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
from jaxtyping import Array, Float, Int

from circuits import checks, display
from circuits.display import Figure
from circuits.probes.interventions.axes import Axis, numbered, position_axis, unnamed
from circuits.probes.interventions.pairs import PlanningTwins
from circuits.probes.interventions.sites import (
    Mask,
    Masks,
    capture_run,
    check_masks,
    last_logits,
    mask_grid,
    masks_to_positions,
    replacement_edits,
)
from circuits.probes.interventions.variants import flatten_variants, map_in_blocks
from circuits.probes.streaming import Moments, OnProgress, cached_partial, stream
from circuits.transformer.layers import upcast
from circuits.transformer.model import Predictor
from circuits.typing import AnyArray

DIRECTIONS = ("denoise", "noise")


class PatchingEffects(NamedTuple):
    """Effects of patching: arrays in the shape of the sweep, three numbers, and the axes of the sweep."""

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
    axes: tuple[Axis, ...] = ()
    """Name and labels of each axis of the sweep; () if they are unknown."""

    _repr_html_ = display.html

    def plot(self, field: str = "effect", *, entry: int = 0, title: str = "") -> Figure:
        """Draw the effects: bars for a sweep over one axis, otherwise a heatmap over the last two.

        Args:
            field: "effect", "error", "shift" or "flips".
            entry: which matrix to draw if there are more than two axes, counted over the leading ones.
            title: above the figure.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: if there is no such field or entry, or nothing was swept over.

        Example:
            >>> each = np.array([[0.1, 0.9]])  # one layer, two heads
            >>> axes = numbered("layer", 1), numbered("head", 2)
            >>> figure = PatchingEffects(each, each, each, each, 1.0, 0.1, counted=8, axes=axes).plot()
            >>> figure.axes[0].get_ylabel(), figure.axes[0].get_xlabel()
            ('layer', 'head')
        """
        checks.choice("field", field, self._fields[:4])
        axes = self.axes or unnamed(self.effect.shape)
        return display.plotting.sweep_figure(getattr(self, field), axes, entry=entry, title=title, label=field)


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
    effects = patch_masks(model, twins, site, masks, **options, on_progress=on_progress)
    named = {"position": position_axis(twins, aligned)} if "position" in by else {}
    axes = (named.get(name) or numbered(name, count) for name, count in zip(by, effects.effect.shape, strict=True))
    return effects._replace(axes=tuple(axes))


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
    function = cached_partial(_one_example, site=site, aligned=aligned, head=head, block=block)
    examples = (twins, *base_and_source(twins, direction))
    moments = stream(function, model, examples, shared=(variants,), chunk=chunk, on_progress=on_progress)
    return summarise(moments, shape)


def _one_example(
    model: Predictor,
    variants: Masks,
    twin: PlanningTwins,
    base: Int[AnyArray, " T"],
    source: Int[AnyArray, " T"],
    site: str,
    aligned: bool,
    head: int,
    block: int,
) -> dict[str, Array]:
    source_logits, (values,) = capture_run(model, source, (site,), head)

    def patched(mask: Mask) -> Float[Array, " V"]:
        mask = masks_to_positions(mask, twin.layout.order) if aligned else mask
        return last_logits(model, base, replacement_edits(site, mask, values), head)

    base_logits = last_logits(model, base, head=head)
    return compare_runs(twin, base_logits, source_logits, map_in_blocks(patched, variants, block))


def base_and_source(twins: PlanningTwins, direction: str) -> tuple[Int[AnyArray, "... T"], Int[AnyArray, "... T"]]:
    """Return the tokens of the base run and of the source run."""
    clean, corrupt = twins.clean_tokens, twins.corrupt_tokens
    return (corrupt, clean) if direction == "denoise" else (clean, corrupt)


def compare_runs(
    twin: PlanningTwins,
    base: Float[Array, " V"],
    source: Float[Array, " V"],
    patched: Float[Array, "variants V"],
) -> dict[str, Array]:
    """Return the contribution of one example to ``PatchingEffects``, from the logits of its runs."""

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
