"""Lemmas 2 and 3, corrected: hand-derived gradients of the deep head's loss L1 = -log f1 . e_y.

In the paper's symbols, with e = e_y, m = S1 Z e (m[j] is the mass of row j of Layer 1 on the target), f = S2[T] m and
J(s) = diag(s) - s s^T:

    dL1 = -(1/f) [ S1[T] dA2 J(S2[T]) m  +  dS1[T] A2 J(S2[T]) m  +  S2[T] dS1 Z e ]

All gradients below follow from this line, one for each matrix. Two abbreviations, both probabilities, keep them exact
in float64 for weights in the hundreds, where f, S1 and S2 are e^-gamma:

    pi[j, k] = S2[T, j] S1[j, k] (Z e)[k] / f     the share of f that comes through T -> j -> k
    rho[j]   = sum_k pi[j, k] = S2[T, j] m[j] / f

so -J(S2[T]) m / f = S2[T] - rho, a prior minus a posterior, without a division by a small f.

The paper prints the second term of dL1/dS1 and both Layer-2 gradients transposed. Here all gradients have the layout of
Lemma 5, in which dL = sum_ij (dL/dW)_ij dW_ij.
"""

import jax
import jax.numpy as jnp

from circuits.disentangled.closed_form import Activations, by_label
from circuits.disentangled.losses import head_loss, is_zero, log_indicator
from circuits.disentangled.weights import Layer
from circuits.typing import Content, Label, OverPositions, Position, Scalar, Tokens


def deep_paths(
    acts: Activations, tokens: Tokens, target: Label, d_scores_2: Position, d_attention_1: Position
) -> tuple[Scalar, Scalar, Scalar]:
    """Return Lemma 2's three terms of dL1 for changes dA2 of the Layer-2 scores and dS1 of the Layer-1 attention.

    They are the changes through A2, through the query S1[T] and through the values; their sum is dL1. They divide by f,
    and overflow if it is below 1e-308; the gradients of the weights do not.
    """
    f, m, is_target = _output_and_reach(acts, tokens, target)
    s1, s2, a2 = acts.attention[0], acts.attention[1][-1], acts.scores[1]
    through_softmax = jacobian_product(s2, m)
    return (
        -(s1[-1] @ d_scores_2 @ through_softmax) / f,
        -(d_attention_1[-1] @ a2 @ through_softmax) / f,
        -(s2 @ d_attention_1 @ is_target) / f,
    )


def deep_attention_1(acts: Activations, tokens: Tokens, target: Label) -> Position:
    """Return dL1/dS1 = -(1/f) [ S2[T]^T (Z e)^T + e_T (A2 J(S2[T]) m)^T ] (proof of Lemma 3).

    The paper prints the second term transposed. The result overflows if f is below 1e-308, as the gradient itself does;
    the gradients of the weights are computed without it.
    """
    f, m, is_target = _output_and_reach(acts, tokens, target)
    s2, a2 = acts.attention[1][-1], acts.scores[1]
    by_value = jnp.outer(s2, is_target)
    by_query = jnp.zeros_like(by_value).at[-1].set(a2 @ jacobian_product(s2, m))
    return -(by_value + by_query) / f


def softmax_rows_gradient(attention: Position, upstream: Position) -> Position:
    """Return Lemma 3's dL/dA = M * [ S * (G - (G * S) 1 1^T) ] for G = dL/dS, row by row J(s) g.

    The paper's equation lacks the inner parentheses, which the preceding line of its proof requires. The mask M needs
    no factor of its own: S is zero wherever M is.
    """
    return jax.vmap(jacobian_product)(attention, upstream)


def deep_logits_1(acts: Activations, tokens: Tokens, target: Label) -> Position:
    """Return dL1/dA1 (Lemma 3): ``softmax_rows_gradient`` of ``deep_attention_1``, without dividing by f.

    Value path, row j:  S1[j] * (-S2[T, j] Z e / f) - S1[j] (...) = S1[j] rho[j] - pi[j]
    Query path, row T:  J(S1[T]) A2 (S2[T] - rho)
    """
    s1 = acts.attention[0]
    log_f, log_m, is_target = _log_output_and_reach(acts, tokens, target)
    log_weight = acts.log_attention[1][-1] - log_f
    pi = jnp.where(is_target[None], jnp.exp(acts.log_attention[0] + log_weight[:, None]), 0)
    rho = jnp.exp(log_weight + log_m)
    value_path = jax.vmap(sum_to_zero)(s1 * rho[:, None] - pi, s1)
    query_path = jacobian_product(s1[-1], acts.scores[1] @ deep_query_logits(acts, tokens, target))
    return value_path.at[-1].add(query_path)


