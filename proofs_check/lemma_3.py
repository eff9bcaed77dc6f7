"""Lemma 3: the gradients of the deep head's loss, against automatic differentiation of the literal definition.

Lemma 5 writes its gradients with the query's index as row and the key's as column, the layout of W itself. In
that layout Lemma 3 is right for Layer 1 and transposed for Layer 2, and so is the query term of dL1/dS1.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from circuits.disentangled import deep_head
from circuits.disentangled.weights import Weights
from proofs_check import setting
from proofs_check.evidence import Findings
from proofs_check.gradient_check import against_autodiff, objective_against_autodiff, of_activations
from proofs_check.setting import Formula


def attention_1() -> Findings:
    """The printed dL1/dS1 = -(1/f) [ S2[T]^T (Z e)^T + A2 J(S2[T]) S1 Z e e_T^T ]."""
    return against_autodiff(
        "dL1/dS1",
        setting.deep_cases(),
        oracle=lambda *case: jax.grad(_loss_of_attention)(*_attention_and_scores(*case)),
        printed=_printed_attention_1,
        library={"corrected": of_activations(deep_head.deep_attention_1)},
        controls={
            "with the sign of its query term flipped": lambda *case: (
                _attention_terms(*case)[0] - _attention_terms(*case)[1]
            ),
            "without its query term": lambda *case: _attention_terms(*case)[0],
            "with its value term transposed": lambda *case: _attention_terms(*case)[0].T + _attention_terms(*case)[1],
        },
        corrected=True,
    )


def logits_1() -> Findings:
    """dL1/dA1 = M * [ S1 * (G - (G * S1) 1 1^T) ] with G = dL1/dS1.

    G is taken from automatic differentiation, so this decides the softmax step by itself.
    """
    return against_autodiff(
        "dL1/dA1",
        setting.deep_cases(),
        oracle=_autodiff_logits_1,
        printed=lambda *case: _printed_logits_1(*_true_g(*case)),
        library={
            "by rows": lambda *case: deep_head.softmax_rows_gradient(*_true_g(*case)),
            "as prior minus posterior": of_activations(deep_head.deep_logits_1),
        },
        controls={
            "with S1 1 1^T taken before the Hadamard product": lambda *case: _other_precedence(*_true_g(*case)),
            "summed over columns of S1": lambda *case: _by_columns(*_true_g(*case)),
            "without the normalisation term": lambda *case: jnp.multiply(*_true_g(*case)),
        },
    )


def content_1() -> Findings:
    """dL1/dW0^(1) = Z^T [dL1/dA1] Z."""
    return _layer_1("dL1/dW0^(1)", deep_head.deep_content_1, lambda gradient: gradient[0].content)


def position_1() -> Findings:
    """dL1/dW1^(1) = dL1/dA1."""
    return _layer_1("dL1/dW1^(1)", deep_head.deep_position_1, lambda gradient: gradient[0].position)


def content_2() -> Findings:
    """The printed dL1/dW0^(2) = -(1/f) Z^T J(S2[T]) S1 Z e S1[T] Z has the key's label as row."""
    return _layer_2("dL1/dW0^(2)", deep_head.deep_content_2, lambda gradient: gradient[1].content, by_label=True)


def position_2() -> Findings:
    """The printed dL1/dW1^(2) = -(1/f) J(S2[T]) S1 Z e S1[T] has the key's position as row."""
    return _layer_2("dL1/dW1^(2)", deep_head.deep_position_2, lambda gradient: gradient[1].position, by_label=False)


def _layer_1(name: str, formula: Callable[..., Array], leaf: Callable[[Weights], Array]) -> Findings:
    by_label = formula is deep_head.deep_content_1

    def of_logits(d_logits: Array, tokens: Array) -> Array:
        z = jax.nn.one_hot(tokens, setting.N, dtype=d_logits.dtype)
        return z.T @ d_logits @ z if by_label else d_logits

    def from_printed_attention(weights: Weights, tokens: Array, target: Array) -> Array:
        s1, _ = _true_g(weights, tokens, target)
        return of_logits(_printed_logits_1(s1, _printed_attention_1(weights, tokens, target)), tokens)

    library = of_activations(formula)
    found = against_autodiff(
        name,
        setting.deep_cases(),
        oracle=_autodiff_weights(leaf),
        printed=lambda *case: of_logits(_printed_logits_1(*_true_g(*case)), case[1]),
        library={"of the library": library},
        controls={
            "with its sign flipped": lambda *case: -library(*case),
            "transposed": lambda *case: library(*case).T,
            "with rows shifted by one": lambda *case: jnp.roll(library(*case), 1, axis=0),
            "chained with the printed dL1/dS1": from_printed_attention,
        },
    )
    whole = tuple(objective_against_autodiff(part, leaf) for part in ("plan", "replay"))
    return Findings(found.evidence + whole, found.controls)


