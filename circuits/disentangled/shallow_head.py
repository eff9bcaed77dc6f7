"""Lemmas 4 and 5: hand-derived gradients of the shallow head's loss L2 = -log f2 . e_y.

With s = S1[T] and e = e_y, f2 . e = s Z e, and S2 does not occur:

    dL2 = -(1/(f2 . e)) (z_T^T dW0^(1) Z^T + dW1^(1)[T]) J(s) Z e

No gradient reaches Layer 2. As for the deep head, the row -J(s) Z e / (f2 . e) is computed as a prior minus a
posterior, s - s * (Z e) / (f2 . e).
"""

import jax
import jax.numpy as jnp

from circuits.disentangled.closed_form import Activations, by_label
from circuits.disentangled.deep_head import jacobian_product, sum_to_zero
from circuits.disentangled.losses import head_loss, is_zero, log_indicator
from circuits.disentangled.weights import Layer
from circuits.typing import Content, Label, OverPositions, Position, Scalar, Tokens


def shallow_differential(
    acts: Activations, tokens: Tokens, target: Label, d_content_1: Content, d_position_1: Position
) -> Scalar:
    """Return dL2 for a change of the Layer-1 weights (Lemma 4). Divides by f2 . e, as printed."""
    s = acts.attention[0][-1]
    is_target = (tokens == target).astype(s.dtype)
    d_logits = d_content_1[tokens[-1], tokens] + d_position_1[-1]
    return -(d_logits @ jacobian_product(s, is_target)) / (s @ is_target)


def shallow_content_1(acts: Activations, tokens: Tokens, target: Label) -> Content:
    """Return dL2/dW0^(1) = -(1/(f2 . e)) z_T e^T Z^T J(S1[T]) Z (Lemma 5), nonzero in the row of the last label."""
    labels = acts.outputs[0].shape[0]
    key = by_label(shallow_query_logits(acts, tokens, target), tokens, labels)
    return jnp.zeros((labels, labels), key.dtype).at[tokens[-1]].set(key)


def shallow_position_1(acts: Activations, tokens: Tokens, target: Label) -> Position:
    """Return dL2/dW1^(1) = -(1/(f2 . e)) e_T e^T Z^T J(S1[T]) (Lemma 5), nonzero in the last row."""
    return jnp.zeros_like(acts.attention[0]).at[-1].set(shallow_query_logits(acts, tokens, target))


def shallow_query_logits(acts: Activations, tokens: Tokens, target: Label) -> OverPositions:
    """Return dL2/dA1[T] (Eq. 7), which is S1[T] minus its posterior given the target."""
    log_s, s = acts.log_attention[0][-1], acts.attention[0][-1]
    is_target = tokens == target
    log_f2 = jax.nn.logsumexp(log_s + log_indicator(is_target, s.dtype))
    posterior = jnp.where(is_target, jnp.exp(log_s - log_f2), 0)
    # An infinite loss has no gradient.
    return jnp.where(is_zero(log_f2), jnp.nan, sum_to_zero(s - posterior, s))


def shallow_loss_and_gradient(acts: Activations, tokens: Tokens, target: Label) -> tuple[Scalar, tuple[Layer, ...]]:
    """Return L2 and its gradient (Lemma 5), which is zero in every layer above the first (Lemma 4)."""
    first = Layer(shallow_content_1(acts, tokens, target), shallow_position_1(acts, tokens, target))
    zero = jax.tree.map(jnp.zeros_like, first)
    return head_loss(acts, tokens, target, layer=0), (first, *[zero] * (len(acts.attention) - 1))
