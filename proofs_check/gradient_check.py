"""A gradient formula against automatic differentiation of the literal definition, on the paper's setting."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import forward
from proofs_check import setting
from proofs_check.evidence import Control, Evidence, Findings, Of, identity
from proofs_check.setting import Case, Formula


def against_autodiff(
    name: str,
    cases: Case,
    oracle: Formula,
    library: Formula,
    controls: dict[str, Formula],
    printed: Formula | None = None,
) -> Findings:
    """The printed formula, and the library's correction where one is needed, both against the oracle.

    Without ``printed``, the library's formula is the printed one. Controls are formulas that must be found wrong.
    """
    stated: dict[Of, Formula] = {"printed": library} if printed is None else {"printed": printed, "amended": library}
    values = setting.evaluate({"oracle": oracle, **stated, **controls}, cases)
    quantity = f"max |formula - autodiff| of {name}"

    def compared(key: str, of: Of) -> Evidence:
        gap = setting.gap(values[key], values["oracle"])
        return identity("autodiff", quantity, gap, setting.count(cases), of=of)

    return Findings(
        tuple(compared(of, of) for of in stated),
        tuple(Control(label, compared(label, "printed")) for label in controls),
        "" if printed is None else _worst_entry(name, printed, oracle),
    )


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
