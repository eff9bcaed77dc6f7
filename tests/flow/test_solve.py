"""The solver: exact solutions, scipy's Radau as an independent oracle, and what the flows conserve."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from circuits.disentangled.circuit import circuit
from circuits.disentangled.weights import zeros
from circuits.flow.coordinates import Coordinates, Theta, coordinates, free, orbits, toeplitz
from circuits.flow.fields import GOAL, NEXT_TOKEN, PLAN, Mixture, gradient_flow, population_loss
from circuits.flow.solve import Solution, evaluate, log_times, solve
from tests.cases import PAPER, assert_close

TIMES = np.concatenate([[0.0], 10.0 ** np.arange(-2, 8.1, 0.5)])
MILLION, LAST = int(np.argmin(np.abs(TIMES - 1e6))), len(TIMES) - 1


def growing(theta):
    """theta = log(e^start + t): what every weight of these flows ends up doing."""
    return jnp.exp(-theta)


class Flow:
    """A flow together with its energy: energy' = the square of the speed, so loss + energy is constant."""

    def __init__(self, chart: Coordinates, mixture: Mixture):
        self.chart = chart
        self.field = jax.jit(gradient_flow(chart, mixture, PAPER))
        self.loss = jax.jit(jax.vmap(population_loss(chart, mixture, PAPER)))

    def with_energy(self, state: tuple[Theta, jax.Array]) -> tuple[Theta, jax.Array]:
        velocity = self.field(state[0])
        return velocity, jnp.sum(self.chart.multiplicity * velocity**2)

    def solve(self, start: Theta) -> Solution:
        return solve(self.with_energy, (start, jnp.zeros(())), TIMES, rtol=1e-10, atol=1e-10)


def require_energy_balance(flow: Flow, solution: Solution) -> None:
    """L(theta(t)) + energy(t) = L(theta(0))."""
    theta, energy = solution.states
    losses = flow.loss(theta)
    assert_close(losses + energy, jnp.full(len(TIMES), losses[0]), atol=1e-8)
    assert float(energy[-1]) > 0.1
    assert float(jnp.min(jnp.diff(energy))) >= 0


def require_row_sums(flow: Flow, solution: Solution) -> None:
    sums = jax.vmap(flow.chart.row_sums)(solution.states[0])
    assert_close(sums, jnp.broadcast_to(sums[0], sums.shape), atol=1e-8)


def require_radau(flow: Flow, solution: Solution) -> None:
    """scipy's Radau, in plain time, on the same field, to a relative 1e-6 at t = 1e6."""
    jacobian = jax.jit(jax.jacfwd(flow.field))
    start = solution.states[0][0]
    oracle = solve_ivp(
        lambda _, y: np.asarray(flow.field(y)),
        (0, 1e6),
        start,
        method="Radau",
        jac=lambda _, y: np.asarray(jacobian(y)),
        rtol=1e-9,
        atol=1e-10,
    )
    assert oracle.success
    assert TIMES[MILLION] == 1e6
    assert_close(solution.states[0][MILLION], oracle.y[:, -1], atol=0, rtol=1e-6)


def require_all(flow: Flow, solution: Solution) -> None:
    require_radau(flow, solution)
    require_energy_balance(flow, solution)
    require_row_sums(flow, solution)


def test_phase_1():
    """L2 over Toeplitz weights of Layer 1: the oracle, the energy, and every quantity that is conserved."""
    flow = Flow(coordinates(PAPER, position_1=toeplitz(10)), GOAL)
    require_all(flow, flow.solve(jnp.zeros(10)))
    elsewhere = flow.solve(jnp.asarray(np.linspace(-2.0, 1.2, 10)[[3, 8, 0, 5, 1, 9, 6, 2, 7, 4]]))
    require_energy_balance(flow, elsewhere)
    require_row_sums(flow, elsewhere)
    # u_end is at offset 1 and at even ones. All others have w' = -s, so e^-w grows alike, by the integral of 1 / sum
    # e^w. The difference of two is conserved, to 1e-8 of the larger term, while each grows.
    inverse = np.exp(-np.asarray(elsewhere.states[0]))
    for other in (0, 5, 7, 9):
        difference = inverse[:, 3] - inverse[:, other]
        size = np.max(inverse[:, [3, other]])
        assert abs(difference[0]) > 0.01 * size
        assert_close(difference / size, np.full(len(TIMES), difference[0] / size), atol=1e-8)
        assert inverse[-1, other] > inverse[0, other] + 1
    assert abs((inverse[-1, 3] - inverse[-1, 2]) - (inverse[0, 3] - inverse[0, 2])) > 0.1


@pytest.mark.slow
def test_phase_2():
    """L1a over Layer 2, content and the row that the query reads, once Layer 1 is the circuit's."""
    row = np.zeros((10, 10), bool)
    row[8] = True
    at = circuit(800.0, 10, 10)[0], zeros(2, 10, 10)[1]
    flow = Flow(coordinates(PAPER, content_2=orbits(10), position_2=free(row), at=at), PLAN)
    require_all(flow, flow.solve(jnp.zeros(12)))


@pytest.mark.slow
def test_next_token_prediction():
    """(L1a + L1b) / 2 over Toeplitz weights of Layer 1, with Layer 2 at zero."""
    flow = Flow(coordinates(PAPER, position_1=toeplitz(10)), NEXT_TOKEN)
    require_all(flow, flow.solve(jnp.zeros(10)))


