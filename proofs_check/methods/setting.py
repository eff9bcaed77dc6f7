"""The paper's own setting: the 2-path 3-node star graph with N = T = 10, its edge orders, and the literal losses."""

from functools import cache

import jax
import jax.numpy as jnp
from jax import Array

from circuits.disentangled import literal
from circuits.disentangled.weights import Weights
from circuits.tasks.star.graph import StarGraph
from proofs_check.methods.edge_orders import edge_orders, goal, next_label

SPEC = StarGraph(paths=2, nodes=3, labels=10)
N, T = SPEC.labels, SPEC.sequence_length
EXAMPLE = (3, 7, 6, 0, 7, 2, 3, 6, 0, 3)
"""Figure 3's sequence: edges 3>7, 6>0, 7>2, 3>6, then u_end = 0 and u_star = 3. The path is 3, 6, 0."""
EXAMPLE_PATH = (3, 6, 0)
DRAWS = 4
"""Labelings and weights drawn for each of the 24 edge orders."""


@cache
def orders() -> tuple[Array, Array, Array]:
    """(tokens, y1, y2) of the 24 edge orders, written out here so that no fault of the library can thin them out."""
    with jax.ensure_compile_time_eval():  # a caller under jit must not leave its tracers in the cache
        tokens, y1, y2 = zip(*((each, next_label(each), goal(each)) for each in edge_orders()), strict=True)
        return jnp.asarray(tokens, jnp.int32), jnp.asarray(y1, jnp.int32), jnp.asarray(y2, jnp.int32)


def literal_loss(weights: Weights, tokens: Array, target: Array, layer: int = 2) -> Array:
    """-log of the target's entry in the output of the head on ``layer``, by Definitions 1 and 2 as printed."""
    return -jnp.log(literal.forward(weights, tokens).outputs[layer - 1][target])


def shallow_literal_loss(weights: Weights, tokens: Array, target: Array) -> Array:
    """The same for the shallow head, which reads Layer 1."""
    return literal_loss(weights, tokens, target, layer=1)
