"""Our ``solve`` against scipy's Radau and LSODA: the same fields, to t = 1e8, with rtol = atol = 1e-8.

The peers get the same jitted field and its jitted Jacobian, and log-time too, in which they are faster. Each solves one
flow from zero, in turns; and 100 flows from random starts, once each: ours under ``lax.map`` and under ``vmap``, where
all wait for the slowest (Phase I only, as Phase II takes minutes), theirs in a loop. ``first-call`` is our compilation
and first solution against the first calls of field and Jacobian, and is in no other line. End points must agree to
1e-5.

    python benchmarks/flow.py
"""

import argparse
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from measure import best_seconds, report
from scipy.integrate import solve_ivp

from circuits.disentangled.circuit import circuit
from circuits.disentangled.weights import zeros
from circuits.flow.coordinates import coordinates, free, orbits, toeplitz
from circuits.flow.fields import GOAL, PLAN, gradient_flow
from circuits.flow.solve import solve
from circuits.tasks.star.graph import StarGraph

SPEC = StarGraph(paths=2, nodes=3, labels=10)
END, TOLERANCE, AGREEMENT = 1e8, 1e-8, 1e-5
STARTS = 100
METHODS = ("Radau", "LSODA")


def phase_1():
    """Return the field of L2 over Toeplitz weights of layer 0, and its 10 coordinates."""
    return gradient_flow(coordinates(SPEC, position_1=toeplitz(10)), GOAL, SPEC), 10


def phase_2():
    """Return the field of L1a over content and the query's row in layer 1, layer 0 being the circuit's."""
    row = np.zeros((10, 10), bool)
    row[8] = True
    at = circuit(800.0, 10, 10)[0], zeros(2, 10, 10)[1]
    return gradient_flow(coordinates(SPEC, content_2=orbits(10), position_2=free(row), at=at), PLAN, SPEC), 12


def end_of(field, time, start):
    """Return the end of one flow."""
    return solve(field, start, np.array([time]), rtol=TOLERANCE, atol=TOLERANCE).final


def peer(method, field, jacobian, time, starts):
    """Return the end points of the flows from scipy's solver, one start after the other."""

    def end(start):
        solution = solve_ivp(
            lambda tau, y: np.exp(tau) * np.asarray(field(y)),
            (0, np.log1p(time)),
            start,
            method=method,
            jac=lambda tau, y: np.exp(tau) * np.asarray(jacobian(y)),
            rtol=TOLERANCE,
            atol=TOLERANCE,
        )
        assert solution.success, solution.message
        return solution.y[:, -1]

    return end(starts) if starts.ndim == 1 else np.stack([end(start) for start in starts])


def timed(run):
    """Return (result, seconds) of one call."""
    begun = time.perf_counter()
    result = np.asarray(run())
    return result, time.perf_counter() - begun


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--toy", action="store_true", help="Phase I to t = 1 from one start")
    toy = parser.parse_args(argv).toy
    jax.config.update("jax_enable_x64", True)
    end, starts, phases = (1.0, 1, (phase_1,)) if toy else (END, STARTS, (phase_1, phase_2))
    for make in phases:
        phase, (raw, size) = make.__name__.replace("_", "-"), make()
        field, jacobian = jax.jit(raw), jax.jit(jax.jacfwd(raw))
        zero = jnp.zeros(size)
        first = sum(timed(partial(function, zero))[1] for function in (field, jacobian))
        one = partial(end_of, raw, end)
        many = jax.random.normal(jax.random.key(0), (starts, size))
        cases = {"1": (one, zero), f"{starts}/map": (partial(jax.lax.map, one), many)}
        if make is phase_1:
            cases[f"{starts}/vmap"] = jax.vmap(one), many
        theirs = {}
        for case, (function, start) in list(cases.items())[: 1 if toy else None]:
            runs = {"ours": partial(jax.jit(function), start)}
            report(f"flow/{phase}/{case}/first-call", timed(runs["ours"])[1], first)
            if start.ndim == 1:
                runs |= {each: partial(peer, each, field, jacobian, end, np.asarray(start)) for each in METHODS}
                ends = {name: np.asarray(run()) for name, run in runs.items()}
                best = best_seconds(runs, 0 if toy else 3)
            else:
                theirs = theirs or {
                    each: timed(partial(peer, each, field, jacobian, end, np.asarray(start))) for each in METHODS
                }
                results = {"ours": timed(runs["ours"]), **theirs}
                ends = {name: result for name, (result, _) in results.items()}
                best = {name: cost for name, (_, cost) in results.items()}
            for method in METHODS:
                gap = float(np.max(np.abs(ends["ours"] - ends[method])))
                assert gap < AGREEMENT, f"{phase} {method}: end points differ by {gap:.1e}"
                report(f"flow/{phase}/{case}/{method}", best["ours"], best[method])


if __name__ == "__main__":
    main()
