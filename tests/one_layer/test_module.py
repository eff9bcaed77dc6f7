"""The one-layer model as a module: losses, gradients and greedy answers are those of ``circuits.one_layer``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.one_layer.config import OneLayerConfig
from circuits.one_layer.counts import count_contexts
from circuits.one_layer.losses import objective
from circuits.one_layer.module import COPY_LOGIT, OneLayer, from_parameters, greedy
from circuits.one_layer.parameters import Options
from circuits.transformer.objectives import batch_losses
from tests.cases import FAST_TO_COMPILE, assert_close
from tests.one_layer.lines import LINES, PAD, VARIANTS, VOCAB, drawn

POSITIONS, STEPS, WEIGHTS = LINES.shape[1] - 1, 3, (1.0, 0.5, 2.0)
INJECTED = VARIANTS[1]


def config(options: Options = INJECTED, steps: int = STEPS, **changes) -> OneLayerConfig:
    sizes = {"vocab": VOCAB, "positions": POSITIONS, "prediction_heads": steps, "param_dtype": "float64"}
    return OneLayerConfig(**(sizes | options._asdict() | changes))


@pytest.mark.parametrize("options", [VARIANTS[0], VARIANTS[3]], ids=str)
def test_loss_and_gradient_are_those_from_counts(options):
    graph, state = nnx.split(from_parameters(config(options), drawn(STEPS)))
    tokens, weights = jnp.asarray(LINES), jnp.asarray(WEIGHTS)

    def loss(state):
        by_head = batch_losses(nnx.merge(graph, state), tokens, tokens, 2, pad=PAD)
        return weights @ by_head, by_head

    differentiate = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=FAST_TO_COMPILE)
    (_, by_head), gradient = differentiate(state)
    data = count_contexts(LINES, VOCAB, STEPS, PAD, options.injection)
    truth = objective(drawn(STEPS), data, options, weights)
    assert_close(by_head, truth.steps, atol=1e-13, rtol=1e-10)
    ours = {name: gradient[name][...] for name in gradient}
    assert set(ours) == {"content", "value", "transfers"} | ({"scale"} if options.injection else set())
    assert_close(ours, {name: getattr(truth.gradient, name) for name in ours}, atol=1e-13, rtol=1e-10)


def test_the_position_of_the_target_copies_the_source_and_has_no_gradient():
    model = from_parameters(config(), drawn(STEPS))
    graph, state = nnx.split(model)
    tokens = jnp.asarray(LINES)

    logits = np.asarray(model(tokens[0, :-1]))
    assert np.argmax(logits[0, 1]) == LINES[0, 0]
    assert logits[0, 1].max() == COPY_LOGIT
    assert not logits[:, 0].any()
    assert not logits[1:, 1].any()

    def losses(state):
        early, late = (batch_losses(nnx.merge(graph, state), tokens, tokens, first, pad=PAD) for first in (1, 2))
        return jnp.sum(early), (early, late)

    differentiate = jax.jit(jax.value_and_grad(losses, has_aux=True), compiler_options=FAST_TO_COMPILE)
    (_, (early, late)), slopes = differentiate(state)
    number = np.sum(LINES[:, 3:] != PAD)
    share = number / (number + len(LINES))  # position 1 adds a target for each line to the divisor
    constant = np.array([0.0, 1.0, 1.0]) * len(LINES) * np.log(VOCAB) / (number + len(LINES))
    assert_close(early, share * late + constant, atol=1e-12)
    data = count_contexts(LINES, VOCAB, STEPS, PAD)
    truth = objective(drawn(STEPS), data, INJECTED, jnp.ones(STEPS)).gradient
    ours = {name: slopes[name][...] for name in slopes}
    assert_close(ours, {name: share * getattr(truth, name) for name in ours}, atol=1e-13)


def test_logits_by_loops_over_positions():
    parameters, line = drawn(STEPS), LINES[0]
    logits = np.asarray(from_parameters(config(VARIANTS[3]), parameters)(jnp.asarray(line[:-1])))
    content, value, transfers, scale = (np.asarray(leaf) for leaf in parameters)
    for position in range(2, len(line) - 1):
        x = content[line[position]] + value[line[1]]
        assert_close(logits[0, position], x, atol=1e-13)
        x = x + (scale * np.eye(VOCAB)[line[position + 1]] if position + 1 < len(line) - 1 else 0)
        for n, matrix in enumerate(transfers, start=1):
            x = x @ matrix
            assert_close(logits[n, position], x, atol=1e-12)


@pytest.mark.parametrize("given", [2, 4])
def test_greedy_answers_take_the_largest_logit_of_the_model(given):
    """Token by token from the model's own logits, as any other decoder would."""
    cycle = 5 * jnp.roll(jnp.eye(VOCAB), 1, axis=1)  # so that a path does not stay at one node
    model, count = from_parameters(config(), drawn(STEPS)._replace(content=drawn(STEPS).content + cycle)), 4
    row, logits = LINES[0, :given].tolist(), jax.jit(model.__call__)
    for position in range(given - 1, given + count - 1):
        padded = jnp.asarray(row + [PAD] * (POSITIONS - len(row)))  # later tokens are not read
        row.append(int(np.argmax(np.asarray(logits(padded))[0, position])))
    answer = jax.jit(lambda ids: greedy(model, ids, count))(jnp.asarray(LINES[0, :given])).tolist()
    assert answer == row[given:]
    assert (given > 2) or answer[0] == LINES[0, 0]
    assert len(set(answer)) > 1


