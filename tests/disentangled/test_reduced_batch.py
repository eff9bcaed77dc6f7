"""The batch's loss and gradient: the mean of ``objective``, for every mix, and accurate where losses are tiny."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.circuit import circuit
from circuits.disentangled.mix import OBJECTIVES, Mix
from circuits.disentangled.models import prompts
from circuits.disentangled.objective import objective
from circuits.disentangled.reduced_batch import loss_and_gradient
from circuits.tasks.star.graph import StarGraph
from tests.cases import assert_close, weights_for

GRAPHS = StarGraph(2, 3, 8)  # N = 8 and T = 10: an axis taken for another shows
BATCH = prompts(GRAPHS, jax.random.key(4), 64)
ODD = Mix(0.3, 1.1, 0.7)
WEIGHTS = {
    "small": weights_for(GRAPHS, seed=0, scale=0.01),
    "large": weights_for(GRAPHS, seed=1, scale=3.0),
    "circuit": circuit(8.0, 8, 10),
}


by_batch = jax.jit(loss_and_gradient, static_argnums=4)


@jax.jit
def by_sequence(weights, batch):
    """The mean of the library's losses and hand gradients, a prompt at a time."""
    found = jax.vmap(objective, in_axes=(None, 0, 0, 0))(weights, *batch)
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), found)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("mix", [*OBJECTIVES.values(), ODD], ids=[*OBJECTIVES, "odd"])
def test_mean_of_the_objective(mix, weights):
    loss, gradient = by_batch(weights, *BATCH, mix)
    truth = by_sequence(weights, BATCH)
    assert_close(loss, sum(c * part for c, part in zip(mix, truth.losses, strict=True)), atol=1e-13, rtol=1e-13)
    total = jax.tree.map(lambda *parts: sum(c * g for c, g in zip(mix, parts, strict=True)), *truth.gradients)
    assert_close(gradient, total, atol=1e-14, rtol=1e-11)
    assert all(float(jnp.max(jnp.abs(leaf))) > 1e-8 for leaf in jax.tree.leaves(gradient[0]))


@pytest.mark.parametrize("gamma", [3.0, 10.0, 16.0])
def test_float32_keeps_its_digits_at_the_circuit(gamma):
    """Without L1b the gradient there is as small as e^-16, the rounding of a difference of two numbers near 1."""
    mix = OBJECTIVES["mtp-without-replay"]
    single = by_batch(circuit(gamma, 8, 10, jnp.float32), *BATCH, mix)
    double = by_batch(circuit(gamma, 8, 10), *BATCH, mix)
    for ours, truth in zip(jax.tree.leaves(single[1]), jax.tree.leaves(double[1]), strict=True):
        assert ours.dtype == jnp.float32
        largest = float(jnp.max(jnp.abs(truth)))
        assert_close(np.asarray(ours, np.float64), truth, atol=2e-6 * largest)
        assert largest < 20 * np.exp(-gamma)
