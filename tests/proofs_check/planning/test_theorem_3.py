"""Theorem 3: independent twins of its numbers.

The twin is numpy on the definition: it enumerates edge orders itself, takes softmax at complex weights, and reads
derivatives off the imaginary part, exact to rounding. It shares no code and no formula with the checks.
"""

import itertools
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.objective import objective
from circuits.disentangled.weights import zeros
from circuits.flow.population import mean_exhaustive
from proofs_check.methods import star
from proofs_check.planning import theorem_3
from proofs_check.planning.theorem_3_loss import eq_13
from proofs_check.planning.theorem_3_objective import L1A, MU, NEXT_TOKEN, V_ON_Z, ascent, attention_velocity, mean
from proofs_check.planning.theorem_3_objective import probability as mu

T = 10
START, V, END, OTHER, LEAF = 7, 4, 0, 9, 2
"""Labels unlike those of the checks."""


def contexts():
    """Z and Z' of every edge order."""
    for order in itertools.permutations([(START, V), (V, END), (START, OTHER), (OTHER, LEAF)]):
        edges = [node for edge in order for node in edge]
        yield np.array([*edges, END, START]), np.array([*edges, END, V])


CONTEXTS = list(contexts())


def softmax(row):
    powers = np.exp(row - row.real.max())
    return powers / powers.sum()


def received(w):
    """Return for each position the mean over rows of the attention to it."""
    s1 = np.zeros((T, T), complex)
    for r in range(T):
        s1[r, : r + 1] = softmax(np.asarray(w)[r::-1])
    return s1.mean(axis=0)


def mean_mu(w):
    return np.mean([received(w) @ np.equal(z, V) for z, _ in CONTEXTS])


def minus_l1a(w):
    attention = received(w)
    return np.mean([np.log(attention @ np.equal(z, V)) for z, _ in CONTEXTS])


def minus_next_token(w):
    attention = received(w)
    return (minus_l1a(w) + np.mean([np.log(attention @ np.equal(replayed, END)) for _, replayed in CONTEXTS])) / 2


OBJECTIVES = {
    "mu": (mean_mu, MU),
    "L1a": (minus_l1a, L1A),
    "next token": (minus_next_token, NEXT_TOKEN),
}


def derivative(function, along):
    """At 0, by the complex step: no difference is taken, so nothing cancels."""
    return function(1e-30j * along).imag / 1e-30


@pytest.mark.parametrize("name", OBJECTIVES)
def test_ascent_by_complex_steps(name):
    function, ours = OBJECTIVES[name]
    twin = [derivative(function, direction) for direction in np.eye(T)]
    np.testing.assert_allclose([float(slope) for slope in ascent(ours)], twin, rtol=0, atol=1e-15)


def test_the_headline_as_a_fraction():
    exactly = Fraction(109143245571227175831190234406141487193, 14039034711229548592357915388288728258560)
    assert ascent(L1A)[1] == exactly
    assert mean([eq_13(hit, 1) / mu(hit) for hit in V_ON_Z]) == exactly


def test_the_two_halves_of_the_docstring():
    late = [hit for hit in V_ON_Z if mu(hit) < Fraction(21, 100)]
    early = [hit for hit in V_ON_Z if mu(hit) > Fraction(24, 100)]
    assert len(late) == len(early) == 12
    assert all(eq_13(hit, 1) > 0 for hit in late)
    assert float(mean([eq_13(hit, 1) for hit in late])) == pytest.approx(0.0066, abs=5e-5)
    assert float(mean([eq_13(hit, 1) for hit in early])) == pytest.approx(-0.0100, abs=5e-5)


def test_the_prior_by_counting():
    counts = np.sum([np.equal(z, V) for z, _ in CONTEXTS], axis=0)
    assert [24 * value for value in theorem_3.probability_at_positions(2, 3)] == counts.tolist()


@pytest.mark.parametrize("name", ["L1a", "next token"])
def test_one_step_of_gradient_descent_raises_the_pointer(name):
    """No derivative at all: take the step, and compare S1[T, T-1] and the objective before and after."""
    function, ours = OBJECTIVES[name]
    step = 0.5 * np.array([float(slope) for slope in ascent(ours)])
    assert softmax(step)[1] > 0.1
    assert softmax(step)[2:].sum() < 0.8
    assert function(step) > function(np.zeros(T))
    assert function(0.1 * np.eye(T)[1]) > function(np.zeros(T))


@pytest.mark.parametrize("offsets", [[1], range(2, T)])
def test_attention_velocity_by_complex_steps(offsets):
    velocity = np.array([float(slope) for slope in ascent(NEXT_TOKEN)])
    moved = derivative(lambda w: softmax(w)[list(offsets)].sum(), velocity)
    assert float(attention_velocity(NEXT_TOKEN, offsets)) == pytest.approx(moved, abs=1e-16)


@pytest.mark.slow
def test_slopes_over_all_725760_sequences():
    """The library's gradients, averaged over every labeling and edge order and summed along diagonals."""

    def slopes(weights, *prompt):
        gradients = objective(weights, *prompt).gradients
        first = [part[0].position for part in (gradients.plan, gradients.replay)]
        return jnp.stack([jnp.stack([jnp.trace(matrix, offset=-k) for k in range(T)]) for matrix in first])

    plan, replay = mean_exhaustive(slopes, zeros(2, T, T), star.SPEC)
    for slope, stated in ((plan, ascent(L1A)), ((plan + replay) / 2, ascent(NEXT_TOKEN))):
        np.testing.assert_allclose(-slope, [float(value) for value in stated], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("paths", "nodes"), [(2, 3), (3, 3), (2, 4), (4, 3)])
def test_the_sign_of_the_predecessor_is_no_accident_of_one_size(paths, nodes):
    """E[dL1a/dw(1)] < 0 while E[dmu/dw(1)] < 0 too, over all edge orders, by sums written out."""
    names = [["start", *((path, step) for step in range(1, nodes))] for path in range(paths)]
    edges = [(path[step], path[step + 1]) for path in names for step in range(nodes - 1)]
    v = np.array([[end == (0, 1) for end in edge] for edge in edges], float)
    orders = np.array(list(itertools.permutations(range(len(edges)))))
    u = np.concatenate([v[orders].reshape(len(orders), -1), np.zeros((len(orders), 2))], axis=1)
    length = u.shape[1]
    rows = np.arange(1, length + 1)
    means = np.cumsum(u, axis=1) / rows  # row r of S1 u
    moved = np.sum((u[:, :-1] - means[:, 1:]) / rows[1:], axis=1) / length  # r = 2 .. T, u_{r-1}
    assert np.mean(moved) < -1e-5
    assert np.mean(-moved / means.mean(axis=1)) < -1e-3
