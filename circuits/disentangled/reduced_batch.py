"""The reduced model's objective and hand gradient on a batch, for training: the mean of ``objective``, and faster.

Training wants one mean gradient, of one weighted sum of losses, some hundred thousand times. So the batch is the last
axis of every array, the one that vector instructions run along, and the three gradients are joined before they are
summed by label. In the symbols of ``deep_head``, with e = e_y and one column of each array a context:

    m = S1 Z e,   f = S2[T] m,   rho = S2[T] * m / f,   pi[j, k] = S2[T, j] S1[j, k] (Z e)[k] / f

    dL1/d(S1[T] A2) = S2[T] - rho            = (S2[T] / f) * (f - m)
    value path, row j of dL1/dA1 = S1[j] rho[j] - pi[j]   = (S2[T, j] / f) S1[j] * (m[j] 1 - Z e)
    query path, row T of dL1/dA1 = J(S1[T]) A2 (S2[T] - rho)
    dL2/dA1[T] = S1[T] - S1[T] * Z e / f2    = S1[T] * (1 - Z e / f2)

Where Z e is 1, the right-hand sides are m[j] - 1 and (f2 - 1)/f2: both come from the mass that misses the target, a
sum of positive terms, so the gradient keeps its relative accuracy in float32 as losses go to 0.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits.disentangled.mix import Mix
from circuits.disentangled.weights import Layer, Weights, sizes
from circuits.typing import AnyArray, Scalar

Columns = Float[Array, "T C"]
"""A row over positions for each of C contexts."""


def loss_and_gradient(
    weights: Weights, tokens: Int[AnyArray, "B T"], y1: Int[AnyArray, " B"], y2: Int[AnyArray, " B"], mix: Mix
) -> tuple[Scalar, Weights]:
    """The batch mean of mix.plan L1a + mix.replay L1b + mix.goal L2 in nats, and its gradient.

    Nothing is checked here. Probabilities are not kept as logarithms: a target with less mass than the dtype holds
    (1e-38 in float32) gives an infinite loss and NaN.
    """
    labels, _ = sizes(weights)
    batch, dtype = len(tokens), weights[0].content.dtype
    contexts, answers, shares = _contexts(tokens, y1, y2, mix)
    c = jnp.asarray(shares, dtype)[:, None].repeat(batch, axis=1).ravel() / batch
    z = contexts == jnp.arange(labels, dtype=contexts.dtype)[:, None, None]  # (N, T, C): Z, one column a context
    hit = contexts == answers

    def by_label(columns: Columns) -> Float[Array, "N C"]:  # Z^T x
        return jnp.sum(jnp.where(z, columns, 0), axis=1)

    def by_position(columns: Float[Array, "N C"]) -> Columns:  # Z x
        return jnp.sum(jnp.where(z, columns[:, None], 0), axis=0)

    # Forward.
    pairs = contexts[:, None] * labels + contexts[None]
    s1 = _causal_softmax(weights[0].content.ravel()[pairs] + weights[0].position[:, :, None])
    query = s1[-1]
    query_labels = by_label(query)
    s2 = jax.nn.softmax(by_position(weights[1].content.T @ query_labels) + weights[1].position.T @ query, axis=0)
    m, missed = (jnp.sum(jnp.where(where, s1, 0), axis=1) for where in (hit, ~hit))
    f = jnp.sum(s2 * m, axis=0)

    # Backward through Layer 2, whose sum to zero is made exact where S2[T] is above 1/2 (``deep_head.sum_to_zero``).
    others = jnp.where(s2 > 0.5, 0, s2 * (f - m) * (c / f))
    d_logits_2 = jnp.where(s2 > 0.5, -jnp.sum(others, axis=0), others)
    key_labels = by_label(d_logits_2)

    # Backward through Layer 1: value path, query path, and the goal's loss.
    d_logits_1 = s1 * (s2 * (c / f))[:, None] * jnp.where(hit, -missed[:, None], m[:, None])
    d_query = by_position(weights[1].content @ key_labels) + weights[1].position @ d_logits_2
    d_last = _jacobian_product(query, d_query)
    goal_loss, goal_gradient = _goal(query[:, :batch], contexts[:, :batch] == y2)
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
) -> tuple[Int[Array, "T C"], Int[Array, " C"], tuple[float, ...]]:
    """Z, and Z' beside it where the objective holds L1b, as columns; their targets; and the weight of each."""
    prompts = jnp.asarray(tokens).T
    if mix.replay == 0:
        return prompts, jnp.asarray(y1), (mix.plan,)
    replays = prompts.at[-1].set(jnp.asarray(y1))
    return jnp.concatenate([prompts, replays], axis=1), jnp.concatenate([y1, y2]), (mix.plan, mix.replay)


def _causal_softmax(logits: Float[Array, "T T C"]) -> Float[Array, "T T C"]:
    causal = jnp.tril(jnp.ones(logits.shape[:2], bool))[:, :, None]
    masked = jnp.where(causal, logits, -jnp.inf)
    raised = jnp.exp(masked - jnp.max(masked, axis=1, keepdims=True))
    return raised / jnp.sum(raised, axis=1, keepdims=True)


def _goal(s: Columns, hit: Array) -> tuple[Float[Array, " C"], Columns]:
    """L2 of each prompt and its gradient in the last row of the Layer-1 logits, unweighted."""
    found, missed = (jnp.sum(jnp.where(where, s, 0), axis=0) for where in (hit, ~hit))
    return -jnp.log(found), s * jnp.where(hit, -missed / found, 1)


def _jacobian_product(s: Columns, v: Columns) -> Columns:
    """J(s) v for each column, measured from v where s is above 1/2 (``deep_head.jacobian_product``)."""
    centred = v - jnp.sum(jnp.where(s > 0.5, v, 0), axis=0)
    return s * (centred - jnp.sum(s * centred, axis=0))
