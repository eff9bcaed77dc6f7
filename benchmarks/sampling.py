"""Seconds to sample a million star graphs, compiled, against a budget of a minute. There is no peer.

python benchmarks/sampling.py
"""

import argparse
from functools import partial

import jax
from measure import best_seconds, report

from circuits.tasks.sampling import sample
from circuits.tasks.star.graph import StarGraph

COUNT, SECONDS = 1_000_000, 60.0
FAMILIES = (StarGraph(2, 3, 10), StarGraph(5, 5, 100))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--toy", action="store_true", help="a thousand graphs of the small family")
    args = parser.parse_args(argv)
    count = 1000 if args.toy else COUNT
    draw = jax.jit(sample, static_argnums=(0, 2))
    for spec in FAMILIES[: 1 if args.toy else None]:
        runs = {"sample": partial(draw, spec, jax.random.key(0), count)}
        best = best_seconds(runs, 0 if args.toy else 3)["sample"]
        name = f"sampling/{spec.paths}x{spec.nodes}/{spec.labels}"
        report(name, best, unit=f"s per {count} graphs", budget=SECONDS * count / COUNT)


if __name__ == "__main__":
    main()
