"""The one-layer model as a module: losses, gradients and greedy answers are those of ``circuits.one_layer``."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.one_layer.counts import counts
from circuits.one_layer.losses import objective
from circuits.one_layer.module import COPY, OneLayer, from_parameters, greedy, options_of
from circuits.one_layer.parameters import Options
from circuits.transformer.config import TransformerConfig
from circuits.transformer.objectives import batch_losses
from tests.cases import assert_close
from tests.one_layer.lines import LINES, PAD, VARIANTS, VOCAB, drawn

POSITIONS, STEPS, WEIGHTS = LINES.shape[1] - 1, 3, (1.0, 0.5, 2.0)


def shape(options: Options = VARIANTS[1], steps: int = STEPS, **changes) -> TransformerConfig:
    kind = "transfer" if steps > 1 else "linear"
    given = {"kind": "one-layer", "head_kind": kind, "head_chain": options.chain, "injection": options.injection}
    sizes = {"vocab": VOCAB, "positions": POSITIONS, "prediction_heads": steps, "param_dtype": "float64"}
    return TransformerConfig(**(sizes | given | changes))


@pytest.mark.parametrize("options", [VARIANTS[0], VARIANTS[3]], ids=str)
def test_loss_and_gradient_are_those_from_counts(options):
    model = from_parameters(shape(options), drawn(STEPS))
    graph, state = nnx.split(model)
    tokens, weights = jnp.asarray(LINES), jnp.asarray(WEIGHTS)

    def loss(state, first):
        each = batch_losses(nnx.merge(graph, state), tokens, tokens, first, pad=PAD)
        return weights @ each, each

    (_, each), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)(state, 2)
    data = counts(LINES, VOCAB, STEPS, PAD, options.injection)
    truth = objective(drawn(STEPS), data, options, weights)
    assert_close(each, truth.steps, atol=1e-13, rtol=1e-10)
    found = {name: gradient[name][...] for name in gradient}
    assert set(found) == {"content", "value", "transfers"} | ({"scale"} if options.injection else set())
    assert_close(found, {name: getattr(truth.gradient, name) for name in found}, atol=1e-13, rtol=1e-10)


def test_the_place_of_the_target_copies_the_source_and_has_no_gradient():
    model = from_parameters(shape(), drawn(STEPS))
    graph, state = nnx.split(model)
    tokens = jnp.asarray(LINES)

    logits = np.asarray(model(tokens[0, :-1]))
    assert np.argmax(logits[0, 1]) == LINES[0, 0]
    assert logits[0, 1].max() == COPY
    assert not logits[:, 0].any()
    assert not logits[1:, 1].any()

    def losses(state):
        early, late = (batch_losses(nnx.merge(graph, state), tokens, tokens, first, pad=PAD) for first in (1, 2))
        return jnp.sum(early), (early, late)

    (_, (early, late)), slopes = jax.jit(jax.value_and_grad(losses, has_aux=True))(state)
    number = np.sum(LINES[:, 3:] != PAD)
    share = number / (number + len(LINES))  # place 1 adds a target a line to the divisor
    constant = np.array([0.0, 1.0, 1.0]) * len(LINES) * np.log(VOCAB) / (number + len(LINES))
    assert_close(early, share * late + constant, atol=1e-12)
    data = counts(LINES, VOCAB, STEPS, PAD)
    truth = jax.jit(lambda p: objective(p, data, VARIANTS[1], jnp.ones(STEPS)))(drawn(STEPS)).gradient
    found = {name: slopes[name][...] for name in slopes}
    assert_close(found, {name: share * getattr(truth, name) for name in found}, atol=1e-13)


def test_logits_by_loops_over_places():
    parameters, line = drawn(STEPS), LINES[0]
    found = np.asarray(from_parameters(shape(VARIANTS[3]), parameters)(jnp.asarray(line[:-1])))
    content, value, transfers, scale = (np.asarray(leaf) for leaf in parameters)
    for place in range(2, len(line) - 1):
        x = content[line[place]] + value[line[1]]
        assert_close(found[0, place], x, atol=1e-13)
        x = x + (scale * np.eye(VOCAB)[line[place + 1]] if place + 1 < len(line) - 1 else 0)
        for n, matrix in enumerate(transfers, start=1):
            x = x @ matrix
            assert_close(found[n, place], x, atol=1e-12)


@pytest.mark.parametrize("given", [2, 4])
def test_greedy_answers_take_the_largest_logit_of_the_model(given):
    """Token by token from the model's own logits, as any other decoder would."""
    around = 5 * jnp.roll(jnp.eye(VOCAB), 1, axis=1)  # so that a path goes on
    model, count = from_parameters(shape(), drawn(STEPS)._replace(content=drawn(STEPS).content + around)), 4
    row, logits = LINES[0, :given].tolist(), jax.jit(model.__call__)
    for place in range(given - 1, given + count - 1):
        read = jnp.asarray(row + [PAD] * (POSITIONS - len(row)))  # what comes later is not seen
        row.append(int(np.argmax(np.asarray(logits(read))[0, place])))
    found = jax.jit(lambda ids: greedy(model, ids, count))(jnp.asarray(LINES[0, :given])).tolist()
    assert found == row[given:]
    assert (given > 2) or found[0] == LINES[0, 0]
    assert len(set(found)) > 1


