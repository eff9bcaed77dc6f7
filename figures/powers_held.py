"""Which power each transfer matrix of a one-layer model holds, against three nulls: with and without injection.

The models are those of ``transfer_matrices.py``.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from circuits.plotting_adjacency import Band, draw_power_bars
from circuits.probes.adjacency.find import find_powers, verdict
from circuits.probes.adjacency.references import references
from proofs_check import transfer_training as training
from proofs_check.transfer_power import AHEAD, BARE, INJECTED, STEPS

SEED, DRAWS, FRESH = 0, 1000, 99
VARIANTS = {"next token injected": INJECTED, "not injected": BARE}


def main() -> None:
    given = references(training.walks(SEED).graph, AHEAD)
    names = [one.name for one in given]
    fresh = np.stack([training.matrices(training.start(100 + number, AHEAD)) for number in range(FRESH)])
    figure = Figure(figsize=(17, 10.5), layout="constrained")
    figure.suptitle("Which power of the graph each transfer matrix holds", fontsize=14, fontweight="bold")
    axes = figure.subplots(AHEAD - 1, len(VARIANTS), sharey=True)
    for column, (variant, options) in enumerate(VARIANTS.items()):
        matrices = training.matrices(training.trained(SEED, AHEAD, options, STEPS))
        found = find_powers(matrices, given, fresh=fresh, draws=DRAWS)
        for m in range(len(matrices)):
            bands = {key: Band(null.mean[m], null.low[m], null.high[m]) for key, null in found.nulls.items()}
            title, ends = f"step {m + 2}, {variant}: {verdict(found, m)}", (found.low[m], found.high[m])
            draw_power_bars(axes[m, column], names, found.scores.cosine[m], ends, bands, title=title)
            axes[m, column].label_outer()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    main()
