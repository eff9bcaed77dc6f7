"""A gradient formula against automatic differentiation of the literal definition, on the paper's setting."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import forward
from circuits.disentangled.objective import objective
from circuits.disentangled.weights import Weights
from circuits.tasks.star_graph import replay_context
from proofs_check import setting
from proofs_check.evidence import Control, Evidence, Findings, Of, identity
from proofs_check.setting import Case, Formula


def against_autodiff(
    name: str,
    cases: Case,
    oracle: Formula,
    printed: Formula,
    library: dict[str, Formula],
    controls: dict[str, Formula],
    corrected: bool = False,
) -> Findings:
    """The formula as printed, symbol by symbol, and the library's functions for it, all against the oracle.

    With ``corrected`` the library's are what the print should have said. Controls are formulas that must be found
    wrong.
    """
    values = setting.evaluate({"oracle": oracle, "as printed": printed, **library, **controls}, cases)

    def compared(label: str, of: Of) -> Evidence:
        gap = setting.gap(values[label], values["oracle"])
        return identity("autodiff", f"max |{name} {label} - autodiff|", gap, setting.count(cases), of=of)

    return Findings(
        (
            compared("as printed", "printed"),
            *(compared(label, "amended" if corrected else "printed") for label in library),
        ),
        tuple(Control(label, compared(label, "printed")) for label in controls),
        _worst_entry(name, printed, oracle) if corrected else "",
    )


def objective_against_autodiff(part: str, leaf: Callable[[Weights], Any], of: Of = "printed") -> Evidence:
    """``objective``, which is what users call: one of its gradients, or a block of it, leaf by leaf.

    ``part`` is plan, replay, goal or multi_token (Eq. 3).
    """
    ours, truth = _objective_and_autodiff()
    gap = setting.gap(leaf(ours[part]), leaf(truth[part]))
    return identity(
        "autodiff", f"max |objective's gradient of {part} - autodiff|", gap, len(setting.orders()[0]), of=of
    )


@cache
def _objective_and_autodiff() -> tuple[dict[str, Weights], dict[str, Weights]]:
    """All gradients of the objective, and of the literal losses, on each edge order with random weights."""
    prompts, weights = setting.drawn()

    def by_hand(w: Weights, *prompt: Array) -> dict[str, Weights]:
        found = objective(w, *prompt)
        return {**found.gradients._asdict(), "multi_token": found.multi_token[1]}

    def by_autodiff(w: Weights, tokens: Array, y1: Array, y2: Array) -> dict[str, Weights]:
        plan = jax.grad(setting.literal_loss)(w, tokens, y1)
        replay = jax.grad(setting.literal_loss)(w, replay_context(tokens, y1), y2)
        goal = jax.grad(setting.shallow_literal_loss)(w, tokens, y2)
        whole = jax.tree.map(lambda a, b, c: (a + b) / 4 + c / 2, plan, replay, goal)
        return {"plan": plan, "replay": replay, "goal": goal, "multi_token": whole}

    together = jax.jit(jax.vmap(lambda w, *prompt: (by_hand(w, *prompt), by_autodiff(w, *prompt))))
    return together(*jax.tree.map(lambda leaf: leaf[:: setting.DRAWS], (weights, *prompts)))


def of_activations(formula: Callable[..., Array]) -> Formula:
    """A library gradient of (activations, tokens, target) as a function of the weights."""
    return lambda weights, tokens, target: formula(forward(weights, tokens), tokens, target)


def _worst_entry(name: str, printed: Formula, oracle: Formula) -> str:
    """Where the print is most wrong on the running example, under Corollary 1's weights with gamma = 1."""
    tokens, y1, _ = setting.example()
    weights = circuit(1.0, setting.N, setting.T)
    wrong, right = jax.jit(lambda: (printed(weights, tokens, y1), oracle(weights, tokens, y1)))()
    row, column = (int(i) for i in jnp.unravel_index(jnp.argmax(jnp.abs(wrong - right)), wrong.shape))
    return (
        f"{name} of L1a on {list(setting.EXAMPLE)} with the weights of Corollary 1 at gamma = 1 "
        f"(rows and columns from 0): entry [{row}, {column}] is {wrong[row, column]:+.6f} as printed and "
        f"{right[row, column]:+.6f} by autodiff, entry [{column}, {row}] is {wrong[column, row]:+.6f} as printed "
        f"and {right[column, row]:+.6f} by autodiff."
    )
