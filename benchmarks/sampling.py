"""Star graphs sampled a minute, compiled, against the stated bound of a million.

python benchmarks/sampling.py
"""

from functools import partial

import jax
from measure import best_seconds, report

from circuits.tasks.sampling import sample
from circuits.tasks.star.graph import StarGraph

COUNT = 1_000_000
FAMILIES = (StarGraph(2, 3, 10), StarGraph(5, 5, 100))


def main() -> None:
    draw = jax.jit(sample, static_argnums=(0, 2))
    for spec in FAMILIES:
        best = best_seconds({"sample": partial(draw, spec, jax.random.key(0), COUNT)})["sample"]
        report(f"sampling/{spec.paths}x{spec.nodes}/{spec.labels}", best, 60.0, "s per 1M graphs")


if __name__ == "__main__":
    main()
