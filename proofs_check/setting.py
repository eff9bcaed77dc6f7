"""The paper's own setting: the 2-path 3-node star graph with N = T = 10, and the cases that checks run on."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from circuits.disentangled import literal
from circuits.disentangled.weights import Weights, random
from circuits.tasks.star_enumeration import representatives
from circuits.tasks.star_graph import StarGraph, encode, replay_context, targets

SPEC = StarGraph(paths=2, nodes=3, labels=10)
N, T = SPEC.labels, SPEC.sequence_length
EXAMPLE = (3, 7, 6, 0, 7, 2, 3, 6, 0, 3)
"""Figure 3's sequence: edges 3>7, 6>0, 7>2, 3>6, then u_end = 0 and u_star = 3. The path is 3, 6, 0."""
EXAMPLE_PATH = (3, 6, 0)
DRAWS = 4
"""Labelings and weights drawn for each of the 24 edge orders."""


Formula = Callable[[Weights, Array, Array], Any]
"""A function of weights, tokens and target: what a formula says, or what is true."""


class Prompt(NamedTuple):
    """A context and the label that a head must predict at its end; leading axes are cases."""

    tokens: Array
    target: Array


class Case(NamedTuple):
    """Weights and a prompt; every leaf has the cases on its first axis."""

    weights: Weights
    prompt: Prompt


def example() -> tuple[Array, Array, Array]:
    """(tokens, y1, y2) of the running example."""
    _, y1, y2 = (jnp.int32(label) for label in EXAMPLE_PATH)
    return jnp.asarray(EXAMPLE, jnp.int32), y1, y2


@cache
def orders() -> tuple[Array, Array, Array]:
    """(tokens, y1, y2) of the 24 edge orders, with canonical labels: start 0, v = 1, u_end = 2."""
    with jax.ensure_compile_time_eval():  # a caller under jit must not leave its tracers in the cache
        problems = representatives(SPEC)
        return jax.vmap(encode)(problems), *targets(problems)


@cache
def goal_cases() -> Case:
    """Every edge order under ``DRAWS`` labelings, each with its own random weights; the target is y2."""
    (tokens, _, y2), weights = drawn()
    return Case(weights, Prompt(tokens, y2))


@cache
def deep_cases() -> Case:
    """The same for the deep head: each prompt Z with target y1, then each Z' with target y2."""
    (tokens, y1, y2), weights = drawn()
    replayed = jax.vmap(replay_context)(tokens, y1)
    prompt = Prompt(jnp.concatenate([tokens, replayed]), jnp.concatenate([y1, y2]))
    return Case(jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), weights), prompt)


@cache
def drawn() -> tuple[tuple[Array, Array, Array], Weights]:
    """((tokens, y1, y2), weights): ``DRAWS`` random labelings and weights for each edge order."""
    tokens, y1, y2 = (jnp.repeat(array, DRAWS, axis=0) for array in orders())
    rng = np.random.default_rng(0)
    labels = jnp.asarray(rng.permuted(np.tile(np.arange(N, dtype=np.int32), (len(y1), 1)), axis=1))
    named = jax.vmap(lambda table, *arrays: tuple(table[array] for array in arrays))(labels, tokens, y1, y2)
    keys = jax.random.split(jax.random.key(0), len(y1))
    return named, jax.vmap(lambda key: random(key, 2, N, T))(keys)


def direction() -> Weights:
    """One random direction in the space of weights, for differentials."""
    return random(jax.random.key(1), 2, N, T)


def evaluate(formulas: dict[str, Formula], cases: Case) -> dict[str, Any]:
    """Every formula on every case, compiled as one program."""

    def together(weights: Weights, tokens: Array, target: Array) -> dict[str, Any]:
        return {name: formula(weights, tokens, target) for name, formula in formulas.items()}

    return jax.jit(jax.vmap(together))(cases.weights, *cases.prompt)


def gap(ours: Any, truth: Any) -> float:
    """The largest |a - b| / max(1, |b|) over all leaves; NaN if there is one anywhere."""
    gaps = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b) / jnp.maximum(1, jnp.abs(b))), ours, truth)
    return float(np.max(jax.tree.leaves(gaps)))


def count(cases: Case) -> int:
    return len(cases.prompt.target)


def literal_loss(weights: Weights, tokens: Array, target: Array, layer: int = 2) -> Array:
    """-log of the target's entry in the output of the head on ``layer``, by Definitions 1 and 2 as they stand."""
    return -jnp.log(literal.forward(weights, tokens).outputs[layer - 1][target])


def shallow_literal_loss(weights: Weights, tokens: Array, target: Array) -> Array:
    """The same for the shallow head, which reads Layer 1."""
    return literal_loss(weights, tokens, target, layer=1)
