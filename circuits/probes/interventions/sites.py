"""Where a run can be changed: sites, masks over layers, positions and heads, and the edits that both make.

A mask is Bool[L, t, h] and says which layers, positions and heads change. t is T, or 1 for all positions alike; h is
the number of heads at the site, or 1 for all heads alike and at sites without heads. Masks may be traced, so a sweep
over thousands of them is one program.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from circuits import checks
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Edit, Taps

STREAM_SITES = ("resid_pre", "attn_in", "attn_out", "resid_mid", "mlp_in", "mlp_out", "resid_post")
"""Activations [T, d] of each block. ``resid_pre`` of block 0 is the embedding."""
HEAD_SITES = ("attn.q", "attn.k", "attn.v", "attn.z")
"""Activations [T, heads, h] of each block."""
SITES = (*STREAM_SITES, *HEAD_SITES)
AXES = ("layer", "position", "head")

Mask = Bool[Array, "L t h"] | Bool[np.ndarray, "L t h"]
Masks = Bool[Array, "*variants L t h"] | Bool[np.ndarray, "*variants L t h"]
Values = Float[Array, "L T d"] | Float[Array, "L T heads width"]
"""An activation of every layer."""


def heads_at(config: TransformerConfig, site: str) -> int:
    """The heads that a site has; 1 where it has no heads.

    Raises ValueError for no site.
    """
    checks.choice("site", site, SITES)
    if site in STREAM_SITES:
        return 1
    return config.key_heads if site in ("attn.k", "attn.v") else config.heads


def grid(config: TransformerConfig, site: str, by: Sequence[str], positions: int = 1) -> Bool[np.ndarray, "*v L t h"]:
    """One mask for each entry of the axes named in ``by``: [*their sizes in that order, L, t, h].

    An axis that is not named is changed as a whole. ``by`` = ("layer", "head") gives masks [L, H, L, 1, H].

    Raises ValueError for no site, an axis that is no axis or named twice, and heads at a site without.
    """
    sizes = {"layer": config.layers, "position": positions, "head": heads_at(config, site)}
    for name in by:
        checks.choice("by", name, AXES)
    checks.require(len(set(by)) == len(by), "by", "must name an axis once", tuple(by))
    headed = "head" not in by or site in HEAD_SITES
    checks.require(headed, "by", f"must not name heads at {site}, which has none", tuple(by))
    inner = (sizes["layer"], *(sizes[name] if name in by else 1 for name in AXES[1:]))
    mask = np.ones((*(sizes[name] for name in by), *inner), bool)
    for axis, name in enumerate(by):
        one, other = np.ones(mask.ndim, int), np.ones(mask.ndim, int)
        one[axis] = other[len(by) + AXES.index(name)] = sizes[name]
        mask = mask & (np.arange(sizes[name]).reshape(one) == np.arange(sizes[name]).reshape(other))
    return mask


def check_masks(masks: Masks, config: TransformerConfig, site: str, positions: int) -> None:
    """Raise ValueError unless the last three axes are [L, T or 1, heads or 1] of this model and site."""
    heads, shape = heads_at(config, site), np.shape(masks)
    fits = len(shape) >= 3 and shape[-3] == config.layers and shape[-2] in (1, positions) and shape[-1] in (1, heads)
    rule = f"must end with axes [{config.layers}, {positions} or 1, {heads} or 1]"
    checks.require(fits, "masks", rule, shape)


def placed(mask: Mask, order: Int[Array, " T"]) -> Bool[Array, "L t h"]:
    """A mask over places in the common order as one over the positions of a problem, which ``order`` lists."""
    mask = jnp.asarray(mask)
    return mask if mask.shape[1] == 1 else jnp.zeros_like(mask).at[:, order].set(mask)


def captured(model: Predictor, tokens: Int[Array, " T"], site: str) -> Values:
    """The activation of every layer in an unchanged run."""
    _, cache = model(tokens, Taps(capture=[f"blocks.*.{site}"]))
    return jnp.stack([cache[f"blocks.{i}.{site}"] for i in range(model.config.layers)])


def edits(site: str, mask: Mask, values: Values) -> dict[str, Edit]:
    """Replace the activation by ``values`` where the mask says so."""
    where = jnp.asarray(mask)
    where = where[..., None] if values.ndim == 4 else where
    return {f"blocks.{i}.{site}": _replace(where[i], values[i]) for i in range(values.shape[0])}


def last_logits(
    model: Predictor, tokens: Int[Array, " T"], edit: dict[str, Edit] | None = None, head: int = 0
) -> Float[Array, " V"]:
    """Logits at the last position by prediction head ``head``, in a run with edits."""
    return model(tokens, Taps(edit=edit or {}))[0][head, -1]


def _replace(where: Array, values: Array) -> Edit:
    # A function of its own for each layer, for an edit is given the value alone.
    return lambda value: jnp.where(where, values.astype(value.dtype), value)
