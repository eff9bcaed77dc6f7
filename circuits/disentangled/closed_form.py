"""The closed form of the disentangled transformer (Lemma 1), at any depth.

    A^(l) = Z W0^(l) Z^T + W1^(l)
    S^(0) = I,   S^(l) = softmax(MASK(S^(l-1) A^(l)))
    head on layer l = last row of S^(l) S^(l-1) ... S^(1) Z

At depth 2 the head on Layer 2 is f1, which predicts the next token, and the head on Layer 1 is f2, which
predicts the one after. All products with the one-hot Z are look-ups by label.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from circuits.disentangled.weights import Weights, check_prompt, sizes
from circuits.typing import Causal, Content, OverLabels, OverPositions, Position, Tokens


class Activations(NamedTuple):
    """Everything on the way, a tuple entry per layer.

    scores         A^(l), before the previous attention reads it
    logits         S^(l-1) A^(l), unmasked
    log_attention  log S^(l), -inf above the diagonal
    attention      S^(l), rows sum to 1
    outputs        the head on layer l, a distribution over labels: f2 first, f1 last at depth 2
    """

    scores: tuple[Position, ...]
    logits: tuple[Position, ...]
    log_attention: tuple[Position, ...]
    attention: tuple[Position, ...]
    outputs: tuple[OverLabels, ...]


def forward(
    weights: Weights,
    tokens: Tokens,
    log_normalise: Callable[[Float[Array, "rows T"]], Float[Array, "rows T"]] = jax.nn.log_softmax,
    last_row_only: bool = False,
) -> Activations:
    """All activations on one sequence. Callers vmap.

    ``log_normalise`` maps masked logits to log attention, row by row; ``circuit.log_hardmax`` gives the limit
    of infinite weights. With ``last_row_only`` the top layer computes its last query alone, which is all that
    losses read: its logits and attention then have one row instead of T.

    Raises ValueError for weights whose shapes do not fit the sequence or that are not finite, and for labels
    that the weights do not hold.
    """
    check_prompt(weights, tokens)
    scores, logits, log_attention, attention, outputs = [], [], [], [], []
    read, value = None, None
    for number, layer in enumerate(weights, start=1):
        rows = slice(-1, None) if last_row_only and number == len(weights) else slice(None)
        score = content_scores(layer.content, tokens) + layer.position
        logit = score[rows] if read is None else read[rows] @ score
        log_pattern = log_normalise(jnp.where(causal(len(tokens))[rows], logit, -jnp.inf))
        read = jnp.exp(log_pattern)
        value = read if value is None else read @ value
        scores.append(score)
        logits.append(logit)
        log_attention.append(log_pattern)
        attention.append(read)
        outputs.append(by_label(value[-1], tokens, sizes(weights)[0]))
    return Activations(tuple(scores), tuple(logits), tuple(log_attention), tuple(attention), tuple(outputs))


def content_scores(content: Content, tokens: Tokens) -> Position:
    """Z W0 Z^T: entry (i, j) is W0[g_i, g_j]."""
    return content[tokens[:, None], tokens[None, :]]


def by_label(row: OverPositions, tokens: Tokens, labels: int) -> OverLabels:
    """row Z: the mass of a row over positions, collected by label."""
    held = tokens[:, None] == jnp.arange(labels, dtype=tokens.dtype)
    return jnp.sum(jnp.where(held, row[:, None], 0), axis=0)


def causal(length: int) -> Causal:
    """MASK: query i sees keys j <= i."""
    return jnp.tril(jnp.ones((length, length), bool))
