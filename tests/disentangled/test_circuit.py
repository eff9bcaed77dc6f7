"""Corollary 1's construction, its limit, and the weights themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.circuit import circuit, context_positions, log_hardmax, saturated
from circuits.disentangled.closed_form import forward
from circuits.disentangled.weights import random, zeros
from circuits.tasks.star.enumeration import canonical_problems
from circuits.tasks.star.graph import encode_prompt
from tests.cases import PAPER, assert_close, example


def test_the_construction_is_corollary_1():
    first, second = circuit(3.0, 10, 10)
    shift, mask = np.zeros((10, 10)), np.zeros((10, 10))
    for i in range(1, 10):
        shift[i, i - 1] = 3.0
    mask[8, 8] = -3.0
    assert_close([first.content, first.position], [np.zeros((10, 10)), shift], atol=0)
    assert_close([second.content, second.position], [3.0 * np.eye(10), mask], atol=0)


def test_the_circuit_finds_the_path_on_every_edge_order_and_sharp_weights_tend_to_its_limit():
    problems = canonical_problems(PAPER)
    tokens = jax.jit(jax.vmap(encode_prompt))(problems)
    run = jax.jit(jax.vmap(forward, in_axes=(None, 0)))
    acts, sharp = (run(circuit(gamma, 10, 10), tokens) for gamma in (20.0, 2000.0))
    assert np.array_equal(np.argmax(acts.outputs[0], axis=1), problems.goal)
    assert np.array_equal(np.argmax(acts.outputs[1], axis=1), problems.path[:, 1])
    assert float(jnp.min(jnp.max(acts.outputs[1], axis=1))) > 1 - 1e-6
    limit = jax.jit(jax.vmap(lambda row: saturated(row, 10)))(tokens)
    assert_close(limit.attention, sharp.attention, atol=1e-12)
    assert_close(limit.outputs, sharp.outputs, atol=1e-12)
    for row, first, second, goal in zip(np.asarray(tokens), *limit.attention, problems.goal, strict=True):
        t_v, t_end = context_positions(row.tolist(), int(goal))
        assert np.argmax(second[-1]) == t_end
        assert np.argmax(first[t_end]) == t_v


def test_hardmax_is_uniform_over_ties():
    shares = jnp.exp(log_hardmax(jnp.asarray([[1.0, -jnp.inf, -jnp.inf], [3.0, 3.0, -jnp.inf], [0.0, 2.0, 1.0]])))
    assert_close(shares, np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]), atol=1e-15)


def test_context_positions():
    tokens, _, goal = example()
    assert context_positions(tokens, int(goal)) == (2, 3)
    with pytest.raises(ValueError, match="goal: must be the target of exactly one edge"):
        context_positions(tokens, 3)


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("inf"), float("nan")])
def test_gamma_must_be_positive(gamma):
    with pytest.raises(ValueError, match="gamma: must be positive and finite"):
        circuit(gamma, 10, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 10, 10), "depth: must be"), ((2, 0, 10), "labels: must be"), ((2, 10, -1), "length: must be")],
)
def test_sizes_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        zeros(*arguments)
    with pytest.raises(ValueError, match=message):
        random(jax.random.key(0), *arguments)


def test_random_weights_are_seeded_and_independent():
    first, second = random(jax.random.key(1), 2, 10, 10, scale=2.0), random(jax.random.key(1), 2, 10, 10, scale=2.0)
    assert_close(first, second, atol=0)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(first)]
    assert all(abs(leaf.std() - 2) < 0.5 for leaf in leaves)
    correlations = np.corrcoef([leaf.ravel() for leaf in leaves]) - np.eye(4)
    assert np.abs(correlations).max() < 0.4
