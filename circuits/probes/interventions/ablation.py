"""Ablation: replace the output of attention heads, MLPs or whole attention layers, and measure the loss of accuracy.

"zero" replaces it by 0. "mean" replaces it by its mean over examples at each position (or with ``aligned`` at each
entry of the aligned order), which preserves whatever does not depend on the problem. "resample" replaces it by its
value on another example.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from circuits import checks
from circuits.probes.interventions.axes import numbered
from circuits.probes.interventions.effects import Change, Effects, measure_effects
from circuits.probes.interventions.pairs import PlanningTwins
from circuits.probes.interventions.sites import (
    Masks,
    Values,
    capture_layers,
    check_masks,
    mask_grid,
    replacement_edits,
)
from circuits.probes.interventions.variants import flatten_variants
from circuits.probes.streaming import OnProgress, cached_partial, stream
from circuits.transformer.model import Predictor
from circuits.typing import AnyArray

METHODS = ("zero", "mean", "resample")
ABLATED = ("attn.z", "attn_out", "mlp_out")
"""Attention heads, attention layers, MLPs."""


def ablate(
    model: Predictor,
    twins: PlanningTwins,
    site: str = "attn.z",
    method: str = "mean",
    *,
    masks: Masks | None = None,
    aligned: bool = False,
    key: PRNGKeyArray | None = None,
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    on_progress: OnProgress | None = None,
) -> Effects:
    """Return the change of loss and accuracy when each attention head, attention layer or MLP is ablated.

    Args:
        model: a transformer of planning problems.
        twins: a batch of planning twins; only the clean problems are used.
        site: "attn.z" for attention heads, "attn_out" for attention layers, "mlp_out" for MLPs.
        method: "zero", "mean" or "resample".
        masks: the ablations, one mask each, [..., L, T or 1, heads or 1] over positions as written; by default each
            head, or each layer at sites without heads. Negate a mask to ablate all heads but a set.
        aligned: match means and other examples by the aligned order instead of by position.
        key: random key of "resample".
        head: the prediction head to read.
        chunk: examples computed at once.
        block: ablations computed at once.
        on_progress: called with the number of examples done.

    Returns:
        Effects in the shape of the masks' leading axes; by default [L, H] at "attn.z" and [L] elsewhere.

    Raises:
        ValueError: for an unknown site, method or prediction head, masks of another shape, or "resample" without a key
            or with fewer than two examples.

    Example:
        >>> import jax
        >>> from circuits.probes import ablate, planning_twins, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> twins = planning_twins(problems, format, jax.random.key(0))
        >>> ablate(model, twins, "attn.z", "zero").accuracy.shape
        (1, 2)
    """
    checks.choice("site", site, ABLATED)
    checks.choice("method", method, METHODS)
    by = ("layer", "head") if site == "attn.z" else ("layer",)
    axes = ()
    if masks is None:
        masks = mask_grid(model.config, site, by)
        axes = tuple(numbered(name, count) for name, count in zip(by, masks.shape, strict=False))
    check_masks(masks, model.config, site, twins.clean_tokens.shape[-1])
    variants, shape = flatten_variants(masks)
    values = None
    if method == "zero":
        heads = (model.config.heads, model.config.head_width) if site == "attn.z" else (model.config.width,)
        values = np.zeros((model.config.layers, twins.clean_tokens.shape[-1], *heads))
    elif method == "mean":
        values = mean_activations(model, twins, site, aligned=aligned, chunk=chunk)
    change = cached_partial(_ablated, site=site, aligned=aligned)
    examples = (twins, *_other_examples(twins, key)) if method == "resample" else (twins,)
    options = {"values": values, "head": head, "chunk": chunk, "block": block}
    effects = measure_effects(model, examples, variants, change, shape, **options, on_progress=on_progress)
    return effects._replace(axes=axes)


def mean_activations(
    model: Predictor, twins: PlanningTwins, site: str, *, aligned: bool = False, chunk: int = 64
) -> Float[np.ndarray, "L T *rest"]:
    """Return the mean of an activation over the clean problems, in every layer.

    Args:
        model: a transformer of planning problems.
        twins: a batch of planning twins.
        site: an activation, such as "attn.z" or "resid_post".
        aligned: average at each entry of the aligned order instead of at each position.
        chunk: examples computed at once.

    Returns:
        Means [L, T, ...], in the shape of the activation.

    Example:
        >>> import jax
        >>> from circuits.probes import mean_activations, planning_twins, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> twins = planning_twins(problems, format, jax.random.key(0))
        >>> mean_activations(model, twins, "attn.z").shape  # layers, positions, heads, head width
        (1, 10, 2, 4)
    """
    function = cached_partial(_activations, site=site, aligned=aligned)
    return np.asarray(stream(function, model, (twins,), chunk=chunk).mean)


def _ablated(
    model: Predictor, values: Values | None, twin: PlanningTwins, *other: Array, site: str, aligned: bool
) -> Change:
    """Return the run and the edits of one problem: to ``values``, or those of another example, tokens and order."""
    if values is None:
        values = capture_layers(model, other[0], site)
        values = values[:, other[1]] if aligned else values
    values = _to_positions(values, twin.layout.order) if aligned else values
    return Change(twin.clean_tokens, twin.clean_answer, lambda mask: replacement_edits(site, mask, values))


def _activations(model: Predictor, twin: PlanningTwins, site: str, aligned: bool) -> Values:
    values = capture_layers(model, twin.clean_tokens, site)
    return values[:, twin.layout.order] if aligned else values


def _to_positions(values: Float[Array, "L T *rest"], order: Int[AnyArray, " T"]) -> Float[Array, "L T *rest"]:
    """Convert values over the aligned order to values over positions."""
    return jnp.zeros_like(values).at[:, order].set(values)


def _other_examples(twins: PlanningTwins, key: PRNGKeyArray | None) -> tuple[Array, Array]:
    """Return tokens and order of another example for each one: its successor in a random cycle."""
    count = len(twins.clean_tokens)
    if key is None:
        raise ValueError('key: must be given for method "resample", got None')
    checks.require(count > 1, "twins", "must be at least two problems to resample from one another", count)
    ring = np.asarray(jax.random.permutation(key, count))
    other = np.empty(count, int)
    other[ring] = np.roll(ring, 1)
    return jnp.asarray(twins.clean_tokens)[other], jnp.asarray(twins.layout.order)[other]
