"""The two flows of Theorem 2, solved to the end once, and a twin of them in plain numpy.

The library's flow is automatic differentiation of its closed form, solved by Kvaerno's method. The twin is the
corrected field written out, solved by scipy's Radau method. It checks the library's solution, and it is cheap enough
to be solved again for every control.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from circuits.disentangled.circuit import circuit
from circuits.disentangled.weights import zeros
from circuits.flow.coordinates import Coordinates, coordinates, free, orbits, toeplitz
from circuits.flow.fields import GOAL, PLAN, Mixture, gradient_flow, population_loss
from circuits.flow.rates import Rate, rate
from circuits.flow.solve import log_times, solve
from proofs_check import setting
from proofs_check.evidence import Control, Evidence, Of, at_least, at_most
from proofs_check.theorem_2_exact import SELF, Context, contexts

N, T = setting.N, setting.T
SATURATED = 800.0
"""Logit of the predecessor at which float64 attention on it is exactly 1: e^-800 is 0."""
TOLERANCE = 1e-12
"""Of a step. Between its steps the solver interpolates, and is off by up to a thousand times as much."""
Targets = Callable[[Context], list[bool]]
Velocity = Callable[[np.ndarray], np.ndarray]


class Path(NamedTuple):
    """A flow from zero: times, the coordinates at each, and the loss there."""

    times: np.ndarray
    theta: np.ndarray
    loss: np.ndarray


class Mutant(NamedTuple):
    """A changed field, how far its flow is solved, and the test that it must fail there.

    The true field must pass this test at the same horizon. Else the mutant might fail for its horizon.
    """

    name: str
    field: Velocity
    until: float
    judge: Callable[[Path], Evidence]

    def control(self, size: int) -> Control:
        return Control(self.name, self.judge(changed(self.field, size, self.until)))

    def unchanged(self, field: Velocity, size: int) -> Evidence:
        """What the test says of the true field."""
        return self.judge(changed(field, size, self.until))


@cache
def phase_1() -> Path:
    """w(0) .. w(9) under the flow of L2, to t = 1e12."""
    return _library(coordinates(setting.SPEC, position_1=toeplitz(T)), GOAL, end=1e12)


@cache
def phase_2() -> Path:
    """(a, b, row T - 1 of W1^(2)) under the flow of L1a with Layer 1 the predecessor, to t = 1e20.

    W0^(2) = a I + b (1 1^T - I) by label symmetry. The other rows of W1^(2) have no velocity anywhere, as S1[T] is
    e_{T-1} (claim theorem-2.phase-2.sparsity). The terms left out of the rates decay like t^(-1/5): hence the horizon.
    """
    row = np.zeros((T, T), bool)
    row[SELF] = True
    first, second = circuit(SATURATED, N, T)[0], zeros(2, N, T)[1]
    found = coordinates(setting.SPEC, content_2=orbits(N), position_2=free(row), at=(first, second))
    return _library(found, PLAN, end=1e20)


def _library(found: Coordinates, mixture: Mixture, end: float) -> Path:
    field = gradient_flow(found, mixture, setting.SPEC)
    start = jnp.zeros(len(found.names))
    solution = solve(field, start, log_times(end), rtol=TOLERANCE, atol=TOLERANCE)
    loss = jax.jit(jax.vmap(population_loss(found, mixture, setting.SPEC)))(solution.states)
    return Path(*(np.asarray(array) for array in (solution.times, solution.states, loss)))


def pull(s: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """``theorem_2_exact.pull`` in float64, a row for each context, exact to rounding where the miss 1 - f is tiny."""
    missed, found = np.sum(s * ~hits, axis=1, keepdims=True), np.sum(s * hits, axis=1, keepdims=True)
    return s * np.where(hits, missed / found, -1.0)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Of each row."""
    s = np.exp(logits - logits.max(axis=1, keepdims=True))
    return s / s.sum(axis=1, keepdims=True)