def deep_content_1(acts: Activations, tokens: Tokens, target: Label) -> Content:
    """Return dL1/dW0^(1) = Z^T [dL1/dA1] Z (Lemma 3)."""
    return by_labels(deep_logits_1(acts, tokens, target), tokens, acts.outputs[0].shape[0])


def deep_position_1(acts: Activations, tokens: Tokens, target: Label) -> Position:
    """Return dL1/dW1^(1) = dL1/dA1 (Lemma 3)."""
    return deep_logits_1(acts, tokens, target)


def deep_content_2(acts: Activations, tokens: Tokens, target: Label) -> Content:
    """Return dL1/dW0^(2) = -(1/f) (S1[T] Z)^T (Z^T J(S2[T]) S1 Z e)^T (Lemma 3, transposed)."""
    labels = acts.outputs[0].shape[0]
    query = by_label(acts.attention[0][-1], tokens, labels)
    key = by_label(deep_query_logits(acts, tokens, target), tokens, labels)
    return jnp.outer(query, key)


def deep_position_2(acts: Activations, tokens: Tokens, target: Label) -> Position:
    """Return dL1/dW1^(2) = -(1/f) S1[T]^T (J(S2[T]) S1 Z e)^T (Lemma 3, transposed)."""
    return jnp.outer(acts.attention[0][-1], deep_query_logits(acts, tokens, target))


def deep_query_logits(acts: Activations, tokens: Tokens, target: Label) -> OverPositions:
    """Return dL1/d(S1[T] A2) = -(1/f) J(S2[T]) S1 Z e = S2[T] - rho, the gradient in the Layer-2 logits."""
    log_f, log_m, _ = _log_output_and_reach(acts, tokens, target)
    s2 = acts.attention[1][-1]
    rho = jnp.exp(acts.log_attention[1][-1] + log_m - log_f)
    return sum_to_zero(s2 - rho, s2)


def deep_loss_and_gradient(acts: Activations, tokens: Tokens, target: Label) -> tuple[Scalar, tuple[Layer, Layer]]:
    """Return L1 and its gradient in all four weight matrices (Lemma 3), from the activations of a 2-layer model."""
    gradient = (
        Layer(deep_content_1(acts, tokens, target), deep_position_1(acts, tokens, target)),
        Layer(deep_content_2(acts, tokens, target), deep_position_2(acts, tokens, target)),
    )
    return head_loss(acts, tokens, target, layer=1), gradient


def by_labels(over_positions: Position, tokens: Tokens, labels: int) -> Content:
    """Return Z^T G Z, whose entry (a, b) is the sum of G[i, j] over all i, j with g_i = a and g_j = b."""
    zero = jnp.zeros((labels, labels), over_positions.dtype)
    return zero.at[tokens[:, None], tokens[None, :]].add(over_positions)


def jacobian_product(s: OverPositions, v: OverPositions) -> OverPositions:
    """Return J(s) v = s * (v - s . v).

    J(s) 1 = 0, so a constant may be subtracted from v. With the value of v where s is above 1/2, nothing cancels if s
    is within e^-gamma of one-hot, and the product keeps its relative accuracy.
    """
    centred = v - jnp.sum(jnp.where(s > 0.5, v, 0))
    return s * (centred - s @ centred)


def sum_to_zero(g: OverPositions, s: OverPositions) -> OverPositions:
    """Return a gradient g in the logits of softmax s, corrected where s is above 1/2.

    Such a gradient sums to zero. Where s is above 1/2, its entry is a difference of numbers near 1. The other entries
    are small and exact, so this one is computed as minus their sum.
    """
    others = jnp.where(s > 0.5, 0, g)
    return jnp.where(s > 0.5, -jnp.sum(others), others)


def _output_and_reach(acts: Activations, tokens: Tokens, target: Label) -> tuple[Scalar, OverPositions, OverPositions]:
    """Return (f, m, Z e)."""
    is_target = (tokens == target).astype(acts.attention[0].dtype)
    m = acts.attention[0] @ is_target
    return acts.attention[1][-1] @ m, m, is_target


def _log_output_and_reach(acts: Activations, tokens: Tokens, target: Label) -> tuple[Scalar, OverPositions, jax.Array]:
    """Return (log f, log m, Z e as booleans); log f is NaN if the target is at no position."""
    is_target = tokens == target
    log_m = jax.nn.logsumexp(acts.log_attention[0] + log_indicator(is_target, acts.attention[0].dtype)[None], axis=1)
    log_f = jax.nn.logsumexp(acts.log_attention[1][-1] + log_m)
    # An infinite loss has no gradient.
    return jnp.where(is_zero(log_f), jnp.nan, log_f), log_m, is_target
