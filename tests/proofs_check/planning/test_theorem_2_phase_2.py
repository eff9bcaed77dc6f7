"""The fields and the direction that the proof of Phase II rests on, against plain losses and solvers."""

import itertools
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from proofs_check.methods import exact
from proofs_check.methods.star import SELF, UNIFORM, contexts, pull, random_rows
from proofs_check.planning import theorem_2_phase_2_direction as direction
from proofs_check.planning import theorem_2_phase_2_limit as limit
from proofs_check.planning import theorem_2_phase_2_start as start
from proofs_check.planning.theorem_2_phase_2_gap import logit_velocity

T = 10
SHARES = np.array([10, 90, *[1] * T])


BEGIN, V, END, OTHER, LEAF = 5, 7, 2, 9, 0
EDGES = [(BEGIN, V), (V, END), (BEGIN, OTHER), (OTHER, LEAF)]
CONTEXTS = np.array([[*itertools.chain(*order), END, BEGIN] for order in itertools.permutations(EDGES)])


def plan_loss(theta: np.ndarray) -> np.ndarray:
    """E[L1a] at (a, b, row), where each position passes on the label before it, and the first its own."""
    weights = np.exp(np.where(CONTEXTS == END, theta[0], theta[1]) + theta[2:])
    reads_v = np.hstack([CONTEXTS[:, :1], CONTEXTS[:, :-1]]) == V
    return -np.log((weights * reads_v).sum(axis=1) / weights.sum(axis=1)).mean()


def slopes(loss: Callable[[np.ndarray], np.ndarray], at: np.ndarray, step: float = 1e-30) -> np.ndarray:
    """By complex steps, exact to rounding."""
    return np.array([np.imag(loss(at + 1j * step * d)) / step for d in np.eye(len(at))])


def velocity(theta: np.ndarray) -> np.ndarray:
    return -slopes(plan_loss, theta) / SHARES


def test_the_field_is_minus_the_slopes_of_the_plain_loss():
    row = [-1 / 60, -1 / 60, 1 / 40, 1 / 40, 1 / 90, 1 / 40, 1 / 90, 1 / 40, 1 / 90, -1 / 10]
    np.testing.assert_allclose(velocity(np.zeros(2 + T)), [133 / 3600, -133 / 32400, *row], rtol=0, atol=1e-15)
    np.testing.assert_allclose([float(x) for x in limit.row_at_zero()], row, rtol=0, atol=1e-15)
    for theta in np.random.default_rng(0).normal(size=(2, 2 + T)):
        balls = start.velocity(theta.tolist())
        np.testing.assert_allclose([float(ball) for ball in balls], velocity(theta), rtol=0, atol=1e-14)


def test_the_enclosed_loss_is_the_plain_one():
    step = start.enclosure()[5]
    theta = np.array([float(value) for value in step.value])
    loss, row = start.loss_and_row(step.time)
    assert abs(float(loss) - plan_loss(theta)) < 1e-6
    np.testing.assert_allclose([float(entry) for entry in row], theta[2:], rtol=0, atol=1e-12)
    flow = solve_ivp(lambda _, x: velocity(x), (0, step.time), np.zeros(2 + T), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(theta, flow.y[:, -1], rtol=0, atol=1e-7)


def test_the_limit_is_the_direction_of_the_largest_margin():
    gaps = np.array([k.gap(k.end, j) for k in start.kinds() for j in range(T) if not k.hits[j]])
    nearest = minimize(
        lambda x: x @ (SHARES * x),
        np.zeros(2 + T),
        jac=lambda x: 2 * SHARES * x,
        constraints={"type": "ineq", "fun": lambda x: gaps @ x - 1, "jac": lambda _: gaps},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(nearest.x, [float(x) for x in direction.LIMIT.theta], rtol=0, atol=1e-6)


def test_a_mask_alone_has_the_margin_but_is_no_combination_of_gaps():
    assert direction.margin(direction.LIMIT).shows == "supports"
    outcome = direction.margin(direction.MASK_ALONE)
    assert (outcome.shows, outcome.value) == ("contradicts", 1)  # the gaps are 1, the identity is false


def test_logits_move_as_the_weights_do():
    """W0[u_end, .] and W1[T-1, .] descend -log f on one graph; the slopes are of the plain loss."""
    context = contexts()[7]
    tokens, hits = np.array(context.tokens), np.array(context.reads_v)

    def logits(weights: np.ndarray) -> np.ndarray:
        return weights[tokens] + weights[5:]

    def loss(weights: np.ndarray) -> np.ndarray:
        s = np.exp(logits(weights)) / np.exp(logits(weights)).sum()
        return -np.log(s[hits].sum())

    expected = logits(-slopes(loss, np.zeros(5 + T)))
    speeds = logit_velocity(context, pull(UNIFORM, context.reads_v))
    np.testing.assert_allclose([float(x) for x in speeds], expected, rtol=0, atol=1e-15)
    assert speeds[context.at_end] != speeds[SELF] or context.reads_v[SELF]


def test_the_pull_is_the_gradient_of_theorem_1():
    """With one-hot S1 as the predecessor, against the rational chain rule that Theorem 1 is checked with."""
    s = random_rows(1, seed=5)[0]
    s1 = [exact.one_hot(T, max(t - 1, 0)) for t in range(T)]
    for context in contexts():
        hit = [token == context.v for token in context.tokens]
        gradients = exact.deep(exact.Attention(s1, s, [UNIFORM] * T), hit)
        assert gradients is not None
        assert [-entry for entry in gradients.logits_2] == pull(s, context.reads_v)
