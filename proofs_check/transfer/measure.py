"""Measure the one-layer model on new graphs, and read the results in ``proofs_check/measured/one_layer``.

    python -m proofs_check.transfer.measure powers --out proofs_check/measured/one_layer/powers
    python -m proofs_check.transfer.measure answers --out proofs_check/measured/one_layer/answers

``powers`` measures the cosines of transfer matrices with powers of the adjacency matrix, ``answers`` the numbers of
test pairs that are answered by a valid path: both on six graphs that were not used to formulate any claim.
"""

import json
from functools import cache
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import tyro
from jaxtyping import Bool, Float
from scipy.stats import t
from tyro.conf import Positional

from circuits.files import write_text
from circuits.one_layer.parameters import Options, Parameters
from circuits.probes.adjacency.references import graph_references
from circuits.probes.adjacency.rewiring import rewire
from circuits.probes.adjacency.scores import compare_matrices
from circuits.tasks.walks.graphs import adjacency, graph_from_edges
from circuits.tasks.walks.pairs import degrees, hops, observe
from proofs_check.ledger.data import MEASURED
from proofs_check.transfer import training

SEEDS: Final = tuple(range(100, 106))
"""Seeds of graph, split, walks and initial parameters."""
AHEAD: Final = 4
"""Steps 1 to 4, so three transfer matrices, compared with A to A^4."""
POWER_STEPS: Final = (200, 600)
"""Numbers of training steps."""
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


@cache
def graphs(name: str) -> tuple[dict[str, Any], ...]:
    """Return the measured graphs of ``one_layer/<name>``."""
    content = json.loads((MEASURED / "one_layer" / name / "measured.json").read_text(encoding="utf-8"))
    return tuple(content["graphs"])


def half_length(values: Float[np.ndarray, "runs *some"], level: float) -> Float[np.ndarray, "*some"]:
    """Return half the length of Student's interval of the mean over runs."""
    runs = len(values)
    return t.ppf((1 + level) / 2, runs - 1) * values.std(axis=0, ddof=1) / np.sqrt(runs)


def powers(seed: int) -> dict[str, Any]:
    """Measure the cosines of each variant's matrices, and of their products, with the powers, and with wrong graphs."""
    edges = adjacency(training.walks(seed).graph)
    order = np.random.default_rng(seed).permutation(len(edges))
    references = {"graph": edges, "transposed": edges.T, "renamed": edges[np.ix_(order, order)]}
    references["rewired"] = rewire(edges, 1, seed=seed)[0]
    measured: dict[str, Any] = {"seed": seed, "untrained": cosines(training.start(seed, AHEAD), edges)}
    for steps in POWER_STEPS:
        for name, options in VARIANTS.items():
            parameters = training.trained(seed, AHEAD, options, steps)
            runs = {kind: cosines(parameters, other) for kind, other in references.items()}
            measured[f"{name}, {steps} steps"] = runs | {"products": cosines(parameters, edges, products=True)}
    return measured


def cosines(parameters: Parameters, edges: Bool[np.ndarray, "N N"], products: bool = False) -> list[list[float]]:
    """Return in row n the cosines of the matrix of step n + 2 with A to A^4, the larger of counts and support."""
    matrices = training.transfers(parameters)
    if products:  # of chained matrices: what leads from step 1 to each step
        matrices = np.stack(list(accumulate(matrices, np.matmul)))
    graph = graph_from_edges(len(edges), [(int(u), int(v)) for u, v in np.argwhere(edges)])
    references = tuple(each for each in graph_references(graph, AHEAD) if each.power)
    values = compare_matrices(matrices, references).cosine
    power = np.array([each.power for each in references])
    return [[float(row[power == k].max()) for k in range(1, AHEAD + 1)] for row in values]


def answers(seed: int) -> dict[str, Any]:
    """Count right answers of each kind: by hops, and on pairs whose target is reachable in no training line."""
    data = training.walks(seed)
    distance = hops(data.graph, data.pairs.test)
    unseen = degrees(data.graph, observe(data.format, data.lines), data.pairs.test) > 0
    groups = {**{f"{h} hops": distance == h for h in HOPS}, "unseen": unseen}
    measured: dict[str, Any] = {"seed": seed, "pairs": {name: int(mask.sum()) for name, mask in groups.items()}}
    right = {"untrained": training.answered(seed, training.start(seed, 2))}
    for kind, (ahead, options) in KINDS.items():
        right[kind] = training.answered(seed, training.trained(seed, ahead, options, ANSWER_STEPS))
    return measured | {
        kind: {name: int(each[mask].sum()) for name, mask in groups.items()} for kind, each in right.items()
    }


def main(what: Positional[Literal["answers", "powers"]], out: Path) -> None:
    """Measure the one-layer model on all graphs.

    Args:
        what: "answers" or "powers".
        out: folder of measured.json.
    """
    measured = [{"answers": answers, "powers": powers}[what](seed) for seed in SEEDS]
    made_with = {name: version(name) for name in ("jax", "jaxlib", "numpy", "optax", "networkx")}
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "measured.json", json.dumps({"made_with": made_with, "graphs": measured}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
