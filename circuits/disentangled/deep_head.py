"""Lemmas 2 and 3: the gradients of the deep head's loss L1 = -log f1 . e_y, by hand, corrected.

In the paper's symbols, with e = e_y, m = S1 Z e (does row j of Layer 1 reach the target?), f = S2[T] m and
J(s) = diag(s) - s s^T:

    dL1 = -(1/f) [ S1[T] dA2 J(S2[T]) m  +  dS1[T] A2 J(S2[T]) m  +  S2[T] dS1 Z e ]

Everything below is this one line, sorted by the matrix that moves. Two abbreviations keep it exact in float64
for weights in the hundreds, where f, S1 and S2 are e^-gamma. Both are probabilities:

    pi[j, k] = S2[T, j] S1[j, k] (Z e)[k] / f     how much of f runs over T -> j -> k
    rho[j]   = sum_k pi[j, k] = S2[T, j] m[j] / f

so that -J(S2[T]) m / f = S2[T] - rho, a prior minus a posterior, and nothing is divided by a small f.

The paper prints the second term of dL1/dS1 and both Layer-2 gradients transposed; here they are in the layout
in which dL = sum_ij (dL/dW)_ij dW_ij, which is Lemma 5's.
"""

import jax
import jax.numpy as jnp

from circuits.disentangled.closed_form import Activations, by_label
from circuits.disentangled.losses import head_loss, is_zero, log_zero_where
from circuits.disentangled.weights import Layer
from circuits.typing import Content, Label, OverPositions, Position, Scalar, Tokens


def deep_paths(
    acts: Activations, tokens: Tokens, target: Label, d_scores_2: Position, d_attention_1: Position
) -> tuple[Scalar, Scalar, Scalar]:
    """Lemma 2: the three terms of dL1 for a change dA2 of the scores and dS1 of the Layer-1 attention.

    Their sum is dL1. (i) through A2, (ii) through the query S1[T], (iii) through the values. Divides by f, so it
    overflows where f is below 1e-308; the gradients of the weights do not.
    """
    f, m, hit = _reach(acts, tokens, target)
    s1, s2, a2 = acts.attention[0], acts.attention[1][-1], acts.scores[1]
    through_softmax = jacobian_product(s2, m)
    return (
        -(s1[-1] @ d_scores_2 @ through_softmax) / f,
        -(d_attention_1[-1] @ a2 @ through_softmax) / f,
        -(s2 @ d_attention_1 @ hit) / f,
    )


def deep_attention_1(acts: Activations, tokens: Tokens, target: Label) -> Position:
    """Lemma 3, proof: dL1/dS1 = -(1/f) [ S2[T]^T (Z e)^T + e_T (A2 J(S2[T]) m)^T ].

    The print has the second term transposed. Overflows where f is below 1e-308, as the gradient itself does;
    the gradients of the weights do not come this way.
    """
    f, m, hit = _reach(acts, tokens, target)
    s2, a2 = acts.attention[1][-1], acts.scores[1]
    by_value = jnp.outer(s2, hit)
    by_query = jnp.zeros_like(by_value).at[-1].set(a2 @ jacobian_product(s2, m))
    return -(by_value + by_query) / f


def softmax_rows_gradient(attention: Position, upstream: Position) -> Position:
    """Lemma 3: dL/dA = M * [ S * (G - (G * S) 1 1^T) ] for G = dL/dS, row by row J(s) g.

    The print has no inner parentheses; the row form above it in the proof asks for these. The mask M needs no
    factor of its own: S is zero wherever M is.
    """
    return jax.vmap(jacobian_product)(attention, upstream)


def deep_logits_1(acts: Activations, tokens: Tokens, target: Label) -> Position:
    """dL1/dA1 (Lemma 3): ``softmax_rows_gradient`` of ``deep_attention_1``, without dividing by f.

    Value path, row j:  S1[j] * (-S2[T, j] Z e / f) - S1[j] (...) = S1[j] rho[j] - pi[j]
    Query path, row T:  J(S1[T]) A2 (S2[T] - rho)
    """
    s1 = acts.attention[0]
    log_found, log_reach, hit = _log_reach(acts, tokens, target)
    log_weight = acts.log_attention[1][-1] - log_found
    pi = jnp.where(hit, jnp.exp(acts.log_attention[0] + log_weight[:, None]), 0)
    rho = jnp.exp(log_weight + log_reach)
    value_path = jax.vmap(sum_to_zero)(s1 * rho[:, None] - pi, s1)
    query_path = jacobian_product(s1[-1], acts.scores[1] @ deep_query_logits(acts, tokens, target))
    return value_path.at[-1].add(query_path)


