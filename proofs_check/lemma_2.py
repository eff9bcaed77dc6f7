"""Lemma 2: the differential of L1 is the sum of three paths."""

import jax
import jax.numpy as jnp
from jax import Array

from circuits.disentangled.closed_form import forward
from circuits.disentangled.deep_head import deep_paths
from circuits.disentangled.weights import Weights, random
from proofs_check import setting
from proofs_check.evidence import Findings
from proofs_check.gradient_check import against_autodiff
from proofs_check.setting import Formula

Terms = tuple[Array, Array, Array]


def paths() -> Findings:
    """dL1 = (i) through A2 + (ii) through the query S1[T] + (iii) through the values S1.

    The change of the weights is one random direction; dS1 and dA2 are its images, and dL1 is the derivative of
    the literal loss along it. The paths are decided together and, by leaving each out, one by one.
    """

    def weighted(*signs: float | int) -> Formula:
        return lambda *case: jnp.asarray(signs, jnp.float64) @ jnp.stack(_terms(*case))

    def without_centring(weights: Weights, tokens: Array, target: Array) -> Array:
        acts, d_attention, d_scores = _moved(weights, tokens)
        hit = (tokens == target).astype(acts.attention[0].dtype)
        s1, s2, a2 = acts.attention[0], acts.attention[1][-1], acts.scores[1]
        d_logits = s1[-1] @ d_scores + d_attention[-1] @ a2
        return -(d_logits @ (s2 * (s1 @ hit)) + s2 @ d_attention @ hit) / (s2 @ s1 @ hit)

    return against_autodiff(
        "dL1 along a random direction",
        setting.deep_cases(),
        oracle=lambda *case: jax.jvp(lambda w: setting.literal_loss(w, *case[1:]), case[:1], (_direction(),))[1],
        library=weighted(1, 1, 1),
        controls={
            "without path (i), attention": weighted(0, 1, 1),
            "without path (ii), query": weighted(1, 0, 1),
            "without path (iii), value": weighted(1, 1, 0),
            "sign of path (ii) flipped": weighted(1, -1, 1),
            "diag(s) in place of J(s)": without_centring,
        },
    )


def _direction() -> Weights:
    return random(jax.random.key(1), 2, setting.N, setting.T)


def _terms(weights: Weights, tokens: Array, target: Array) -> Terms:
    acts, d_attention, d_scores = _moved(weights, tokens)
    return deep_paths(acts, tokens, target, d_scores, d_attention)


def _moved(weights: Weights, tokens: Array) -> tuple:
    """The activations, and the changes dS1 and dA2 that the direction causes."""

    def attention_and_scores(w: Weights) -> tuple[Array, Array]:
        acts = forward(w, tokens)
        return acts.attention[0], acts.scores[1]

    _, (d_attention, d_scores) = jax.jvp(attention_and_scores, (weights,), (_direction(),))
    return forward(weights, tokens), d_attention, jnp.asarray(d_scores)
