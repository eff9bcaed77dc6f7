"""Greedy decoding of one prompt, with a cache of keys and values; callers vmap."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits import require
from circuits.transformer.model import Past, Predictor, check_tokens


def greedy(model: Predictor, prompt: Int[Array, " P"], count: int) -> Int[Array, " {count}"]:
    """The next ``count`` tokens, each the most likely one of the first head (standard next-token inference).

    Of equally likely tokens the one with the lowest id is taken. Raises ValueError when prompt and answer together
    are longer than the model's positions, ``count`` is no positive integer, or the prompt is a batch or holds an id
    outside the vocabulary.
    """
    require.integer("count", count, least=1)
    length, most = prompt.shape[0] + count, model.config.positions + 1
    require.that(length <= most, "count", f"must leave prompt and answer at most {most} tokens long", count)
    check_tokens("prompt", prompt, model.config)
    final, past = model.transformer(prompt, model.transformer.empty_past())
    first = _best(model, final[-1:])

    def step(state: tuple[Int[Array, ""], Past], place: Int[Array, ""]):
        token, past = state
        final, past = model.transformer(token[None], past, place)
        token = _best(model, final)
        return (token, past), token

    places = jnp.arange(prompt.shape[0], prompt.shape[0] + count - 1, dtype=jnp.int32)
    _, rest = jax.lax.scan(step, (first, past), places)
    return jnp.concatenate([first[None], rest])


def _best(model: Predictor, final: Float[Array, "1 d"]) -> Int[Array, ""]:
    return jnp.argmax(model.logits(final)[0]).astype(jnp.int32)
