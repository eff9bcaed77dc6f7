"""The transfer matrices of a one-layer model beside the powers of the graph it was trained on, and the nearest of each.

The first graph of the claim ``transfer.power``, trained as there; with the next token injected, and without.
"""

from pathlib import Path

import numpy as np

from circuits.plotting.adjacency import matrix_panels
from circuits.probes.adjacency.references import reference_name
from circuits.tasks.walks.graphs import adjacency
from proofs_check.transfer import training
from proofs_check.transfer.measure import AHEAD, POWER_STEPS, SEEDS, VARIANTS, cosines

SEED = SEEDS[0]
TITLES = {
    "": ("injected", "With injection, steps 2, 3 and 4 are nearest to A, A^2 and A^3, each less than the last"),
    "_without_injection": ("plain", "Without injection, steps 3 and 4 hold no power"),
}


def main() -> None:
    edges = adjacency(training.walks(SEED).graph)
    powers = [(reference_name(k), np.linalg.matrix_power(edges.astype(float), k)) for k in range(1, AHEAD)]
    for suffix, (variant, title) in TITLES.items():
        parameters = training.trained(SEED, AHEAD, VARIANTS[variant], POWER_STEPS[-1])
        found = np.array(cosines(parameters, edges))
        names = [
            f"transfer matrix of step {n}\nnearest power: {named(best + 1)}, cosine {row[best]:.2f}"
            for n, (row, best) in enumerate(zip(found, found.argmax(axis=1), strict=True), start=2)
        ]
        matrices = list(zip(names, training.transfers(parameters), strict=True))
        figure = matrix_panels(matrices, powers, title=title)
        figure.savefig(Path(__file__).with_name(f"transfer_matrices{suffix}.png"), dpi=110)


if __name__ == "__main__":
    main()
