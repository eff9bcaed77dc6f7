"""Training objectives of one sequence: next-token, multi-token (Eq. 2) and teacherless prediction.

Tokens are x_1 .. x_T, of which the first ``prompt`` are given. A model reads x_1 .. x_{T-1}, and from the stream at
position t, head m = 1..k predicts x_{t+m}. With the answer alone counted, t runs from the end of the prompt,
t = prompt .. T - 1; otherwise from 1.

    loss = 1/n Σ_t 1/k Σ_m w_m (-log p_m(x_{t+m} | x_1 .. x_t)),   n positions t, terms with t + m > T left out

This is Eq. 2 for w = 1; k = 1 is next-token prediction, Eq. 1. As there, a term left out counts in the divisor.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from circuits import require
from circuits.transformer.heads import head_losses
from circuits.transformer.model import Predictor

ObjectiveName = Literal["ntp", "mtp", "teacherless"]


class Targets(NamedTuple):
    """What each head should predict at each position that is counted, and which of it exists."""

    tokens: Int[Array, "k n"]
    exists: Bool[Array, "k n"]


def parallel_targets(tokens: Int[Array, " T"], heads: int, first: int) -> Targets:
    """For head m = 1..k and position t = first + 1 .. T - 1, the token x_{t+m}; it exists for t + m <= T.

    ``first`` counts from 0: the position of the first prediction. Raises ValueError unless 0 <= first < T - 1, and
    when the last head has no target at all: k larger than what is to be predicted.
    """
    length = tokens.shape[0]
    require.integer("first", first, least=0, most=length - 2)
    left = length - 1 - first
    rule = f"must be at most {left}, the number of tokens to predict"
    require.that(1 <= heads <= left, "heads", rule, heads)
    places = jnp.arange(first, length - 1)[None] + jnp.arange(1, heads + 1)[:, None]
    return Targets(tokens[jnp.minimum(places, length - 1)], places < length)


def teacherless_inputs(tokens: Int[Array, " T"], prompt: int, dummy: int) -> Int[Array, " T"]:
    """The same sequence with every token of the answer replaced by a dummy (Bachmann & Nagarajan 2024)."""
    return jnp.where(jnp.arange(tokens.shape[0]) < prompt, tokens, jnp.asarray(dummy, tokens.dtype))


def batch_losses(
    model: Predictor, inputs: Int[Array, "B T"], tokens: Int[Array, "B T"], first: int
) -> Float[Array, " k"]:
    """For each head, the sum over a batch of its cross-entropies over positions, divided by B and by n.

    ``inputs`` are what the model reads (``tokens`` themselves, but for teacherless training). Summed with weights
    w_m / k these are the loss. The heads go one at a time, so memory does not grow with k.
    """
    final = jax.vmap(lambda row: model.transformer(row)[0])(inputs[:, :-1])[:, first:]
    wanted = jax.vmap(lambda row: parallel_targets(row, model.config.prediction_heads, first))(tokens)
    flat = Targets(*(jnp.moveaxis(part, 1, 0).reshape(part.shape[1], -1) for part in wanted))
    kernels = model.heads.stacked(model.transformer.tokens[...])
    sums = head_losses(final.reshape(-1, final.shape[-1]), kernels, flat.tokens, flat.exists, model.config.precision)
    return sums / (final.shape[0] * final.shape[1])
