"""Seconds of ``find_powers`` with every null, 1,000 draws each, on a small and on a large graph.

``heads`` has the 64 attention heads of a checkpoint against a graph of 12 nodes, and 39 untrained models as a null;
``random`` has as many matrices of noise against a graph of 100 nodes, and 39 times as many. ``matrices`` is the time of
reading them from the models. Once each, compilation included. There is no peer.

    python benchmarks/adjacency.py
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from measure import report

from circuits.models import load_model
from circuits.probes.adjacency.find import find_powers
from circuits.probes.adjacency.gather import gather_matrices, matrices_of_untrained
from circuits.probes.adjacency.references import graph_references
from circuits.tasks.walks.graphs import random_dag

MATRICES = 8 * 8
Matrices = tuple[np.ndarray, np.ndarray]


def of_heads(models: int, nodes: int) -> Matrices:
    """Return the matrices of the checkpoint's attention heads, and those of untrained models."""
    model = load_model("star-2x5-mtp3").model
    gather = partial(gather_matrices, nodes=np.arange(nodes), sources=("heads",))
    return np.asarray(gather(model).values, np.float64), matrices_of_untrained(gather, model.config, models)


def of_noise(models: int, nodes: int) -> Matrices:
    rng = np.random.default_rng(0)
    return rng.normal(size=(MATRICES, nodes, nodes)), rng.normal(size=(models, MATRICES, nodes, nodes))


def measure(name: str, make: Callable[[int, int], Matrices], nodes: int, probability: float, toy: bool) -> None:
    draws, models, level = (2, 1, 0.5) if toy else (1000, 39, 0.05)
    begun = time.perf_counter()
    matrices, fresh = make(models, nodes)
    made = time.perf_counter()
    references = graph_references(random_dag(nodes, probability, 0), 4)
    findings = find_powers(matrices, references, fresh=fresh, draws=draws, level=level)
    seconds = time.perf_counter() - made
    assert len(matrices) == MATRICES, f"{name}: {len(matrices)} matrices"
    assert findings.nulls.keys() == {"permuted", "rewired", "untrained"}
    size: dict[str, Any] = {
        "count": len(matrices),
        "nodes": nodes,
        "references": len(references),
        "draws": draws,
        "untrained": models,
    }
    report(f"adjacency/{name}", seconds, matrices=made - begun, **size, held=int(findings.holds.sum()))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--toy", action="store_true", help="few draws, models and nodes")
    toy = parser.parse_args(argv).toy
    measure("heads", of_heads, 12, 0.4, toy)
    measure("random", of_noise, 20 if toy else 100, 0.1, toy)


if __name__ == "__main__":
    main()
