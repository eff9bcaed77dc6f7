"""Which power of the adjacency matrix each transfer matrix of a trained one-layer model resembles.

Transfer matrices are compared with A, A^2, A^3 and A^4 by the cosine of their entries, with rows centred because a
constant has no effect on logits, and with the number of walks or their support, whichever gives the larger cosine. See
``circuits.probes.adjacency``. The cosines come from stored measurements; the model of one graph is trained again.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from circuits.tasks.walks.graphs import adjacency
from proofs_check.ledger import CrossCheck, Findings, Intervals, Outcome, Test, at_most
from proofs_check.transfer import training
from proofs_check.transfer.measure import AHEAD, POWER_STEPS, SEEDS, VARIANTS, cosines, graphs, half_length

COMPARISONS: Final = 144
"""Number of cosines that were measured: four variants after two lengths of training, three matrices, four powers; and
those of the products of chained matrices."""
LEVEL: Final = 1 - 0.05 / COMPARISONS
RETRAINED: Final = 0.01
"""Largest gap between cosines of the same run on two machines: training in float32 amplifies rounding, and this is a
tenth of the margin that the claim asks for."""
ALONE, CHAINED = ("injected", "plain"), ("chained", "chained, injected")


class Match(NamedTuple):
    """The statement that matrices of some variants match powers of A.

    Args:
        variants: variants of the model.
        offset: the matrix of step n matches A^(n - offset).
        steps: the steps n.
        against: the graph whose powers are meant, or a wrong one; "products" are those of chained matrices.
    """

    variants: tuple[str, ...]
    offset: int
    steps: tuple[int, ...] = tuple(range(2, AHEAD + 1))
    against: str = "graph"


PRINTED: Final = (Match((*ALONE, *CHAINED), 0),)
SUCCESSIVE: Final = (Match(ALONE, 1), Match(CHAINED, 1, against="products"))
"""Among A to A^4 only A^(n-1) and A^n exist for each of the steps n = 2, 3, 4, and A^n is the printed statement."""


def power() -> Findings:
    """Does the matrix of step n match A^n, A^(n-1), or no power at all?"""
    first = Match(("injected", "chained, injected"), 1, (2,))
    wrong = {
        "A^2": [first._replace(offset=0)],
        "the transposed graph": [first._replace(against="transposed")],
        "the graph with its nodes renamed": [first._replace(against="renamed")],
        "a rewired graph": [first._replace(against="rewired")],
        "untrained matrices": [first._replace(against="untrained")],
    }
    right = {"injected: the matrix of step 2 and A": [first]}
    tests = tuple(
        Test("statistical", name, measure, PRINTED, intended=SUCCESSIVE, mutants=wrong, accepted=right)
        for name, measure in (("margin over every other power", margin), ("cosine with the power", cosine))
    )
    return Findings(tests, (retrained(),), _example())


def cosine(matches: Sequence[Match]) -> Intervals:
    """Return the cosine of every matrix with its stated power, over graphs."""
    return _intervals([measured[:, n, power] for measured, n, power in _cases(matches)])


def margin(matches: Sequence[Match]) -> Intervals:
    """Return the same, less the cosine with the nearest other power of A to A^4."""
    cases = _cases(matches)
    others = (np.delete(measured[:, n], power, axis=1).max(axis=1) for measured, n, power in cases)
    return _intervals([m[:, n, power] - other for (m, n, power), other in zip(cases, others, strict=True)])


def _cases(matches: Sequence[Match]) -> list[tuple[Float[np.ndarray, "graphs n k"], int, int]]:
    """Return (cosines, the matrix of step n + 2, the power less 1) of each matrix that a statement is about."""
    return [
        (table(name, steps, each.against), n, n + 1 - each.offset)
        for each in matches
        for name in each.variants
        for steps in POWER_STEPS
        for n in (step - 2 for step in each.steps)
    ]


def table(variant: str, steps: int, against: str) -> Float[np.ndarray, "graphs n k"]:
    """Return the measured cosines: for each graph, the matrices of steps 2 to 4 with A to A^4."""
    if against == "untrained":
        return np.array([graph["untrained"] for graph in graphs("powers")])
    return np.array([graph[f"{variant}, {steps} steps"][against] for graph in graphs("powers")])


def _intervals(values: list[Float[np.ndarray, " graphs"]]) -> Intervals:
    stacked = np.stack(values, axis=1)
    half = half_length(stacked, LEVEL)
    return Intervals(stacked.mean(axis=0) - half, stacked.mean(axis=0) + half, LEVEL)


def retrained() -> CrossCheck:
    """Train the first graph again with injection, and compare with what was measured."""
    seed, steps = SEEDS[0], POWER_STEPS[0]
    edges = adjacency(training.walks(seed).graph)
    again = np.array(cosines(training.trained(seed, AHEAD, VARIANTS["injected"], steps), edges))

    def measure(stored: Float[np.ndarray, "n k"]) -> Outcome:
        return at_most(np.abs(stored - again).max(axis=1), RETRAINED)

    mutants = {name: table("injected", steps, name)[0] for name in ("transposed", "rewired", "untrained")}
    mutants["without injection"] = table("plain", steps, "graph")[0]
    stored = table("injected", steps, "graph")[0]
    return CrossCheck("cosines of one graph: measured and trained again", measure, stored, mutants)


def _example() -> str:
    def rows(variant: str, against: str) -> str:
        mean = table(variant, POWER_STEPS[-1], against).mean(axis=0)
        return "; ".join(f"step {n}: " + " ".join(f"{x:.2f}" for x in row) for n, row in enumerate(mean, start=2))

    kinds = [(name, "graph") for name in VARIANTS] + [(name, "products") for name in CHAINED]
    listed = ". ".join(f"{name}{', products' * (kind == 'products')}: {rows(name, kind)}" for name, kind in kinds)
    return f"Cosine with A, A^2, A^3, A^4, mean of {len(SEEDS)} graphs, {POWER_STEPS[-1]} training steps. {listed}."