def test_initial_parameters_are_those_of_the_config():
    model = OneLayer(config(steps=2, vocab=60, embed_scale=0.3, param_dtype="float32"), nnx.Rngs(0))
    assert {str(leaf.dtype) for leaf in model.parameters} == {"float32"}
    assert all(float(jnp.std(leaf)) == pytest.approx(0.3, abs=0.02) for leaf in model.parameters[:3])
    assert float(model.parameters.scale) == 1.0


def test_one_step_has_no_transfer_matrix():
    single = from_parameters(config(Options(), steps=1), drawn(1))
    assert set(nnx.state(single)) == {"content", "value"}
    assert single.parameters.transfers.shape == (0, VOCAB, VOCAB)
    assert jax.eval_shape(single.__call__, jnp.asarray(LINES[0, :-1])).shape == (1, POSITIONS, VOCAB)


def test_parameters_are_read_back():
    assert_close(from_parameters(config(), drawn(STEPS)).parameters, drawn(STEPS), atol=0)
    assert config().options == Options(injection=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: config(vocab=0), "vocab: must be an integer at least 1"),
        (lambda: config(positions=0), "positions: must be an integer at least 1"),
        (lambda: config(steps=0), "prediction_heads: must be an integer at least 1"),
        (lambda: config(Options(chain=True), steps=1), "chain: must be false with one prediction head"),
        (lambda: config(INJECTED, steps=1), "injection: must be false with one prediction head"),
        (lambda: config(embed_scale=0.0), "embed_scale: must be positive and finite"),
        (lambda: from_parameters(config(), drawn(2)), "transfers: must have shape"),
        (lambda: from_parameters(config(vocab=7), drawn(3)), "content: must have shape"),
        (lambda: from_parameters(config(param_dtype="float32"), drawn(3)), "parameters: must have the config's param_"),
    ],
)
def test_bad_configs_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("prompt", "count", "message"),
    [
        (LINES[0, :2], 0, "max_new_tokens: must be an integer at least 1"),
        (LINES[0, :2], 7, "max_new_tokens: must leave prompt and answer at most 8 tokens"),
        (LINES[0, :1], 1, "prompt: must hold source and target"),
        (np.array([0, 9]), 1, r"prompt: must hold ids in range\(6\)"),
    ],
)
def test_bad_prompts_are_named(prompt, count, message):
    model = from_parameters(config(), drawn(STEPS))
    with pytest.raises(ValueError, match=message):
        greedy(model, jnp.asarray(prompt), count)
    if count == 1:
        with pytest.raises(ValueError, match=message.replace("prompt", "tokens")):
            model(jnp.asarray(prompt))
