"""Lemma 2: the differential of L1 is the sum of three paths."""

import jax
import jax.numpy as jnp
from jax import Array

from circuits.disentangled.closed_form import forward
from circuits.disentangled.deep_head import deep_paths
from circuits.disentangled.weights import Weights
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

    return against_autodiff(
        "dL1 along a random direction",
        setting.deep_cases(),
        oracle=lambda *case: jax.jvp(lambda w: setting.literal_loss(w, *case[1:]), case[:1], (setting.direction(),))[1],
        printed=_printed,
        library={"by the library's three paths": weighted(1, 1, 1)},
        controls={
            "without path (i), attention": weighted(0, 1, 1),
            "without path (ii), query": weighted(1, 0, 1),
            "without path (iii), value": weighted(1, 1, 0),
            "sign of path (ii) flipped": weighted(1, -1, 1),
            "with diag(s) in place of J(s)": lambda *case: _printed(*case, centred=False),
        },
    )


def _printed(weights: Weights, tokens: Array, target: Array, centred: bool = True) -> Array:
    """The three printed terms, with J(s) written out; a mutant leaves out its s s^T."""
    acts, d_attention, d_scores = _moved(weights, tokens)
    hit = (tokens == target).astype(acts.attention[0].dtype)
    s1, s2, a2 = acts.attention[0], acts.attention[1][-1], acts.scores[1]
    jacobian = jnp.diag(s2) - float(centred) * jnp.outer(s2, s2)
    into_layer_2 = s1[-1] @ d_scores + d_attention[-1] @ a2
    return -(into_layer_2 @ jacobian @ s1 @ hit + s2 @ d_attention @ hit) / (s2 @ s1 @ hit)


def _terms(weights: Weights, tokens: Array, target: Array) -> Terms:
    acts, d_attention, d_scores = _moved(weights, tokens)
    return deep_paths(acts, tokens, target, d_scores, d_attention)


def _moved(weights: Weights, tokens: Array) -> tuple:
    """The activations, and the changes dS1 and dA2 that the direction causes."""

    def attention_and_scores(w: Weights) -> tuple[Array, Array]:
        acts = forward(w, tokens)
        return acts.attention[0], acts.scores[1]

    _, (d_attention, d_scores) = jax.jvp(attention_and_scores, (weights,), (setting.direction(),))
    return forward(weights, tokens), d_attention, jnp.asarray(d_scores)
