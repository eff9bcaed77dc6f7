"""What the one-layer model of ALPINE (arXiv:2405.09220) with transfer matrices (arXiv:2509.23186) has to learn.

One layer, one head, one-hot embeddings, attention fixed on the target node, no residual stream. V counts all tokens:
nodes, end and padding.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from circuits import checks
from circuits.typing import Scalar


class Parameters(NamedTuple):
    """The matrices of the model; gradients have the same form.

    Args:
        content: W^M, the feed-forward part: row the current token i, column the next token.
        value: W^V, the value part: row the target j, column the next token.
        transfers: W^T_1 .. W^T_{k-1}: row the token of an earlier step, column that of step n = 2 .. k.
        scale: kappa, by which the next token is injected.
    """

    content: Float[Array, "V V"]
    value: Float[Array, "V V"]
    transfers: Float[Array, "n V V"]
    scale: Scalar


class Options(NamedTuple):
    """Which of the variants of the model.

    Args:
        chain: step n is step n - 1 times its transfer matrix; otherwise each starts from step 1.
        injection: steps from 2 on see the next token, times kappa. Without it kappa does nothing.
    """

    chain: bool = False
    injection: bool = False


def zeros(tokens: int, steps: int, dtype: jnp.dtype | type = jnp.float64) -> Parameters:
    """All entries zero, and kappa 1. V = ``tokens``, k = ``steps``."""
    _check_sizes(tokens, steps)
    square = jnp.zeros((tokens, tokens), dtype)
    return Parameters(square, square, jnp.zeros((steps - 1, tokens, tokens), dtype), jnp.ones((), dtype))


def random(
    key: Key[Array, ""], tokens: int, steps: int, spread: float = 0.02, dtype: jnp.dtype | type = jnp.float64
) -> Parameters:
    """Independent normal entries of standard deviation ``spread``, and kappa 1."""
    _check_sizes(tokens, steps)
    drawn = spread * jax.random.normal(key, (steps + 1, tokens, tokens), dtype)
    return Parameters(drawn[0], drawn[1], drawn[2:], jnp.ones((), dtype))


def check(parameters: Parameters) -> None:
    """Raise ValueError unless the shapes belong together, there is one dtype and every entry is finite."""
    square = parameters.content.shape
    checks.require(len(square) == 2 and square[0] == square[1], "content", "must be square", square)
    checks.shape("value", parameters.value, square)
    checks.shape("transfers", parameters.transfers, (parameters.transfers.shape[0], *square))
    for name, leaf in parameters._asdict().items():
        same = leaf.dtype == parameters.content.dtype
        checks.require(same, name, f"must have the dtype of content, {parameters.content.dtype}", str(leaf.dtype))
        checks.finite(name, leaf)


def _check_sizes(tokens: int, steps: int) -> None:
    checks.integer("tokens", tokens, min_value=1)
    checks.integer("steps", steps, min_value=1)
