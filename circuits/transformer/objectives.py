"""Training objectives of one sequence: next-token, multi-token (Eq. 2) and teacherless prediction.

In the paper's notation, which counts from 1: the tokens are x_1 .. x_T, of which the first ``prompt`` are the prompt.
A model reads x_1 .. x_{T-1}, and from the stream at position t, prediction head m = 1..k predicts x_{t+m}. For a loss
over the answer alone, t = prompt .. T - 1; otherwise t = 1 .. T - 1.

    loss = 1/n Σ_t 1/k Σ_m w_m (-log p_m(x_{t+m} | x_1 .. x_t)),   n positions t, terms with t + m > T omitted

With w = 1 this is Eq. 2 of arXiv:2604.11912; with k = 1 it is next-token prediction, Eq. 1. As in the paper, the
divisor n k also counts the omitted terms.
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
    """The token that each head should predict at each position of the loss, and whether there is one."""

    tokens: Int[Array, "*B k n"]
    exists: Bool[Array, "*B k n"]


def parallel_targets(tokens: Int[Array, " T"], heads: int, first: int) -> Targets:
    """Return the target of each head at positions ``first`` .. T - 2: head m's is the token m + 1 positions ahead.

    Targets past the end of the sequence do not exist. Raises ValueError unless 0 <= ``first`` < T - 1, and if the last
    head has no target, which is so for more heads than tokens to predict.
    """
    length = tokens.shape[0]
    checks.integer("first", first, min_value=0, max_value=length - 2)
    remaining = length - 1 - first
    rule = f"must be at most {remaining}, the number of tokens to predict"
    checks.require(1 <= heads <= remaining, "heads", rule, heads)
    positions = jnp.arange(first, length - 1)[None] + jnp.arange(1, heads + 1)[:, None]
    return Targets(tokens[jnp.minimum(positions, length - 1)], positions < length)


def teacherless_inputs(tokens: Int[Array, " T"], prompt: int, dummy: int) -> Int[Array, " T"]:
    """Return the sequence with every token of the answer replaced by a dummy (Bachmann & Nagarajan 2024)."""
    return jnp.where(jnp.arange(tokens.shape[0]) < prompt, tokens, jnp.asarray(dummy, tokens.dtype))


def batch_losses(
    model: Predictor | OneLayer,
    inputs: Int[Array, "B T"],
    tokens: Int[Array, "B T"],
    first: int,
    token_weights: Float[Array, " V"] | None = None,
    pad: int | None = None,
) -> Float[Array, " k"]:
    """Return the summed cross-entropy of each head over a batch, divided by the number of targets of head 0.

    The divisor is B n without padding. The loss is the sum of the entries with weights w_m / k. Targets equal to
    ``pad``, which only follows the end token, are omitted. ``token_weights`` multiply the term of each target but do
    not change the divisor.

    The model reads ``inputs``, which are ``tokens`` except in teacherless training; heads that read later tokens take
    them from ``inputs`` too. The heads run one at a time, so only the memory of the streams, k n d, grows with k.
    """
    targets = _flat(_batch_targets(tokens, model.config.prediction_heads, first, pad))
    weights = None if token_weights is None else token_weights[targets.tokens]
    sums = _loss_sums(model, inputs[:, :-1], first, targets, weights)
    if pad is None:
        return sums / targets.exists.shape[1]
    return sums / jnp.maximum(1, jnp.sum(targets.exists[0])).astype(sums.dtype)


def target_shares(tokens: Int[Array, "B T"], heads: int, first: int, pad: int | None = None) -> Float[Array, " k"]:
    """Return the number of targets of each head divided by that of head 0, in float32.

    ``batch_losses`` divided by these are the mean cross-entropies. Raises ValueError as ``parallel_targets`` does.
    """
    targets = _flat(_batch_targets(tokens, heads, first, pad))
    counts = jnp.sum(targets.exists, axis=1, dtype=jnp.float32)
    return counts / jnp.maximum(counts[0], 1)


def _batch_targets(tokens: Int[Array, "B T"], heads: int, first: int, pad: int | None) -> Targets:
    """Return the targets [B, k, n] of each row; padding is marked as not existing."""
    targets = jax.vmap(lambda row: parallel_targets(row, heads, first))(tokens)
    return targets if pad is None else targets._replace(exists=targets.exists & (targets.tokens != pad))


def _flat(targets: Targets) -> Targets:
    """Return targets [k, B n] from [B, k, n]."""
    return Targets(*(jnp.moveaxis(part, 1, 0).reshape(part.shape[1], -1) for part in targets))


def _loss_sums(
    model: Predictor | OneLayer,
    inputs: Int[Array, "B inputs"],
    first: int,
    targets: Targets,
    weights: Float[Array, "k targets"] | None,
) -> Float[Array, " k"]:
    """Return the sum of cross-entropies of each head."""
    if isinstance(model, OneLayer):
        logits = jnp.moveaxis(jax.vmap(model)(inputs)[:, :, first:], 1, 0)
        return logit_losses(logits.reshape(logits.shape[0], -1, logits.shape[-1]), *targets, weights)
    embedding, precision = model.transformer.tokens[...], model.config.precision
    if isinstance(model.heads, LinearHeads):
        final = jax.vmap(lambda row: model.transformer(row)[0])(inputs)[:, first:]
        kernels = model.heads.stacked(embedding)
        return head_losses(final.reshape(-1, final.shape[-1]), kernels, *targets, precision, weights)
    streams = jax.vmap(lambda row: jnp.stack([*model.streams(row, remat=True)]), out_axes=1)(inputs)[:, :, first:]
    flat = streams.reshape(streams.shape[0], -1, streams.shape[-1])
    return shared_losses(flat, model.heads.kernel(embedding), *targets, precision, weights)
