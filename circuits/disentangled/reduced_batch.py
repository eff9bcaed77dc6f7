"""The reduced model's objective and hand gradient on a batch, for training: the mean of ``objective``, but faster.

Training needs the mean gradient of one weighted sum of losses, hundreds of thousands of times. So the batch is the last
axis of every array, for vectorised arithmetic, and the three gradients are added before they are summed by label. The
symbols are those of ``deep_head``, with e = e_y and one context in each column of an array:

    m = S1 Z e,   f = S2[T] m,   rho = S2[T] * m / f,   pi[j, k] = S2[T, j] S1[j, k] (Z e)[k] / f

    dL1/d(S1[T] A2) = S2[T] - rho            = (S2[T] / f) * (f - m)
    value path, row j of dL1/dA1 = S1[j] rho[j] - pi[j]   = (S2[T, j] / f) S1[j] * (m[j] 1 - Z e)
    query path, row T of dL1/dA1 = J(S1[T]) A2 (S2[T] - rho)
    dL2/dA1[T] = S1[T] - S1[T] * Z e / f2    = S1[T] * (1 - Z e / f2)

Where Z e is 1, the right-hand sides are m[j] - 1 and (f2 - 1)/f2. Both are computed from the probability of all other
labels, a sum of positive terms, so the gradient keeps its relative accuracy in float32 as losses go to 0.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits.disentangled.mix import Mix
from circuits.disentangled.weights import Layer, Weights, sizes
from circuits.typing import AnyArray, Scalar

Columns = Float[Array, "T columns"]
"""A column over positions for each context: each prompt, and each replayed prompt if the objective has L1b."""


def loss_and_gradient(
    weights: Weights, tokens: Int[AnyArray, "B T"], y1: Int[AnyArray, " B"], y2: Int[AnyArray, " B"], mix: Mix
) -> tuple[Scalar, Weights]:
    """Return the batch mean of mix.plan L1a + mix.replay L1b + mix.goal L2 in nats, and its gradient.

    Arguments are not checked. Probabilities are not computed in log space: a target whose probability underflows (below
    1e-38 in float32) gives an infinite loss and a gradient of NaN.
    """
    labels, _ = sizes(weights)
    batch, dtype = len(tokens), weights[0].content.dtype
    contexts, answers, shares = _contexts(tokens, y1, y2, mix)
    c = jnp.asarray(shares, dtype)[:, None].repeat(batch, axis=1).ravel() / batch
    z = contexts[None] == jnp.arange(labels, dtype=contexts.dtype)[:, None, None]  # Z [N, T, columns]
    is_target = contexts == answers[None]

    def by_label(columns: Columns) -> Float[Array, "N columns"]:  # Z^T x
        return jnp.sum(jnp.where(z, columns[None], 0), axis=1)

    def by_position(columns: Float[Array, "N columns"]) -> Columns:  # Z x
        return jnp.sum(jnp.where(z, columns[:, None], 0), axis=0)

    # Forward.
    pairs = contexts[:, None] * labels + contexts[None]
    s1 = _causal_softmax(weights[0].content.ravel()[pairs] + weights[0].position[:, :, None])
    query = s1[-1]
    query_labels = by_label(query)
    s2 = jax.nn.softmax(by_position(weights[1].content.T @ query_labels) + weights[1].position.T @ query, axis=0)
    m, missed = (jnp.sum(jnp.where(where[None], s1, 0), axis=1) for where in (is_target, ~is_target))
    f = jnp.sum(s2 * m, axis=0)

    # Backward through Layer 2, whose sum to zero is made exact where S2[T] is above 1/2 (``deep_head.sum_to_zero``).
    others = jnp.where(s2 > 0.5, 0, s2 * (f[None] - m) * (c / f)[None])
    d_logits_2 = jnp.where(s2 > 0.5, -jnp.sum(others, axis=0, keepdims=True), others)
    key_labels = by_label(d_logits_2)

    # Backward through Layer 1: value path, query path, and the goal's loss.
    d_logits_1 = s1 * (s2 * (c / f)[None])[:, None] * jnp.where(is_target[None], -missed[:, None], m[:, None])
    d_query = by_position(weights[1].content @ key_labels) + weights[1].position @ d_logits_2
    d_last = _jacobian_product(query, d_query)
    goal_loss, goal_gradient = _goal(query[:, :batch], contexts[:, :batch] == jnp.asarray(y2)[None])
    d_last = d_last.at[:, :batch].add(mix.goal / batch * goal_gradient)
    d_logits_1 = d_logits_1.at[-1].add(d_last)

    content_1 = jnp.zeros(labels * labels, dtype).at[pairs].add(d_logits_1).reshape(labels, labels)
    gradient = (
        Layer(content_1, jnp.sum(d_logits_1, axis=2)),
        Layer(query_labels @ key_labels.T, query @ d_logits_2.T),
    )
    return jnp.sum(c * -jnp.log(f)) + mix.goal * jnp.mean(goal_loss), gradient


def _contexts(
    tokens: Int[AnyArray, "B T"], y1: Int[AnyArray, " B"], y2: Int[AnyArray, " B"], mix: Mix
) -> tuple[Int[Array, "T columns"], Int[Array, " columns"], tuple[float, ...]]:
    """Return the columns of Z, followed by those of Z' if the objective has L1b; their targets; and their weights."""
    prompts = jnp.asarray(tokens).T
    if mix.replay == 0:
        return prompts, jnp.asarray(y1), (mix.plan,)
    replays = prompts.at[-1].set(jnp.asarray(y1))
    return jnp.concatenate([prompts, replays], axis=1), jnp.concatenate([y1, y2]), (mix.plan, mix.replay)


def _causal_softmax(logits: Float[Array, "T T columns"]) -> Float[Array, "T T columns"]:
    causal = jnp.tril(jnp.ones(logits.shape[:2], bool))[:, :, None]
    masked = jnp.where(causal, logits, -jnp.inf)
    raised = jnp.exp(masked - jnp.max(masked, axis=1, keepdims=True))
    return raised / jnp.sum(raised, axis=1, keepdims=True)


def _goal(s: Columns, is_target: Array) -> tuple[Float[Array, " columns"], Columns]:
    """Return L2 of each prompt and its gradient in the last row of the Layer-1 logits, unweighted."""
    f2, missed = (jnp.sum(jnp.where(where, s, 0), axis=0) for where in (is_target, ~is_target))
    return -jnp.log(f2), s * jnp.where(is_target, (-missed / f2)[None], 1)


def _jacobian_product(s: Columns, v: Columns) -> Columns:
    """Return J(s) v for each column, measured from v where s is above 1/2 (see ``deep_head.jacobian_product``)."""
    centred = v - jnp.sum(jnp.where(s > 0.5, v, 0), axis=0, keepdims=True)
    return s * (centred - jnp.sum(s * centred, axis=0, keepdims=True))
