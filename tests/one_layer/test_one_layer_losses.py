"""Counts, losses and hand gradients of the one-layer model against loops over lines."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.one_layer.counts import count_contexts
from circuits.one_layer.decoding import greedy_path
from circuits.one_layer.logits import step_logits
from circuits.one_layer.losses import objective, step_losses
from circuits.one_layer.parameters import Options, check, random, zeros
from tests.cases import FAST_TO_COMPILE, assert_close
from tests.one_layer.lines import LINES, PAD, VARIANTS, VOCAB, drawn, naive_gradient, naive_losses

STEPS, WEIGHTS = 3, (1.0, 0.5, 2.0)


def counted(injection: bool, **changes):
    return count_contexts(LINES, VOCAB, STEPS, PAD, injection, **changes)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_losses_and_gradients_are_those_of_loops_over_lines(options):
    parameters, weights, data = drawn(STEPS), jnp.asarray(WEIGHTS), counted(options.injection)

    @partial(jax.jit, compiler_options=FAST_TO_COMPILE)
    def evaluate(parameters):
        auto = jax.grad(lambda p: weights @ step_losses(p, data, options))(parameters)
        return objective(parameters, data, options, weights), step_losses(parameters, data, options), auto

    ours, by_step, auto = evaluate(parameters)
    truth = naive_losses(parameters, options, LINES, STEPS)
    assert_close((ours.steps, by_step), (truth, truth), atol=1e-13)
    assert_close(ours.loss, np.asarray(WEIGHTS) @ truth, atol=1e-13)
    assert_close(ours.gradient, naive_gradient(parameters, options, WEIGHTS), atol=1e-14, rtol=1e-10)
    assert_close(ours.gradient, auto, atol=1e-14, rtol=1e-10)
    sizes = [float(jnp.max(jnp.abs(leaf))) for leaf in ours.gradient]
    assert all(size > 1e-3 for size in sizes[:3])
    assert (sizes[3] > 1e-3) == options.injection


def test_finer_and_empty_contexts_change_nothing():
    """Contexts distinguished by the next token without injection, and padded to a multiple of 16."""
    plain, split, padded = counted(False), counted(True), counted(True, multiple_of=16)
    assert split.steps[1].total.shape[0] > plain.steps[1].total.shape[0]
    assert {step.total.shape[0] for step in padded.steps} == {16}
    step = jax.jit(lambda p: [objective(p, data, Options(), jnp.asarray(WEIGHTS)) for data in (plain, split, padded)])
    truth, ours, also = step(drawn(STEPS))
    assert_close((ours, also), (truth, truth), atol=1e-13)


def test_counts_are_those_of_a_loop():
    data = counted(True)
    by_step: list[dict] = [{} for _ in range(STEPS)]
    for line in LINES.tolist():
        for position in range(2, len(line)):
            for n in range(1, STEPS + 1):
                if position + n < len(line) and line[position + n] != PAD:
                    context = (line[position], line[1], line[position + 1] if n > 1 else VOCAB)
                    by_step[n - 1].setdefault(context, []).append(line[position + n])
    for step, truth in zip(data.steps, by_step, strict=True):
        contexts = list(zip(*(np.asarray(part).tolist() for part in step[:3]), strict=True))
        assert contexts == sorted(truth)
        assert np.asarray(step.total).tolist() == [len(truth[context]) for context in contexts]
        rows = np.zeros((3 * VOCAB, VOCAB))
        for (i, j, u), after in truth.items():
            for token in after:
                for row in (i, VOCAB + j, 2 * VOCAB + u):
                    if row < len(rows):
                        rows[row, token] += 1
        assert np.array_equal(step.by_row, rows)
    assert float(data.divisor) == sum(len(after) for after in by_step[0].values())
    assert data.tokens == VOCAB


def test_a_next_token_outside_the_vocabulary_is_not_injected():
    parameters, options = drawn(2), Options(injection=True)
    none, plain = (step_logits(parameters, 0, 3, VOCAB, options), step_logits(parameters, 0, 3, 1, Options()))
    assert_close(none, plain, atol=0)
    assert float(jnp.max(jnp.abs(step_logits(parameters, 0, 3, 1, options)[1] - plain[1]))) > 0.1


def test_greedy_paths_take_the_largest_logit_and_of_ties_the_first():
    parameters = drawn(1, seed=1)
    content, target_row = 4 * np.asarray(parameters.content), np.asarray(parameters.value[3])
    token, expected = 0, []
    for _ in range(5):
        token = int(np.argmax(content[token] + target_row))
        expected.append(token)
    assert len(set(expected)) > 1
    assert greedy_path(jnp.asarray(content), jnp.asarray(target_row), 0, 5).tolist() == expected
    assert greedy_path(jnp.zeros((3, 3)), jnp.zeros(3), 2, 2).tolist() == [0, 0]


def test_initial_parameters():
    still = zeros(3, 2)
    assert [leaf.shape for leaf in still] == [(3, 3), (3, 3), (1, 3, 3), ()]
    assert float(still.scale) == 1.0
    assert not any(np.any(leaf) for leaf in still[:3])
    many = random(jax.random.key(0), 40, 3, 0.5, jnp.float32)
    assert {str(leaf.dtype) for leaf in many} == {"float32"}
    assert all(abs(float(jnp.std(leaf)) - 0.5) < 0.03 for leaf in many[:3])
    assert not np.array_equal(many.content, many.value)


LONG = np.array([[0, 3, 0, 9]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: count_contexts(LONG, VOCAB, 1, PAD), r"lines: must hold ids in range\(6\), got \(0, 9\)"),
        (lambda: count_contexts(LINES, VOCAB, 5, PAD), "steps: must be an integer between 1 and 4"),
        (lambda: count_contexts(LINES[:, :3], VOCAB, 1, PAD), "lines: must have a token to predict"),
        (lambda: count_contexts(LINES, 0, 1, PAD), "tokens: must be an integer at least 1"),
        (lambda: counted(True, multiple_of=0), "multiple_of: must be an integer at least 1"),
        (lambda: zeros(3, 0), "steps: must be an integer at least 1"),
        (lambda: zeros(0, 1), "tokens: must be an integer at least 1"),
        (lambda: step_losses(drawn(2), counted(True), Options()), "counts: must have 2 steps, got 3"),
        (lambda: step_losses(zeros(7, 3), counted(True), Options()), "counts: must be over 7 tokens, got 6"),
        (lambda: step_losses(drawn(3), counted(False), VARIANTS[1]), "counts: must be made with injection=True"),
        (lambda: objective(drawn(3), counted(True), VARIANTS[1], jnp.ones(2)), "weights: must have shape"),
        (lambda: check(drawn(2)._replace(value=jnp.zeros((2, 2)))), "value: must have shape"),
        (lambda: check(drawn(2)._replace(content=jnp.zeros((2, 3)))), "content: must be square"),
        (lambda: check(drawn(2)._replace(scale=jnp.asarray(jnp.nan))), "scale: must be finite"),
        (lambda: check(drawn(2)._replace(scale=jnp.ones((), jnp.float32))), "scale: must have the dtype of content"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
