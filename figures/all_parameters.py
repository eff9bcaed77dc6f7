"""Eq. 3 and the next-token loss over all parameters from zero: exact flows with W0^(1) free, or held at 0.

The four solutions take some minutes each; all_parameters.npz holds what is drawn.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import EXAMPLE, FIGURES, PAPER, STAR, command_line, save, stored

from circuits.disentangled.closed_form import forward
from circuits.flow.coordinates import Coordinates, all_entries, causal_entries, coordinates, orbits
from circuits.flow.fields import GOAL, MULTI_TOKEN, NEXT_TOKEN, PLAN, REPLAY, Mixture, gradient_flow, population_loss
from circuits.flow.solve import log_times, solve
from circuits.plotting import Line, LinePanel, line_panels

END = 1e5
FLOWS: dict[str, tuple[Mixture, bool]] = {
    "NTP, $W_0^{(1)} = 0$": (NEXT_TOKEN, False),
    "NTP, all free": (NEXT_TOKEN, True),
    "2-MTP, $W_0^{(1)} = 0$": (MULTI_TOKEN, False),
    "2-MTP, all free": (MULTI_TOKEN, True),
}
PARTS = {"plan": PLAN, "replay": REPLAY, "goal": GOAL}
KEYS = {"T − 1: u_end": 8, "T: itself": 9, "first of an edge": slice(0, 8, 2), "second of an edge": slice(1, 8, 2)}


def main(toy: bool = False, out: Path = FIGURES) -> None:
    arrays = stored("all_parameters", compute, toy)
    panels = []
    t = arrays["times"]
    for number, name in list(enumerate(FLOWS))[: 1 if toy else None]:
        row = arrays[f"{number} attention"]
        lines = [
            Line(label, t, row[:, keys].reshape(len(t), -1).sum(axis=1), colour)
            for colour, (label, keys) in enumerate(KEYS.items())
        ]
        panels.append(LinePanel(name, "attention of layer 0's last row", lines, limits=(-0.03, 1.03)))
        losses = [Line(part, t, arrays[f"{number} {part}"], colour) for colour, part in enumerate(PARTS)]
        chance = Line("log 2", t, np.full(len(t), np.log(2)), 6, "reference")
        panels.append(LinePanel(name, "losses (nats)", [*losses, chance]))
    figure = line_panels(
        panels,
        "time t of the flow",
        title="Exact gradient flow from zero: with all weights free, NTP finds the path",
        note="Attention on the running example. plan: L1a, replay: L1b, goal: L2 (not trained on under NTP).\n"
        "Trained with AdamW instead, the same model stays at log 2 under NTP and leaves it under 2-MTP.\n" + PAPER,
        size=(6.4, 3.2),
    )
    save(figure, out, "all_parameters", dpi=110)


def compute(toy: bool) -> dict[str, np.ndarray]:
    """Solve the flows; a toy has one and a short one."""
    flows = [flow(number, 1.0 if toy else END) for number in (range(1) if toy else range(len(FLOWS)))]
    return {key: array for arrays in flows for key, array in arrays.items()}


def moving(free: bool) -> Coordinates:
    """Return every weight that attention depends on; content blocks by their two orbits."""
    return coordinates(STAR, orbits(10) if free else None, causal_entries(10), orbits(10), all_entries(10))


def flow(number: int, end: float) -> dict[str, np.ndarray]:
    """Solve a flow, and return layer 0's last row on the running example and the three losses at each time."""
    mixture, free = list(FLOWS.values())[number]
    where, times = moving(free), log_times(end, per_decade=6)
    start = jnp.zeros(len(where.names))
    states = solve(gradient_flow(where, mixture, STAR), start, times, rtol=1e-5, atol=1e-7).states
    print(f"solved {list(FLOWS)[number]}", flush=True)
    return {"times": np.asarray(times)[1:]} | measured(number, where, states[1:])


def measured(number: int, where: Coordinates, states: jax.Array) -> dict[str, np.ndarray]:
    tokens = jnp.asarray(EXAMPLE, jnp.int32)
    rows = jax.jit(jax.vmap(lambda point: forward(where.embed(point), tokens).attention[0][-1]))(states)
    losses = {name: jax.jit(jax.vmap(population_loss(where, part, STAR)))(states) for name, part in PARTS.items()}
    return {f"{number} attention": np.asarray(rows)} | {f"{number} {k}": np.asarray(v) for k, v in losses.items()}


if __name__ == "__main__":
    command_line(main)
