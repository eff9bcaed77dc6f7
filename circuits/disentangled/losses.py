"""The three losses and Eq. 3, in log space.

    loss_plan    L1a = -log f1(Z) . e_y1     the next token, y1 = v
    loss_replay  L1b = -log f1(Z') . e_y2    the one after, once v is in the context
    loss_goal    L2  = -log f2(Z) . e_y2     the one after, from the head on Layer 1
    Eq. 3        L   = (1/2) [ (1/2) (L1a + L1b) + L2 ]

A head's output is a product of attention rows, as small as e^-gamma or as near to 1 as 1 - e^-gamma, for gamma
in the hundreds. So log f is summed in log space, and a loss near 0 is computed from the mass that misses the
target, which is a sum of positive terms, instead of from 1 minus it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from circuits import checks
from circuits.disentangled.closed_form import Activations, forward
from circuits.disentangled.weights import Weights, check_label, sizes
from circuits.tasks.star.graph import replay_context
from circuits.typing import Label, Scalar, Tokens

Part = Float[Array, "..."]
"""A loss, or one array of its gradient."""


class Losses(NamedTuple):
    """L1a, L1b and L2 of one sequence, in nats."""

    plan: Scalar
    replay: Scalar
    goal: Scalar


def losses(weights: Weights, tokens: Tokens, y1: Label, y2: Label) -> Losses:
    """All three losses on one prompt with targets y1 and y2 (labels). Raises ValueError unless depth is 2."""
    require_two_layers(weights)
    for argument, label in (("y1", y1), ("y2", y2)):
        check_label(argument, label, sizes(weights)[0])
    prompt = forward(weights, tokens, last_row_only=True)
    replay = forward(weights, replay_context(tokens, y1), last_row_only=True)
    return Losses(
        plan=head_loss(prompt, tokens, y1, layer=2),
        replay=head_loss(replay, replay_context(tokens, y1), y2, layer=2),
        goal=head_loss(prompt, tokens, y2, layer=1),
    )


def multi_token_loss(plan: Part, replay: Part, goal: Part) -> Part:
    """Eq. 3: L = (1/2) [ (1/2) (L1a + L1b) + L2 ]. Linear, so it combines gradients as it combines losses."""
    return 0.5 * (next_token_loss(plan, replay) + goal)


def next_token_loss(plan: Part, replay: Part) -> Part:
    """The next-token part of Eq. 3: (1/2) (L1a + L1b)."""
    return 0.5 * (plan + replay)


def head_loss(activations: Activations, tokens: Tokens, target: Label, layer: int) -> Scalar:
    """-log of the target's entry in the output of the head on ``layer`` (1 .. L), in nats, in [0, inf].

    Infinite only if no position holds the target. Raises ValueError for a layer that is not there.
    """
    checks.integer("layer", layer, min_value=1, max_value=len(activations.attention))
    hit = tokens == target
    log_found = log_zero_where(~hit, activations.attention[0].dtype)
    missed = (~hit).astype(activations.attention[0].dtype)
    for number in range(layer - 1):
        log_found = jax.nn.logsumexp(activations.log_attention[number] + log_found, axis=1)
        missed = activations.attention[number] @ missed
    log_found = jax.nn.logsumexp(activations.log_attention[layer - 1][-1] + log_found)
    missed = activations.attention[layer - 1][-1] @ missed
    return surprisal(log_found, missed)


def surprisal(log_probability: Scalar, missed: Scalar) -> Scalar:
    """-log p from log p and 1 - p: the more exact of the two, with a finite gradient in both branches."""
    likely = missed < 0.5
    from_miss = -jnp.log1p(-jnp.where(likely, missed, 0))
    return jnp.where(is_zero(log_probability), jnp.inf, jnp.where(likely, from_miss, -log_probability))


def is_zero(log_probability: Scalar) -> Bool[Array, ""]:
    """Whether a logarithm made with ``log_zero`` is that of 0."""
    return log_probability <= 0.5 * log_zero(log_probability.dtype)


def log_zero(dtype: jnp.dtype | type) -> float:
    """log 0, as a finite number so large that it acts as -inf, but whose gradient is 0 and not NaN."""
    return float(jnp.finfo(dtype).min) / 4


def log_zero_where(where: jax.Array, dtype: jnp.dtype | type) -> jax.Array:
    """log of an indicator: ``log_zero`` where the condition holds, 0 elsewhere."""
    return jnp.where(where, jnp.asarray(log_zero(dtype), dtype), jnp.zeros((), dtype))


def require_two_layers(weights: Weights) -> None:
    """The paper's two heads read Layers 2 and 1."""
    checks.require(len(weights) == 2, "weights", "must have 2 layers for the heads f1 and f2", len(weights))
