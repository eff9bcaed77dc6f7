"""Which power of the adjacency matrix each transfer matrix of a trained one-layer model holds.

Transfer matrices are compared with A, A^2, A^3, A^4 and their supports by the cosine of their entries, rows centred
because logits do not know a constant; see ``circuits.probes.adjacency``. Intervals of differences are from a bootstrap
over rows, and a matrix is said to hold a power only where its cosine is beyond that of permuted and of rewired graphs.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from circuits.one_layer.parameters import Options
from circuits.probes.adjacency import nulls
from circuits.probes.adjacency.intervals import difference_interval, resampled
from circuits.probes.adjacency.references import Reference, references
from circuits.probes.adjacency.rewiring import rewired
from circuits.probes.adjacency.scores import compare
from circuits.tasks.graphs import adjacency, graph_of
from proofs_check import transfer_training as training
from proofs_check.evidence import Control, Evidence, Findings, Of, at_most

AHEAD = 4
"""Steps 1 to 4, so three transfer matrices."""
STEPS = 200
"""Which power is nearest is the same after 150, 300 and 800 steps."""
SEEDS, FEWER = (0, 1, 2), (0, 1)
DRAWS, NULLS, LEVEL = 100, 40, 0.05
"""Of the bootstrap, and of each null."""
INJECTED, BARE = Options(chain=False, injection=True), Options(chain=False, injection=False)
CHAINED = Options(chain=True, injection=True)
Powers = Callable[[int], int]
"""From the step n = 2 .. k of a matrix to the power it is said to hold."""


def printed(step: int) -> int:
    """W_n, which makes the n-th token on, holds A^n."""
    return step


def amended(step: int) -> int:
    """Step 1 comes straight from the backbone, so the matrix of step n leads n - 1 edges on."""
    return step - 1


def one_edge(step: int) -> int:
    """Chained, each matrix leads from one step to the next."""
    return 1


def power() -> Findings:
    """The matrix of step n: A^n or A^(n-1)?"""
    runs = {name: [found(seed, options) for seed in seeds] for name, (options, seeds) in VARIANTS.items()}
    direct, bare, chained = runs["injected"], runs["not injected"], runs["chained, injected"]
    return Findings(
        (
            *(nearest(f"{name}: step n and A^n", each, printed) for name, each in runs.items()),
            nearest("injected: step n and A^(n-1)", direct, amended, "amended"),
            beyond("injected: A^(n-1) against permuted and rewired graphs", direct, amended, "amended"),
            nearest("chained, injected: each matrix and A", chained, one_edge, "amended"),
            nearest("not injected: step 2 and A", bare, amended, "amended", (2,)),
            nearest("not injected: step 4 and A, not A^3", bare, one_edge, "amended", (4,)),
            logarithm("log of the walks' distribution over the support of A^(n-1)", "support"),
            logarithm("log of the walks' distribution over the distribution", "distribution"),
        ),
        (
            Control("A^(n+1), steps 2 and 3", nearest("injected", direct, lambda step: step + 1, only=(2, 3))),
            Control("A for every step, not chained", nearest("injected", direct, one_edge)),
            Control("A^(n-1) without injection, step 4", nearest("not injected", bare, amended, only=(4,))),
            Control("nodes renamed", beyond("renamed", [found(0, INJECTED, _renamed)], amended)),
            Control("a rewired graph", beyond("rewired", [found(0, INJECTED, _rewired)], amended)),
            Control("untrained", beyond("untrained", [found(0, INJECTED, untrained=True)], amended)),
        ),
        _example(runs),
    )


VARIANTS = {"injected": (INJECTED, SEEDS), "not injected": (BARE, FEWER), "chained, injected": (CHAINED, FEWER)}
Edges = np.ndarray
"""An adjacency matrix."""


class Found(NamedTuple):
    """The transfer matrices of a run, what they are compared with, their cosines, and those of the bootstrap."""

    matrices: Float[np.ndarray, "M N N"]
    references: tuple[Reference, ...]
    cosine: Float[np.ndarray, "M R"]
    drawn: Float[np.ndarray, "draws M R"]


def _renamed(edges: Edges) -> Edges:
    order = np.random.default_rng(0).permutation(len(edges))
    return edges[np.ix_(order, order)]


def _rewired(edges: Edges) -> Edges:
    return rewired(edges, 1, seed=1)[0]


@cache
def found(
    seed: int, options: Options, change: Callable[[Edges], Edges] | None = None, untrained: bool = False
) -> Found:
    """The matrices of one run beside the powers of its graph, or of that graph changed."""
    edges = adjacency(training.walks(seed).graph)
    changed = edges if change is None else change(edges)
    graph = graph_of(len(edges), [(int(u), int(v)) for u, v in np.argwhere(changed)])
    start = training.start(seed, AHEAD)
    matrices = training.matrices(start if untrained else training.trained(seed, AHEAD, options, STEPS))
    given = tuple(each for each in references(graph, AHEAD) if each.power)
    return Found(matrices, given, compare(matrices, given).cosine, resampled(matrices, given, DRAWS))


def nearest(
    name: str, runs: Sequence[Found], powers: Powers, of: Of = "printed", only: tuple[int, ...] = (2, 3, 4)
) -> Evidence:
    """In every run the matrix of each step has a higher cosine with its power than with any other."""
    ends = [_lead(each, step - 2, powers(step)) for each in runs for step in only]
    low, high = (min(pair[place] for pair in ends) for place in (0, 1))
    quantity = f"{name}: by how much another power is nearer, upper end of the worst"
    return at_most("statistical", quantity, -low, 0.0, len(ends), of=of, refuted_above=max(0.0, high - low))


def _lead(found: Found, matrix: int, power: int) -> tuple[float, float]:
    """The ends of the interval of the cosine with a power minus that with another one, of the nearest other."""
    own = _best(found, matrix, power)
    others = [_best(found, matrix, other) for other in range(1, AHEAD + 1) if other != power]
    ends = difference_interval(
        found.cosine[matrix, own] - found.cosine[matrix, others],
        found.drawn[:, matrix, own, None] - found.drawn[:, matrix, others],
        training.NODES,
        1 - LEVEL,
    )
    return float(ends[0].min()), float(ends[1].min())


def _best(found: Found, matrix: int, power: int) -> int:
    """The place of a power's counts or support, whichever is nearer."""
    places = [n for n, each in enumerate(found.references) if each.power == power]
    return max(places, key=lambda n: found.cosine[matrix, n])