def test_initial_parameters_are_those_of_the_config():
    config = shape(steps=2, vocab=60, embed_scale=0.3, param_dtype="float32")
    model = OneLayer(config, nnx.Rngs(0))
    assert {str(leaf.dtype) for leaf in model.parameters} == {"float32"}
    assert all(float(jnp.std(leaf)) == pytest.approx(0.3, abs=0.02) for leaf in model.parameters[:3])
    assert float(model.parameters.scale) == 1.0
    assert options_of(config) == Options(injection=True)


def test_one_step_has_no_transfer_matrix():
    single = from_parameters(shape(Options(), steps=1), drawn(1))
    assert set(nnx.state(single)) == {"content", "value"}
    assert single.parameters.transfers.shape == (0, VOCAB, VOCAB)
    assert jax.eval_shape(single.__call__, jnp.asarray(LINES[0, :-1])).shape == (1, POSITIONS, VOCAB)


def test_parameters_come_back():
    back = from_parameters(shape(), drawn(STEPS)).parameters
    assert_close(back, drawn(STEPS), atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OneLayer(replace(shape(), kind="standard"), nnx.Rngs(0)), "kind: must be one-layer for this model"),
        (
            lambda: OneLayer(shape(Options(), head_kind="meta"), nnx.Rngs(0)),
            "head_kind: must be transfer for more than one head of the one-layer model, got 'meta'",
        ),
        (lambda: OneLayer(shape(Options(), head_kind="linear"), nnx.Rngs(0)), "head_kind: must be transfer"),
        (lambda: OneLayer(shape(Options(), head_kind="sequential"), nnx.Rngs(0)), "head_kind: must be transfer"),
        (lambda: from_parameters(shape(), drawn(2)), r"transfers: must have shape \(2, 6, 6\), got \(1, 6, 6\)"),
        (lambda: from_parameters(shape(vocab=7), drawn(3)), r"content: must have shape \(7, 7\), got \(6, 6\)"),
        (
            lambda: from_parameters(shape(param_dtype="float32"), drawn(3)),
            "parameters: must have the config's param_dtype float32, got 'float64'",
        ),
    ],
)
def test_bad_configs_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("prompt", "count", "message"),
    [
        (LINES[0, :2], 0, "count: must be an integer at least 1, got 0"),
        (LINES[0, :2], 7, "count: must leave prompt and answer at most 8 tokens long, got 7"),
        (LINES[0, :1], 1, r"prompt: must hold source and target, got \(1,\)"),
        (np.array([0, 9]), 1, r"prompt: must hold ids in range\(6\), got \(0, 9\)"),
    ],
)
def test_bad_prompts_are_named(prompt, count, message):
    model = from_parameters(shape(), drawn(STEPS))
    with pytest.raises(ValueError, match=message):
        greedy(model, jnp.asarray(prompt), count)
    if count == 1:
        with pytest.raises(ValueError, match=message.replace("prompt", "tokens")):
            model(jnp.asarray(prompt))
