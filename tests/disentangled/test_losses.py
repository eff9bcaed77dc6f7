"""The three losses: against the naive formula, and where the naive formula overflows or rounds to nothing."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from families import FAMILIES, by_autodiff, literal_loss, losses_jit

from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import forward
from circuits.disentangled.losses import Losses, head_loss, losses, multi_token_loss, next_token_loss, surprisal
from circuits.tasks.star.graph import replay_context
from tests.cases import PAPER, assert_close, example, prompt, weights_for

GAMMAS = [0.5, 5.0, 36.0, 37.0, 100.0, 350.0, 500.0, 700.0]


@pytest.mark.parametrize("spec", FAMILIES)
def test_losses_are_minus_log_of_the_literal_outputs(spec):
    for seed in range(5):
        (tokens, y1, y2), weights = prompt(spec, seed), weights_for(spec, seed)
        cases = (tokens, y1, 1), (replay_context(tokens, y1), y2, 1), (tokens, y2, 0)
        naive = [literal_loss(weights, *case)[0] for case in cases]
        assert_close(losses_jit(weights, tokens, y1, y2), Losses(*naive), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_relative_accuracy_on_the_circuit(gamma):
    """Against 400 digits: the losses are as small as e^-700, and still exact to 12 digits."""
    values = losses_jit(circuit(gamma, 10, 10), *example())
    with mpmath.workdps(400):
        truth = _multiprecision(gamma)
        for name, ours in values._asdict().items():
            assert abs(mpmath.mpf(float(ours)) / truth[name] - 1) < 1e-12, (name, float(ours), truth[name])


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_no_nan_and_no_inf(gamma, dtype):
    values = by_autodiff(circuit(gamma, 10, 10, dtype), *example())
    assert {leaf.dtype for leaf in jax.tree.leaves(values)} == {jnp.dtype(dtype)}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values))


def test_weights_of_the_other_sign_stay_finite():
    """Two improbable hops, e^-700 each: their product underflows in float64, its logarithm does not."""
    weights = jax.tree.map(lambda leaf: -leaf, circuit(700.0, 10, 10))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(by_autodiff(weights, *example())))


def test_a_target_at_no_position_costs_infinity():
    tokens, _, _ = example()
    acts = jax.jit(forward)(weights_for(PAPER, seed=0), tokens)
    assert float(head_loss(acts, tokens, 9, layer=0)) == float("inf")
    assert float(head_loss(acts, tokens, 9, layer=1)) == float("inf")
    for layer in (-1, 2):
        with pytest.raises(ValueError, match="layer: must be an integer between 0 and 1"):
            head_loss(acts, tokens, 9, layer=layer)


@pytest.mark.parametrize("probability", [1e-300, 0.2, 0.4999, 0.5001, 0.9, 1 - 1e-9])
def test_both_branches_of_the_surprisal_agree(probability):
    value = surprisal(jnp.log(probability), jnp.asarray(1 - probability))
    assert_close(value, jnp.asarray(-np.log(probability)), atol=0, rtol=1e-7)


def test_float32_stays_near_float64():
    weights = weights_for(PAPER, seed=5)
    single = losses_jit(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), weights), *example())
    assert single.plan.dtype == jnp.float32
    double = losses_jit(weights, *example())
    assert_close([float(part) for part in single], [float(part) for part in double], atol=1e-5)


def test_equation_3():
    assert float(multi_token_loss(*(jnp.asarray(x) for x in (1.0, 2.0, 5.0)))) == 0.5 * (0.5 * (1 + 2) + 5)
    assert float(next_token_loss(jnp.asarray(1.0), jnp.asarray(2.0))) == 1.5


def test_depth_other_than_two_is_an_error():
    with pytest.raises(ValueError, match="weights: must have 2 layers"):
        losses(weights_for(PAPER, seed=0, depth=3), *example())


def _multiprecision(gamma: float) -> dict:
    """The losses of the circuit on the running example, by definition, at the working precision."""

    def softmax(row: list) -> list:
        weights = [mpmath.exp(value) for value in row]
        total = sum(weights)
        return [weight / total for weight in weights]

    def outputs(tokens: list[int]) -> tuple[list, list]:
        s1 = [softmax([gamma * (j == i - 1) for j in range(i + 1)]) + [mpmath.mpf(0)] * (9 - i) for i in range(10)]
        a2 = [[gamma * ((a == b) - (i == j == 8)) for j, b in enumerate(tokens)] for i, a in enumerate(tokens)]
        s2 = softmax([sum(s1[9][i] * a2[i][j] for i in range(10)) for j in range(10)])
        return s1[9], [sum(s2[j] * s1[j][k] for j in range(10)) for k in range(10)]

    tokens, y1, y2 = (np.asarray(array).tolist() for array in example())
    replayed = [*tokens[:-1], y1]
    shallow, deep = outputs(tokens)
    _, replay = outputs(replayed)

    def loss(mass: list, context: list[int], target: int):
        return -mpmath.log(sum(m for m, token in zip(mass, context, strict=True) if token == target))

    return {
        "plan": loss(deep, tokens, y1),
        "replay": loss(replay, replayed, y2),
        "goal": loss(shallow, tokens, y2),
    }