def phase_1_twin(w: np.ndarray, targets: Targets = lambda context: context.holds_end) -> np.ndarray:
    """w' of Phase I when the answers stand at ``targets``; row T sees position j at offset T - j."""
    hits = np.array([targets(context) for context in contexts()])[:, ::-1]
    return pull(softmax(np.tile(w, (len(hits), 1))), hits).mean(axis=0)


def phase_2_twin(
    theta: np.ndarray, targets: Targets = lambda context: context.reads_v, entries: tuple[int, int] = (N, N * (N - 1))
) -> np.ndarray:
    """(a, b, row)' of Phase II; one context moves one row of W0^(2), and ``entries`` share what it pulls."""
    hits = np.array([targets(context) for context in contexts()])
    g = pull(attention(theta), hits)
    on_diagonal = np.sum(g * _matching(), axis=1).mean()
    off_diagonal = np.sum(g * ~_matching(), axis=1).mean()
    return np.concatenate([[on_diagonal / entries[0], off_diagonal / entries[1]], g.mean(axis=0)])


def attention(theta: np.ndarray) -> np.ndarray:
    """S2[T] on each of the 24 edge orders, at (a, b, row)."""
    return softmax(np.where(_matching(), theta[0], theta[1]) + theta[2:])


@cache
def _matching() -> np.ndarray:
    return np.array([context.holds_end for context in contexts()])


def integrate(velocity: Velocity, size: int, times: np.ndarray) -> np.ndarray:
    """theta at the times, from zero, by Radau's method in tau = log(1 + t)."""
    tau = np.log1p(times)

    def in_log_time(tau: float, theta: np.ndarray) -> np.ndarray:
        return np.exp(tau) * velocity(theta)

    found = solve_ivp(in_log_time, (0, tau[-1]), np.zeros(size), "Radau", tau, rtol=1e-9, atol=1e-9)
    if not found.success:
        raise RuntimeError(found.message)
    return found.y.T


@cache
def changed(velocity: Velocity, size: int, until: float) -> Path:
    """The path of a field of the twins, changed or not. Its loss is not looked at."""
    times = np.asarray(log_times(until))
    return Path(times, integrate(velocity, size, times), np.full(len(times), np.nan))


def slope(path: Path, values: np.ndarray) -> Rate:
    """d value / d log t over the last three decades."""
    return rate(path.times[1:], values[1:])


def has_slope(
    quantity: str, path: Path, values: np.ndarray, stated: float, tolerance: float, *, of: Of = "printed"
) -> Evidence:
    """Whether each column grows like ``stated`` log t, over three decades; what the slope still moves is counted in."""
    columns = values.reshape(len(values), -1).T
    found = [slope(path, column) for column in columns]
    worst = max(abs(each.slope - stated) + each.uncertainty for each in found)
    last = f"{path.times[-1]:.0e}"
    return at_most(
        "simulated",
        f"|d({quantity})/d log t - ({stated:.6g})| and its uncertainty, the last 3 decades to t = {last}",
        worst,
        tolerance,
        len(columns),
        of=of,
        detail=", ".join(f"{each.slope:.6f}" for each in found[:10]),
        spans=True,
    )


def grows(quantity: str, path: Path, values: np.ndarray) -> Evidence:
    """Whether each column never falls from one time to the next."""
    steps = np.diff(values.reshape(len(values), -1), axis=0)
    text = f"least change of {quantity} from one time to the next, t <= {path.times[-1]:.0e}"
    return at_least("simulated", text, float(steps.min()), 0, steps.size)


def agrees(quantity: str, path: Path, velocity: Velocity, until: float = 1e6, of: Of = "printed") -> Evidence:
    """The library's path against the twin's, up to a time."""
    early = path.times <= until
    twin = integrate(velocity, path.theta.shape[1], path.times[early])
    gap = float(np.max(np.abs(path.theta[early] - twin) / np.maximum(1, np.abs(twin))))
    text = f"max |{quantity} of the library's flow - scipy's Radau on the field written out|, t <= {until:.0e}"
    return at_most("simulated", text, gap, 1e-6, int(early.sum()), of=of)
