"""The printed fields against the literal matrices that they are printed with."""

import jax.numpy as jnp
import numpy as np
import pytest

from circuits.flow.printed import phase_1, phase_2
from tests.cases import EXAMPLE, PAPER, assert_close, prompt, rounding


def softmax(logits):
    weights = np.exp(logits - np.max(logits))
    return weights / np.sum(weights)


def jacobian(s):
    return np.diag(s) - np.outer(s, s)


def phase_1_twin(weights, length):
    """The mean of J(s) (e_p + e_j) / (s_p + s_j) over the position j of u_end, with every offset k >= 2 as likely.

    Entries are offsets: 0 the query itself, 1 the query's u_end, 2 .. T - 1 the context.
    """
    p, c, q = weights
    s = softmax(np.array([q, p, *[c] * (length - 2)]))
    velocities = []
    for j in range(2, length):
        target = np.zeros(length)
        target[[1, j]] = 1
        velocities.append(jacobian(s) @ target / (s @ target))
    mean = np.mean(velocities, axis=0)
    np.testing.assert_allclose(mean[2:], mean[2], rtol=0, atol=1e-14)
    return np.array([mean[1], mean[2], mean[0]])


@pytest.mark.parametrize("length", [10, 6])
def test_phase_1_is_a_softmax_jacobian(length):
    for weights in 3 * np.random.default_rng(length).normal(size=(4, 3)):
        assert_close(phase_1(jnp.asarray(weights), length), phase_1_twin(weights, length), atol=1e-13)


def test_phase_1_at_zero():
    # Two products, two sums, three quotients and a difference, of shares between 0 and 1.
    truth = np.array([2 / 5, -3 / 80, -1 / 10])
    assert_close(phase_1(jnp.zeros(3)), truth, atol=rounding(jnp.float64, 8))


def test_phase_1_of_large_weights_does_not_overflow():
    far = phase_1(jnp.array([800.0, -800.0, -800.0]))
    assert_close(far, np.zeros(3), atol=1e-300)


def test_phase_2_is_the_printed_matrix_product():
    for seed, tokens in enumerate([np.array(EXAMPLE), *(np.asarray(prompt(PAPER, seed)[0]) for seed in range(3))]):
        goal = tokens[-2]
        t_end = int(np.flatnonzero(tokens[:8] == goal)[0])
        s = softmax(2 * np.random.default_rng(seed).normal(size=10))
        z, e = np.eye(10)[tokens], np.eye(10)[t_end]
        towards = -jacobian(s) @ e / s[t_end]
        gradient = phase_2(jnp.asarray(s), jnp.asarray(tokens), t_end, 10)
        assert_close(gradient.content, np.outer(z.T @ towards, np.eye(10)[goal]), atol=1e-13)
        assert_close(gradient.position, np.outer(towards, np.eye(10)[8]), atol=1e-13)
        assert float(jnp.max(jnp.abs(gradient.content))) > 0.1