def beyond(name: str, runs: Sequence[Found], powers: Powers, of: Of = "printed") -> Evidence:
    """The cosine of each step's matrix with its power is beyond those of both nulls."""
    worst = max(_worst_p(each, powers) for each in runs)
    return at_most("statistical", f"{name}: largest p-value", worst, LEVEL, NULLS * len(runs), of=of)


def _worst_p(found: Found, powers: Powers) -> float:
    """The largest over steps and nulls, of permuted labels and of rewired graphs."""
    drawn = (
        nulls.permuted_labels(found.matrices, found.references, NULLS),
        nulls.rewired_graphs(found.matrices, found.references, NULLS),
    )
    places = [_best(found, step - 2, powers(step)) for step in range(2, AHEAD + 1)]
    return max(float(nulls.beyond(found.cosine, null)[np.arange(len(places)), places].max()) for null in drawn)


def logarithm(name: str, rival: str) -> Evidence:
    """With injection, the logarithm of the distribution of tokens n - 1 edges on fits step n better than a rival."""
    ends = [_gain(seed, step, rival) for seed in SEEDS for step in range(2, AHEAD + 1)]
    low, high = (min(pair[place] for pair in ends) for place in (0, 1))
    quantity = f"{name}: by how much it fits worse, upper end of the worst"
    return at_most("statistical", quantity, -low, 0.0, len(ends), of="amended", refuted_above=max(0.0, high - low))


def _gain(seed: int, step: int, rival: str) -> tuple[float, float]:
    matrix = training.matrices(training.trained(seed, AHEAD, INJECTED, STEPS))[step - 2 : step - 1]
    given = [_reference(kind, step, seed) for kind in ("logarithm", rival)]
    cosine = compare(matrix, given).cosine
    draws = resampled(matrix, given, DRAWS)
    ends = difference_interval(cosine[:, 0] - cosine[:, 1], draws[..., 0] - draws[..., 1], training.NODES, 1 - LEVEL)
    return float(ends[0][0]), float(ends[1][0])


def _reference(kind: str, step: int, seed: int) -> Reference:
    edges, shares = adjacency(training.walks(seed).graph).astype(float), distribution(seed, step - 1)
    matrix = {
        "support": lambda: (np.linalg.matrix_power(edges, step - 1) > 0).astype(float),
        "distribution": lambda: shares,
        "logarithm": lambda: np.log(shares + 1 / training.NODES),
    }[kind]()
    return Reference(kind, step - 1, kind == "support", kind != "support", matrix)


@cache
def distribution(seed: int, edges: int) -> Float[np.ndarray, "N N"]:
    """Of the nodes so many edges after each node, on the paths of the training lines, the source not counted."""
    data = training.walks(seed)
    after = data.lines[:, 3:]
    here, there = after[:, : after.shape[1] - edges], after[:, edges:]
    kept = there < training.NODES
    found = np.zeros((training.NODES, training.NODES))
    np.add.at(found, (here[kept], there[kept]), 1)
    return found / np.maximum(found.sum(axis=1, keepdims=True), 1)


def _example(runs: dict[str, list[Found]]) -> str:
    def cosine(name: str, step: int, k: int) -> str:
        return f"{np.mean([each.cosine[step - 2, _best(each, step - 2, k)] for each in runs[name]]):.2f}"

    def cosines(name: str) -> str:
        rows = [" ".join(cosine(name, step, k) for k in range(1, AHEAD + 1)) for step in range(2, AHEAD + 1)]
        return "; ".join(f"step {step}: {row}" for step, row in enumerate(rows, start=2))

    means = [_means(seed) for seed in SEEDS]
    on, off = (float(np.mean([pair[place] for pair in means])) for place in (0, 1))
    return (
        "Cosine with A, A^2, A^3, A^4 (the better of counts and support), mean of seeds. "
        + ". ".join(f"{name.capitalize()}: {cosines(name)}" for name in runs)
        + f". Entries of the matrix of step 2, injected: {on:.2f} on edges, {off:.2f} elsewhere."
    )


def _means(seed: int) -> tuple[float, float]:
    edges = adjacency(training.walks(seed).graph)
    first = training.matrices(training.trained(seed, AHEAD, INJECTED, STEPS))[0]
    return float(first[edges].mean()), float(first[~edges].mean())
