"""Figure 3's attention panels, for the circuit built by hand instead of a trained one: gamma = 8, running example."""

from pathlib import Path

import jax
import jax.numpy as jnp

from circuits.disentangled.circuit import circuit, context_positions
from circuits.disentangled.closed_form import forward
from circuits.plotting.heatmaps import attention_heatmaps

TOKENS = (3, 7, 6, 0, 7, 2, 3, 6, 0, 3)
GAMMA = 8.0


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    tokens = jnp.asarray(TOKENS, jnp.int32)
    length, goal = len(TOKENS), TOKENS[-2]
    activations = forward(circuit(GAMMA, labels=10, length=length), tokens)
    at_v, at_end = context_positions(tokens, goal)
    edges = [f"edge {TOKENS[t]}→{TOKENS[t + 1]}" for t in range(0, length - 2, 2) for _ in range(2)]
    figure = attention_heatmaps(
        [
            ("Layer 1: every position reads the one before it", activations.attention[0]),
            ("Layer 2: the last position looks the goal up among the edges", activations.attention[1]),
        ],
        TOKENS,
        title="The circuit of Corollary 1, built by hand (γ = 8), finds the path from 3 to 0: 3→6→0",
        roles=[*edges, "goal", "start"],
        mark=[
            [(length - 1, length - 2, "1  read the goal: 0"), (at_end, at_v, "3  trace back: 6 leads to 0")],
            [(length - 1, at_end, "2  find the edge into 0")],
        ],
    )
    after_next, following = (f"{int(f.argmax())} ({float(f.max()):.1%})" for f in activations.outputs)
    figure.supxlabel(
        f"Layer 1's last row predicts the token after next: {after_next}.   "
        f"Layer 2's last row, read through Layer 1, predicts the next: {following}.\n"
        "Large digits: node labels. Small digits: positions. Hatched: the future, which a query can't see.",
        fontsize=10,
    )
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main()
