"""Gradient flows over many orders of magnitude of time.

Weights grow like log t, so the flow is solved in tau = log(1 + t), where d theta / d tau = (1 + t) theta'. That makes
it stiff: an implicit method, Kvaerno's of order 5, with the error controlled at every step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from circuits import checks
from circuits.typing import AnyArray, Scalar

State = Any
"""A pytree of arrays; theta alone, or with what is integrated beside it."""
MOST_STEPS = 16384


class Solution(NamedTuple):
    """A flow at the times asked for.

    times      (K,), those asked for; after an event, infinity
    states     the state with a first axis of K; NaN or infinite where the flow was stopped before
    end        the time reached: the last one, or that of the event
    final      the state there
    steps      taken by the solver, rejected ones included
    succeeded  False if the solver gave up
    between    the state at any time up to ``end``, through ``evaluate``; None unless ``dense`` was asked for
    """

    times: Float[Array, " K"]
    states: State
    end: Scalar
    final: State
    steps: Int[Array, ""]
    succeeded: Bool[Array, ""]
    between: diffrax.DenseInterpolation | None = None


def solve(
    field: Callable[[State], State],
    start: State,
    times: Float[AnyArray, " K"],
    *,
    rtol: float = 1e-8,
    atol: float = 1e-8,
    until: Callable[[State], Scalar] | None = None,
    dense: bool = False,
    most_steps: int = MOST_STEPS,
) -> Solution:
    """theta' = field(theta) from ``start`` at t = 0, at increasing ``times`` >= 0.

    rtol and atol bound the local error of a step, and steps end at ``times``. ``until`` stops the flow where it
    crosses 0, found as ``evaluate`` finds states. ``dense`` keeps what that needs, ``most_steps`` times 8 states. The
    first call with a field compiles; ``field`` and ``until`` are told apart by identity, so keep them. Under vmap a
    batch of starts is solved together.

    An error of the field by rounding, e, becomes e t in log-time, so tolerances below about 1e-16 t |theta'| make
    the solver take ever smaller steps: where a loss does not tend to 0, atol = 1e-8 suits t = 1e8.

    Raises ValueError for times that do not increase from 0 or more, RuntimeError where the solver gives up (traced
    calls return ``succeeded`` instead).
    """
    if not isinstance(times, Tracer):
        values = np.asarray(times, float)
        increasing = values.ndim == 1 and len(values) > 0 and values[0] >= 0 and np.all(np.diff(values) > 0)
        checks.require(bool(increasing and np.isfinite(values).all()), "times", "must increase, from 0 or more", values)
        checks.require(bool(values[-1] > 0), "times", "must end after 0", float(values[-1]))
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        checks.require(bool(0 < tolerance < 1), name, "must be between 0 and 1", tolerance)
    found = _solve(field, until, dense, most_steps, start, jnp.asarray(times), rtol, atol)
    if not isinstance(found.succeeded, Tracer) and not bool(jnp.all(found.succeeded)):
        raise RuntimeError(f"the flow was not solved within most_steps = {most_steps} steps; last times {found.times}")
    return found


def evaluate(solution: Solution, time: float | int | Scalar) -> State:
    """The state at any time from 0 to the end, by a cubic between the ends of the step it falls in.

    That is of lower order than the steps: about 1e-5 at the default tolerances, 1e-7 at 1e-10. Raises ValueError for
    a solution that was not made ``dense``, or a time out of range.
    """
    checks.require(solution.between is not None, "solution", "must be solved with dense=True", None)
    assert solution.between is not None
    if not isinstance(time, Tracer):
        checks.require(bool(0 <= time <= solution.end), "time", f"must be from 0 to {solution.end}", time)
    return solution.between.evaluate(jnp.log1p(time))


def log_times(end: float, per_decade: int = 8, first: float = 0.01) -> Float[Array, " K"]:
    """0, then times evenly spaced in log t from ``first`` to ``end``, about ``per_decade`` in each decade."""
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
    most_steps: int,
    start: State,
    times: Float[Array, " K"],
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
    # Steps end at the times asked for: between its steps the solver interpolates by cubics, far from its order.
    steps = diffrax.ClipStepSizeController(diffrax.PIDController(rtol=rtol, atol=atol), step_ts=logs)
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(in_log_time),
        diffrax.Kvaerno5(root_finder=newton),
        t0=0.0,
        t1=logs[-1],
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(subs=(diffrax.SubSaveAt(ts=logs), diffrax.SubSaveAt(t1=True)), dense=dense),
        stepsize_controller=steps,
        max_steps=most_steps,
        event=event,
        throw=False,
    )
    stopped = found.result == diffrax.RESULTS.event_occurred
    succeeded = (found.result == diffrax.RESULTS.successful) | stopped
    (reached, end), (states, final) = found.ts, found.ys  # pyright: ignore
    return Solution(
        jnp.where(jnp.isfinite(reached), times, jnp.inf),
        states,
        jnp.expm1(end[0]),
        jax.tree.map(lambda leaf: leaf[0], final),
        found.stats["num_steps"],
        succeeded,
        found.interpolation,
    )
