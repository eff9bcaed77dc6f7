"""Cosines of a one-layer model's transfer matrices with powers of the graph, which decide ``transfer.power``."""

from pathlib import Path

from common import FIGURES, command_line, save

from circuits.plotting import BarPanel, Bars, bar_panels
from proofs_check.transfer.measure import AHEAD, POWER_STEPS, SEEDS, half_length
from proofs_check.transfer.power import LEVEL, table

HELD = 0.3
"""The cosine from which the claim says that a matrix holds a power."""
VARIANTS = {
    "injected": ("injected", "graph", 2),
    "chained, injected: product": ("chained, injected", "products", 4),
    "not injected": ("plain", "graph", 1),
    "chained, not injected: product": ("chained", "products", 3),
    "injected, nodes renamed": ("injected", "renamed", None),
}
NOTE = (
    f"Mean of {len(SEEDS)} random DAGs of 100 nodes, {POWER_STEPS[-1]} training steps; lines: {LEVEL:.2%} intervals. "
    f"A matrix holds a power if the mean cosine, rows centred, is at least {HELD} (dotted)\nand exceeds that of every "
    "other by 0.1. Step 1 has no matrix. Chained matrices start from the step before; products lead from step 1."
)


def main(toy: bool = False, out: Path = FIGURES) -> None:
    injected = table("injected", POWER_STEPS[-1], "graph").mean(axis=0)
    means = ", ".join(f"{injected[n, n]:.2f}" for n in range(AHEAD - 1))
    panels = [
        BarPanel(f"Step {n + 2}", "" if n else "cosine", [bars(name, n) for name in VARIANTS]) for n in range(AHEAD - 1)
    ]
    figure = bar_panels(
        panels,
        ["A", "A²", "A³", "A⁴"],
        "",
        title=f"Cosines with A, A², A³ are {means} with injection; without, steps 3 and 4 hold no power",
        note=NOTE,
        columns=3,
        size=(5.2, 3.8),
    )
    for number, ax in enumerate(figure.axes):
        ax.set_ylim(-0.35, 0.7)
        ax.axhline(HELD, color="black", linewidth=1, linestyle=":")
        if number:
            ax.legend().remove()
    save(figure, out, "powers_held", dpi=120)


def bars(name: str, n: int) -> Bars:
    """Return the cosines of the matrix of step n + 2."""
    variant, against, colour = VARIANTS[name]
    values = table(variant, POWER_STEPS[-1], against)[:, n]
    mean, half = values.mean(axis=0), half_length(values, LEVEL)
    return Bars(name, mean, colour, (mean - half, mean + half))


if __name__ == "__main__":
    command_line(main)
