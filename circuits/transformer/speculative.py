"""Lossless greedy decoding in fewer passes: prediction heads 1 .. k - 1 draft tokens, head 0 verifies them.

The scheme is that of Leviathan et al. (2023), with drafts from the model's own heads as in Stern et al. (2018). One
prompt at a time; callers vmap.

After a pass the first p + 2 tokens are known: those up to position p, whose streams were computed from correct tokens,
and head 0's own choice after it. Heads 1 .. k - 1 draft the k - 1 tokens that follow, from the stream at p; a head that
reads later tokens gets the known token and then the drafts. The next pass reads the known token and all drafts at once,
at positions p + 1 .. p + k. Head 0's choice at each of them is correct as long as the drafts before it equal its own
choices, so the longest such prefix is accepted, and one more choice. The next pass overwrites the keys and values of
all rejected positions.

Blocks inside heads have KV caches of their own, and the streams from which heads start are stored along with them. A
head that reads the token m <= k - 1 positions ahead has used drafts at its last positions, so each round recomputes a
window of the last k positions. That is enough: position s leaves the window of p' at s <= p' - k, was last computed
when it was at most the p of that round, and from tokens up to s + m <= p' - 1, which were known or accepted drafts.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from circuits.transformer.block import KVCache
from circuits.transformer.generate import best_tokens, check_request, pad_after_end
from circuits.transformer.heads import HeadContext
from circuits.transformer.model import Predictor
from circuits.transformer.taps import UNTAPPED


class SpeculativeOutput(NamedTuple):
    """Decoded tokens, and counts by prediction head: entry m - 1 counts the drafts of head m.

    ``passes`` are the forward passes after the one over the prompt. A draft is ``offered`` if all drafts before it in
    its pass were accepted. The last token of an answer counts as head 0's own, so drafts of it are not counted, and the
    number of tokens up to the end is exactly 1 + passes + Σ accepted.
    """

    tokens: Int[Array, "*B A"]
    passes: Int[Array, "*B"]
    offered: Int[Array, "*B drafts"]
    accepted: Int[Array, "*B drafts"]


class AcceptanceRates(NamedTuple):
    """How often drafts are accepted, by prediction head 1 .. k - 1."""

    conditional: Float[np.ndarray, " drafts"]
    """Accepted drafts divided by offered ones; NaN if none were offered."""
    cumulative: Float[np.ndarray, " drafts"]
    """Accepted drafts divided by passes."""
    per_pass: float
    """Tokens per forward pass, 1 + Σ cumulative, without the passes over prompts and their tokens."""


class _State(NamedTuple):
    """``position`` is p; ``ids`` are known tokens, then drafts; ``base`` are the streams from which heads start."""

    position: Int[Array, ""]
    ids: Int[Array, " capacity"]
    kv_cache: KVCache
    base: Float[Array, "S d"]
    head_caches: tuple[KVCache, ...]
    passes: Int[Array, ""]
    offered: Int[Array, " drafts"]
    accepted: Int[Array, " drafts"]


def speculative_greedy(
    model: nnx.Module,
    prompt: Int[Array, " prompt"],
    max_new_tokens: int,
    end: int | None = None,
    pad: int | None = None,
) -> SpeculativeOutput:
    """Return the tokens of ``greedy``, decoded in fewer passes.

    Near-ties may come out differently than in ``greedy``, because products of other shapes round differently.

    Args:
        model: a ``Predictor``; with one prediction head there is nothing to draft.
        prompt: ids [prompt]; vmap over a batch.
        max_new_tokens: number of tokens to return.
        end: the token that ends an answer. None: no token does.
        pad: the token that fills the rest of the answer after ``end``. None: ``end`` itself.

    Returns:
        Ids [max_new_tokens], and counts for ``acceptance_rates``.

    Raises:
        ValueError: if the model is no ``Predictor``, and as ``greedy`` does.

    Example:
        >>> from circuits.transformer import TransformerConfig
        >>> config = TransformerConfig(vocab=7, positions=9, prediction_heads=2, layers=1, heads=2, width=8)
        >>> output = speculative_greedy(Predictor(config, nnx.Rngs(0)), jnp.asarray([3, 1], jnp.int32), 4)
        >>> output.tokens.shape, 1 + int(output.passes) + int(output.accepted.sum()) == 4
        ((4,), True)
    """
    if not isinstance(model, Predictor):
        raise ValueError(f"model: must be a transformer with prediction heads, got {type(model).__name__!r}")
    check_request(model.config, prompt, max_new_tokens, end, pad)
    length, last = prompt.shape[0], prompt.shape[0] + max_new_tokens - 2

    def unfinished(state: _State):
        done = state.position >= last
        return ~done if end is None else ~(done | (state.ids[state.position + 1] == end))

    state = jax.lax.while_loop(unfinished, partial(_round, model, last, end), _begin(model, prompt))
    tokens = pad_after_end(jax.lax.slice_in_dim(state.ids, length, length + max_new_tokens), end, pad)
    return SpeculativeOutput(tokens, state.passes, state.offered, state.accepted)


def acceptance_rates(output: SpeculativeOutput) -> AcceptanceRates:
    """Return how often the drafts of each prediction head were accepted; NaN without any pass.

    Args:
        output: from ``speculative_greedy``, for one prompt or a batch.

    Example:
        >>> counts = {"passes": jnp.int32(4), "offered": jnp.array([4, 2]), "accepted": jnp.array([2, 1])}
        >>> acceptance_rates(SpeculativeOutput(jnp.arange(8), **counts))
        AcceptanceRates(conditional=array([0.5, 0.5]), cumulative=array([0.5 , 0.25]), per_pass=1.75)
    """
    parts = (np.asarray(part) for part in (output.offered, output.accepted))
    offered, accepted = (part.sum(axis=tuple(range(part.ndim - 1))) for part in parts)
    with np.errstate(invalid="ignore"):
        conditional, cumulative = accepted / offered, accepted / np.asarray(output.passes).sum()
    return AcceptanceRates(conditional, cumulative, 1 + float(cumulative.sum()))


def _begin(model: Predictor, prompt: Int[Array, " prompt"]) -> _State:
    """Return the state after the pass over the prompt, with head 0's token and the first drafts."""
    config, body, length = model.config, model.transformer, prompt.shape[0]
    drafts = config.prediction_heads - 1
    capacity = config.positions + 2 * drafts
    streams, kv_cache = body.streams(prompt, body.empty_cache(2 * drafts))
    ids = jnp.zeros(capacity + 2 * drafts + 2, jnp.int32).at[:length].set(prompt.astype(jnp.int32))
    ids = ids.at[length].set(best_tokens(model, streams.final[-1:])[0])
    base = model.heads.base(streams)
    width = 1 if _window(model) <= 1 else length
    start = jnp.int32(length - width)
    ids, head_caches = _draft(
        model, ids, base[length - width :], start, jnp.int32(width - 1), model.heads.empty_cache(capacity)
    )
    stored = jnp.zeros((capacity, config.width), base.dtype).at[:length].set(base)
    zero, none = jnp.int32(0), jnp.zeros(drafts, jnp.int32)
    return _State(jnp.int32(length - 1), ids, kv_cache, stored, head_caches, zero, none, none)


