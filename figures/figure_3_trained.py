"""The paper's Figure 3 for models trained here: weights and attention under NTP and 2-MTP, and what the heads read."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from measured import load, median_and_range

from circuits.disentangled.closed_form import forward
from circuits.disentangled.weights import Layer
from circuits.plotting.mechanism import mechanism_panels
from circuits.plotting.mechanism import Mechanism
from circuits.plotting.bars import BarPanel
from circuits.plotting.bars import Bars

TOKENS = (3, 7, 6, 0, 7, 2, 3, 6, 0, 3)
SEED = 0
BLOCKS = ["$Z$", "$I$", "$S_1 Z$", "$S_1$", "$S_2 Z$", "$S_2$", "$S_2 S_1 Z$", "$S_2 S_1$"]
"""X2 = [X1, S2 X1] with X1 = [Z, I, S1 Z, S1]."""


def main() -> None:
    models = [reduced("NTP", "reduced-ntp"), reduced("2-MTP", "reduced-mtp")]
    seen = [float(model.attention[0][-1, -2]) for model in models]
    heads = [
        BarPanel(
            "Head V0 by block of the stream",
            "share of |V0|",
            [head("NTP", "full-ntp", 0), head("2-MTP", "full-mtp", 0)],
        ),
        BarPanel("Head V1 by block of the stream", "share of |V1|", [head("2-MTP", "full-mtp", 1)]),
    ]
    figure = mechanism_panels(
        models,
        TOKENS,
        title=f"Reduced models: predicting v, Layer 1 reads u_end under 2-MTP ({seen[1]:.0%}); "
        f"under NTP ({seen[0]:.1%}) it reads the start in its two edges",
        note="(a–h) Reduced models, seed 0, on the running example with path 3→6→0. Large digits: node labels; small "
        "digits: positions. Outlined: the last row's attention to u_end = 0, at position 9.\nHatched: the future, and "
        "blocks kept at 0.  (i, j) Full models, every weight free: share of a head's absolute weights on each block of "
        "the stream, median and range over 10 seeds.\n"
        f"Full models predict v in {right('full-mtp')} (2-MTP) and {right('full-ntp')} (NTP) of graphs: "
        "with every weight free, NTP can learn it.",
        mark=[(9, 8, "attention to u_end")],
        heads=heads,
        blocks=BLOCKS,
    )
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=100)


def right(run: str) -> str:
    """Accuracy on v at the last step, median and range over seeds."""
    median, (least, greatest) = median_and_range(load(run).history.metrics["first_accuracy"][-1])
    return f"{median:.1%} [{least:.0%} to {greatest:.0%}]"


def reduced(name: str, run: str) -> Mechanism:
    last = {key: values[-1, SEED] for key, values in load(run).history.snapshots.items()}
    first, second = (Layer(last[f"content_{number}"], last[f"position_{number}"]) for number in (1, 2))
    weights = tuple(Layer(jnp.asarray(content), jnp.asarray(position)) for content, position in (first, second))
    acts = forward(weights, jnp.asarray(TOKENS, jnp.int32))
    return Mechanism(name, (first, second), (np.asarray(acts.attention[0]), np.asarray(acts.attention[1])))


def head(name: str, run: str, number: int) -> Bars:
    """The share of a head's absolute mass on each block of ten coordinates of the stream."""
    rows = np.abs(load(run).history.snapshots[f"head_{number}"][-1])  # (seeds, 80, 10)
    mass = rows.reshape(len(rows), len(BLOCKS), -1).sum(axis=-1)
    median, span = median_and_range((mass / mass.sum(axis=1, keepdims=True)).T)
    return Bars(name, median, 1 if name == "NTP" else 0, span)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
