"""Lossless greedy decoding in fewer passes: the further heads draft, the first head verifies (Leviathan et al. 2023;
drafts by the model's own heads as in Stern et al. 2018). One prompt; callers vmap or map.

After a pass the first p + 2 tokens are known: those up to place p, whose streams have been made from true tokens, and
the first head's own choice after it. Heads 2 .. k draft the k - 1 tokens that follow, from the stream at p; a head that
is given tokens finds the known and then the drafted ones. The next pass reads the known token and all drafts at once,
at places p + 1 .. p + k. The first head's choice at each of them is right as long as the drafts before it are what it
chose itself, so the longest such prefix is accepted, and one choice of its own. Keys and values of rejected places are
overwritten by the next pass, which covers them all.

Blocks inside heads keep keys and values of their own, and with them the stream that heads start from is kept. A head
that is given the token m <= k - 1 places on has used drafts at its last places, so each round makes anew a window of
the last k places. That is enough: place s leaves the window of p' at s <= p' - k, was last made when it was at most
the p of that round, and from tokens up to s + m <= p' - 1, which were known or drafts that have been accepted.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from circuits.transformer.block import Past
from circuits.transformer.generate import check_request, ended
from circuits.transformer.model import Predictor
from circuits.transformer.taps import UNTAPPED


class Speculated(NamedTuple):
    """What was decoded, and how. Entry m - 1 is of the drafts m places after the first head's own token.

    ``passes`` are forward passes after that over the prompt. A draft is ``offered`` when all before it in its pass
    were accepted. The last token of an answer counts as the first head's own, so drafts of it are not counted; then
    tokens up to the end = 1 + passes + Σ accepted, exactly.
    """

    tokens: Int[Array, "*B A"]
    passes: Int[Array, "*B"]
    offered: Int[Array, "*B drafts"]
    accepted: Int[Array, "*B drafts"]


class Rates(NamedTuple):
    """Shares by offset: accepted of offered (NaN where none was) and accepted of passes; tokens a forward pass.

    ``per_pass`` = 1 + Σ cumulative = (tokens decoded - those that the passes over prompts gave) / passes.
    """

    conditional: Float[np.ndarray, " drafts"]
    cumulative: Float[np.ndarray, " drafts"]
    per_pass: float


class _State(NamedTuple):
    """``place`` is p; ``ids`` holds known tokens and then drafts; ``base`` what heads start from, at every place."""

    place: Int[Array, ""]
    ids: Int[Array, " R"]
    past: Past
    base: Float[Array, "S d"]
    heads: tuple[Past, ...]
    passes: Int[Array, ""]
    offered: Int[Array, " drafts"]
    accepted: Int[Array, " drafts"]


def speculative(
    model: nnx.Module, prompt: Int[Array, " P"], count: int, end: int | None = None, pad: int | None = None
) -> Speculated:
    """The same tokens as ``greedy``, but for choices that rounding decides: products of other shapes round otherwise.

    Raises ValueError for a model that is no ``Predictor``, such as the one-layer model, and as ``greedy``.
    """
    if not isinstance(model, Predictor):
        raise ValueError(f"model: must be a transformer with prediction heads, got {type(model).__name__!r}")
    check_request(model.config, prompt, count, end, pad)
    length, last = prompt.shape[0], prompt.shape[0] + count - 2

    def going(state: _State):
        done = state.place >= last
        return ~done if end is None else ~(done | (state.ids[state.place + 1] == end))

    state = jax.lax.while_loop(going, partial(_round, model, last, end), _begin(model, prompt))
    tokens = ended(jax.lax.slice_in_dim(state.ids, length, length + count), end, pad)
    return Speculated(tokens, state.passes, state.offered, state.accepted)


def rates(found: Speculated) -> Rates:
    """Rates over all of a batch of decodings, or over one; without any pass they are NaN."""
    parts = (np.asarray(part) for part in (found.offered, found.accepted))
    offered, accepted = (part.sum(axis=tuple(range(part.ndim - 1))) for part in parts)
    with np.errstate(invalid="ignore"):
        conditional, cumulative = accepted / offered, accepted / np.asarray(found.passes).sum()
    return Rates(conditional, cumulative, 1 + float(cumulative.sum()))


def _begin(model: Predictor, prompt: Int[Array, " P"]) -> _State:
    """The pass over the prompt, the first head's token after it, and the first drafts."""
    config, body, length = model.config, model.transformer, prompt.shape[0]
    drafts = config.prediction_heads - 1
    room = config.positions + 2 * drafts
    streams, past = body.streams(prompt, body.empty_past(2 * drafts))
    ids = jnp.zeros(room + 2 * drafts + 2, jnp.int32).at[:length].set(prompt.astype(jnp.int32))
    ids = ids.at[length].set(_best(model, streams.final[-1:], 0)[0])
    base = model.heads.base(streams)
    seen = 1 if _window(model) <= 1 else length
    heads = model.heads.empty_past(room)
    ids, heads = _draft(model, ids, base[length - seen :], jnp.int32(length - seen), jnp.int32(seen - 1), heads)
    kept = jnp.zeros((room, config.width), base.dtype).at[:length].set(base)
    zero, none = jnp.int32(0), jnp.zeros(drafts, jnp.int32)
    return _State(jnp.int32(length - 1), ids, past, kept, heads, zero, none, none)


