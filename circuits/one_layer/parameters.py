"""Parameters and variants of the one-layer model: ALPINE (arXiv:2405.09220) with transfer matrices (arXiv:2509.23186).

One layer, one attention head that attends only to the target node, one-hot embeddings, no residual stream. V counts all
tokens: nodes, end and padding.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from circuits import checks, display
from circuits.typing import Scalar


class Parameters(NamedTuple):
    """The matrices of the model; gradients have the same structure.

    Args:
        content: W^M [V, V], the feed-forward part; entry (current token i, next token).
        value: W^V [V, V], the value part; entry (target j, next token).
        transfers: W^T_1 .. W^T_{k-1} [k - 1, V, V]; entry (token of an earlier step, token of step n = 2 .. k).
        scale: kappa, the factor of the injected next token.
    """

    content: Float[Array, "V V"]
    value: Float[Array, "V V"]
    transfers: Float[Array, "transfers V V"]
    scale: Scalar

    _repr_html_ = display.html


class Options(NamedTuple):
    """The variant of the model.

    Args:
        chain: whether step n multiplies the logits of step n - 1 by its transfer matrix, instead of those of step 1.
        injection: whether steps from 2 on also read the next token, times kappa. Otherwise kappa has no effect.
    """

    chain: bool = False
    injection: bool = False

    _repr_html_ = display.html


def zeros(tokens: int, steps: int, dtype: jnp.dtype | type = jnp.float64) -> Parameters:
    """Return matrices of zeros, and kappa = 1.

    Args:
        tokens: V.
        steps: k, the number of prediction steps.
        dtype: of the parameters.

    Raises:
        ValueError: for a size below 1.

    Example:
        >>> zeros(tokens=5, steps=3).transfers.shape
        (2, 5, 5)
    """
    _check_sizes(tokens, steps)
    square = jnp.zeros((tokens, tokens), dtype)
    return Parameters(square, square, jnp.zeros((steps - 1, tokens, tokens), dtype), jnp.ones((), dtype))


def random(
    key: Key[Array, ""], tokens: int, steps: int, stddev: float = 0.02, dtype: jnp.dtype | type = jnp.float64
) -> Parameters:
    """Return matrices of independent normal entries, and kappa = 1.

    Args:
        key: random key.
        tokens: V.
        steps: k, the number of prediction steps.
        stddev: standard deviation of the entries.
        dtype: of the parameters.

    Raises:
        ValueError: for a size below 1.

    Example:
        >>> random(jax.random.key(0), tokens=5, steps=3).content.shape
        (5, 5)
    """
    _check_sizes(tokens, steps)
    matrices = stddev * jax.random.normal(key, (steps + 1, tokens, tokens), dtype)
    return Parameters(matrices[0], matrices[1], matrices[2:], jnp.ones((), dtype))


def check(parameters: Parameters) -> None:
    """Raise ValueError unless the shapes agree, there is one dtype and every entry is finite."""
    square = parameters.content.shape
    checks.require(len(square) == 2 and square[0] == square[1], "content", "must be square", square)
    checks.shape("value", parameters.value, square)
    checks.shape("transfers", parameters.transfers, (parameters.transfers.shape[0], *square))
    dtype = parameters.content.dtype
    for name, leaf in parameters._asdict().items():
        checks.require(leaf.dtype == dtype, name, f"must have the dtype of content, {dtype}", str(leaf.dtype))
        checks.finite(name, leaf)


def _check_sizes(tokens: int, steps: int) -> None:
    checks.integer("tokens", tokens, min_value=1)
    checks.integer("steps", steps, min_value=1)
