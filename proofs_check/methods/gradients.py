"""Comparisons of formulas with the literal model; gradients are compared with automatic differentiation.

A formula is a function of a ``Case``. ``against_literal`` makes the measure of a test from the right value of the
formula. The library's own functions are cross-checked, all of them in one compiled program.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy import ndarray

from circuits.disentangled import closed_form, deep_head, objective, shallow_head
from circuits.disentangled.weights import Weights
from proofs_check.ledger import CrossCheck, Outcome, equal
from proofs_check.methods import cases, star
from proofs_check.methods.cases import Case, Model
from proofs_check.methods.twins import twins_agree

Formula = Callable[[Case], Any]
CHANGES: Final[dict[str, Callable[[ndarray], ndarray]]] = {
    "sign flipped": np.negative,
    "transposed": np.transpose,
    "rows shifted by one": lambda array: np.roll(array, 1, axis=0),
    "columns shifted by one": lambda array: np.roll(array, 1, axis=1),
    "symmetrised": lambda array: (array + array.T) / 2,
}
"""Wrong variants of a matrix."""


def changed(formula: Formula, *names: str) -> dict[str, Formula]:
    """Return mutants of a formula: its matrix with each of these ``CHANGES``."""
    return {name: lambda case, change=CHANGES[name]: change(formula(case)) for name in names}


def against_literal(on: tuple[Case, ...], truth: Callable[[Model], Any]) -> Callable[[Formula], Outcome]:
    """Return the measure of a formula: its value in every case, compared with that of the literal model."""
    return lambda formula: equal([formula(case) for case in on], [truth(case.literal) for case in on])


def library_agrees(function: str, ours: ndarray, truth: Any) -> CrossCheck:
    """Compare the values of a library function with the right ones, with cases on the first axis."""
    return twins_agree(f"library's {function}", ours, truth, {"last axis shifted by one": np.roll(ours, 1, axis=-1)})


def objective_agrees(part: Literal["plan", "replay", "goal"], read: Callable[[Weights], Any]) -> CrossCheck:
    """Compare a part of the gradient that ``objective``, which users call, returns for one loss with autodiff."""
    on = {"plan": cases.plan, "replay": cases.replay, "goal": cases.goal}[part]()
    true = [case.literal.shallow if part == "goal" else case.literal.deep for case in on]
    ours = getattr(library()["gradients"], part)
    return library_agrees(f"gradient of {part}", read(ours), [read(gradient) for gradient in true])


def along(gradient: Weights) -> float:
    """Return the derivative along ``direction`` of a function with this gradient."""
    products = jax.tree.map(lambda g, d: np.sum(g * d), gradient, cases.direction())
    return np.sum(jax.tree.leaves(products))


def moved_scores(case: Case, layer: int) -> ndarray:
    """Return dA^(l) = Z dW0^(l) Z^T + dW1^(l) along ``direction``, for Layer 1 or 2."""
    z, moved = case.symbols.z, cases.direction()[layer - 1]
    return z @ moved.content @ z.T + moved.position


def worst_entry(name: str, printed: Formula, truth: Callable[[Model], Any]) -> str:
    """Describe the entry of the running example in which the printed formula is most wrong."""
    case = cases.example()
    wrong, right = printed(case), truth(case.literal)
    i, j = map(int, np.unravel_index(np.argmax(np.abs(wrong - right)), wrong.shape))

    def entry(row: int, column: int) -> str:
        at = row, column
        return f"entry [{row}, {column}] is {wrong[at]:+.6f} as printed and {right[at]:+.6f} by autodiff"

    return (
        f"{name} of L1a on {list(star.EXAMPLE)} with the weights of Corollary 1 at gamma = 1 (rows and columns count "
        f"from 0): {entry(i, j)}, {entry(j, i)}."
    )


@cache
def library() -> dict[str, Any]:
    """Return the values of the library's functions for Lemmas 1 to 5, on the cases of ``plan`` (``goal`` for L2)."""

    def by_hand(w: Weights, tokens: Array, y1: Array, y2: Array, g: Array, moved: Array, scores: Array) -> dict:
        acts = closed_form.forward(w, tokens)
        first = jax.tree.map(jnp.asarray, cases.direction()[0])
        return {
            "outputs": jnp.concatenate(acts.outputs),
            "logits_2": acts.logits[1],
            "paths": jnp.stack(deep_head.deep_paths(acts, tokens, y1, scores, moved)),
            "attention_1": deep_head.deep_attention_1(acts, tokens, y1),
            "softmax_rows": deep_head.softmax_rows_gradient(acts.attention[0], g),
            "logits_1": deep_head.deep_logits_1(acts, tokens, y1),
            "differential": shallow_head.shallow_differential(acts, tokens, y2, first.content, first.position),
            "gradients": objective.objective(w, tokens, y1, y2).gradients,
        }

    upstream, moved = (np.stack([getattr(c.literal, name) for c in cases.plan()]) for name in ("attention_1", "moved"))
    scores = np.stack([moved_scores(case, layer=2) for case in cases.plan()])
    values = jax.jit(jax.vmap(by_hand))(cases.weights(), *cases.prompts(), upstream, moved, scores)
    return jax.tree.map(np.asarray, values)
