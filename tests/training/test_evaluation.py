"""Accuracies against strings answered one token at a time by the naive transformer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.tasks.star.graph import StarGraph
from circuits.tasks.token_format import TokenFormat
from circuits.tasks.tree.graph import BinaryTree
from circuits.training import evaluation
from circuits.training.evaluation import accuracy
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from tests.cases import assert_close
from tests.transformer.models import random_model
from tests.transformer.naive_transformer import naive_logits

FORMATS = {
    "star": TokenFormat(StarGraph(2, 3, 8), "text", "start-goal"),
    "tree": TokenFormat(BinaryTree(4, 15), "pairs", "goal-start"),
}
HEADS = 2


def model_for(form: TokenFormat) -> Predictor:
    shape = {"layers": 1, "heads": 2, "width": 8, "activation": "relu", "dtype": "float64", "param_dtype": "float64"}
    config = TransformerConfig(**shape, vocab=form.vocab_size, positions=form.length - 1, prediction_heads=HEADS)
    return random_model(config, seed=3)


def best(model: Predictor, tokens: list[int]) -> list[list[int]]:
    """The most likely token of each head at each position."""
    parameters = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))
    return [[row.index(max(row)) for row in head] for head in naive_logits(model.config, parameters, tokens).tolist()]


def answered(model: Predictor, form: TokenFormat, prompt: list[int], teacherless: bool) -> list[int]:
    if teacherless:
        return best(model, prompt + [form.dummy_token] * (form.answer_length - 1))[0][form.prompt_length - 1 :]
    tokens = list(prompt)
    for _ in range(form.answer_length):
        tokens.append(best(model, tokens)[0][-1])
    return tokens[form.prompt_length :]


def cases(model: Predictor, form: TokenFormat, teacherless: bool) -> list[list[int]]:
    """Prompts at random; as answer the model's own, with one token changed, or two, or none."""
    rng, rows = np.random.default_rng(1), []
    for number in range(10):
        prompt = rng.integers(0, form.vocab_size, form.prompt_length).tolist()
        answer = answered(model, form, prompt, teacherless)
        for place in {0: [], 1: [0], 2: [form.answer_length - 1], 3: [0, 1], 4: [1]}[number % 5]:
            answer[place] = (answer[place] + 1) % form.vocab_size
        rows.append(prompt + answer)
    return rows


@pytest.mark.parametrize(("name", "teacherless"), [("star", False), ("tree", False), ("star", True)])
def test_shares_are_those_of_strings_compared_one_by_one(monkeypatch, name, teacherless):
    monkeypatch.setattr(evaluation, "CHUNK", 4)  # ten problems are two chunks and a half
    form = FORMATS[name]
    model, right = model_for(form), {key: [] for key in ("exact", "hard", "by_token", "forced", "ahead")}
    rows = cases(model, form, teacherless)
    for row in rows:
        prompt, answer = row[: form.prompt_length], row[form.prompt_length :]
        mine = answered(model, form, prompt, teacherless)
        seen = prompt + [form.dummy_token] * form.answer_length if teacherless else row
        guesses = best(model, seen[:-1])
        right["exact"].append(mine == answer)
        right["hard"].append(all(mine[place] == answer[place] for place in form.branching_positions))
        right["by_token"].append([a == b for a, b in zip(mine, answer, strict=True)])
        right["forced"].append([a == b for a, b in zip(guesses[0][form.prompt_length - 1 :], answer, strict=True)])
        right["ahead"].append([guesses[m][form.prompt_length - 1] == answer[m] for m in range(HEADS)])
    found = accuracy(model, form, jnp.asarray(rows), teacherless)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
    for key, flags in right.items():
        assert_close(getattr(found, key), np.mean(flags, axis=0), atol=1e-6)
    assert float(found.exact) == pytest.approx(0.2)
    assert float(found.exact) < float(found.hard) < 1
    assert float(found.exact) <= float(jnp.min(found.by_token)) < float(jnp.max(found.by_token))
    assert float(found.by_token[0]) == float(found.forced[0]) == float(found.ahead[0])
    assert np.array_equal(found.by_token, found.forced) == teacherless


def test_hard_tokens_are_those_that_branch():
    assert FORMATS["star"].branching_positions == (1,)
    assert FORMATS["tree"].branching_positions == (0, 1)
    deep = TokenFormat(BinaryTree(4, 16), "text", "start-goal")
    assert deep.branching_positions == (1, 2)


def test_a_model_that_knows_nothing_is_below_an_edge_follower(tiny):
    """Uniform guesses name one of 12 tokens; an edge-follower finds the first node in half of all problems."""
    form = tiny.task.format
    model = model_for(form)
    problems = np.random.default_rng(0).integers(0, 8, (200, form.length))
    found = accuracy(model, form, jnp.asarray(problems, jnp.int32))
    assert float(found.exact) < 0.1
    assert np.all(np.asarray(found.by_token) < 0.3)
