"""Our ``solve`` against scipy's Radau and LSODA: the same fields, to t = 1e8, with rtol = atol = 1e-8.

The peers get the same jitted field and its jitted Jacobian, and log-time too, in which they are the quicker. Each
solves one flow from zero, runs in turns; and 100 flows from starts drawn at random, once each: ours under ``lax.map``
and under ``vmap``, where all wait for the slowest (Phase I only, for Phase II takes minutes), theirs in a loop.
``first-call`` is our compiling and first solution against the first calls of field and Jacobian; it is in no other
line. End points must agree to 1e-5.

    python benchmarks/flow.py
"""

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
    """L2 over Toeplitz weights of Layer 1: 10 coordinates."""
    return gradient_flow(coordinates(SPEC, position_1=toeplitz(10)), GOAL, SPEC), 10


def phase_2():
    """L1a over content and the query's row in Layer 2, with Layer 1 the circuit's: 12 coordinates."""
    row = np.zeros((10, 10), bool)
    row[8] = True
    at = circuit(800.0, 10, 10)[0], zeros(2, 10, 10)[1]
    return gradient_flow(coordinates(SPEC, content_2=orbits(10), position_2=free(row), at=at), PLAN, SPEC), 12


def end_of(field, start):
    """The end of one flow."""
    return solve(field, start, np.array([END]), rtol=TOLERANCE, atol=TOLERANCE).final


def peer(method, field, jacobian, starts):
    """The same from scipy, one after the other."""

    def end(start):
        found = solve_ivp(
            lambda tau, y: np.exp(tau) * np.asarray(field(y)),
            (0, np.log1p(END)),
            start,
            method=method,
            jac=lambda tau, y: np.exp(tau) * np.asarray(jacobian(y)),
            rtol=TOLERANCE,
            atol=TOLERANCE,
        )
        assert found.success, found.message
        return found.y[:, -1]

    return end(starts) if starts.ndim == 1 else np.stack([end(start) for start in starts])


def timed(run):
    """(result, seconds) of one call."""
    begun = time.perf_counter()
    result = np.asarray(run())
    return result, time.perf_counter() - begun


def seconds(run):
    return timed(run)[1]


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    for phase, (raw, size) in {"phase-1": phase_1(), "phase-2": phase_2()}.items():
        field, jacobian = jax.jit(raw), jax.jit(jax.jacfwd(raw))
        zero = jnp.zeros(size)
        first = seconds(partial(field, zero)) + seconds(partial(jacobian, zero))
        one = partial(end_of, raw)
        many = jax.random.normal(jax.random.key(0), (STARTS, size))
        cases = {
            "1": (jax.jit(one), zero),
            f"{STARTS}/map": (jax.jit(partial(jax.lax.map, one)), many),
        }
        if phase == "phase-1":
            cases[f"{STARTS}/vmap"] = jax.jit(jax.vmap(one)), many
        peers = {}
        for case, (own, start) in cases.items():
            report(f"flow/{phase}/{case}/first-call", seconds(partial(own, start)), first)
            runs = {"ours": partial(own, start)}
            if start.ndim == 1:
                runs |= {method: partial(peer, method, field, jacobian, np.asarray(start)) for method in METHODS}
                ends = {name: np.asarray(run()) for name, run in runs.items()}
                best = best_seconds(runs)
            else:
                if not peers:
                    peers = {m: timed(partial(peer, m, field, jacobian, np.asarray(start))) for m in METHODS}
                results = {"ours": timed(runs["ours"]), **peers}
                ends = {name: end for name, (end, _) in results.items()}
                best = {name: cost for name, (_, cost) in results.items()}
            for method in METHODS:
                gap = float(np.max(np.abs(ends["ours"] - ends[method])))
                assert gap < AGREEMENT, f"{phase} {method}: end points differ by {gap:.1e}"
                report(f"flow/{phase}/{case}/{method}", best["ours"], best[method])


if __name__ == "__main__":
    main()
