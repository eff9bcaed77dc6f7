"""The three losses and Eq. 3, in log space.

    loss_plan    L1a = -log f1(Z) . e_y1     the next token, y1 = v
    loss_replay  L1b = -log f1(Z') . e_y2    the token after it, with v in the context
    loss_goal    L2  = -log f2(Z) . e_y2     the token after it, from the prediction head on Layer 1
    Eq. 3        L   = (1/2) [ (1/2) (L1a + L1b) + L2 ]

A head's output is a product of attention rows, as small as e^-gamma or as close to 1 as 1 - e^-gamma, for gamma in the
hundreds. So log f is computed in log space. A loss near 0 is computed from the probability of all other labels, a sum
of positive terms.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from circuits import checks, display
from circuits.disentangled.closed_form import Activations, forward
from circuits.disentangled.weights import Weights, check_label, sizes
from circuits.tasks.star.graph import replay_context
from circuits.typing import Label, Scalar, Tokens

LossOrGradient = Float[Array, "..."]
"""A loss, or one array of its gradient."""


class Losses(NamedTuple):
    """The losses L1a, L1b and L2 of one sequence, in nats.

    Args:
        plan: L1a, the loss of the next token y1.
        replay: L1b, the loss of y2 with y1 in the context.
        goal: L2, the loss of y2 from the prompt alone.
    """

    plan: Scalar
    replay: Scalar
    goal: Scalar

    @display.safe
    def _repr_html_(self) -> str:
        names = ("L1a, plan", "L1b, replay", "L2, goal", "L, multi-token (Eq. 3)")
        values = map(float, (*self, multi_token_loss(*self)))
        return display.table("Losses in nats", ("loss", "nats"), list(zip(names, values, strict=True)))


def losses(weights: Weights, tokens: Tokens, y1: Label, y2: Label) -> Losses:
    """Return the three losses on one prompt; vmap over a batch.

    Args:
        weights: of a model with two layers.
        tokens: node labels of the prompt [T].
        y1: label of the next token.
        y2: label of the token after it.

    Returns:
        Losses in nats; a loss is infinite if no position holds its target.

    Raises:
        ValueError: unless the depth is 2, the weights fit the prompt and are finite, and all labels are in range(N).

    Example:
        >>> from circuits.disentangled.circuit import circuit
        >>> prompt = jnp.asarray([3, 7, 6, 0, 7, 2, 3, 6, 0, 3])  # the path is 3, 6, 0
        >>> plan, _, goal = jax.jit(losses)(circuit(20.0, labels=10, length=10), prompt, 6, 0)
        >>> bool(plan < 1e-6), bool(goal < 1e-6)
        (True, True)
    """
    require_two_layers(weights)
    for argument, label in (("y1", y1), ("y2", y2)):
        check_label(argument, label, sizes(weights)[0])
    replay_tokens = replay_context(tokens, y1)
    prompt = forward(weights, tokens, last_row_only=True)
    replay = forward(weights, replay_tokens, last_row_only=True)
    return Losses(
        plan=head_loss(prompt, tokens, y1, layer=1),
        replay=head_loss(replay, replay_tokens, y2, layer=1),
        goal=head_loss(prompt, tokens, y2, layer=0),
    )


def multi_token_loss(plan: LossOrGradient, replay: LossOrGradient, goal: LossOrGradient) -> LossOrGradient:
    """Return L = (1/2) [ (1/2) (L1a + L1b) + L2 ] (Eq. 3). Linear, so it combines gradients like losses."""
    return 0.5 * (next_token_loss(plan, replay) + goal)


def next_token_loss(plan: LossOrGradient, replay: LossOrGradient) -> LossOrGradient:
    """Return (1/2) (L1a + L1b), the next-token part of Eq. 3."""
    return 0.5 * (plan + replay)


def head_loss(activations: Activations, tokens: Tokens, target: Label, layer: int) -> Scalar:
    """Return -log of the target's entry in the output of the prediction head on ``layer``, in nats, in [0, inf].

    Layers count from 0. Infinite only if no position holds the target. Raises ValueError for a layer that does not
    exist.
    """
    checks.integer("layer", layer, min_value=0, max_value=len(activations.attention) - 1)
    is_target, dtype = tokens == target, activations.attention[0].dtype
    log_mass, missed_mass = log_indicator(is_target, dtype), (~is_target).astype(dtype)
    for index in range(layer):
        log_mass = jax.nn.logsumexp(activations.log_attention[index] + log_mass[None], axis=1)
        missed_mass = activations.attention[index] @ missed_mass
    log_probability = jax.nn.logsumexp(activations.log_attention[layer][-1] + log_mass)
    return surprisal(log_probability, activations.attention[layer][-1] @ missed_mass)


def surprisal(log_probability: Scalar, missed: Scalar) -> Scalar:
    """Return -log p from log p or from 1 - p, whichever is more exact, with a finite gradient in both branches."""
    likely = missed < 0.5
    from_missed = -jnp.log1p(-jnp.where(likely, missed, 0))
    return jnp.where(is_zero(log_probability), jnp.inf, jnp.where(likely, from_missed, -log_probability))


def is_zero(log_probability: Scalar) -> Bool[Array, ""]:
    """Return whether a logarithm made with ``log_zero`` is log 0."""
    return log_probability <= 0.5 * log_zero(log_probability.dtype)


def log_zero(dtype: jnp.dtype | type) -> float:
    """Return log 0 as a finite number, so large that it acts as -inf, but whose gradient is 0 and not NaN."""
    return float(jnp.finfo(dtype).min) / 4


def log_indicator(condition: jax.Array, dtype: jnp.dtype | type) -> jax.Array:
    """Return the log of an indicator: 0 where the condition holds, ``log_zero`` elsewhere."""
    return jnp.where(condition, jnp.zeros((), dtype), jnp.asarray(log_zero(dtype), dtype))


def require_two_layers(weights: Weights) -> None:
    """Raise ValueError unless there are two layers, one for each of the paper's heads f1 and f2."""
    checks.require(len(weights) == 2, "weights", "must have 2 layers for the heads f1 and f2", len(weights))
