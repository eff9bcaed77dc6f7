"""Where next-token training takes Layer 1: exact flows, with Layer 2 held at 0 as in Theorem 3, and moving.

The flows take about three minutes. They are kept in ntp_flow.npz; delete it to solve them again.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from circuits.files import write_arrays
from circuits.flow.coordinates import Coordinates, all_entries, coordinates, orbits, toeplitz
from circuits.flow.fields import NEXT_TOKEN, PLAN, REPLAY, Mixture, gradient_flow, population_loss
from circuits.flow.solve import log_times, solve
from circuits.plotting.lines import line_panels
from circuits.plotting.lines import LinePanel
from circuits.plotting.lines import Line
from circuits.tasks.star.graph import StarGraph

SPEC = StarGraph(paths=2, nodes=3, labels=10)
HERE = Path(__file__)
CACHE = HERE.with_suffix(".npz")
END = 1e6
NAMES = {
    "held": "NTP, Layer 2 held at 0",
    "plan held": "L1a alone, Layer 2 held at 0",
    "moving": "NTP, Layer 2 moving",
    "plan": "L1a alone, Layer 2 moving",
}


def main() -> None:
    if not CACHE.exists():
        jax.config.update("jax_enable_x64", True)
        write_arrays(CACHE, flows())
    with np.load(CACHE) as found:
        figure = line_panels(
            [attention(name, found["times"], found[f"{key} attention"]) for key, name in NAMES.items()]
            + [losses(name, found["times"], *found[f"{key} losses"]) for key, name in NAMES.items()],
            "time t of the flow",
            title="Next-token losses first raise the predecessor; where they take it depends on L1b and on Layer 2",
            note="Exact flows over all graphs of a Toeplitz Layer 1, from 0; attention of the last row, whose position "
            "T − k holds u_end at k = 1. NTP is ½ (L1a + L1b). Theorem 3 has the predecessor repelled from the\nstart, "
            "with Layer 2 at 0. Chance on v is L1a = ln 2. L1a alone, with Layer 2 moving, reaches the circuit.",
            columns=4,
            size=(5.2, 3.6),
        )
    figure.savefig(HERE.with_suffix(".png"), dpi=120)


def flows() -> dict[str, np.ndarray]:
    """For each flow: attention of the last row by offset (K, T), and L1a and L1b (2, K)."""
    layer_1 = coordinates(SPEC, position_1=toeplitz(10))
    both = coordinates(SPEC, position_1=toeplitz(10), content_2=orbits(10), position_2=all_entries(10))
    times = log_times(END)
    found = {"times": np.asarray(times)[1:]}
    cases: dict[str, tuple[Coordinates, Mixture]] = {
        "held": (layer_1, NEXT_TOKEN),
        "plan held": (layer_1, PLAN),
        "moving": (both, NEXT_TOKEN),
        "plan": (both, PLAN),
    }
    for key, (moving, mixture) in cases.items():
        field, start = gradient_flow(moving, mixture, SPEC), jnp.zeros(len(moving.names))
        states = solve(field, start, times, rtol=1e-6, atol=1e-8).states[1:]
        parts = [jax.jit(jax.vmap(population_loss(moving, part, SPEC)))(states) for part in (PLAN, REPLAY)]
        found[f"{key} attention"] = np.asarray(jax.nn.softmax(states[:, moving.of("position_1")], axis=1))
        found[f"{key} losses"] = np.asarray(parts)
    return found


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
    main()
