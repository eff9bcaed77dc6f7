"""Gradient flows over many orders of magnitude of time.

Weights grow like log t, so the flow is solved in tau = log(1 + t), where d theta / d tau = (1 + t) theta'. That makes
it stiff: the solver is implicit, Kvaerno's method of order 5, with the error controlled at every step.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from circuits import checks, display
from circuits.display import Figure
from circuits.typing import AnyArray, Scalar

State = Any
"""A pytree of arrays: theta, or theta with further quantities to integrate."""
MAX_STEPS = 16384


class Solution(NamedTuple):
    """A flow at the requested times.

    Args:
        times: the requested times; infinite for those after an event.
        states: the state at each time, along a first axis; NaN or infinite at times after an event.
        end: the time at which the flow ended: the last requested one, or that of the event.
        final: the state at ``end``.
        steps: number of steps of the solver, rejected ones included.
        succeeded: False if the solver failed.
        interpolation: for ``evaluate``; None unless ``dense`` was requested.
    """

    times: Float[Array, " times"]
    states: State
    end: Scalar
    final: State
    steps: Int[Array, ""]
    succeeded: Bool[Array, ""]
    interpolation: diffrax.DenseInterpolation | None = None

    def plot(self, names: Sequence[str] = (), *, title: str = "", ylabel: str = "state") -> Figure:
        """Draw every coordinate of the state over time, which is logarithmic; those that move most are named.

        Args:
            names: of the coordinates, such as ``Coordinates.names``; by default their places in the state.
            title: above the frame.
            ylabel: left of the frame.

        Returns:
            A figure with one axes. Up to 6 coordinates are coloured and named, the others are grey.

        Raises:
            ValueError: for solutions of several starts, too few times after 0, or another number of names.

        Example:
            >>> times = jnp.asarray([0.1, 1.0, 10.0])
            >>> states = jnp.stack([jnp.log1p(times), -times], axis=1)
            >>> flow = Solution(times, states, times[-1], states[-1], jnp.asarray(9), jnp.asarray(True))
            >>> [text.get_text() for text in flow.plot(["a", "b"]).axes[0].texts]
            ['a', 'b']
        """
        times = np.asarray(self.times)
        checks.require(times.ndim == 1, "times", "must be those of one start (plot one of a batch)", times.shape)
        leaves = [
            (jax.tree_util.keystr(path), np.asarray(leaf)) for path, leaf in jax.tree.leaves_with_path(self.states)
        ]
        curves = np.concatenate([leaf.reshape(len(times), -1) for _, leaf in leaves], axis=1)
        places = [f"{name}{list(index)}" for name, leaf in leaves for index in np.ndindex(leaf.shape[1:])]
        checks.require(len(names) in (0, len(places)), "names", f"must be {len(places)}", len(names))
        known = np.isfinite(times) & (times > 0)
        return display.plotting.trajectory_lines(
            times[known], curves[known].T, list(names) or places, title=title, ylabel=ylabel
        )

    @display.safe
    def _repr_html_(self) -> str:
        checks.require(np.ndim(self.end) == 0, "end", "must be that of one start", np.shape(self.end))
        status = "solved" if bool(self.succeeded) else "failed"
        facts = {"end": self.end, "steps of the solver": self.steps, "final state": self.final}
        return display.facts(f"Gradient flow, {status}", facts) + display.picture(self.plot())


def solve(
    field: Callable[[State], State],
    start: State,
    times: Float[AnyArray, " times"],
    *,
    rtol: float = 1e-8,
    atol: float = 1e-8,
    until: Callable[[State], Scalar] | None = None,
    dense: bool = False,
    max_steps: int = MAX_STEPS,
) -> Solution:
    """Solve theta' = field(theta) from ``start`` at t = 0.

    The first call with a field compiles; compiled programs are cached by the identity of ``field`` and ``until``, so
    reuse these functions. Under vmap, a batch of starts is solved together.

    A rounding error e of the field becomes e t in log-time, so for tolerances below about 1e-16 t |theta'| the solver
    takes ever smaller steps. If a loss does not tend to 0, use atol = 1e-8 for t up to 1e8.

    Args:
        field: the velocity of a state, such as ``fields.gradient_flow``.
        start: the state at t = 0, any pytree of arrays.
        times: increasing times at which to return the state, from 0 or later.
        rtol: bound of the relative local error of a step.
        atol: bound of the absolute local error of a step.
        until: the flow stops when this function of the state crosses 0. That time is as exact as ``evaluate``.
        dense: store the interpolation that ``evaluate`` needs, as large as 8 ``max_steps`` states.
        max_steps: number of steps after which the solver fails.

    Returns:
        The state at each time, see ``Solution``.

    Raises:
        ValueError: for times that do not increase from 0 or later, and tolerances outside (0, 1).
        RuntimeError: if the solver fails (under jit or vmap, ``succeeded`` is False instead).

    Example:
        >>> flow = solve(lambda theta: jnp.exp(-theta), jnp.zeros(1), np.array([0.0, 1.0, 100.0]), dense=True)
        >>> bool(jnp.allclose(flow.states[:, 0], jnp.log1p(flow.times), atol=1e-6))  # theta = log(1 + t)
        True
        >>> bool(abs(evaluate(flow, 50.0)[0] - jnp.log(51.0)) < 1e-4)
        True
    """
    if not isinstance(times, Tracer):
        values = np.asarray(times, float)
        increasing = values.ndim == 1 and len(values) > 0 and values[0] >= 0 and np.all(np.diff(values) > 0)
        increasing = bool(increasing and np.isfinite(values).all())
        checks.require(increasing, "times", "must increase, from 0 or later", values)
        checks.require(bool(values[-1] > 0), "times", "must end after 0", float(values[-1]))
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        checks.require(bool(0 < tolerance < 1), name, "must be between 0 and 1", tolerance)
    solution = _solve(field, until, dense, max_steps, start, jnp.asarray(times), rtol, atol)
    if not isinstance(solution.succeeded, Tracer) and not bool(jnp.all(solution.succeeded)):
        raise RuntimeError(f"the flow was not solved within max_steps = {max_steps} steps; last times {solution.times}")
    return solution


def evaluate(solution: Solution, time: float | int | Scalar) -> State:
    """Return the state at any time, by cubic interpolation within a step of the solver.

    Its error is larger than that of ``Solution.states``: about 1e-5 at the default tolerances, 1e-7 at 1e-10.

    Args:
        solution: solved with ``dense=True``.
        time: from 0 to ``solution.end``.

    Raises:
        ValueError: for a solution without ``dense``, and for a time out of range.

    Example:
        >>> flow = solve(lambda theta: -theta, jnp.ones(1), np.array([10.0]), dense=True)
        >>> evaluate(flow, 1.0).round(3).tolist()
        [0.368]
    """
    checks.require(solution.interpolation is not None, "solution", "must be solved with dense=True", None)
    assert solution.interpolation is not None
    if not isinstance(time, Tracer):
        checks.require(bool(0 <= time <= solution.end), "time", f"must be from 0 to {solution.end}", time)
    return solution.interpolation.evaluate(jnp.log1p(time))


def log_times(end: float, per_decade: int = 8, first: float = 0.01) -> Float[Array, " times"]:
    """Return 0, followed by times evenly spaced in log t.

    Args:
        end: the last time.
        per_decade: approximate number of times in each decade.
        first: the first time after 0.

    Raises:
        ValueError: unless 0 < first < end < infinity and ``per_decade`` is at least 1.

    Example:
        >>> log_times(10.0, per_decade=1, first=0.1).round(3).tolist()
        [0.0, 0.1, 1.0, 10.0]
    """
    checks.require(0 < first < end < float("inf"), "end", f"must be finite and above first = {first:g}", end)
    checks.integer("per_decade", per_decade, min_value=1)
    decades = np.log10(end) - np.log10(first)
    spaced = np.logspace(np.log10(first), np.log10(end), round(decades * per_decade) + 1)
    return jnp.asarray(np.concatenate([[0.0], spaced[:-1], [end]]))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _solve(
    field: Callable[[State], State],
    until: Callable[[State], Scalar] | None,
    dense: bool,
    max_steps: int,
    start: State,
    times: Float[Array, " times"],
    rtol: Scalar,
    atol: Scalar,
) -> Solution:
    def in_log_time(tau: Any, state: State, _: None) -> State:
        return jax.tree.map(lambda velocity: jnp.exp(tau) * velocity, field(state))

    event = None
    if until is not None:
        event = diffrax.Event(lambda t, y, args, **_: until(y), optimistix.Newton(rtol, atol))  # pyright: ignore
    logs = jnp.log1p(times)
    # Kvaerno5's own VeryChord takes rounding for divergence where its first guess is right: it rejects half of all
    # steps, and never leaves 0 on theta' = exp(-theta).
    newton = diffrax.with_stepsize_controller_tols(optimistix.Newton)()
    # Steps end at the requested times: within a step the solver interpolates by cubics, far below its order.
    steps = diffrax.ClipStepSizeController(diffrax.PIDController(rtol=rtol, atol=atol), step_ts=logs)
    solved = diffrax.diffeqsolve(
        diffrax.ODETerm(in_log_time),
        diffrax.Kvaerno5(root_finder=newton),
        t0=0.0,
        t1=logs[-1],
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(subs=(diffrax.SubSaveAt(ts=logs), diffrax.SubSaveAt(t1=True)), dense=dense),
        stepsize_controller=steps,
        max_steps=max_steps,
        event=event,
        throw=False,
    )
    stopped = solved.result == diffrax.RESULTS.event_occurred
    succeeded = (solved.result == diffrax.RESULTS.successful) | stopped
    (reached, end), (states, final) = solved.ts, solved.ys  # pyright: ignore
    return Solution(
        jnp.where(jnp.isfinite(reached), times, jnp.inf),
        states,
        jnp.expm1(end[0]),
        jax.tree.map(lambda leaf: leaf[0], final),
        solved.stats["num_steps"],
        succeeded,
        solved.interpolation,
    )
