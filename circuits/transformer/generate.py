"""Greedy decoding of one prompt, with a cache of keys and values; callers vmap."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.one_layer import module as one_layer
from circuits.one_layer.module import OneLayer
from circuits.transformer.block import Past
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from circuits.transformer.token_check import check_tokens


def greedy(
    model: Predictor | OneLayer, prompt: Int[Array, " P"], count: int, end: int | None = None, pad: int | None = None
) -> Int[Array, " {count}"]:
    """The next ``count`` tokens, each the most likely one of the first head (standard next-token inference).

    Of equally likely tokens the one with the lowest id is taken. After the first ``end`` token no pass is made, and
    all are ``pad``, or ``end`` where none is given. Raises ValueError when prompt and answer together are longer than
    the model's positions, ``count`` is no positive integer, ``end`` or ``pad`` is outside the vocabulary or ``pad``
    stands without ``end``, or the prompt is a batch or holds an id outside the vocabulary.
    """
    check_request(model.config, prompt, count, end, pad)
    if isinstance(model, OneLayer):
        return ended(one_layer.greedy(model, prompt, count), end, pad)
    return ended(_greedy(model, prompt, count, end), end, pad)


def check_request(
    config: TransformerConfig, prompt: Int[Array, " P"], count: int, end: int | None, pad: int | None
) -> None:
    """Raise ValueError as ``greedy`` does."""
    checks.integer("count", count, min_value=1)
    length, most = prompt.shape[0] + count, config.positions + 1
    checks.require(length <= most, "count", f"must leave prompt and answer at most {most} tokens long", count)
    for argument, token in (("end", end), ("pad", pad)):
        if token is not None:
            checks.integer(argument, token, min_value=0, max_value=config.vocab - 1)
    checks.require(pad is None or end is not None, "pad", "must be none without an end token", pad)
    check_tokens("prompt", prompt, config)


def ended(tokens: Int[Array, " A"], end: int | None, pad: int | None) -> Int[Array, " A"]:
    """The same tokens up to the first ``end``, and after it ``pad``, or ``end`` where no pad is given."""
    if end is None:
        return tokens
    before = jnp.append(jnp.asarray(False), tokens[:-1] == end)
    after = jnp.cumsum(before) > 0
    return jnp.where(after, jnp.asarray(end if pad is None else pad, tokens.dtype), tokens)


def _greedy(model: Predictor, prompt: Int[Array, " P"], count: int, end: int | None) -> Int[Array, " {count}"]:
    """What follows an ``end`` is of no account."""
    final, past = model.transformer(prompt, model.transformer.empty_past())
    tokens = jnp.zeros(count, jnp.int32).at[0].set(_best(model, final[-1:]))

    def going(state: tuple[Int[Array, ""], Int[Array, " A"], Past]):
        made, tokens, _ = state
        return (made < count) if end is None else (made < count) & (tokens[made - 1] != end)

    def step(state: tuple[Int[Array, ""], Int[Array, " A"], Past]):
        made, tokens, past = state
        final, past = model.transformer(tokens[made - 1][None], past, prompt.shape[0] + made - 1)
        return made + 1, tokens.at[made].set(_best(model, final)), past

    return jax.lax.while_loop(going, step, (jnp.int32(1), tokens, past))[1]


def _best(model: Predictor, final: Float[Array, "1 d"]) -> Int[Array, ""]:
    return jnp.argmax(model.logits(final)[0]).astype(jnp.int32)
