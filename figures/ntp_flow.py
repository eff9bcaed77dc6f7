"""Where next-token training takes layer 0: exact flows with layer 1 held at 0, as in Theorem 3, and moving.

The flows take about three minutes; ntp_flow.npz holds what is drawn.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import FIGURES, PAPER, STAR, command_line, save, stored

from circuits.flow.coordinates import all_entries, coordinates, orbits, toeplitz
from circuits.flow.fields import NEXT_TOKEN, PLAN, REPLAY, gradient_flow, population_loss
from circuits.flow.solve import log_times, solve
from circuits.plotting import Line, LinePanel, line_panels

END = 1e6
NAMES = {
    "held": "NTP, layer 1 held at 0",
    "plan held": "L1a alone, layer 1 held at 0",
    "moving": "NTP, layer 1 moving",
    "plan": "L1a alone, layer 1 moving",
}


def main(toy: bool = False, out: Path = FIGURES) -> None:
    arrays = stored("ntp_flow", compute, toy)
    names = {key: name for key, name in NAMES.items() if f"{key} losses" in arrays}
    figure = line_panels(
        [attention(name, arrays["times"], arrays[f"{key} attention"]) for key, name in names.items()]
        + [losses(name, arrays["times"], *arrays[f"{key} losses"]) for key, name in names.items()],
        "time t of the flow",
        title="Next-token losses first raise the predecessor; where they take it depends on L1b and on layer 1",
        note="Exact flows over all graphs of a Toeplitz layer 0, from 0; attention of the last row, whose position "
        "T − k holds u_end at k = 1. NTP is ½ (L1a + L1b). Theorem 3 has the predecessor repelled from the\nstart, "
        "with layer 1 at 0. Chance on v is L1a = ln 2. L1a alone, with layer 1 moving, reaches the circuit. " + PAPER,
        columns=4,
        size=(5.2, 3.6),
    )
    save(figure, out, "ntp_flow", dpi=120)


def compute(toy: bool) -> dict[str, np.ndarray]:
    """Return, for each flow, attention of the last row by offset (K, T), and L1a and L1b (2, K)."""
    layer_0 = coordinates(STAR, position_1=toeplitz(10))
    both = coordinates(STAR, position_1=toeplitz(10), content_2=orbits(10), position_2=all_entries(10))
    times = log_times(1.0 if toy else END)
    arrays = {"times": np.asarray(times)[1:]}
    cases = {
        "held": (layer_0, NEXT_TOKEN),
        "plan held": (layer_0, PLAN),
        "moving": (both, NEXT_TOKEN),
        "plan": (both, PLAN),
    }
    for key, (moving, mixture) in list(cases.items())[: 1 if toy else None]:
        field, start = gradient_flow(moving, mixture, STAR), jnp.zeros(len(moving.names))
        states = solve(field, start, times, rtol=1e-6, atol=1e-8).states[1:]
        parts = [jax.jit(jax.vmap(population_loss(moving, part, STAR)))(states) for part in (PLAN, REPLAY)]
        arrays[f"{key} attention"] = np.asarray(jax.nn.softmax(states[:, moving.slice_of("position_1")], axis=1))
        arrays[f"{key} losses"] = np.asarray(parts)
    return arrays


def attention(name: str, times: np.ndarray, by_offset: np.ndarray) -> LinePanel:
    rows = by_offset.T
    lines = [
        Line("k = 1: predecessor", times, rows[1], 0),
        Line("k = 0: itself", times, rows[0], 1),
        *(Line("k = 2, 4, 6, 8" if k == 2 else "", times, rows[k], 2) for k in (2, 4, 6, 8)),
        *(Line("k = 3, 5, 7, 9" if k == 3 else "", times, rows[k], 4) for k in (3, 5, 7, 9)),
    ]
    return LinePanel(name, "$S^{[1]}_{T,\\,T-k}$", lines, limits=(-0.02, 1.02))


def losses(name: str, times: np.ndarray, plan: np.ndarray, replay: np.ndarray) -> LinePanel:
    chance = Line("ln 2", times, np.full(len(times), np.log(2)), 6, "reference")
    return LinePanel(name, "loss (nats)", [Line("L1a", times, plan, 0), Line("L1b", times, replay, 1), chance])


if __name__ == "__main__":
    command_line(main)
