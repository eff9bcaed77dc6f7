"""Measure the one-layer model on new graphs, for the claims that read ``proofs_check/measured/one_layer``.

    python -m proofs_check.transfer.measure powers --out proofs_check/measured/one_layer/powers
    python -m proofs_check.transfer.measure answers --out proofs_check/measured/one_layer/answers

``powers`` holds the cosines of transfer matrices with powers of the adjacency matrix, ``answers`` how many test pairs
are answered by a valid path. Six graphs each, on which no claim was stated before.
"""

import argparse
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float

from circuits.files import write_text
from circuits.one_layer.parameters import Options, Parameters
from circuits.probes.adjacency.references import graph_references
from circuits.probes.adjacency.rewiring import rewire
from circuits.probes.adjacency.scores import compare_matrices
from circuits.tasks.walks.graphs import adjacency, graph_from_edges
from circuits.tasks.walks.pairs import degrees, hops, observe
from proofs_check.transfer import training

SEEDS: Final = tuple(range(100, 106))
"""Of graph, split, walks and initial parameters."""
AHEAD: Final = 4
"""Steps 1 to 4, so three transfer matrices, compared with A to A^4."""
POWER_STEPS: Final = (200, 600)
"""Lengths of training."""
ANSWER_STEPS: Final = 600
VARIANTS: Final = {
    "injected": Options(chain=False, injection=True),
    "plain": Options(chain=False, injection=False),
    "chained": Options(chain=True, injection=False),
    "chained, injected": Options(chain=True, injection=True),
}
KINDS: Final = {
    "ntp": (1, Options()),
    "transfer": (2, Options()),
    "injection": (2, Options(injection=True)),
}
HOPS: Final = (2, 3, 4)


def powers(seed: int) -> dict[str, Any]:
    """The cosines of each variant's matrices, and of their products, with the powers; and those of wrong graphs."""
    edges = adjacency(training.walks(seed).graph)
    order = np.random.default_rng(seed).permutation(len(edges))
    graphs = {"graph": edges, "transposed": edges.T, "renamed": edges[np.ix_(order, order)]}
    graphs["rewired"] = rewire(edges, 1, seed=seed)[0]
    found: dict[str, Any] = {"seed": seed, "untrained": cosines(training.start(seed, AHEAD), edges)}
    for steps in POWER_STEPS:
        for name, options in VARIANTS.items():
            parameters = training.trained(seed, AHEAD, options, steps)
            runs = {kind: cosines(parameters, other) for kind, other in graphs.items()}
            found[f"{name}, {steps} steps"] = runs | {"products": cosines(parameters, edges, products=True)}
    return found


def cosines(parameters: Parameters, edges: Bool[np.ndarray, "N N"], products: bool = False) -> list[list[float]]:
    """Row n: of the matrix of step n + 2 with A, A^2, A^3, A^4, the larger of counts and support."""
    matrices = training.transfers(parameters)
    if products:
        matrices = _products(matrices)
    graph = graph_from_edges(len(edges), [(int(u), int(v)) for u, v in np.argwhere(edges)])
    given = tuple(each for each in graph_references(graph, AHEAD) if each.power)
    found = compare_matrices(matrices, given).cosine
    of = np.array([each.power for each in given])
    return [[float(row[of == k].max()) for k in range(1, AHEAD + 1)] for row in found]


def _products(matrices: Float[np.ndarray, "M N N"]) -> Float[np.ndarray, "M N N"]:
    """Of chained matrices: what leads from step 1 to each step."""
    found = [matrices[0]]
    for matrix in matrices[1:]:
        found.append(found[-1] @ matrix)
    return np.stack(found)


def answers(seed: int) -> dict[str, Any]:
    """Right answers of each kind: by hops, and on the pairs whose target no training line showed to be in reach."""
    data = training.walks(seed)
    distance = hops(data.graph, data.pairs.test)
    unseen = degrees(data.graph, observe(data.form, data.lines), data.pairs.test) > 0
    groups = {**{f"{h} hops": distance == h for h in HOPS}, "unseen": unseen}
    found: dict[str, Any] = {"seed": seed, "pairs": {name: int(mask.sum()) for name, mask in groups.items()}}
    right = {"untrained": training.answered(seed, training.start(seed, 2))}
    for kind, (ahead, options) in KINDS.items():
        right[kind] = training.answered(seed, training.trained(seed, ahead, options, ANSWER_STEPS))
    return found | {
        kind: {name: int(given[mask].sum()) for name, mask in groups.items()} for kind, given in right.items()
    }


MEASUREMENTS: Final[dict[str, Callable[[int], dict[str, Any]]]] = {"powers": powers, "answers": answers}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=sorted(MEASUREMENTS))
    parser.add_argument("--out", type=Path, required=True, help="folder of measured.json")
    chosen = parser.parse_args()
    graphs = [MEASUREMENTS[chosen.what](seed) for seed in SEEDS]
    made_with = {name: version(name) for name in ("jax", "jaxlib", "numpy", "optax", "networkx")}
    chosen.out.mkdir(parents=True, exist_ok=True)
    write_text(chosen.out / "measured.json", json.dumps({"made_with": made_with, "graphs": graphs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
