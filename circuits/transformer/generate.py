"""Greedy decoding of one prompt with a KV cache; callers vmap."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.one_layer import module as one_layer
from circuits.one_layer.config import OneLayerConfig
from circuits.one_layer.module import OneLayer
from circuits.transformer.block import KVCache
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor


def greedy(
    model: Predictor | OneLayer,
    prompt: Int[Array, " prompt"],
    max_new_tokens: int,
    end: int | None = None,
    pad: int | None = None,
) -> Int[Array, " {max_new_tokens}"]:
    """Return a greedy continuation: each token is the most likely one under prediction head 0.

    Ties go to the lowest id. Decoding stops at an ``end`` token.

    Args:
        model: the model; the KV cache holds all of its positions.
        prompt: ids [prompt]; vmap over a batch.
        max_new_tokens: number of tokens to return; prompt and answer together have at most ``config.positions + 1``.
        end: the token that ends an answer. None: no token does.
        pad: the token that fills the rest of the answer after ``end``. None: ``end`` itself.

    Returns:
        Ids [max_new_tokens] in int32.

    Raises:
        ValueError: naming the argument that is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> config = TransformerConfig(vocab=7, positions=9, layers=1, heads=2, width=8)
        >>> greedy(Predictor(config, nnx.Rngs(0)), jnp.asarray([3, 1], jnp.int32), max_new_tokens=4).shape
        (4,)
    """
    check_request(model.config, prompt, max_new_tokens, end, pad)
    if isinstance(model, OneLayer):
        return pad_after_end(one_layer.greedy(model, prompt, max_new_tokens), end, pad)
    return pad_after_end(_greedy(model, prompt, max_new_tokens, end), end, pad)


def check_request(
    config: TransformerConfig | OneLayerConfig,
    prompt: Int[Array, " prompt"],
    max_new_tokens: int,
    end: int | None,
    pad: int | None,
) -> None:
    """Check the arguments of ``greedy``. Raises ValueError naming the one that is out of range."""
    checks.integer("max_new_tokens", max_new_tokens, min_value=1)
    longest = config.positions + 1
    fits = prompt.shape[0] + max_new_tokens <= longest
    rule = f"must leave prompt and answer at most {longest} tokens long"
    checks.require(fits, "max_new_tokens", rule, max_new_tokens)
    for argument, token in (("end", end), ("pad", pad)):
        if token is not None:
            checks.integer(argument, token, min_value=0, max_value=config.vocab - 1)
    checks.require(pad is None or end is not None, "pad", "must be none without an end token", pad)
    checks.token_sequence("prompt", prompt, vocab=config.vocab, positions=config.positions)


def pad_after_end(tokens: Int[Array, " A"], end: int | None, pad: int | None) -> Int[Array, " A"]:
    """Return the tokens up to the first ``end``, followed by ``pad``, or ``end`` if no pad is given."""
    if end is None:
        return tokens
    before = jnp.append(jnp.asarray(False), tokens[:-1] == end)
    after = jnp.cumsum(before) > 0
    return jnp.where(after, jnp.asarray(end if pad is None else pad, tokens.dtype), tokens)


def _greedy(model: Predictor, prompt: Int[Array, " prompt"], count: int, end: int | None) -> Int[Array, " {count}"]:
    """Return the tokens; those after an ``end`` token are undefined."""
    final, kv_cache = model.transformer(prompt, model.transformer.empty_cache())
    tokens = jnp.zeros(count, jnp.int32).at[0].set(best_tokens(model, final[-1:])[0])

    def unfinished(state: tuple[Int[Array, ""], Int[Array, " A"], KVCache]):
        made, tokens, _ = state
        return (made < count) if end is None else (made < count) & (tokens[made - 1] != end)

    def step(state: tuple[Int[Array, ""], Int[Array, " A"], KVCache]):
        made, tokens, kv_cache = state
        final, kv_cache = model.transformer(tokens[made - 1][None], kv_cache, prompt.shape[0] + made - 1)
        return made + 1, tokens.at[made].set(best_tokens(model, final)[0]), kv_cache

    return jax.lax.while_loop(unfinished, step, (jnp.int32(1), tokens, kv_cache))[1]


def best_tokens(model: Predictor, stream: Float[Array, "n d"], head: int = 0) -> Int[Array, " n"]:
    """Return the most likely token under a prediction head, from each row of the stream that the head unembeds."""
    return jnp.argmax(model.logits(stream, head), axis=-1).astype(jnp.int32)
