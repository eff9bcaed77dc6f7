"""Eq. 3 and the next-token loss over all parameters from zero: exact flows with W0 of Layer 1 free, or held at 0.

The four solutions take some minutes each, so they are kept in ``all_parameters.npz`` beside this script; delete it to
solve them again.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from circuits.disentangled.closed_form import forward
from circuits.flow.coordinates import Coordinates, all_entries, causal_entries, coordinates, orbits
from circuits.flow.fields import GOAL, MULTI_TOKEN, NEXT_TOKEN, PLAN, REPLAY, gradient_flow, population_loss
from circuits.flow.solve import log_times, solve
from circuits.plotting.lines import line_panels
from circuits.plotting.lines import LinePanel
from circuits.plotting.lines import Line
from circuits.tasks.star.graph import StarGraph

SPEC = StarGraph(paths=2, nodes=3, labels=10)
EXAMPLE = (3, 7, 6, 0, 7, 2, 3, 6, 0, 3)
TIMES = log_times(1e5, per_decade=6)
FLOWS = {
    "NTP, W0 of Layer 1 held": (NEXT_TOKEN, False),
    "NTP, all free": (NEXT_TOKEN, True),
    "2-MTP, W0 of Layer 1 held": (MULTI_TOKEN, False),
    "2-MTP, all free": (MULTI_TOKEN, True),
}
KEPT = Path(__file__).with_suffix(".npz")


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    solved = flows()
    t = np.asarray(TIMES)[1:]
    panels = []
    for name, (_, free) in FLOWS.items():
        attention, losses = measured(moving(free), solved[name][1:])
        offsets = {"T − 1: u_end": 8, "T: itself": 9, "first places": slice(0, 8, 2), "second places": slice(1, 8, 2)}
        lines = [
            Line(label, t, attention[:, place].reshape(len(t), -1).sum(axis=1), colour)
            for colour, (label, place) in enumerate(offsets.items())
        ]
        panels.append(LinePanel(name, "attention of Layer 1's last row", lines, limits=(-0.03, 1.03)))
        parts = [Line(part, t, values, colour) for colour, (part, values) in enumerate(losses.items())]
        panels.append(
            LinePanel(name, "losses (nats)", [*parts, Line("log 2", t, np.full(len(t), np.log(2)), 6, "reference")])
        )
    figure = line_panels(
        panels,
        "time t of the flow",
        title="Exact gradient flow from zero: with all weights free, NTP finds the path",
        note="Attention on the running example. plan: L1a, replay: L1b, goal: L2 (not trained on under NTP).\n"
        "Trained with AdamW instead, the same model stays at log 2 under NTP and leaves it under 2-MTP.",
        size=(6.4, 3.2),
    )
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


def moving(free: bool) -> Coordinates:
    """Every weight that attention sees; content blocks by their two orbits."""
    return coordinates(SPEC, orbits(10) if free else None, causal_entries(10), orbits(10), all_entries(10))


def flows() -> dict[str, np.ndarray]:
    """Each flow at ``TIMES``, solved where it is not kept."""
    kept = dict(np.load(KEPT)) if KEPT.exists() else {}
    for name, (mixture, free) in FLOWS.items():
        if name not in kept:
            where = moving(free)
            start = jnp.zeros(len(where.names))
            kept[name] = np.asarray(
                solve(gradient_flow(where, mixture, SPEC), start, TIMES, rtol=1e-5, atol=1e-7).states
            )
            np.savez_compressed(KEPT, **kept)
            print(f"solved {name}", flush=True)
    return kept


def measured(where: Coordinates, states: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Layer 1's last row on the running example, and the three population losses by name."""
    tokens, theta = jnp.asarray(EXAMPLE, jnp.int32), jnp.asarray(states)
    rows = jax.jit(jax.vmap(lambda point: forward(where.embed(point), tokens).attention[0][-1]))(theta)
    parts = {"plan": PLAN, "replay": REPLAY, "goal": GOAL}
    losses = {name: jax.jit(jax.vmap(population_loss(where, part, SPEC)))(theta) for name, part in parts.items()}
    return np.asarray(rows), {name: np.asarray(values) for name, values in losses.items()}


if __name__ == "__main__":
    main()
