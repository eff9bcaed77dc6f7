"""Lemma 5: the gradients of the shallow head's loss L2, against automatic differentiation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from circuits.disentangled import shallow_head
from circuits.disentangled.weights import Weights
from proofs_check import setting
from proofs_check.evidence import Findings
from proofs_check.gradient_check import against_autodiff, objective_against_autodiff, of_activations
from proofs_check.setting import Formula


def content_1() -> Findings:
    """dL2/dW0^(1) = -(1/(f2 . e)) z_T e^T Z^T J(S1[T]) Z."""

    def printed(weights: Weights, tokens: Array, target: Array) -> Array:
        z, row = _printed_row(weights, tokens, target)
        return jnp.outer(z[-1], row @ z)

    return _shallow("dL2/dW0^(1)", printed, shallow_head.shallow_content_1, lambda gradient: gradient[0].content)


def position_1() -> Findings:
    """dL2/dW1^(1) = -(1/(f2 . e)) e_T e^T Z^T J(S1[T])."""

    def printed(weights: Weights, tokens: Array, target: Array) -> Array:
        _, row = _printed_row(weights, tokens, target)
        return jnp.outer(jnp.eye(setting.T)[-1], row)

    return _shallow("dL2/dW1^(1)", printed, shallow_head.shallow_position_1, lambda gradient: gradient[0].position)


def _printed_row(weights: Weights, tokens: Array, target: Array) -> tuple[Array, Array]:
    """Z, and -(1/(f2 . e)) e^T Z^T J(S1[T]), from their definitions."""
    z = jax.nn.one_hot(tokens, setting.N, dtype=weights[0].content.dtype)
    s = jax.nn.softmax(z[-1] @ weights[0].content @ z.T + weights[0].position[-1])
    hit = z[:, target]
    return z, -hit @ (jnp.diag(s) - jnp.outer(s, s)) / (s @ hit)


def _shallow(name: str, printed: Formula, formula: Callable[..., Array], leaf: Callable[[Weights], Array]) -> Findings:
    library = of_activations(formula)
    found = against_autodiff(
        name,
        setting.goal_cases(),
        oracle=lambda *case: leaf(jax.grad(setting.shallow_literal_loss)(*case)),
        printed=printed,
        library={"of the library": library},
        controls={
            "with its sign flipped": lambda *case: -library(*case),
            "transposed": lambda *case: library(*case).T,
            "in the row before the last": lambda *case: jnp.roll(library(*case), -1, axis=0),
            "with keys shifted by one": lambda *case: jnp.roll(library(*case), 1, axis=1),
        },
    )
    return Findings((*found.evidence, objective_against_autodiff("goal", leaf)), found.controls)
