"""The full two-layer disentangled transformer: Definition 2 without the paper's restriction to a reduced model.

    X0 = [Z, I]                                  one-hot labels and one-hot positions, of width d0 = N + T
    X_l = [X_{l-1}, S_l X_{l-1}]                 of width d_l = 2 d_{l-1}
    S_l = softmax(MASK(X_{l-1} W^(l) X_{l-1}^T))
    prediction head k = X2[T] V_k                logits over labels: V0 the next token, V1 the one after

Every entry of W^(1) [d0, d0], W^(2) [d1, d1] and of V0 and V1 [d2, N] is free. The paper's reduced model has one
content and one position block in each layer, and fixed selectors as heads. The heads here return logits, to which a
softmax is applied, while the outputs of the reduced model are already probabilities.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from circuits import checks
from circuits.disentangled.literal import embed, place_blocks, selector
from circuits.disentangled.losses import Losses, require_two_layers
from circuits.disentangled.weights import Weights, check_label, sizes
from circuits.tasks.star.graph import replay_context
from circuits.typing import Label, OverLabels, Tokens


class FullWeights(NamedTuple):
    """W^(1), W^(2) with entries (query coordinate, key coordinate), and V0, V1 with entries (coordinate, label)."""

    weight_1: Float[Array, "d0 d0"]
    weight_2: Float[Array, "d1 d1"]
    head_0: Float[Array, "d2 N"]
    head_1: Float[Array, "d2 N"]


class FullActivations(NamedTuple):
    """Streams X0, X1, X2; attention S1, S2; and the logits of V0 and V1 at the last position."""

    streams: tuple[Float[Array, "_ _"], ...]
    attention: tuple[Float[Array, "_ T"], ...]
    logits: tuple[OverLabels, OverLabels]


def random(
    key: Key[Array, ""], labels: int, length: int, scale: float | int = 1.0, dtype: jnp.dtype | type = jnp.float64
) -> FullWeights:
    """Return independent normal entries of standard deviation ``scale``. Raises ValueError for sizes below 1."""
    checks.integer("labels", labels, min_value=1)
    checks.integer("length", length, min_value=1)
    shapes = _shapes(labels, length)
    keys = jax.random.split(key, len(shapes))
    return FullWeights(*(scale * jax.random.normal(k, shape, dtype) for k, shape in zip(keys, shapes, strict=True)))


def embed_reduced(weights: Weights) -> FullWeights:
    """Return the reduced model as a full one: the same attention, and its outputs f1 and f2 as the logits of V0 and V1.

    The blocks are placed by footnote 2 (``literal.place_blocks``). V0 reads the labels of S2 S1 Z, which end X2; V1
    those of S1 Z, which end X1. Raises ValueError unless the depth is 2.
    """
    require_two_layers(weights)
    labels, length = sizes(weights)
    base, dtype = labels + length, weights[0].content.dtype
    heads = (selector(4 * base, start, labels, dtype) for start in (3 * base, base))
    return FullWeights(*(place_blocks(layer, index) for index, layer in enumerate(weights)), *heads)


def forward(weights: FullWeights, tokens: Tokens, last_row_only: bool = False) -> FullActivations:
    """Return all activations on one sequence; vmap over a batch.

    With ``last_row_only`` Layer 2 computes only its last query, which is all that the heads read. S2 and X2 then have
    one row instead of T.

    Raises ValueError for weights that do not fit the sequence or are not finite, and for labels outside range(N).
    """
    check(weights, tokens)
    rows = slice(-1, None) if last_row_only else slice(None)
    x0 = embed(tokens, weights.head_0.shape[1], weights.weight_1.dtype)
    s1 = pattern(x0, weights.weight_1, x0)
    x1 = jnp.concatenate([x0, s1 @ x0], axis=1)
    s2 = pattern(x1[rows], weights.weight_2, x1)
    x2 = jnp.concatenate([x1[rows], s2 @ x1], axis=1)
    return FullActivations((x0, x1, x2), (s1, s2), (x2[-1] @ weights.head_0, x2[-1] @ weights.head_1))


def pattern(
    queries: Float[Array, "rows d"], weight: Float[Array, "d d"], keys: Float[Array, "T d"]
) -> Float[Array, "rows T"]:
    """Return softmax(MASK(Q W K^T)) for queries at the last positions of the keys."""
    causal = jnp.tril(jnp.ones((len(queries), len(keys)), bool), len(keys) - len(queries))
    return jax.nn.softmax(jnp.where(causal, queries @ weight @ keys.T, -jnp.inf), axis=1)


def losses(weights: FullWeights, tokens: Tokens, y1: Label, y2: Label) -> Losses:
    """Return cross-entropies in nats: of V0 on Z for y1, of V0 on Z' for y2, and of V1 on Z for y2.

    Raises ValueError as ``forward`` does, and for targets outside range(N).
    """
    for argument, label in (("y1", y1), ("y2", y2)):
        check_label(argument, label, weights.head_0.shape[1])
    prompt = forward(weights, tokens, last_row_only=True)
    replay = forward(weights, replay_context(tokens, y1), last_row_only=True)
    return Losses(
        plan=cross_entropy(prompt.logits[0], y1),
        replay=cross_entropy(replay.logits[0], y2),
        goal=cross_entropy(prompt.logits[1], y2),
    )


def check(weights: FullWeights, tokens: Tokens) -> None:
    """Raise ValueError unless the weights fit the prompt, are finite and of one dtype, and labels are in range(N)."""
    length, labels, dtype = tokens.shape[-1], weights.head_0.shape[-1], weights.weight_1.dtype
    for (name, array), shape in zip(weights._asdict().items(), _shapes(labels, length), strict=True):
        checks.shape(name, array, shape)
        checks.require(array.dtype == dtype, name, f"must have the dtype of weight_1, {dtype}", str(array.dtype))
        checks.finite(name, array)
    check_label("tokens", tokens, labels)


def cross_entropy(logits: OverLabels, target: Label) -> Float[Array, ""]:
    """Return -log softmax(logits)[target], in nats, in [0, inf)."""
    return -jax.nn.log_softmax(logits)[target]


def _shapes(labels: int, length: int) -> tuple[tuple[int, int], ...]:
    base = labels + length
    return (base, base), (2 * base, 2 * base), (4 * base, labels), (4 * base, labels)
