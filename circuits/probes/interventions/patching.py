"""Activation patching between a problem and its twin: does this activation carry the goal?

With D = logit(clean token) - logit(corrupt token) at the query position, an activation of the source run is put into
the run on the other problem, the base, and

    effect = mean(D_patched - D_base) / mean(D_source - D_base),

means over examples: 0 when the answer stays that of the base run, 1 when it becomes that of the source run. Denoising
patches from the clean into the corrupt run and asks what is enough; noising the reverse, and asks what is needed.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from circuits import checks
from circuits.probes.interventions.pairs import Twins
from circuits.probes.interventions.sites import (
    Mask,
    Masks,
    captured,
    check_masks,
    edits,
    grid,
    last_logits,
    placed,
)
from circuits.probes.interventions.variants import counted, flattened, in_blocks
from circuits.probes.streaming import Moments, Show, stream
from circuits.transformer.layers import wide
from circuits.transformer.model import Predictor

DIRECTIONS = ("denoise", "noise")


class Patched(NamedTuple):
    """Of each variant, in the shape of the axes swept over; ``span`` and ``counted`` are one number each."""

    effect: Float[np.ndarray, "..."]
    """mean(D_patched - D_base) / mean(D_source - D_base); 0 where that denominator is 0."""
    error: Float[np.ndarray, "..."]
    """Its standard error, by the delta method: of the mean of (D_patched - D_base) - effect (D_source - D_base)."""
    shift: Float[np.ndarray, "..."]
    """mean(D_patched - D_base), in logits."""
    flips: Float[np.ndarray, "..."]
    """Share of answers that become that of the source run, where the two unpatched runs answer differently;
    0 where none do."""
    span: float
    """mean(D_source - D_base), in logits. Where it is small the model ignores the goal, and effects mean nothing."""
    span_error: float
    """The standard error of the span."""
    counted: int
    """Examples whose two unpatched runs answer differently."""


def patch(
    model: Predictor,
    twins: Twins,
    site: str,
    by: Sequence[str] = ("layer", "position"),
    *,
    direction: str = "denoise",
    aligned: bool = False,
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    show: Show | None = None,
) -> Patched:
    """Patch one site at each entry of the axes ``by``, of "layer", "position" and "head"; the result has these axes.

    Positions are those of the sequence, or with ``aligned`` places in the common order of ``Layout.order``. ``head``
    is the prediction head that is read. ``chunk`` examples times ``block`` variants are computed at once.

    Raises ValueError for a site, axis or direction that there is not.
    """
    masks = grid(model.config, site, by, twins.corrupt.shape[-1])
    options = {"direction": direction, "aligned": aligned, "head": head, "chunk": chunk, "block": block}
    return patch_masks(model, twins, site, masks, **options, show=show)


def patch_masks(
    model: Predictor,
    twins: Twins,
    site: str,
    masks: Masks,
    *,
    direction: str = "denoise",
    aligned: bool = False,
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    show: Show | None = None,
) -> Patched:
    """The same for any masks [..., L, T or 1, heads or 1], such as a set of heads at once; the result is [...]."""
    examples, positions = twins.corrupt.shape
    check_masks(masks, model.config, site, positions)
    checks.choice("direction", direction, DIRECTIONS)
    checks.integer("head", head, min_value=0, max_value=model.config.prediction_heads - 1)
    variants, shape = flattened(masks, inner=3)

    def one(model: Predictor, twin: Twins) -> dict[str, Array]:
        base, source = in_direction(twin, direction)
        values = captured(model, source, site)

        def patched(mask: Mask) -> Float[Array, " V"]:
            mask = placed(mask, twin.layout.order) if aligned else mask
            return last_logits(model, base, edits(site, mask, values), head)

        return compared(model, twin, direction, head, in_blocks(patched, variants, block))

    return summary(stream(one, model, (twins,), chunk=chunk, show=counted(show, examples)), shape)


def in_direction(twin: Twins, direction: str) -> tuple[Array, Array]:
    """The tokens of the base run and of the source run."""
    clean = twin.layout.tokens
    return (twin.corrupt, clean) if direction == "denoise" else (clean, twin.corrupt)


def compared(
    model: Predictor, twin: Twins, direction: str, head: int, patched: Float[Array, "variants V"]
) -> dict[str, Array]:
    """What one example adds to ``Patched``."""
    base, source = (last_logits(model, tokens, head=head) for tokens in in_direction(twin, direction))
    difference: Callable[[Array], Array] = partial(_difference, twin)
    shift, span = difference(patched) - difference(base), difference(source) - difference(base)
    wanted, kept = (jnp.argmax(logits) for logits in (source, base))
    flips = jnp.where(wanted != kept, (jnp.argmax(patched, axis=-1) == wanted).astype(span.dtype), jnp.nan)
    return {"shift": shift, "span": span, "rest": shift - span, "flips": flips}


def summary(moments: Moments, shape: tuple[int, ...]) -> Patched:
    """Ratio of means, its error, and flips, in the shape of the sweep.

    The covariance of shift and span follows from the squares of shift, span and their difference, without the
    cancellation that products of large numbers would bring.
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
    return Patched(effect, error, shift, flips, span, span_error, int(count["flips"].max()))


def _difference(twin: Twins, logits: Float[Array, "*n V"]) -> Float[Array, "*n"]:
    logits = wide(logits)
    return logits[..., twin.clean_token] - logits[..., twin.corrupt_token]
