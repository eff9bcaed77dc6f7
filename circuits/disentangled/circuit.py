"""The reverse reasoning circuit by construction (Corollary 1), and its saturated limit (Theorem 1).

    Layer 1   W0 = 0, W1 = gamma L             every position attends to its predecessor
    Layer 2   W0 = gamma I, W1[T-1, T-1] = -gamma   the query u_end, read at T - 1, finds u_end in an edge

L is the strictly lower shift matrix, L[i, i-1] = 1. The last row of Layer 2 then points at u_end inside the edge
(v, u_end); its predecessor there is v. The self-match at T - 1 is cancelled, because Layer 1 carries the query's
position T - 1 along with its label.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from circuits import checks
from circuits.disentangled.closed_form import Activations, forward
from circuits.disentangled.weights import Layer, Weights
from circuits.typing import Scalar, Tokens


def circuit(gamma: float | int | Scalar, labels: int, length: int, dtype: jnp.dtype | type = jnp.float64) -> Weights:
    """Corollary 1's weights at sharpness gamma > 0. Raises ValueError for gamma not positive and finite."""
    if not isinstance(gamma, Tracer):
        checks.require(bool(0 < gamma < float("inf")), "gamma", "must be positive and finite", gamma)
    checks.integer("labels", labels, min_value=2)
    checks.integer("length", length, min_value=3)
    shift = jnp.eye(length, k=-1, dtype=dtype)
    not_itself = jnp.zeros((length, length), dtype).at[-2, -2].set(-1)
    return (
        Layer(jnp.zeros((labels, labels), dtype), gamma * shift),
        Layer(gamma * jnp.eye(labels, dtype=dtype), gamma * not_itself),
    )


def saturated(tokens: Tokens, labels: int) -> Activations:
    """The circuit's activations in the limit of infinite gamma: attention is one-hot or shared between ties."""
    return forward(circuit(1.0, labels, len(tokens)), tokens, log_hardmax)


def log_hardmax(logits: Float[Array, "rows T"]) -> Float[Array, "rows T"]:
    """lim log softmax(gamma logits): each row shared evenly by its largest logits."""
    largest = logits == jnp.max(logits, axis=-1, keepdims=True)
    shared = -jnp.log(jnp.sum(largest, axis=-1, keepdims=True, dtype=logits.dtype))
    return jnp.where(largest, shared, -jnp.inf)


def context_positions(tokens: Tokens | Sequence[int], goal: int) -> tuple[int, int]:
    """(t_v, t_end): where the edge (v, u_end) stands among the edges, 0-indexed. t_v = t_end - 1.

    Raises ValueError if the goal is not the target of exactly one edge.
    """
    targets = [t for t in range(1, len(tokens) - 2, 2) if int(tokens[t]) == goal]
    checks.require(len(targets) == 1, "goal", "must be the target of exactly one edge of tokens", goal)
    return targets[0] - 1, targets[0]
