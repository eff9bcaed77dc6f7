"""The vector fields as the paper prints them (Theorem 2, Eqs. 9 to 12), for comparison.

The library flows by ``fields.gradient_flow``, and the print differs from it: u_end is always the second token of an
edge, never the first, so Eq. 10's 1/(T - 2) is 2/(T - 2) for even offsets and 0 for odd ones; v is in two edges, so L1a
is not -log S2[T, t_end]; and Eqs. 11 and 12 are transposed.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits.disentangled.weights import Layer
from circuits.typing import OverPositions, Tokens

PhaseOne = Float[Array, " 3"]
"""(w_p, w_c, w_q): the weights of offset 1, of each offset k >= 2, and of offset 0."""


def phase_1(weights: PhaseOne, length: int = 10) -> PhaseOne:
    """Return Eqs. 9 and 10, with s_p + (T - 2) s_c + s_q = 1; w_q' = -s_q completes them.

    w_p' = -s_p + s_p / (s_p + s_c),   w_c' = -s_c + s_c / (s_p + s_c) / (T - 2)
    """
    context = length - 2
    largest = jnp.max(weights)
    p, c, q = jnp.exp(weights - largest)
    total = p + context * c + q
    return jnp.stack([-p / total + p / (p + c), -c / total + c / (p + c) / context, -q / total])


def phase_2(s2: OverPositions, tokens: Tokens, t_end: int | Int[Array, ""], labels: int) -> Layer:
    """Return Eqs. 11 and 12 on one graph, s = S2[T]: the gradients of L1a = -log s[t_end], in the layout of the print.

        dL1a/dW0^(2) = -(1/s[t_end]) Z^T J(s) e_{t_end} e_{u_end}^T
        dL1a/dW1^(2) = -(1/s[t_end]) J(s) e_{t_end} e_{T-1}^T

    with J(s) = diag(s) - s s^T. ``t_end`` is the position of u_end in its edge, counted from 0.
    """
    length = len(tokens)
    towards = jnp.zeros(length, s2.dtype).at[t_end].set(1) - s2  # J(s) e / s[t_end]
    content = jnp.zeros((labels, labels), s2.dtype).at[tokens, tokens[t_end]].add(-towards)
    position = jnp.zeros((length, length), s2.dtype).at[:, length - 2].set(-towards)
    return Layer(content, position)
