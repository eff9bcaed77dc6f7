"""Phase II of Theorem 2: the exact gradient flow of L1a over layer 1, when layer 0 points at the predecessor."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import FIGURES, STAR, command_line, save, stored

from circuits.disentangled.circuit import circuit
from circuits.disentangled.weights import zeros
from circuits.flow.coordinates import coordinates, free, orbits
from circuits.flow.fields import PLAN, gradient_flow, population_loss
from circuits.flow.rates import rate
from circuits.flow.solve import log_times, solve
from circuits.plotting import Line, LinePanel, line_panels


def main(toy: bool = False, out: Path = FIGURES) -> None:
    arrays = stored("phase_2", compute, toy)
    t, (a, b, *w) = arrays["times"], arrays["states"].T
    late = t[t >= 100]

    content = [
        Line(f"diagonal: {_slope(t, a)}\n9/10; paper: → ∞", t, a, 0),
        Line(f"off-diagonal: {_slope(t, b)}\n−1/10; paper: finite limit", t, b, 1),
    ]
    positions = [
        *(Line("", t, w[k], 2) for k in (1, 3, 5)),
        Line(f"2, 4, 6, 8: {_slope(t, w[7])}\n1/5; paper: stays 0", t, w[7], 2),
        *(Line("", t, w[k], 4) for k in (0, 2, 4)),
        Line(f"1, 3, 5, 7: {_slope(t, w[6])}\npaper: stays 0", t, w[6], 4),
        Line(f"10: {_slope(t, w[9])}\npaper: stays 0", t, w[9], 3),
        Line(f"9, itself: {_slope(t, w[8])}\n−4/5; paper: → −∞", t, w[8], 1),
    ]
    losses = [Line("L1a", t, arrays["loss"], 0), Line("9.8/t", late, 9.8 / late, 6, "reference")]
    figure = line_panels(
        [
            LinePanel("Content: $W_0^{(2)}$", "weight", content),
            LinePanel("Row 9 of $W_1^{(2)}$, by key position", "weight", positions),
            LinePanel("The loss falls like 9.8/t", "L1a (nats)", losses, log_y=True),
        ],
        "time t of the flow",
        title="Phase II: layer 1 learns to look u_end up, but off-diagonal and even positions move without end, too",
        note="Exact flow of E[L1a] over all graphs from layer 1 = 0, layer 0 held at the exact predecessor. After each "
        "name: slope per ln t over the last three decades ± the largest difference of\none decade from it; below it "
        "its limit, where there is one, and what Theorem 2 says. u_end is at an even position of the context: these "
        "are worth raising.\nLayers count from 0; W^(2), its rows and positions are the paper's, which counts from 1.",
        columns=3,
        size=(6.2, 4.4),
    )
    save(figure, out, "phase_2", dpi=120)


def compute(toy: bool) -> dict[str, np.ndarray]:
    """Return the flow and its loss at each time."""
    row = np.zeros((10, 10), bool)
    row[8] = True
    predecessor = circuit(800.0, labels=10, length=10)[0], zeros(2, 10, 10)[1]
    moving = coordinates(STAR, content_2=orbits(10), position_2=free(row), at=predecessor)
    times = log_times(1e5 if toy else 1e8)
    states = solve(gradient_flow(moving, PLAN, STAR), jnp.zeros(12), times).states
    flow = {"times": times, "states": states, "loss": jax.vmap(population_loss(moving, PLAN, STAR))(states)}
    return {name: np.asarray(values)[1:] for name, values in flow.items()}


def _slope(times: np.ndarray, values: np.ndarray) -> str:
    slope = rate(times, values)
    return f"{slope.slope:+.4f} ± {slope.uncertainty:.4f}".replace("-", "−")


if __name__ == "__main__":
    command_line(main)
