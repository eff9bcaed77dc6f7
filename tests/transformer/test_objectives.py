"""Eq. 1 and Eq. 2 against loops over sequences, positions and heads: targets, losses and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.transformer.objectives import batch_losses, parallel_targets, teacherless_inputs
from tests.cases import assert_close
from tests.transformer.models import VOCAB, random_model, small_config
from tests.transformer.naive_transformer import naive_logits

T, FIRST, HEADS, WEIGHTS = 7, 2, 3, (1.0, 0.25, 2.0)


def small(heads: int = HEADS):
    return random_model(small_config("biased", layers=1, heads=2, width=8, mlp_width=8, prediction_heads=heads))


def batch(rows: int = 2, seed: int = 0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, VOCAB, (rows, T)), jnp.int32)


def naive_losses(logits, tokens, first: int) -> list:
    """Return for head m the sum of -log p_m(x_{t+m}) over sequences and positions t, divided by B n."""
    losses = []
    for m in range(1, len(logits[0]) + 1):
        total = 0.0
        for row, x in zip(logits, tokens, strict=True):
            for t in range(first + 1, len(x)):  # t and m as in the paper, from 1
                if t + m <= len(x):
                    scores = row[m - 1][t - 1]
                    total -= scores[x[t + m - 1]] - np.log(np.sum(np.exp(scores)))
        losses.append(total / (len(tokens) * (len(tokens[0]) - 1 - first)))
    return losses


@pytest.mark.parametrize(
    ("length", "first", "heads"), [(2, 0, 1), (7, 0, 1), (7, 0, 6), (7, 2, 3), (7, 2, 4), (7, 5, 1)]
)
def test_targets_are_the_token_m_positions_ahead(length, first, heads):
    tokens = list(range(100, 100 + length))
    targets = parallel_targets(jnp.asarray(tokens), heads, first)
    for m in range(1, heads + 1):
        for column, t in enumerate(range(first + 1, length)):
            assert bool(targets.exists[m - 1, column]) == (t + m <= length)
            if t + m <= length:
                assert int(targets.tokens[m - 1, column]) == tokens[t + m - 1]
    assert targets.tokens.shape == (heads, length - 1 - first)
    assert bool(jnp.all(jnp.any(targets.exists, axis=1)))


@pytest.mark.parametrize(
    ("heads", "first", "message"),
    [
        (3, 2, "heads: must be at most 2"),
        (0, 2, "heads: must be at most 2"),
        (1, -1, "first: must be an integer between 0 and 3"),
        (1, 4, "first: must be an integer between 0 and 3"),
    ],
)
def test_targets_that_do_not_exist_are_errors(heads, first, message):
    with pytest.raises(ValueError, match=message):
        parallel_targets(jnp.arange(5), heads, first)


def test_more_heads_than_tokens_to_predict_is_an_error_of_the_loss_too():
    with pytest.raises(ValueError, match="heads: must be at most 2"):
        jax.eval_shape(lambda: batch_losses(small(), batch(), batch(), T - 3))


def test_teacherless_inputs_hide_the_answer():
    hidden = jax.jit(teacherless_inputs, static_argnums=(1, 2))
    for prompt in (0, 1, 3):
        found = hidden(jnp.asarray([5, 6, 7], jnp.int16), prompt, 9)
        assert found.tolist() == [5, 6, 7][:prompt] + [9] * (3 - prompt)
        assert found.dtype == jnp.int16


@pytest.mark.parametrize("first", [0, FIRST])
def test_losses_are_eq_2_by_loops(first):
    model, tokens = small(), batch()
    inputs = jnp.stack([teacherless_inputs(row, FIRST, 0) for row in tokens])
    assert not np.array_equal(inputs, tokens)
    parameters = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))
    ours = jax.jit(partial(batch_losses, first=first), static_argnames="first")
    for seen in (tokens, inputs):
        logits = [naive_logits(model.config, parameters, row[:-1]) for row in seen.tolist()]
        truth = np.array(naive_losses(logits, tokens.tolist(), first))
        assert np.all(truth > 0.5)
        assert_close(ours(model, seen, tokens), truth, atol=1e-12)


def test_one_head_is_next_token_prediction():
    """Eq. 1: the mean over sequences and positions of -log p(x_{t+1})."""
    model, tokens = small(1), batch()
    found, logits = jax.jit(lambda m, x: (batch_losses(m, x, x, FIRST), jax.vmap(m)(x[:, :-1])))(model, tokens)
    scores = np.asarray(logits)[:, 0, FIRST:]
    log_p = scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    truth = -np.mean(np.take_along_axis(log_p, np.asarray(tokens)[:, FIRST + 1 :, None], axis=-1))
    assert_close(found, np.array([truth]), atol=1e-13)


def test_gradients_are_those_of_all_logits_at_once():
    graph, state = nnx.split(small())
    tokens = batch(1)

    def plain(state):
        log_p = jax.nn.log_softmax(jax.vmap(nnx.merge(graph, state))(tokens[:, :-1])[:, :, FIRST:], axis=-1)
        count, total = T - 1 - FIRST, 0.0
        for m, weight in enumerate(WEIGHTS):
            targets = tokens[:, FIRST + 1 + m :, None]
            total -= weight * jnp.sum(jnp.take_along_axis(log_p[:, m, : count - m], targets, axis=-1))
        return total / (HEADS * count * len(tokens))

    def ours(state):
        return jnp.dot(jnp.asarray(WEIGHTS), batch_losses(nnx.merge(graph, state), tokens, tokens, FIRST)) / HEADS

    found, truth = jax.jit(lambda state: (jax.value_and_grad(ours)(state), jax.value_and_grad(plain)(state)))(state)
    assert_close(found, truth, atol=1e-12)
    # Every parameter that can matter has a gradient: a bias of keys moves all scores of a query alike.
    flat = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.flatten_with_path(found[1])[0]}
    zero = {name for name, leaf in flat.items() if float(jnp.max(jnp.abs(leaf))) < 1e-8}
    assert all("'key'" in name and "'bias'" in name for name in zero), zero
