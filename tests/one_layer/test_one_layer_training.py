"""Full-batch training: plain steps by hand, and that the loss falls to what counts allow."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from circuits.one_layer.counts import count_contexts
from circuits.one_layer.losses import objective, step_losses
from circuits.one_layer.parameters import Options, zeros
from circuits.one_layer.training import train_full_batch
from tests.cases import assert_close
from tests.one_layer.lines import LINES, PAD, VARIANTS, VOCAB, drawn

WEIGHTS = (1.0, 0.5)


def test_gradient_descent_is_steps_along_the_gradient():
    data, options, start = count_contexts(LINES, VOCAB, 2, PAD), VARIANTS[1], drawn(2)
    trained = train_full_batch(data, start, options, WEIGHTS, 3, optax.sgd(0.3))
    parameters, before = start, []
    step = jax.jit(lambda p: objective(p, data, options, jnp.asarray(WEIGHTS)))
    for _ in range(3):
        value = step(parameters)
        before.append(value.steps)
        parameters = jax.tree.map(lambda leaf, slope: leaf - 0.3 * slope, parameters, value.gradient)
    assert_close(trained.parameters, parameters, atol=1e-13)
    assert_close(trained.losses, jnp.stack(before), atol=1e-13)
    assert float(jnp.max(jnp.abs(parameters.transfers - start.transfers))) > 1e-3


def test_the_first_step_learns_the_frequencies_of_the_data():
    """One context for each current token and target: p tends to the shares of what came next, the loss to entropy."""
    lines = np.array([[0, 3, 0, 1, 4], [0, 3, 0, 2, 4], [0, 3, 0, 1, 4]], np.int32)
    data = count_contexts(lines, VOCAB, 1, PAD, injection=False)
    trained = train_full_batch(data, zeros(VOCAB, 1), Options(), (1.0,), 400, optax.adam(0.1))
    p = jax.nn.softmax(trained.parameters.content[0] + trained.parameters.value[3])
    assert_close(p[jnp.asarray([1, 2])], np.array([2 / 3, 1 / 3]), atol=2e-3)
    entropy = -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)) / 2
    assert_close(step_losses(trained.parameters, data, Options())[0], np.float64(entropy), atol=2e-3)
    assert float(trained.losses[0, 0]) == pytest.approx(np.log(VOCAB))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": (1.0,)}, "weights: must be 2 numbers, finite and at least 0"),
        ({"weights": (1.0, -1.0)}, "weights: must be 2 numbers, finite and at least 0"),
        ({"steps": 0}, "steps: must be an integer at least 1"),
        ({"start": drawn(2)._replace(scale=jnp.asarray(jnp.inf))}, "scale: must be finite"),
    ],
)
def test_bad_input_is_named(changes, message):
    data = count_contexts(LINES, VOCAB, 2, PAD)
    arguments = {"start": drawn(2), "weights": WEIGHTS, "steps": 1} | changes
    with pytest.raises(ValueError, match=message):
        train_full_batch(data, options=Options(), optimiser=optax.sgd(0.1), **arguments)
