"""Corollary 1's circuit in float64: over gamma from 5 to 500, and over all 725,760 sequences at one gamma."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import forward
from circuits.disentangled.objective import objective
from circuits.disentangled.weights import Layer, Weights, norm
from circuits.flow.population import extremes_exhaustive, mean_by_symmetry
from circuits.tasks.star_graph import replay_context
from proofs_check import setting

GAMMAS = np.linspace(5, 500, 100)
EXHAUSTIVE_GAMMA = 5.0
"""Where all sequences are evaluated: the least gamma of the certified range, where corrections of next order show."""
EXPONENT_TOLERANCE = 0.003
"""How far a fitted exponent may lie from -1. A single factor gamma moves it by 0.007 on ``GAMMAS``."""


class Sweep(NamedTuple):
    """One value for each gamma (axis 0) and edge order (axis 1); a gradient is its Euclidean norm."""

    attention_1: Array
    attention_2: Array
    plan: Array
    replay: Array
    goal: Array
    multi_token: Array
    output: Array
    plan_gradient: Array
    replay_gradient: Array
    goal_gradient: Array
    multi_token_gradient: Array


def measure(weights: Weights, tokens: Array, y1: Array, y2: Array) -> Sweep:
    """Deviations from one-hot, losses, 1 - f1(Z') . e_v, and gradient norms, on one prompt."""
    whole = objective(weights, tokens, y1, y2)
    acts = forward(weights, tokens, last_row_only=True)
    replay = forward(weights, replay_context(tokens, y1), last_row_only=True)
    multi_token, multi_token_gradient = whole.multi_token
    norms = [norm(gradient) for gradient in whole.gradients]
    below = jnp.eye(len(tokens), k=-1, dtype=bool)
    return Sweep(
        attention_1=jnp.max(jnp.sum(jnp.where(below, 0, acts.attention[0]), axis=1)[1:]),
        attention_2=_beside_dominant(acts.attention[1][-1]),
        plan=whole.losses.plan,
        replay=whole.losses.replay,
        goal=whole.losses.goal,
        multi_token=multi_token,
        output=jnp.sum(replay.outputs[1].at[y1].set(0)),
        plan_gradient=norms[0],
        replay_gradient=norms[1],
        goal_gradient=norms[2],
        multi_token_gradient=norm(multi_token_gradient),
    )


@cache
def sweep(self_mask: float = 1.0, content: float = 1.0) -> Sweep:
    """Over ``GAMMAS`` and the 24 edge orders. Mutants scale the self-mask or the content match of Layer 2."""
    first, second = circuit(1.0, setting.N, setting.T)
    direction = (first, Layer(content * second.content, self_mask * second.position))
    return _swept(direction, jnp.asarray(GAMMAS), *setting.orders())


@jax.jit
def _swept(direction: Weights, gammas: Array, tokens: Array, y1: Array, y2: Array) -> Sweep:
    def at(gamma: Array) -> Sweep:
        weights = jax.tree.map(lambda leaf: gamma * leaf, direction)
        return jax.vmap(measure, in_axes=(None, 0, 0, 0))(weights, tokens, y1, y2)

    return jax.vmap(at)(gammas)


class MeanGradients(NamedTuple):
    """Norms of gradients averaged over all 725,760 sequences, for some of ``GAMMAS``."""

    replay: list[float]
    multi_token: list[float]


@cache
def mean_gradients() -> MeanGradients:
    """Of L1b and of Eq. 3: whether the gradients of different graphs cancel."""

    def gradients(weights: Weights, *prompt: Array) -> tuple[Weights, Weights]:
        found = objective(weights, *prompt)
        return found.gradients.replay, found.multi_token[1]

    circuits = (circuit(float(gamma), setting.N, setting.T) for gamma in GAMMAS[::33])
    means = [mean_by_symmetry(gradients, weights, setting.SPEC) for weights in circuits]
    return MeanGradients(*([float(norm(mean[part])) for mean in means] for part in (0, 1)))


def exponent(values: Array) -> float:
    """The slope of log(value) in gamma, fitted for each edge order; the one furthest from -1."""
    slopes = np.polyfit(GAMMAS, np.log(np.asarray(values)), 1)[0]
    return float(slopes[np.argmax(np.abs(slopes + 1))])


def other_rows() -> Array:
    """The largest deviation from one-hot over all rows of S2, for each of ``GAMMAS`` and each edge order."""
    tokens, _, _ = setting.orders()

    def deviation(gamma: Array, row: Array) -> Array:
        weights = jax.tree.map(lambda leaf: gamma * leaf, circuit(1.0, setting.N, setting.T))
        return jnp.max(jax.vmap(_beside_dominant)(forward(weights, row).attention[1]))

    over_orders = jax.vmap(deviation, in_axes=(None, 0))
    return jax.jit(jax.vmap(over_orders, in_axes=(0, None)))(jnp.asarray(GAMMAS), tokens)


@cache
def exhaustive() -> tuple[Sweep, Sweep, int]:
    """(least, greatest, count) over all labelings and edge orders at ``EXHAUSTIVE_GAMMA``."""
    weights = circuit(EXHAUSTIVE_GAMMA, setting.N, setting.T)
    return extremes_exhaustive(measure, weights, setting.SPEC)


def _beside_dominant(row: Array) -> Array:
    """1 minus the entry above 1/2 of a distribution, as the sum of the others; 1 if there is none."""
    return jnp.sum(jnp.where(row > 0.5, 0, row))
