"""Our ``solve`` against scipy's Radau and LSODA: the same fields, to t = 1e8, with rtol = atol = 1e-8.

The peers get the same jitted field and its jitted Jacobian, and log-time too, in which they are the quicker. Each
solves one flow from zero, and 100 flows from starts drawn at random: ours under vmap, theirs in a loop. Runs are in
turns; compiling is on lines of its own, ours against that of the field and the Jacobian. End points must agree to
1e-5.

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
from circuits.tasks.star_graph import StarGraph

SPEC = StarGraph(paths=2, nodes=3, labels=10)
END, TOLERANCE, AGREEMENT = 1e8, 1e-8, 1e-5
STARTS = 100


def phase_1():
    """L2 over Toeplitz weights of Layer 1: 10 coordinates."""
    return gradient_flow(coordinates(SPEC, position_1=toeplitz(10)), GOAL, SPEC), 10


def phase_2():
    """L1a over content and the query's row in Layer 2, with Layer 1 the circuit's: 12 coordinates."""
    row = np.zeros((10, 10), bool)
    row[8] = True
    at = circuit(800.0, 10, 10)[0], zeros(2, 10, 10)[1]
    return gradient_flow(coordinates(SPEC, content_2=orbits(10), position_2=free(row), at=at), PLAN, SPEC), 12


def ours(field, starts):
    """The end of one flow, or of each of a batch."""

    def end(start):
        return solve(field, start, np.array([END]), rtol=TOLERANCE, atol=TOLERANCE).final

    return end(starts) if starts.ndim == 1 else jax.vmap(end)(starts)


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


def seconds(run):
    begun = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - begun


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    for phase, (raw, size) in {"phase-1": phase_1(), "phase-2": phase_2()}.items():
        field, jacobian = jax.jit(raw), jax.jit(jax.jacfwd(raw))
        zero = jnp.zeros(size)
        starts = {1: zero, STARTS: jax.random.normal(jax.random.key(0), (STARTS, size))}
        peers = seconds(lambda field=field, zero=zero: field(zero))
        peers += seconds(lambda jacobian=jacobian, zero=zero: jacobian(zero))
        for batch, start in starts.items():
            # Tracing vmap again costs our batch a little at every call; jit keeps it.
            own = jax.jit(partial(ours, raw))
            report(f"flow/{phase}/{batch}/compile", seconds(partial(own, start)), peers)
            runs = {"ours": partial(own, start)}
            runs |= {m: partial(peer, m, field, jacobian, np.asarray(start)) for m in ("Radau", "LSODA")}
            ends = {name: np.asarray(run()) for name, run in runs.items()}
            for method in ("Radau", "LSODA"):
                gap = float(np.max(np.abs(ends["ours"] - ends[method])))
                assert gap < AGREEMENT, f"{phase} {method}: end points differ by {gap:.1e}"
            best = best_seconds(runs)
            for method in ("Radau", "LSODA"):
                report(f"flow/{phase}/{batch}/{method}", best["ours"], best[method])


if __name__ == "__main__":
    main()