def _layer_2(name: str, formula: Callable[..., Array], leaf: Callable[[Weights], Array], by_label: bool) -> Findings:
    def printed(weights: Weights, tokens: Array, target: Array) -> Array:
        s1, s2, z, hit, _ = _parts(weights, tokens, target)
        m = s1 @ hit
        column = -(jnp.diag(s2) - jnp.outer(s2, s2)) @ m / (s2 @ m)
        return jnp.outer(z.T @ column, s1[-1] @ z) if by_label else jnp.outer(column, s1[-1])

    library = of_activations(formula)
    found = against_autodiff(
        name,
        setting.deep_cases(),
        oracle=_autodiff_weights(leaf),
        printed=printed,
        library={"corrected": library},
        controls={
            "corrected, with its sign flipped": lambda *case: -library(*case),
            "corrected, with rows shifted by one": lambda *case: jnp.roll(library(*case), 1, axis=0),
            "symmetrised": lambda *case: (library(*case) + library(*case).T) / 2,
        },
        corrected=True,
    )
    whole = tuple(objective_against_autodiff(part, leaf, "amended") for part in ("plan", "replay"))
    return Findings(found.evidence + whole, found.controls, found.example)


def _true_g(weights: Weights, tokens: Array, target: Array) -> tuple[Array, Array]:
    """S1, and G = dL1/dS1 by autodiff."""
    s1, *rest = _attention_and_scores(weights, tokens, target)
    return s1, jax.grad(_loss_of_attention)(s1, *rest)


def _printed_logits_1(s1: Array, g: Array) -> Array:
    """M * [ S1 * (G - (G * S1) 1 1^T) ]."""
    mask, ones = jnp.tril(jnp.ones_like(s1)), jnp.ones_like(s1)
    return mask * (s1 * (g - (g * s1) @ ones))


def _other_precedence(s1: Array, g: Array) -> Array:
    return s1 * (g - g * (s1 @ jnp.ones_like(s1)))


def _by_columns(s1: Array, g: Array) -> Array:
    return s1 * (g - jnp.ones_like(s1) @ (g * s1))


def _autodiff_weights(leaf: Callable[[Weights], Array]) -> Formula:
    return lambda weights, tokens, target: leaf(jax.grad(setting.literal_loss)(weights, tokens, target))


def _autodiff_logits_1(weights: Weights, tokens: Array, target: Array) -> Array:
    def loss(logits: Array) -> Array:
        visible = jnp.tril(jnp.ones_like(logits, dtype=bool))
        s1 = jax.nn.softmax(jnp.where(visible, logits, -jnp.inf), axis=1)
        return _loss_of_attention(s1, *_attention_and_scores(weights, tokens, target)[1:])

    z = jax.nn.one_hot(tokens, setting.N, dtype=weights[0].content.dtype)
    return jax.grad(loss)(z @ weights[0].content @ z.T + weights[0].position)


def _loss_of_attention(s1: Array, a2: Array, hit: Array) -> Array:
    """L1 with S1 as the variable and A2 fixed: -log softmax(S1[T] A2) S1 Z e."""
    return -jnp.log(jax.nn.softmax(s1[-1] @ a2) @ s1 @ hit)


def _attention_and_scores(weights: Weights, tokens: Array, target: Array) -> tuple[Array, Array, Array]:
    s1, _, _, hit, a2 = _parts(weights, tokens, target)
    return s1, a2, hit


def _parts(weights: Weights, tokens: Array, target: Array) -> tuple[Array, Array, Array, Array, Array]:
    """(S1, S2[T], Z, Z e, A2), each from its definition."""
    z = jax.nn.one_hot(tokens, setting.N, dtype=weights[0].content.dtype)
    a1, a2 = (z @ layer.content @ z.T + layer.position for layer in weights)
    s1 = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones_like(a1, dtype=bool)), a1, -jnp.inf), axis=1)
    return s1, jax.nn.softmax(s1[-1] @ a2), z, z[:, target], a2


def _attention_terms(weights: Weights, tokens: Array, target: Array) -> tuple[Array, Array]:
    """The two terms of dL1/dS1, the second in its right place: row T."""
    s1, s2, _, hit, a2 = _parts(weights, tokens, target)
    m = s1 @ hit
    query = a2 @ (jnp.diag(s2) - jnp.outer(s2, s2)) @ m
    last = jnp.eye(len(tokens))[-1]
    return -jnp.outer(s2, hit) / (s2 @ m), -jnp.outer(last, query) / (s2 @ m)


def _printed_attention_1(weights: Weights, tokens: Array, target: Array) -> Array:
    value, query = _attention_terms(weights, tokens, target)
    return value + query.T
