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

from circuits import checks
from circuits.one_layer.module import OneLayer
from circuits.transformer.heads import LinearHeads, head_losses, logit_losses, shared_losses
from circuits.transformer.model import Predictor

ObjectiveName = Literal["ntp", "mtp", "teacherless"]


class Targets(NamedTuple):
    """What each head should predict at each position that is counted, and which of it exists."""

    tokens: Int[Array, "*B k n"]
    exists: Bool[Array, "*B k n"]


def parallel_targets(tokens: Int[Array, " T"], heads: int, first: int) -> Targets:
    """For head m = 1..k and position t = first + 1 .. T - 1, the token x_{t+m}; it exists for t + m <= T.

    ``first`` counts from 0: the position of the first prediction. Raises ValueError unless 0 <= first < T - 1, and
    when the last head has no target at all: k larger than what is to be predicted.
    """
    length = tokens.shape[0]
    checks.integer("first", first, min_value=0, max_value=length - 2)
    left = length - 1 - first
    rule = f"must be at most {left}, the number of tokens to predict"
    checks.require(1 <= heads <= left, "heads", rule, heads)
    places = jnp.arange(first, length - 1)[None] + jnp.arange(1, heads + 1)[:, None]
    return Targets(tokens[jnp.minimum(places, length - 1)], places < length)


def teacherless_inputs(tokens: Int[Array, " T"], prompt: int, dummy: int) -> Int[Array, " T"]:
    """The same sequence with every token of the answer replaced by a dummy (Bachmann & Nagarajan 2024)."""
    return jnp.where(jnp.arange(tokens.shape[0]) < prompt, tokens, jnp.asarray(dummy, tokens.dtype))


def batch_losses(
    model: Predictor | OneLayer,
    inputs: Int[Array, "B T"],
    tokens: Int[Array, "B T"],
    first: int,
    token_weights: Float[Array, " V"] | None = None,
    pad: int | None = None,
) -> Float[Array, " k"]:
    """For each head, the sum over a batch of its cross-entropies over positions, divided by that of targets.

    The divisor of all heads is how many targets of the first head are counted: B n without a pad. Summed with weights
    w_m / k these are the loss. Targets equal to ``pad`` are not counted; padding stands after the end token alone, so
    nothing after the end is. ``token_weights`` multiply the term of each target and do not enter the divisor.

    ``inputs`` are what the model reads (``tokens`` themselves, but for teacherless training), injected tokens
    included: those that a counted target needs all stand in the first T - 1. The heads go one at a time, so memory
    does not grow with k but for streams, k n d.
    """
    wanted = _flat(_counted(tokens, model.config.prediction_heads, first, pad))
    weights = None if token_weights is None else token_weights[wanted.tokens]
    sums = _sums(model, inputs[:, :-1], first, wanted, weights)
    if pad is None:
        return sums / wanted.exists.shape[1]
    return sums / jnp.maximum(1, jnp.sum(wanted.exists[0])).astype(sums.dtype)


def target_shares(tokens: Int[Array, "B T"], heads: int, first: int, pad: int | None = None) -> Float[Array, " k"]:
    """For each head its counted targets over those of the first, in float32.

    ``batch_losses`` over these are the heads' mean cross-entropies. Raises ValueError as ``parallel_targets``.
    """
    counts = jnp.sum(_flat(_counted(tokens, heads, first, pad)).exists, axis=1, dtype=jnp.float32)
    return counts / jnp.maximum(counts[0], 1)


def _counted(tokens: Int[Array, "B T"], heads: int, first: int, pad: int | None) -> Targets:
    """Targets [B, k, n] of each row, of which those that are padding do not exist."""
    wanted = jax.vmap(lambda row: parallel_targets(row, heads, first))(tokens)
    return wanted if pad is None else wanted._replace(exists=wanted.exists & (wanted.tokens != pad))


def _flat(wanted: Targets) -> Targets:
    """From [B, k, n] to [k, B n]."""
    return Targets(*(jnp.moveaxis(part, 1, 0).reshape(part.shape[1], -1) for part in wanted))


def _sums(
    model: Predictor | OneLayer,
    inputs: Int[Array, "B t"],
    first: int,
    wanted: Targets,
    weights: Float[Array, "k m"] | None,
) -> Float[Array, " k"]:
    """Each head's sum of cross-entropies."""
    if isinstance(model, OneLayer):
        logits = jnp.moveaxis(jax.vmap(model)(inputs)[:, :, first:], 1, 0)
        return logit_losses(logits.reshape(logits.shape[0], -1, logits.shape[-1]), *wanted, weights)
    embedding, precision = model.transformer.tokens[...], model.config.precision
    if isinstance(model.heads, LinearHeads):
        final = jax.vmap(lambda row: model.transformer(row)[0])(inputs)[:, first:]
        kernels = model.heads.stacked(embedding)
        return head_losses(final.reshape(-1, final.shape[-1]), kernels, *wanted, precision, weights)
    streams = jax.vmap(lambda row: jnp.stack([*model.streams(row, forget=True)]), out_axes=1)(inputs)[:, :, first:]
    flat = streams.reshape(streams.shape[0], -1, streams.shape[-1])
    return shared_losses(flat, model.heads.kernel(embedding), *wanted, precision, weights)