def _round(model: Predictor, last: int, end: int | None, state: _State) -> _State:
    """Verify the drafts in one pass, accept, and draft again; ``last`` is the last position but one."""
    drafts, position = model.config.prediction_heads - 1, state.position
    read = jax.lax.dynamic_slice(state.ids, (position + 1,), (drafts + 1,))
    streams, kv_cache = model.transformer.streams(read, state.kv_cache, position + 1)
    chosen = best_tokens(model, streams.final)
    # The draft at position + 2 + j counts unless it would be the last token.
    counts = position + 2 + jnp.arange(drafts, dtype=jnp.int32) <= last
    if end is not None:
        counts &= chosen[:-1] != end
    accepted = jnp.cumprod((counts & confirmed(read[1:], chosen)).astype(jnp.int32))
    offered = jnp.where(counts, jnp.append(jnp.int32(1), accepted)[:-1], 0)
    base = jax.lax.dynamic_update_slice(state.base, model.heads.base(streams), (position + 1, jnp.int32(0)))
    ids = jax.lax.dynamic_update_slice(state.ids, chosen, (position + 2,))
    position = position + 1 + jnp.sum(accepted, dtype=jnp.int32)
    width = _window(model)
    start = jnp.maximum(0, position - width + 1)
    window = jax.lax.dynamic_slice(base, (start, jnp.int32(0)), (width, base.shape[1]))
    ids, head_caches = _draft(model, ids, window, start, position - start, state.head_caches)
    totals = state.passes + 1, state.offered + offered, state.accepted + accepted
    return _State(position, ids, kv_cache, base, head_caches, *totals)


def confirmed(drafts: Int[Array, " drafts"], chosen: Int[Array, " k"]) -> Bool[Array, " drafts"]:
    """Return which drafts equal head 0's choices; a choice is correct as long as all drafts before it are."""
    return drafts == chosen[:-1]


def _draft(
    model: Predictor,
    ids: Int[Array, " capacity"],
    base: Float[Array, "window d"],
    start: Int[Array, ""],
    row: Int[Array, ""],
    head_caches: tuple[KVCache, ...],
) -> tuple[Int[Array, " capacity"], tuple[KVCache, ...]]:
    """Return ids with the drafts of heads 1 .. k - 1 at position start + row, and the heads' KV caches.

    ``base`` are the streams from which heads start at positions start, start + 1, ...; rows after ``row`` are ignored.
    """
    heads, norm, width, state, caches = model.heads, model.transformer.norm, base.shape[0], base, []
    positions = start + jnp.arange(width, dtype=jnp.int32)
    for head in range(1, model.config.prediction_heads):
        offset = heads.token_offset(head)
        known = jax.lax.dynamic_slice(ids, (start + offset,), (width,))
        token = model.transformer.embed(known) if offset else None
        started = state if heads.chained else base
        output = heads.step(head, started, HeadContext(token, positions, head_caches[head - 1], UNTAPPED), norm)
        state = output.state
        draft = best_tokens(model, jax.lax.dynamic_slice_in_dim(output.stream, row, 1), head)
        ids = jax.lax.dynamic_update_slice(ids, draft, (start + row + head + 1,))
        caches.append(output.kv_cache)
    return ids, tuple(caches)


def _window(model: Predictor) -> int:
    """Return how many of the last positions each round recomputes: only the last one if no head has blocks."""
    heads = model.config.prediction_heads
    return heads if any(model.heads.empty_cache(1)) else min(1, heads - 1)
