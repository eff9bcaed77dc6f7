"""The transfer matrices of a one-layer model beside the powers of its graph, and the nearest power of each.

The first graph of the claim ``transfer.power``, trained as there; with the next token injected, and without.
"""

from pathlib import Path

import numpy as np
from common import FIGURES, command_line, save, stored

from circuits.plotting import matrix_panels
from circuits.probes.adjacency.references import reference_name
from circuits.tasks.walks.graphs import adjacency
from proofs_check.transfer import training
from proofs_check.transfer.measure import AHEAD, POWER_STEPS, SEEDS, VARIANTS, cosines

SEED = SEEDS[0]
TITLES = {
    "": ("injected", "With injection, steps 2, 3 and 4 are nearest to A, A^2 and A^3, each less than the last"),
    "_without_injection": ("plain", "Without injection, steps 3 and 4 hold no power"),
}


def main(toy: bool = False, out: Path = FIGURES) -> None:
    arrays = stored("transfer_matrices", compute, toy)
    powers = [
        (reference_name(k), np.linalg.matrix_power(arrays["adjacency"].astype(float), k)) for k in range(1, AHEAD)
    ]
    for suffix, (variant, title) in TITLES.items():
        scores = arrays[f"{variant} cosines"]
        names = [
            f"transfer matrix of step {n}\nnearest power: {reference_name(best + 1)}, cosine {row[best]:.2f}"
            for n, (row, best) in enumerate(zip(scores, scores.argmax(axis=1).tolist(), strict=True), start=2)
        ]
        matrices = list(zip(names, arrays[variant], strict=True))
        save(matrix_panels(matrices, powers, title=title), out, f"transfer_matrices{suffix}", dpi=110)


def compute(toy: bool) -> dict[str, np.ndarray]:
    """Return the graph, and the trained transfer matrices of each variant with their cosines."""
    edges = adjacency(training.walks(SEED).graph)
    arrays = {"adjacency": edges}
    for variant, _ in TITLES.values():
        parameters = training.trained(SEED, AHEAD, VARIANTS[variant], 2 if toy else POWER_STEPS[-1])
        arrays[variant] = training.transfers(parameters).astype(np.float32)
        arrays[f"{variant} cosines"] = np.array(cosines(parameters, edges))
    return arrays


if __name__ == "__main__":
    command_line(main, x64=False)
