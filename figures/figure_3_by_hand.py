"""Figure 3's attention panels for the circuit built by hand instead of a trained one: γ = 8, running example."""

from pathlib import Path

import jax.numpy as jnp
from common import EXAMPLE, FIGURES, command_line, save

from circuits.disentangled.circuit import circuit, context_positions
from circuits.disentangled.closed_form import forward
from circuits.plotting import attention_heatmaps

GAMMA = 8.0


def main(toy: bool = False, out: Path = FIGURES) -> None:
    tokens = jnp.asarray(EXAMPLE, jnp.int32)
    length, goal = len(EXAMPLE), EXAMPLE[-2]
    activations = forward(circuit(GAMMA, labels=10, length=length), tokens)
    at_v, at_end = context_positions(tokens, goal)
    edges = [f"edge {EXAMPLE[t]}→{EXAMPLE[t + 1]}" for t in range(0, length - 2, 2) for _ in range(2)]
    figure = attention_heatmaps(
        [
            ("Layer 0: every position reads the one before it", activations.attention[0]),
            ("Layer 1: the last position looks the goal up among the edges", activations.attention[1]),
        ],
        EXAMPLE,
        title="The circuit of Corollary 1, built by hand (γ = 8), finds the path from 3 to 0: 3→6→0",
        roles=[*edges, "goal", "start"],
        marks=[
            [(length - 1, length - 2, "1  read the goal: 0"), (at_end, at_v, "3  trace back: 6 leads to 0")],
            [(length - 1, at_end, "2  find the edge into 0")],
        ],
    )
    after_next, following = (f"{int(f.argmax())} ({float(f.max()):.1%})" for f in activations.outputs)
    figure.supxlabel(
        f"Layer 0's last row predicts the token after next: {after_next}.   "
        f"Layer 1's last row, read through layer 0, predicts the next: {following}.\n"
        "Large digits: node labels. Small digits: positions. Hatched: the future, which a query can't see.",
        fontsize=10,
    )
    save(figure, out, "figure_3_by_hand", dpi=150)


if __name__ == "__main__":
    command_line(main)
