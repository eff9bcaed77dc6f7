"""The paper's Figure 3 for models trained here: weights and attention under NTP and 2-MTP, and what heads V read."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from common import EXAMPLE, FIGURES, PAPER, command_line, history, median_and_range, save, weights_at

from circuits.disentangled.closed_form import forward
from circuits.plotting import BarPanel, Bars, Mechanism, mechanism_panels

SEED = 0
BLOCKS = ["$Z$", "$I$", "$S_1 Z$", "$S_1$", "$S_2 Z$", "$S_2$", "$S_2 S_1 Z$", "$S_2 S_1$"]
"""X2 = [X1, S2 X1] with X1 = [Z, I, S1 Z, S1]."""


def main(toy: bool = False, out: Path = FIGURES) -> None:
    models = [reduced("NTP", "reduced-ntp"), reduced("2-MTP", "reduced-mtp")]
    of_goal = [float(model.attention[0][-1, -2]) for model in models]
    both = [head("NTP", "full-ntp", 0), head("2-MTP", "full-mtp", 0)]
    figure = mechanism_panels(
        models,
        EXAMPLE,
        title=f"Reduced models: predicting v, layer 0 reads u_end under 2-MTP ({of_goal[1]:.0%}); "
        f"under NTP ({of_goal[0]:.1%}) it reads the start in its two edges",
        note="(a–h) Reduced models, seed 0, on the running example with path 3→6→0. Large digits: node labels; small "
        "digits: positions. Outlined: the last row's attention to u_end = 0, at position 8.\nHatched: the future, and "
        "blocks held at 0.  (i, j) Full models, every weight free: share of a head's absolute weights on each block of "
        "the stream, median and range over 10 seeds.\n"
        f"Full models predict v in {accuracy('full-mtp')} (2-MTP) and {accuracy('full-ntp')} (NTP) of graphs: "
        f"with every weight free, NTP can learn it.\n{PAPER}",
        marks=[(9, 8, "attention to u_end")],
        heads=[
            BarPanel("Head V0 by block of the stream", "share of |V0|", both),
            BarPanel("Head V1 by block of the stream", "share of |V1|", [head("2-MTP", "full-mtp", 1)]),
        ],
        blocks=BLOCKS,
    )
    save(figure, out, "figure_3_trained", dpi=40 if toy else 100)


def accuracy(run: str) -> str:
    """Return the accuracy on v at the last step, median and range over seeds."""
    median, (low, high) = median_and_range(history(run).metrics["first_accuracy"][-1])
    return f"{median:.1%} [{low:.0%} to {high:.0%}]"


def reduced(name: str, run: str) -> Mechanism:
    first, second = weights = weights_at(history(run), -1, SEED)
    patterns = forward(weights, jnp.asarray(EXAMPLE, jnp.int32)).attention
    return Mechanism(name, (first, second), (patterns[0], patterns[1]))


def head(name: str, run: str, number: int) -> Bars:
    """Return the share of a head's absolute weights on each block of ten coordinates of the stream."""
    rows = np.abs(history(run).snapshots[f"head_{number}"][-1])  # (seeds, 80, 10)
    mass = rows.reshape(len(rows), len(BLOCKS), -1).sum(axis=-1)
    median, span = median_and_range((mass / mass.sum(axis=1, keepdims=True)).T)
    return Bars(name, median, 1 if name == "NTP" else 0, span)


if __name__ == "__main__":
    command_line(main)
