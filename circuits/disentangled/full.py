"""The full two-layer disentangled transformer (Definition 2, unrestricted): what the reduced model is reduced from.

    X0 = [Z, I]                                  one-hot labels beside one-hot positions, of width d0 = N + T
    X_l = [X_{l-1}, S_l X_{l-1}]                 of width d_l = 2 d_{l-1}
    S_l = softmax(MASK(X_{l-1} W^(l) X_{l-1}^T))
    head k = X2[T] V_k                           logits over labels: V0 the next token, V1 the one after

Every entry of W^(1) (d0, d0), W^(2) (d1, d1) and of V0, V1 (d2, N) is free, where the paper's reduced model keeps
one content and one position block a layer and fixed selectors for heads. And the heads give logits, followed by a
softmax, where the reduced model's outputs are probabilities already.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from circuits import checks
from circuits.disentangled.literal import embed, placed, selector
from circuits.disentangled.losses import Losses, require_two_layers
from circuits.disentangled.weights import Weights, check_label, sizes
from circuits.tasks.star.graph import replay_context
from circuits.typing import Label, OverLabels, Tokens


class FullWeights(NamedTuple):
    """W^(1), W^(2), V0 and V1. Row is the query's side, column the key's; a head's rows read the stream."""

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
    """Independent normal entries of the given standard deviation. Raises ValueError for sizes below 1."""
    checks.integer("labels", labels, min_value=1)
    checks.integer("length", length, min_value=1)
    base = labels + length
    shapes = (base, base), (2 * base, 2 * base), (4 * base, labels), (4 * base, labels)
    keys = jax.random.split(key, len(shapes))
    return FullWeights(*(scale * jax.random.normal(k, shape, dtype) for k, shape in zip(keys, shapes, strict=True)))


def embed_reduced(weights: Weights) -> FullWeights:
    """The reduced model as a full one: the same attention, and its outputs f1 and f2 as the logits of V0 and V1.

    The blocks go where footnote 2 says (``literal.placed``). V0 reads the labels of S2 S1 Z, which end X2; V1 those
    of S1 Z, which end X1. Raises ValueError unless the depth is 2.
    """
    require_two_layers(weights)
    labels, length = sizes(weights)
    base, dtype = labels + length, weights[0].content.dtype
    heads = (selector(4 * base, start, labels, dtype) for start in (3 * base, base))
    return FullWeights(*(placed(layer, number) for number, layer in enumerate(weights, start=1)), *heads)


def forward(weights: FullWeights, tokens: Tokens, last_row_only: bool = False) -> FullActivations:
    """All activations on one sequence. Callers vmap.

    With ``last_row_only`` Layer 2 computes its last query alone, which is all that the heads read: S2 and X2 then
    have one row instead of T.

    Raises ValueError for weights whose shapes do not fit the sequence or that are not finite, and for labels that
    they do not hold.
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
    """softmax(MASK(Q W K^T)), where Q are the last rows of K: each query sees the keys up to its own."""
    hidden = len(keys) - len(queries)
    causal = jnp.tril(jnp.ones((len(queries), len(keys)), bool), hidden)
    return jax.nn.softmax(jnp.where(causal, queries @ weight @ keys.T, -jnp.inf), axis=1)


def losses(weights: FullWeights, tokens: Tokens, y1: Label, y2: Label) -> Losses:
    """Cross-entropies in nats: V0 on Z with target y1, V0 on Z' with target y2, and V1 on Z with target y2.

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
    """Raise ValueError unless the weights fit a prompt's length, are finite and of one dtype, and hold its labels."""
    length, labels = tokens.shape[-1], weights.head_0.shape[-1]
    base = labels + length
    shapes = (base, base), (2 * base, 2 * base), (4 * base, labels), (4 * base, labels)
    for (name, array), shape in zip(weights._asdict().items(), shapes, strict=True):
        checks.shape(name, array, shape)
        rule = f"must have the dtype of weight_1, {weights.weight_1.dtype}"
        checks.require(array.dtype == weights.weight_1.dtype, name, rule, str(array.dtype))
        checks.finite(name, array)
    check_label("tokens", tokens, labels)


def cross_entropy(logits: OverLabels, target: Label) -> Float[Array, ""]:
    """-log softmax(logits)[target], in nats, in [0, inf)."""
    return -jax.nn.log_softmax(logits)[target]
