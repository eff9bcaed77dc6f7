"""Seconds of ``find_powers`` with every null, 1,000 draws each, on a small and on a large graph.

``heads`` has the 64 attention heads of a checkpoint against a graph of 12 nodes, and 39 untrained models beside it;
``random`` has as many matrices of noise against a graph of 100 nodes, and 39 times as many. ``matrices`` is reading
them from the models, ``find`` the rest. Once each, what is compiled included. No peer does this.

    python benchmarks/adjacency.py
"""

import json
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np

from circuits.probes.adjacency.find import find_powers
from circuits.probes.adjacency.gather import gather_matrices, matrices_of_untrained
from circuits.probes.adjacency.references import graph_references
from circuits.tasks.walks.graphs import random_dag
from circuits.training.stored import read

CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "star-2x5-mtp3"
DRAWS, MODELS, POWERS = 1000, 39, 4
SMALL, LARGE, MATRICES = 12, 100, 8 * 8


def heads() -> tuple[np.ndarray, np.ndarray]:
    """Of the checkpoint and of untrained models."""
    (stored,) = read(CHECKPOINT)
    of = partial(gather_matrices, nodes=np.arange(SMALL), sources=("heads",))
    return np.asarray(of(stored.model).values, np.float64), matrices_of_untrained(of, stored.model.config, MODELS)


def noise() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(MATRICES, LARGE, LARGE)), rng.normal(size=(MODELS, MATRICES, LARGE, LARGE))


def measure(name: str, make, nodes: int, probability: float) -> None:
    begun = time.perf_counter()
    matrices, fresh = make()
    made = time.perf_counter()
    given = graph_references(random_dag(nodes, probability, 0), POWERS)
    found = find_powers(matrices, given, fresh=fresh, draws=DRAWS)
    assert len(matrices) == MATRICES, f"{name}: {len(matrices)} matrices"
    assert found.nulls.keys() == {"permuted", "rewired", "untrained"}
    seconds = {"matrices": made - begun, "find": time.perf_counter() - made}
    size = {"count": len(matrices), "nodes": nodes, "references": len(given), "draws": DRAWS, "untrained": MODELS}
    device = jax.devices()[0]
    line = {"name": f"adjacency/{name}", **seconds, "unit": "s", **size, "held": int(found.holds.sum())}
    print(json.dumps({**line, "device": f"{device.platform} {device.device_kind}"}), flush=True)


def main() -> None:
    measure("heads", heads, SMALL, 0.4)
    measure("random", noise, LARGE, 0.1)


if __name__ == "__main__":
    main()
