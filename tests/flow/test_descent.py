"""Optimiser steps against the flow: order 1 in the step size, and what one step of an optimiser does."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import solve_ivp

from circuits.flow.coordinates import causal_entries, coordinates, toeplitz
from circuits.flow.descent import optimise
from circuits.flow.fields import GOAL, gradient_flow
from tests.cases import PAPER, assert_close


def quadratic(theta):
    """Minus the gradient of sum (theta - 3)^2 / 2."""
    return 3.0 - theta


def test_descent_tends_to_the_flow_at_order_1_in_phase_1():
    """Against the flow by scipy's DOP853: up to t = 10 nothing is stiff."""
    field, start = jax.jit(gradient_flow(coordinates(PAPER, position_1=toeplitz(10)), GOAL, PAPER)), jnp.zeros(10)
    flow = solve_ivp(lambda _, y: np.asarray(field(y)), (0, 10), start, method="DOP853", rtol=1e-10, atol=1e-12)
    distances = []
    for eta in (0.2, 0.1, 0.05):
        steps = round(10 / eta)
        descended = optimise(field, start, optax.sgd(eta), steps, save_every=steps)[-1]
        distances.append(float(np.linalg.norm(descended - flow.y[:, -1])))
    assert distances[-1] > 1e-6, "nothing to measure"
    for coarse, fine in pairwise(distances):
        assert abs(coarse / fine - 2) < 0.1, distances


def test_plain_descent_is_eulers_method():
    theta = np.array([0.0, 1.0, 5.0])
    path = optimise(quadratic, jnp.asarray(theta), optax.sgd(0.25), steps=12)
    for point in path:
        assert_close(point, theta, atol=1e-14)
        theta = theta + 0.25 * (3.0 - theta)
    assert path.shape == (13, 3)


def test_save_every_thins_the_path():
    run = partial(optimise, quadratic, jnp.zeros(2), optax.adam(0.1), 12)
    assert_close(run(save_every=4), run()[::4], atol=1e-14)
    assert run(save_every=12).shape == (2, 2)


def test_the_first_step_of_adamw_is_its_rate_wherever_there_is_a_gradient():
    """For L2 with free weights that is the last row of W1^(1); the other 45 entries stay."""
    field = jax.jit(gradient_flow(coordinates(PAPER, position_1=causal_entries(10)), GOAL, PAPER))
    start = jnp.asarray(np.random.default_rng(1).normal(size=55))
    velocity = field(start)
    step = jnp.subtract(*optimise(field, start, optax.adamw(5e-4, weight_decay=0.0), steps=1)[::-1])
    assert int(jnp.sum(velocity != 0)) == 10
    assert float(jnp.min(jnp.abs(velocity[-10:]))) > 1e-3
    assert_close(step, 5e-4 * jnp.sign(velocity), atol=1e-12, rtol=1e-4)
    decayed = optimise(field, start, optax.adamw(5e-4, weight_decay=0.1), steps=1)[1]
    assert_close(decayed, start + step - 5e-4 * 0.1 * start, atol=1e-15)


def test_errors():
    cases = [
        ({"steps": 0}, "steps: must be an integer at least 1"),
        ({"steps": 10, "save_every": 0}, "save_every: must be an integer at least 1"),
        ({"steps": 10, "save_every": 4}, "steps: must be a multiple of save_every = 4"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            optimise(quadratic, jnp.zeros(2), optax.sgd(0.1), **arguments)
