"""The disentangled transformer, literally (Definitions 1 and 2): the oracle of the closed form.

Full d x d weight matrices multiply a concatenated residual stream that doubles in width at every layer. This module
shares no code with ``closed_form``, and is slow.

Definition 2 gives every layer the block-diagonal matrix of Eq. 4, (N + T) x (N + T), but layer l multiplies a stream of
width d_{l-1} = 2^(l-1) (N + T), so that the product is undefined from Layer 2 on. Footnote 2 gives the intended
meaning: queries come from the previous attention output, keys from the original tokens. So ``place_blocks`` puts the
two blocks at those rows and columns of a d_{l-1} x d_{l-1} matrix of zeros.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from circuits.disentangled.weights import Layer, Weights, check_prompt, sizes
from circuits.typing import OverLabels, Position, Tokens

Stream = Float[Array, "T d"]
Full = Float[Array, "d d"]


class LiteralActivations(NamedTuple):
    """Streams X^(0) .. X^(L), attention S^(1) .. S^(L), and the output of a prediction head on each layer."""

    streams: tuple[Float[Array, "T _"], ...]
    attention: tuple[Position, ...]
    outputs: tuple[OverLabels, ...]


def forward(weights: Weights, tokens: Tokens) -> LiteralActivations:
    """Return all activations, with X^(l) = [X^(l-1), attn(X^(l-1); W^(l))], for any depth.

    ``outputs[l - 1]`` is the last row of X^(L) V, where V selects the content block at the end of the attention output
    of layer l: f2 is ``outputs[0]`` and, at depth 2, f1 is ``outputs[1]``.

    Args:
        weights: one ``Layer`` for each layer.
        tokens: node labels of the prompt [T].

    Raises:
        ValueError: unless the weights fit the prompt and are finite, and all labels are in range(N).

    Example:
        >>> from circuits import circuit
        >>> prompt = jnp.asarray([3, 7, 6, 0, 7, 2, 3, 6, 0, 3])  # the path from 3 to 0 goes by 6
        >>> int(forward(circuit(20.0, labels=10, length=10), prompt).outputs[1].argmax())
        6
    """
    check_prompt(weights, tokens)
    labels, length = sizes(weights)
    streams = [embed(tokens, labels, weights[0].content.dtype)]
    attention = []
    for index, layer in enumerate(weights):
        pattern, attended = attn(streams[-1], place_blocks(layer, index))
        streams.append(jnp.concatenate([streams[-1], attended], axis=1))
        attention.append(pattern)
    final, base = streams[-1], labels + length
    outputs = tuple(
        final[-1] @ selector(final.shape[1], stream.shape[1] - base, labels, final.dtype) for stream in streams[1:]
    )
    return LiteralActivations(tuple(streams), tuple(attention), outputs)


def embed(tokens: Tokens, labels: int, dtype: jnp.dtype | type = jnp.float64) -> Stream:
    """Return X^(0), whose row t is the one-hot label of position t followed by the one-hot of t itself."""
    content = jax.nn.one_hot(tokens, labels, dtype=dtype)
    return jnp.concatenate([content, jnp.eye(len(tokens), dtype=dtype)], axis=1)


def attn(stream: Stream, weight: Full) -> tuple[Position, Stream]:
    """Return the pattern softmax(MASK(X W X^T)), and the pattern times X (Definition 1)."""
    logits = stream @ weight @ stream.T
    causal = jnp.tril(jnp.ones_like(logits, dtype=bool))
    pattern = jax.nn.softmax(jnp.where(causal, logits, -jnp.inf), axis=1)
    return pattern, pattern @ stream


def block_diagonal(layer: Layer) -> Full:
    """Return [[W0, 0], [0, W1]] (Eq. 4), of width N + T."""
    upper = jnp.pad(layer.content, ((0, 0), (0, layer.position.shape[1])))
    lower = jnp.pad(layer.position, ((0, 0), (layer.content.shape[1], 0)))
    return jnp.concatenate([upper, lower])


def place_blocks(layer: Layer, index: int) -> Full:
    """Return Eq. 4's blocks in the d_{l-1} x d_{l-1} matrix of layer l = ``index`` + 1, zero elsewhere.

    By footnote 2 the query block starts where the previous attention output starts in the stream, at d_{l-2},
    and the key block at the original tokens, at 0.
    """
    block = block_diagonal(layer)
    width = 2**index * len(block)
    row = width // 2 if index else 0
    return jnp.pad(block, ((row, width - len(block) - row), (0, width - len(block))))


def selector(width: int, start: int, labels: int, dtype: jnp.dtype | type = jnp.float64) -> Float[Array, "d N"]:
    """Return V, which selects N coordinates of the stream, beginning at ``start``."""
    return jnp.eye(width, labels, k=-start, dtype=dtype)
