"""Greedy decoding with a KV cache against a loop of whole forward passes without one."""

import jax
import jax.numpy as jnp
import pytest

from circuits.transformer.generate import greedy
from tests.transformer.models import POSITIONS, pure, random_model, random_tokens, small_config
from tests.transformer.naive_transformer import naive_logits

SMALL = {"layers": 1, "width": 8, "heads": 2}
jitted = jax.jit(greedy, static_argnames="max_new_tokens")


def naive_greedy(model, prompt: list[int], count: int) -> list[int]:
    parameters, tokens = pure(model), list(prompt)
    for _ in range(count):
        scores = naive_logits(model.config, parameters, tokens)[0, -1].tolist()
        tokens.append(scores.index(max(scores)))
    return tokens[len(prompt) :]


@pytest.mark.parametrize(
    ("name", "changes"), [("biased", SMALL), ("llama", SMALL | {"kv_heads": 1, "layers": 2}), ("mistral", SMALL)]
)
def test_tokens_are_those_of_whole_forward_passes(name, changes):
    """Up to the last position: nothing reads the last token, so the text may be one longer."""
    model, length = random_model(small_config(name, **changes)), 4
    prompts = jnp.stack([random_tokens(length, seed) for seed in range(6)])
    answers = jax.jit(jax.vmap(lambda prompt: greedy(model, prompt, POSITIONS + 1 - length)))(prompts)
    assert answers.dtype == jnp.int32
    truth = [naive_greedy(model, prompt, POSITIONS + 1 - length) for prompt in prompts.tolist()]
    assert answers.tolist() == truth
    assert len({tuple(answer) for answer in truth}) > 3, "the prompt must matter"
    assert len({token for answer in truth for token in answer}) > 3


def test_one_token_and_a_prompt_of_one_token():
    model = random_model(small_config("gpt", **SMALL))
    for length, count in ((POSITIONS, 1), (1, 3)):
        prompt = random_tokens(length)
        assert jitted(model, prompt, max_new_tokens=count).tolist() == naive_greedy(model, prompt.tolist(), count)


def test_of_equally_likely_tokens_the_lowest():
    model = random_model(small_config("gpt", **SMALL))
    kernels, first = jnp.zeros_like(model.heads.kernels[...]), []
    for size in (0.0, 1e3, -1e3):  # tokens 5 to 7 are equal, above or below all others
        model.heads.kernels[...] = kernels.at[0, :, 5:8].set(size)
        first.append(jitted(model, random_tokens(1), max_new_tokens=3).tolist()[0])
    assert first[0] == 0
    assert sorted(first[1:]) == [0, 5]


@pytest.mark.parametrize(("length", "count"), [(4, 0), (4, -1), (4, 7), (9, 2), (11, 1)])
def test_lengths_out_of_range_are_errors(length, count):
    with pytest.raises(ValueError, match=r"max_new_tokens: must (be an integer|leave prompt)"):
        greedy(random_model(small_config("gpt", **SMALL)), random_tokens(length), count)
