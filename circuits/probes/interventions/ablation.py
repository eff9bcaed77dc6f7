"""Ablation: take the output of heads, MLPs or whole attention layers away, and see what the model still knows.

"zero" puts 0 in its place. "mean" puts its mean over examples, at each position (or with ``aligned`` at each place of
the common order), so that what does not depend on the problem stays. "resample" puts what it was on another example.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from circuits import checks
from circuits.probes.interventions.effects import Change, Effects, effects
from circuits.probes.interventions.pairs import Twins
from circuits.probes.interventions.sites import Masks, captured, check_masks, edits, grid
from circuits.probes.interventions.variants import flattened
from circuits.probes.streaming import Show, stream
from circuits.transformer.model import Predictor

METHODS = ("zero", "mean", "resample")
ABLATED = ("attn.z", "attn_out", "mlp_out")
"""Heads, attention layers, MLPs."""


def ablate(
    model: Predictor,
    twins: Twins,
    site: str = "attn.z",
    method: str = "mean",
    *,
    masks: Masks | None = None,
    aligned: bool = False,
    key: PRNGKeyArray | None = None,
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    show: Show | None = None,
) -> Effects:
    """Ablate what each mask [..., L, T or 1, heads or 1] says; by default each head, or each layer where there is none.

    The result is [...]; by default [L, H] at "attn.z" and [L] at "attn_out" and "mlp_out". To keep a set of heads and
    ablate all others, negate its mask. Only the clean problems of the twins are looked at. Positions of masks are those
    of the sequence. ``key`` draws the other examples of "resample", none of them the example itself.

    Raises ValueError for a site or method that there is not, and for "resample" without a key or of one example.
    """
    checks.choice("site", site, ABLATED)
    checks.choice("method", method, METHODS)
    if masks is None:
        masks = grid(model.config, site, ("layer", "head") if site == "attn.z" else ("layer",))
    check_masks(masks, model.config, site, twins.corrupt.shape[-1])
    variants, shape = flattened(masks, inner=3)
    mean = means(model, twins, site, aligned=aligned, chunk=chunk) if method == "mean" else None

    def change(model: Predictor, twin: Twins, *other: Array) -> Change:
        order = twin.layout.order if aligned else None
        values = captured(model, other[0] if other else twin.layout.tokens, site)
        if mean is not None:
            values = from_places(jnp.asarray(mean, values.dtype), order)
        elif method == "zero":
            values = jnp.zeros_like(values)
        elif aligned:
            values = from_places(values[:, other[1]], order)
        return Change(twin.layout.tokens, twin.clean_token, lambda mask: edits(site, mask, values))

    examples = (twins, *_others(twins, key)) if method == "resample" else (twins,)
    return effects(model, examples, variants, change, shape, head=head, chunk=chunk, block=block, show=show)


def means(
    model: Predictor, twins: Twins, site: str, *, aligned: bool = False, chunk: int = 64
) -> Float[np.ndarray, "L T *rest"]:
    """The mean of an activation over clean problems, at each position, or with ``aligned`` at each place."""

    def one(model: Predictor, twin: Twins) -> Array:
        values = captured(model, twin.layout.tokens, site)
        return values[:, twin.layout.order] if aligned else values

    return np.asarray(stream(one, model, (twins,), chunk=chunk).mean)


def from_places(values: Float[Array, "L T *rest"], order: Int[Array, " T"] | None) -> Float[Array, "L T *rest"]:
    """Values listed by place in the common order, listed by position; as they are where there is no order."""
    return values if order is None else jnp.zeros_like(values).at[:, order].set(values)


def _others(twins: Twins, key: PRNGKeyArray | None) -> tuple[Array, Array]:
    """Tokens and order of another example for each: its successor in a random ring."""
    count = len(twins.corrupt)
    checks.require(key is not None, "key", 'must be given for method "resample"', key)
    checks.require(count > 1, "twins", "must be at least two problems to resample from one another", count)
    assert key is not None
    ring = np.asarray(jax.random.permutation(key, count))
    other = np.empty(count, int)
    other[ring] = np.roll(ring, 1)
    return jnp.asarray(twins.layout.tokens)[other], jnp.asarray(twins.layout.order)[other]