def test_logarithmic_growth_to_1e8_and_errors_that_follow_the_tolerance():
    errors = []
    for tolerance in (1e-4, 1e-7, 1e-10):
        solution = solve(growing, jnp.array([1.0, -2.0]), TIMES, rtol=tolerance, atol=tolerance)
        exact = jnp.log(jnp.exp(solution.states[:1]) + TIMES[:, None])
        errors.append(float(jnp.max(jnp.abs(solution.states - exact))))
        assert errors[-1] < 100 * tolerance
        assert bool(solution.succeeded)
        assert_close(
            (solution.times, solution.end, solution.final), (TIMES, 1e8, solution.states[-1]), atol=1e-14, rtol=1e-14
        )
    assert errors[0] > 30 * errors[1] > 900 * errors[2], errors


def test_growth_from_zero_is_a_straight_line_in_log_time():
    """No error to estimate and Newton's first guess is right: a solver that asks for progress gets stuck here."""
    solution = solve(growing, jnp.zeros(2), TIMES)
    assert_close(solution.states[:, 0], np.log1p(TIMES), atol=1e-10)
    assert int(solution.steps) == len(TIMES) - 1


def test_the_flow_stops_at_an_event_and_is_dense_up_to_it():
    """theta = log(e + t) reaches 5 at t = e^5 - e. Between its steps the solver is a cubic, and less exact."""

    def until(theta):
        return theta[1] - 5.0

    start = jnp.array([-2.0, 1.0])
    solution = solve(growing, start, TIMES, until=until, dense=True, max_steps=256)
    end = np.exp(5.0) - np.exp(1.0)
    assert_close(solution.end, end, atol=0, rtol=1e-6)
    assert_close(solution.final, np.log(np.exp(start) + end), atol=1e-6)
    assert_close(until(solution.final), 0.0, atol=1e-10)
    before = end > TIMES
    assert_close(solution.times, np.where(before, TIMES, np.inf), atol=0)
    assert not np.isfinite(solution.states[~before]).any()
    for time, state in zip(TIMES[before], solution.states[before], strict=True):
        assert_close(evaluate(solution, time), state, atol=1e-12)
        assert_close(evaluate(solution, 1.3 * time), np.log(np.exp(start) + 1.3 * time), atol=2e-5)
    assert_close(evaluate(solution, 50), np.log(np.exp(start) + 50), atol=2e-5)
    for time in (-1.0, end + 1):
        with pytest.raises(ValueError, match=r"time: must be from 0 to 145.6.*, got"):
            evaluate(solution, time)
    # The same program, where the event does not come before the end.
    late = solve(growing, start, TIMES * 1e-7, until=until, dense=True, max_steps=256)
    assert_close(late.end, TIMES[-1] * 1e-7, atol=0, rtol=1e-14)
    assert np.isfinite(late.states).all()


def test_a_batch_of_starts_is_each_of_them_and_one_that_fails_leaves_the_others():
    starts = jnp.array([[0.0, 1.0], [-3.0, 2.0], [jnp.nan, 1.0]])
    batch = jax.vmap(lambda start: solve(growing, start, TIMES))(starts)
    assert batch.states.shape == (3, len(TIMES), 2)
    assert batch.succeeded.tolist() == [True, True, False]
    for start, states in zip(starts[:2], batch.states[:2], strict=True):
        assert_close(states, solve(growing, start, TIMES).states, atol=1e-12)
    with pytest.raises(RuntimeError, match="the flow was not solved"):
        solve(growing, starts[2], TIMES)


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(lambda theta: jnp.where(theta > 2, jnp.nan, 1.0), id="NaN from t = 1"),
        pytest.param(lambda theta: theta**2, id="infinite at t = 1, where steps get too small"),
    ],
)
def test_a_flow_that_ends_is_an_error_that_says_where(field):
    """The times reached are those before 1."""
    with pytest.raises(RuntimeError, match=r"max_steps = 2048 steps; last times \[0\. +0\.1 +0\.9 +inf +inf\]"):
        solve(field, jnp.ones(1), np.array([0.0, 0.1, 0.9, 1.1, 2.0]), max_steps=2048)


def test_errors():
    def attempt(times: Any = TIMES, **tolerances: Any) -> None:
        solve(growing, jnp.zeros(2), np.asarray(times, float), **tolerances)

    rule = "times: must increase, from 0 or later"
    cases = [
        (lambda: attempt([1.0, 0.5]), rule),
        (lambda: attempt([1.0, 1.0]), rule),
        (lambda: attempt([-1.0, 1.0]), rule),
        (lambda: attempt([]), rule),
        (lambda: attempt([0.0, np.nan]), rule),
        (lambda: attempt([0.0, np.inf]), rule),
        (lambda: attempt([0.0]), "times: must end after 0"),
        (lambda: attempt(rtol=0.0), "rtol: must be between 0 and 1"),
        (lambda: attempt(atol=1.0), "atol: must be between 0 and 1"),
        (lambda: evaluate(solve(growing, jnp.zeros(2), TIMES), 1.0), "solution: must be solved with dense=True"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
    assert float(log_times(1e8)[-1]) == 1e8
