"""The transfer matrices of a one-layer model beside the powers of the graph it was trained on, and what each holds.

Full-batch training on the exact loss of all walks, four tokens ahead, as the claim ``transfer.power`` does it; with the
next token injected, and without.
"""

from pathlib import Path

import numpy as np

from circuits.plotting_adjacency import matrix_panels
from circuits.probes.adjacency.references import references
from circuits.probes.adjacency.scores import compare
from circuits.tasks.graphs import adjacency
from proofs_check import transfer_training as training
from proofs_check.transfer_power import AHEAD, BARE, INJECTED, STEPS

SEED = 0
VARIANTS = {
    "": (INJECTED, "Given the next token, the matrix of step n holds A^(n-1)"),
    "_without_injection": (BARE, "Without the next token, the matrices of steps 3 and 4 hold little"),
}


def main() -> None:
    graph = training.walks(SEED).graph
    given = [each for each in references(graph, AHEAD) if each.power]
    edges = adjacency(graph).astype(float)
    powers = [(f"A^{k}", np.linalg.matrix_power(edges, k)) for k in range(1, AHEAD)]
    for suffix, (options, title) in VARIANTS.items():
        found = training.matrices(training.trained(SEED, AHEAD, options, STEPS))
        cosine = compare(found, given).cosine
        best = [given[int(place)].name for place in cosine.argmax(axis=1)]
        names = [
            f"transfer matrix of step {n + 2}\nnearest: {best[n]}, cosine {cosine[n].max():.2f}"
            for n in range(len(found))
        ]
        figure = matrix_panels(list(zip(names, found, strict=True)), powers, title=title)
        figure.savefig(Path(__file__).with_name(f"transfer_matrices{suffix}.png"), dpi=110)


if __name__ == "__main__":
    main()
