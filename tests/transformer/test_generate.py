"""Greedy decoding with a cache against a loop of whole forward passes without one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.transformer.generate import greedy
from tests.transformer.models import POSITIONS
from tests.transformer.models import small_config
from tests.transformer.models import random_tokens
from tests.transformer.models import random_model
from tests.transformer.naive_transformer import naive_logits

SMALL = {"layers": 1, "width": 8, "heads": 2}
greedy_of = jax.jit(greedy, static_argnames="count")


def naive_greedy(model, prompt: list[int], count: int) -> list[int]:
    parameters = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))
    tokens = list(prompt)
    for _ in range(count):
        scores = naive_logits(model.config, parameters, tokens)[0, -1].tolist()
        tokens.append(scores.index(max(scores)))
    return tokens[len(prompt) :]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("biased", SMALL),
        ("llama", SMALL | {"kv_heads": 1, "layers": 2}),
        ("neox", SMALL | {"width": 16, "heads": 4}),
        ("mistral", SMALL),
        ("qwen", SMALL | {"kv_heads": 1}),
    ],
)
def test_tokens_are_those_of_whole_forward_passes(name, changes):
    """Up to the last position: nothing reads the last token, so the text may be one longer."""
    model, length = random_model(small_config(name, **changes)), 4
    prompts = jnp.stack([random_tokens(length, seed) for seed in range(6)])
    found = jax.jit(jax.vmap(lambda prompt: greedy(model, prompt, POSITIONS + 1 - length)))(prompts)
    assert found.dtype == jnp.int32
    truth = [naive_greedy(model, prompt, POSITIONS + 1 - length) for prompt in prompts.tolist()]
    assert found.tolist() == truth
    assert len({tuple(answer) for answer in truth}) > 3, "the prompt must matter"
    assert len({token for answer in truth for token in answer}) > 3


def test_one_token_and_a_prompt_of_one_token():
    model = random_model(small_config("gpt", **SMALL))
    assert greedy_of(model, random_tokens(POSITIONS), count=1).tolist() == naive_greedy(model, random_tokens().tolist(), 1)
    assert greedy_of(model, random_tokens(1), count=3).tolist() == naive_greedy(model, random_tokens(1).tolist(), 3)


def test_of_equally_likely_tokens_the_lowest():
    model = random_model(small_config("gpt", **SMALL))
    model.heads.kernels[...] = jnp.zeros_like(model.heads.kernels[...])
    assert greedy_of(model, random_tokens(3), count=2).tolist() == [0, 0]
    model.heads.kernels[0, :, 5:8] = 1e3 * jnp.ones((8, 3)) * jnp.sign(model.transformer(random_tokens(3))[0][-1].sum())
    assert greedy_of(model, random_tokens(3), count=1).tolist() == [5]


@pytest.mark.parametrize(
    ("length", "count", "message"),
    [
        (4, 0, "count: must be an integer at least 1, got 0"),
        (4, -1, "count: must be an integer at least 1, got -1"),
        (4, 7, "count: must leave prompt and answer at most 10 tokens long, got 7"),
        (9, 2, "count: must leave prompt and answer at most 10 tokens long, got 2"),
        (11, 1, "count: must leave prompt and answer at most 10 tokens long, got 1"),
    ],
)
def test_lengths_out_of_range_are_errors(length, count, message):
    with pytest.raises(ValueError, match=message):
        greedy(random_model(small_config("gpt", **SMALL)), random_tokens(length), count)
