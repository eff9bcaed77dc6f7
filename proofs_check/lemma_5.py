"""Lemma 5: the gradients of the shallow head's loss L2, against automatic differentiation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from circuits.disentangled import shallow_head
from circuits.disentangled.weights import Layer
from proofs_check import setting
from proofs_check.evidence import Findings
from proofs_check.gradient_check import against_autodiff, of_activations


def content_1() -> Findings:
    """dL2/dW0^(1) = -(1/(f2 . e)) z_T e^T Z^T J(S1[T]) Z."""
    return _shallow("dL2/dW0^(1)", shallow_head.shallow_content_1, lambda layer: layer.content)


def position_1() -> Findings:
    """dL2/dW1^(1) = -(1/(f2 . e)) e_T e^T Z^T J(S1[T])."""
    return _shallow("dL2/dW1^(1)", shallow_head.shallow_position_1, lambda layer: layer.position)


def _shallow(name: str, formula: Callable[..., Array], leaf: Callable[[Layer], Array]) -> Findings:
    library = of_activations(formula)
    return against_autodiff(
        name,
        setting.goal_cases(),
        oracle=lambda *case: leaf(jax.grad(setting.shallow_literal_loss)(*case)[0]),
        library=library,
        controls={
            "sign flipped": lambda *case: -library(*case),
            "transposed": lambda *case: library(*case).T,
            "row before the last": lambda *case: jnp.roll(library(*case), -1, axis=0),
            "keys shifted by one": lambda *case: jnp.roll(library(*case), 1, axis=1),
        },
    )