def _round(model: Predictor, last: int, end: int | None, state: _State) -> _State:
    """One pass: verify the drafts, accept, and draft anew. ``last`` is the place before that of the last token."""
    drafts, place = model.config.prediction_heads - 1, state.place
    read = jax.lax.dynamic_slice(state.ids, (place + 1,), (drafts + 1,))
    streams, past = model.transformer.streams(read, state.past, place + 1)
    chosen = _best(model, streams.final, 0)
    # The draft at place + 2 + j is counted unless it would be the last token.
    counted = place + 2 + jnp.arange(drafts, dtype=jnp.int32) <= last
    if end is not None:
        counted &= chosen[:-1] != end
    accepted = jnp.cumprod((counted & confirmed(read[1:], chosen)).astype(jnp.int32))
    offered = jnp.where(counted, jnp.append(jnp.int32(1), accepted)[:-1], 0)
    base = jax.lax.dynamic_update_slice(state.base, model.heads.base(streams), (place + 1, jnp.int32(0)))
    place = place + 1 + jnp.sum(accepted, dtype=jnp.int32)
    ids = jax.lax.dynamic_update_slice(state.ids, chosen, (state.place + 2,))
    width = _window(model)
    start = jnp.maximum(0, place - width + 1)
    window = jax.lax.dynamic_slice(base, (start, jnp.int32(0)), (width, base.shape[1]))
    ids, heads = _draft(model, ids, window, start, place - start, state.heads)
    totals = state.passes + 1, state.offered + offered, state.accepted + accepted
    return _State(place, ids, past, base, heads, *totals)


def confirmed(drafts: Int[Array, " drafts"], chosen: Int[Array, " k"]) -> Bool[Array, " drafts"]:
    """Which drafts are what the first head chose before them; true of the text as far as all before are."""
    return drafts == chosen[:-1]


def _draft(
    model: Predictor,
    ids: Int[Array, " R"],
    base: Float[Array, "w d"],
    start: Int[Array, ""],
    row: Int[Array, ""],
    past: tuple[Past, ...],
) -> tuple[Int[Array, " R"], tuple[Past, ...]]:
    """The drafts of all further heads at place start + row, written after the token known there.

    ``base`` is what they start from at places start, start + 1, ...; rows after ``row`` are of no account.
    """
    heads, norm, width, state, now = model.heads, model.transformer.norm, base.shape[0], base, []
    places = start + jnp.arange(width, dtype=jnp.int32)
    for head in range(1, model.config.prediction_heads):
        offset = heads.offset(head)
        known = jax.lax.dynamic_slice(ids, (start + offset,), (width,))
        given = model.transformer.embedded(known) if offset else None
        found = heads.step(head, state if heads.chained else base, given, places, past[head - 1], norm, UNTAPPED)
        state = found.state
        draft = _best(model, jax.lax.dynamic_slice_in_dim(found.stream, row, 1), head)
        ids = jax.lax.dynamic_update_slice(ids, draft, (start + row + head + 1,))
        now.append(found.past)
    return ids, tuple(now)


def _window(model: Predictor) -> int:
    """How many of the last places each round of drafts makes anew: that drafted from alone, if no head has blocks."""
    heads = model.config.prediction_heads
    return heads if any(model.heads.empty_past(1)) else min(1, heads - 1)


def _best(model: Predictor, stream: Float[Array, "n d"], head: int) -> Int[Array, " n"]:
    return jnp.argmax(model.logits(stream, head), axis=-1).astype(jnp.int32)
