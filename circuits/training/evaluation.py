"""What a model gets right: greedy answers, and each token given the true ones before it."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from circuits.tasks.token_format import TokenFormat
from circuits.transformer.generate import greedy
from circuits.transformer.model import Predictor
from circuits.transformer.objectives import parallel_targets, teacherless_inputs

CHUNK = 256
"""Problems answered at once, which bounds the memory."""


class Accuracy(NamedTuple):
    """Shares of problems, from 0 to 1. A = tokens of an answer, k = heads.

    ``exact``: the whole greedy answer is right. ``hard``: every token of it that needs look-ahead is. ``by_token``:
    each token of the greedy answer. ``forced``: each token given the true ones before it. ``ahead``: head m's guess,
    m = 1..k, of the m-th token of the answer, from the prompt alone.
    """

    exact: Float[Array, ""]
    hard: Float[Array, ""]
    by_token: Float[Array, " A"]
    forced: Float[Array, " A"]
    ahead: Float[Array, " k"]


@partial(jax.jit, static_argnames=("form", "teacherless"))
def accuracy(model: Predictor, form: TokenFormat, problems: Int[Array, "n T"], teacherless: bool = False) -> Accuracy:
    """Shares over problems given as tokens, answers included.

    A teacherless model answers as it was trained: in one pass over the prompt and dummies; there ``forced`` is the
    same as ``by_token``.
    """
    one = partial(_one, model, form, teacherless)
    right = jax.lax.map(one, problems.astype(jnp.int32), batch_size=min(CHUNK, problems.shape[0]))
    return jax.tree.map(lambda flags: jnp.mean(flags, axis=0, dtype=jnp.float32), right)


def _one(model: Predictor, form: TokenFormat, teacherless: bool, tokens: Int[Array, " T"]) -> Accuracy:
    prompt, answer = tokens[: form.prompt_length], tokens[form.prompt_length :]
    seen = teacherless_inputs(tokens, form.prompt_length, form.dummy_token) if teacherless else tokens
    logits = model(seen[:-1])[:, form.prompt_length - 1 :]
    forced = _best(logits[0]) == answer
    right = forced if teacherless else greedy(model, prompt, form.answer_length) == answer
    hard = jnp.all(right[jnp.asarray(form.branching_positions, jnp.int32)])
    return Accuracy(jnp.all(right), hard, right, forced, _ahead(logits, tokens, form))


def _ahead(logits: Float[Array, "k A V"], tokens: Int[Array, " T"], form: TokenFormat) -> Bool[Array, " k"]:
    wanted = parallel_targets(tokens, logits.shape[0], form.prompt_length - 1).tokens[:, 0]
    return _best(logits[:, 0]) == wanted


def _best(logits: Float[Array, "n V"]) -> Int[Array, " n"]:
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)
