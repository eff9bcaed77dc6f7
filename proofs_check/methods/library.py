"""Runs of the library on all edge orders, for cross-checks: with Corollary 1's circuit, and with random weights.

Both are batches of 96 cases, and one compiled program serves all claims.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import Activations, forward
from circuits.disentangled.objective import Objective, objective
from circuits.disentangled.weights import Layer, Weights
from circuits.tasks.star.graph import replay_context
from proofs_check.methods.star import N, T, Tokens, contexts

GAMMAS: Final = (5.0, 20.0, 100.0, 500.0)
"""Values of gamma for the circuit: from the smallest one of the claims to one with e^-gamma = 7e-218."""
WRONG: Final[dict[str, Callable[[Any], Any]]] = {
    "zero": lambda array: 0 * array,
    "negated": lambda array: -array,
    "transposed": lambda array: np.swapaxes(array, -1, -2) if array.shape[-1] == array.shape[-2] else array,
}
"""Faults of the library's matrices that a cross-check must reject."""
WRONG_NUMBERS: Final = {name: WRONG[name] for name in ("zero", "negated")}


class Run(NamedTuple):
    """Results of the library; every array has the cases on its first axis.

    tokens    the context Z of each case
    gamma     of each case; NaN for random weights
    objective losses and gradients
    prompt    activations on Z
    replay    activations on Z'
    """

    tokens: list[Tokens]
    gamma: np.ndarray
    objective: Objective
    prompt: Activations
    replay: Activations


@cache
def at_circuit() -> Run:
    """Run the library under Corollary 1's circuit: every edge order at each of ``GAMMAS``."""
    gammas = np.repeat(GAMMAS, len(contexts()))
    unit = circuit(1.0, N, T)
    return _run(jax.tree.map(lambda leaf: gammas[:, None, None] * np.asarray(leaf), unit), gammas)


@cache
def at_random() -> Run:
    """Run the library under independent normal weights for each case."""
    rng = np.random.default_rng(0)
    cases = len(GAMMAS) * len(contexts())
    blocks = [jnp.asarray(rng.normal(size=(cases, size, size))) for size in (N, T, N, T)]
    return _run((Layer(*blocks[:2]), Layer(*blocks[2:])), np.full(cases, np.nan))


def _run(weights: Any, gamma: np.ndarray) -> Run:
    repeated = contexts() * len(GAMMAS)
    arrays = (
        jnp.asarray(values, jnp.int32) for values in zip(*((c.tokens, c.v, c.end) for c in repeated), strict=True)
    )
    values = _program()(weights, *arrays)
    return Run([c.tokens for c in repeated], gamma, *jax.tree.map(np.asarray, values))


@cache
def _program() -> Callable[..., tuple[Objective, Activations, Activations]]:
    def together(weights: Weights, tokens: Array, y1: Array, y2: Array) -> tuple[Objective, Activations, Activations]:
        replay = forward(weights, replay_context(tokens, y1))
        return objective(weights, tokens, y1, y2), forward(weights, tokens), replay

    # Most of the time is spent on compiling, which takes half as long without optimisation.
    return jax.jit(jax.vmap(together), compiler_options={"xla_backend_optimization_level": 0})
