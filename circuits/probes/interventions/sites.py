"""Sites of interventions: activations, masks over layers, positions and attention heads, and tap edits.

A mask is Bool[L, positions, heads]: which layers, positions and attention heads change. Its second axis is T, or 1 for
all positions; its third is the number of heads at the site, or 1 for all heads and at sites without heads. Masks may be
traced, so a sweep over thousands of them is one program.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from circuits import checks
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Edit, Taps
from circuits.typing import AnyArray

STREAM_SITES = ("resid_pre", "attn_in", "attn_out", "resid_mid", "mlp_in", "mlp_out", "resid_post")
"""Activations [T, d] of each block. ``resid_pre`` of block 0 is the embedding."""
HEAD_SITES = ("attn.q", "attn.k", "attn.v", "attn.z")
"""Activations [T, heads, head width] of each block."""
SITES = (*STREAM_SITES, *HEAD_SITES)
AXES = ("layer", "position", "head")

Mask = Bool[Array, "L mask_positions mask_heads"] | Bool[np.ndarray, "L mask_positions mask_heads"]
Masks = Bool[Array, "*variants L mask_positions mask_heads"] | Bool[np.ndarray, "*variants L mask_positions mask_heads"]
Values = Float[Array, "L T d"] | Float[Array, "L T heads width"]
"""An activation of every layer."""


def num_heads_at(config: TransformerConfig, site: str) -> int:
    """Return the number of attention heads at a site, 1 if it has none. Raises ValueError for an unknown site."""
    checks.choice("site", site, SITES)
    if site in STREAM_SITES:
        return 1
    return config.key_heads if site in ("attn.k", "attn.v") else config.heads


def mask_grid(
    config: TransformerConfig, site: str, by: Sequence[str], positions: int = 1
) -> Bool[np.ndarray, "*variants L mask_positions mask_heads"]:
    """Return one mask for each entry of the axes in ``by``; the other axes change as a whole.

    Args:
        config: of the model.
        site: an activation of every block, such as "resid_pre", "mlp_out" or "attn.z".
        by: any of "layer", "position" and "head".
        positions: the number of positions, if ``by`` contains "position".

    Returns:
        Masks [*sizes of the axes in ``by``, L, positions or 1, heads or 1].

    Raises:
        ValueError: if the site or an axis is unknown, an axis is named twice, or "head" is named at a site without
            heads.

    Example:
        >>> from circuits.probes import mask_grid
        >>> from circuits.transformer.config import TransformerConfig
        >>> config = TransformerConfig(vocab=8, positions=6, layers=2, heads=4, width=8)
        >>> mask_grid(config, "attn.z", ("layer", "head")).shape
        (2, 4, 2, 1, 4)
    """
    sizes = {"layer": config.layers, "position": positions, "head": num_heads_at(config, site)}
    for name in by:
        checks.choice("by", name, AXES)
    checks.require(len(set(by)) == len(by), "by", "must name an axis once", tuple(by))
    headed = "head" not in by or site in HEAD_SITES
    checks.require(headed, "by", f"must not name heads at {site}, which has none", tuple(by))
    inner = (sizes["layer"], *(sizes[name] if name in by else 1 for name in AXES[1:]))
    mask = np.ones((*(sizes[name] for name in by), *inner), bool)
    for axis, name in enumerate(by):
        variant, own = np.ones(mask.ndim, int), np.ones(mask.ndim, int)
        variant[axis] = own[len(by) + AXES.index(name)] = sizes[name]
        mask = mask & (np.arange(sizes[name]).reshape(variant) == np.arange(sizes[name]).reshape(own))
    return mask


def check_masks(masks: Masks, config: TransformerConfig, site: str, positions: int) -> None:
    """Raise ValueError unless the last three axes are [L, T or 1, heads or 1] of this model and site."""
    heads, shape = num_heads_at(config, site), np.shape(masks)
    fits = len(shape) >= 3 and shape[-3] == config.layers and shape[-2] in (1, positions) and shape[-1] in (1, heads)
    rule = f"must end with axes [{config.layers}, {positions} or 1, {heads} or 1]"
    checks.require(fits, "masks", rule, shape)


def masks_to_positions(mask: Mask, order: Int[AnyArray, " T"]) -> Bool[Array, "L mask_positions mask_heads"]:
    """Convert a mask over the aligned order to positions of the problem with this ``Layout.order``."""
    mask = jnp.asarray(mask)
    return mask if mask.shape[1] == 1 else jnp.zeros_like(mask).at[:, order].set(mask)


def capture_run(
    model: Predictor, tokens: Int[AnyArray, " T"], sites: Sequence[str], head: int = 0
) -> tuple[Float[Array, " V"], list[Values]]:
    """Return the logits of one prediction head at the last position, and activations of every layer, of one run."""
    logits, cache = model(jnp.asarray(tokens), Taps(capture=[f"blocks.*.{site}" for site in sites]))
    layers = range(model.config.layers)
    return logits[head, -1], [jnp.stack([cache[f"blocks.{i}.{site}"] for i in layers]) for site in sites]


def capture_layers(model: Predictor, tokens: Int[AnyArray, " T"], site: str) -> Values:
    """Return an activation of every layer in an unchanged run."""
    return capture_run(model, tokens, (site,))[1][0]


def replacement_edits(site: str, mask: Mask, values: Values) -> dict[str, Edit]:
    """Return edits that replace the activation of every layer by ``values`` where the mask is true."""
    where = jnp.asarray(mask)
    where = where[..., None] if values.ndim == 4 else where
    return {f"blocks.{i}.{site}": _replace(where[i], values[i]) for i in range(values.shape[0])}


def last_logits(
    model: Predictor, tokens: Int[AnyArray, " T"], edit: dict[str, Edit] | None = None, head: int = 0
) -> Float[Array, " V"]:
    """Return the logits of one prediction head at the last position, in a run with edits."""
    return model(jnp.asarray(tokens), Taps(edit=edit or {}))[0][head, -1]


def _replace(where: Array, values: Array) -> Edit:
    return lambda value: jnp.where(where, values.astype(value.dtype), value)
