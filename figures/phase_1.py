"""Phase I of Theorem 2: the exact gradient flow of L2 over a Toeplitz layer 0, next to Eqs. 9 and 10."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import FIGURES, STAR, command_line, save, stored

from circuits.flow import printed
from circuits.flow.coordinates import coordinates, toeplitz
from circuits.flow.fields import GOAL, gradient_flow, population_loss
from circuits.flow.rates import rate
from circuits.flow.solve import log_times, solve
from circuits.plotting import Line, LinePanel, line_panels


def main(toy: bool = False, out: Path = FIGURES) -> None:
    arrays = stored("phase_1", compute, toy)
    t, w, (p, c, q) = arrays["times"], arrays["exact"].T, arrays["printed"].T
    even, odd = w[2], w[3]
    for k in range(10):  # one line for all offsets of a kind
        np.testing.assert_allclose(w[k], w[1] if k == 1 else even if k % 2 == 0 and k else odd, rtol=1e-6)
    others = [
        Line("k = 2, 4, 6, 8", t, even, 2),
        Line("k = 0, 3, 5, 7, 9", t, odd, 1),
        Line("k ≥ 2, Eq. 10", t, c, None, "printed"),
        Line("k = 0, Eqs. 9–10", t, q, 4, "printed"),
    ]
    predecessor = [Line("k = 1", t, w[1], 0), Line("k = 1, Eq. 9", t, p, 6, "printed")]
    late = t[t >= 10]
    ratios = [
        Line(f"k = 2, 4, 6, 8\ngap {_slope(t, w[1] - even)} ln t", t, t * np.exp(even - w[1]), 2),
        Line(f"k = 0, 3, 5, 7, 9\ngap {_slope(t, w[1] - odd)} ln t", t, t * np.exp(odd - w[1]), 1),
        Line(f"k ≥ 2, Eqs. 9–10\ngap {_slope(t, p - c)} ln t", t, t * np.exp(c - p), None, "printed"),
        Line("2/15", late, np.full(len(late), 2 / 15), 6, "reference"),
        Line("1/10", late, np.full(len(late), 1 / 10), 6, "reference"),
    ]
    losses = [Line("L2", t, arrays["loss"], 0), Line("0.9/t", late, 0.9 / late, 6, "reference")]
    figure = line_panels(
        [
            LinePanel("Offset 1, the predecessor: w(1) → ∞", "w(1)", predecessor),
            LinePanel("All other offsets fall together, as −(ln t)/10", "w(k)", others),
            LinePanel("Their attention relative to the predecessor's: c/t", "t · s(k)/s(1)", ratios, limits=(0, 0.25)),
            LinePanel("The loss falls like 0.9/t", "L2 (nats)", losses, log_y=True),
        ],
        "time t of the flow",
        title="Phase I: the goal's loss alone drives layer 0 to the predecessor; every gap w(1) − w(k) grows as ln t",
        note="Solid: the exact flow of E[L2] over all graphs, from w = 0. Dashed: the field printed as Eqs. 9–10. "
        "Slopes of gaps: per ln t, over the last three decades.\n"
        "u_end is the second token of its edge, so only even offsets hold it; Eq. 10 takes all k ≥ 2 as one, "
        "a mean that neither kind has. Layers count from 0.",
        size=(6.4, 3.7),
    )
    save(figure, out, "phase_1", dpi=150)


def compute(toy: bool) -> dict[str, np.ndarray]:
    """Return the exact flow and its loss, and the printed flow, at each time."""
    moving = coordinates(STAR, position_1=toeplitz(10))
    times = log_times(1e4 if toy else 1e8)
    exact = solve(gradient_flow(moving, GOAL, STAR), jnp.zeros(10), times).states
    flows = {"times": times, "exact": exact, "printed": solve(printed.phase_1, jnp.zeros(3), times).states}
    flows["loss"] = jax.vmap(population_loss(moving, GOAL, STAR))(exact)
    return {name: np.asarray(values)[1:] for name, values in flows.items()}


def _slope(times: np.ndarray, values: np.ndarray) -> str:
    return f"{rate(times, values).slope:.4f}"


if __name__ == "__main__":
    command_line(main)
