"""The reverse reasoning circuit by construction (Corollary 1), and its saturated limit (Theorem 1).

    Layer 1   W0 = 0, W1 = gamma L                  every position attends to its predecessor
    Layer 2   W0 = gamma I, W1[T-1, T-1] = -gamma   the query u_end, read at T - 1, matches u_end in an edge

L is the strictly lower shift matrix, L[i, i-1] = 1. The last row of Layer 2 then attends to u_end in the edge
(v, u_end), whose predecessor is v. The match of the query's u_end with itself is cancelled: Layer 1 moves its position
T - 1 to the last row, along with its label.
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
    """Return Corollary 1's weights.

    Args:
        gamma: sharpness, positive and finite.
        labels: N, at least 2.
        length: T, at least 3.
        dtype: of the weights.

    Raises:
        ValueError: naming the argument that is out of range.

    Example:
        >>> import jax
        >>> prompt = jnp.asarray([3, 7, 6, 0, 7, 2, 3, 6, 0, 3])  # the path from 3 to 0 goes by 6
        >>> f2, f1 = jax.jit(forward)(circuit(20.0, labels=10, length=10), prompt).outputs
        >>> int(f1.argmax()), int(f2.argmax())
        (6, 0)
    """
    if not isinstance(gamma, Tracer):
        checks.require(bool(0 < gamma < float("inf")), "gamma", "must be positive and finite", gamma)
    checks.integer("labels", labels, min_value=2)
    checks.integer("length", length, min_value=3)
    shift = jnp.eye(length, k=-1, dtype=dtype)
    cancel_self_match = jnp.zeros((length, length), dtype).at[-2, -2].set(-1)
    return (
        Layer(jnp.zeros((labels, labels), dtype), gamma * shift),
        Layer(gamma * jnp.eye(labels, dtype=dtype), gamma * cancel_self_match),
    )


def saturated(tokens: Tokens, labels: int) -> Activations:
    """Return the circuit's activations in the limit of infinite gamma (Theorem 1).

    Args:
        tokens: node labels [T].
        labels: N.

    Returns:
        Activations whose attention is one-hot, or uniform over ties.

    Example:
        >>> acts = saturated(jnp.asarray([3, 7, 6, 0, 7, 2, 3, 6, 0, 3]), labels=10)
        >>> int(acts.attention[1][-1].argmax())  # position 3 holds u_end in the edge (v, u_end)
        3
    """
    return forward(circuit(1.0, labels, len(tokens)), tokens, log_hardmax)


def log_hardmax(logits: Float[Array, "rows T"]) -> Float[Array, "rows T"]:
    """Return lim log softmax(gamma logits), gamma to infinity: each row is uniform over its largest logits."""
    largest = logits == jnp.max(logits, axis=-1, keepdims=True)
    log_share = -jnp.log(jnp.sum(largest, axis=-1, keepdims=True, dtype=logits.dtype))
    return jnp.where(largest, log_share, -jnp.inf)


def context_positions(tokens: Tokens | Sequence[int], goal: int) -> tuple[int, int]:
    """Return (t_v, t_end), the positions of v and u_end in the edge (v, u_end), counted from 0; t_v = t_end - 1.

    Args:
        tokens: node labels of the prompt [T], whose last two are its query.
        goal: label of u_end.

    Raises:
        ValueError: if the goal is not the target of exactly one edge.

    Example:
        >>> context_positions([3, 7, 6, 0, 7, 2, 3, 6, 0, 3], goal=0)
        (2, 3)
    """
    targets = [t for t in range(1, len(tokens) - 2, 2) if int(tokens[t]) == goal]
    checks.require(len(targets) == 1, "goal", "must be the target of exactly one edge of tokens", goal)
    return targets[0] - 1, targets[0]