def deep_content_1(acts: Activations, tokens: Tokens, target: Label) -> Content:
    """Lemma 3: dL1/dW0^(1) = Z^T [dL1/dA1] Z."""
    return by_labels(deep_logits_1(acts, tokens, target), tokens, acts.outputs[0].shape[0])


def deep_position_1(acts: Activations, tokens: Tokens, target: Label) -> Position:
    """Lemma 3: dL1/dW1^(1) = dL1/dA1."""
    return deep_logits_1(acts, tokens, target)


def deep_content_2(acts: Activations, tokens: Tokens, target: Label) -> Content:
    """Lemma 3, transposed: dL1/dW0^(2) = -(1/f) (S1[T] Z)^T (Z^T J(S2[T]) S1 Z e)^T."""
    labels = acts.outputs[0].shape[0]
    query = by_label(acts.attention[0][-1], tokens, labels)
    key = by_label(deep_query_logits(acts, tokens, target), tokens, labels)
    return jnp.outer(query, key)


def deep_position_2(acts: Activations, tokens: Tokens, target: Label) -> Position:
    """Lemma 3, transposed: dL1/dW1^(2) = -(1/f) S1[T]^T (J(S2[T]) S1 Z e)^T."""
    return jnp.outer(acts.attention[0][-1], deep_query_logits(acts, tokens, target))


def deep_query_logits(acts: Activations, tokens: Tokens, target: Label) -> OverPositions:
    """dL1/d(S1[T] A2) = -(1/f) J(S2[T]) S1 Z e = S2[T] - rho: the signal that enters Layer 2."""
    log_found, log_reach, _ = _log_reach(acts, tokens, target)
    s2 = acts.attention[1][-1]
    rho = jnp.exp(acts.log_attention[1][-1] + log_reach - log_found)
    return sum_to_zero(s2 - rho, s2)


def deep_loss_and_gradient(acts: Activations, tokens: Tokens, target: Label) -> tuple[Scalar, tuple[Layer, Layer]]:
    """L1 and its gradient in all four weight matrices (Lemma 3), from the activations of a 2-layer model."""
    gradient = (
        Layer(deep_content_1(acts, tokens, target), deep_position_1(acts, tokens, target)),
        Layer(deep_content_2(acts, tokens, target), deep_position_2(acts, tokens, target)),
    )
    return head_loss(acts, tokens, target, layer=2), gradient


def by_labels(over_positions: Position, tokens: Tokens, labels: int) -> Content:
    """Z^T G Z: entry (a, b) collects G[i, j] over all i, j with g_i = a and g_j = b."""
    zero = jnp.zeros((labels, labels), over_positions.dtype)
    return zero.at[tokens[:, None], tokens[None, :]].add(over_positions)


def jacobian_product(s: OverPositions, v: OverPositions) -> OverPositions:
    """J(s) v = s * (v - s . v).

    J(s) 1 = 0, so v may be shifted: measured from its value where s is above 1/2, nothing cancels when s is
    within e^-gamma of one-hot, and the product keeps its relative accuracy.
    """
    centred = v - jnp.sum(jnp.where(s > 0.5, v, 0))
    return s * (centred - s @ centred)


def sum_to_zero(g: OverPositions, s: OverPositions) -> OverPositions:
    """A gradient in the logits of softmax s, made exact where s is above 1/2.

    Such a row sums to zero. Its entry at a dominant s is a difference of numbers near 1; the others are small
    and exact, so that entry is minus their sum.
    """
    others = jnp.where(s > 0.5, 0, g)
    return jnp.where(s > 0.5, -jnp.sum(others), others)


def _reach(acts: Activations, tokens: Tokens, target: Label) -> tuple[Scalar, OverPositions, OverPositions]:
    """(f, m, Z e): the output at the target, each row's share in it, and where it stands."""
    hit = (tokens == target).astype(acts.attention[0].dtype)
    m = acts.attention[0] @ hit
    return acts.attention[1][-1] @ m, m, hit


def _log_reach(acts: Activations, tokens: Tokens, target: Label) -> tuple[Scalar, OverPositions, jax.Array]:
    """(log f, log m, Z e as booleans)."""
    hit = tokens == target
    log_hit = log_zero_where(~hit, acts.attention[0].dtype)
    log_reach = jax.nn.logsumexp(acts.log_attention[0] + log_hit, axis=1)
    log_found = jax.nn.logsumexp(acts.log_attention[1][-1] + log_reach)
    # An infinite loss has no gradient, and none may be made up for it.
    return jnp.where(is_zero(log_found), jnp.nan, log_found), log_reach, hit
