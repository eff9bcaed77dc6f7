"""When each step of the circuit forms: scores of every head over the checkpoints of a run."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from circuits import checks
from circuits.probes.attention.scores import Scores

PREDECESSOR, GOAL, LINK = "predecessor", "attends to the goal", "the goal reads its edge"
"""Names of strengths; the others are "hop 1", "hop 2", ..."""


class Formation(NamedTuple):
    """When a quantity came to stay above half of what it rose by."""

    step: int | None
    """The first checkpoint from which on it is above half-way; None if it never rose by ``least``."""
    half: float
    final: float


def strengths(scores: Sequence[Scores]) -> dict[str, Float[np.ndarray, " steps"]]:
    """How strong each part of the circuit is at each checkpoint, in its strongest head, from mean scores of all heads.

        predecessor              max over layers and heads of the score of that name
        attends to the goal      max of goal_in_query: the first step of the circuit
        the goal reads its edge  max of link at hop 1: the goal in the query looks back at the edge that it ends
        hop i                    max of trace - astray at hop i: the second step, at the query. What looks at all paths
                                 alike is in no hop

    From 0 to 1, where hops may be below 0. A link that is NaN, as no position could look back, is left out. Raises
    ValueError for no checkpoint.
    """
    checks.require(len(scores) > 0, "scores", "must hold at least one checkpoint", len(scores))
    hops = np.array([np.max(np.asarray(one.trace) - np.asarray(one.astray), axis=(0, 1)) for one in scores])
    found = {
        PREDECESSOR: np.array([np.max(one.predecessor) for one in scores]),
        GOAL: np.array([np.max(one.goal_in_query) for one in scores]),
        LINK: np.array([np.max(np.asarray(one.link)[..., 0]) for one in scores]),
    } | {f"hop {hop + 1}": hops[:, hop] for hop in range(hops.shape[1])}
    return {name: values for name, values in found.items() if not (name == LINK and np.all(np.isnan(values)))}


def formation(
    steps: Int[np.ndarray, " steps"], values: Float[np.ndarray, " steps"], *, baseline: float, least: float = 0.1
) -> Formation:
    """When ``values`` came to stay above half-way from a baseline to where they end.

    ``baseline`` is the value of untrained models. A rise below ``least`` is none. Raises ValueError for other shapes,
    and for values that are not finite.
    """
    checks.shape("values", values, (len(steps),))
    checks.finite("values", values)
    final = float(values[-1])
    half = (baseline + final) / 2
    if final - baseline < least:
        return Formation(None, half, final)
    below = np.flatnonzero(values < half)
    first = 0 if len(below) == 0 else int(below[-1]) + 1
    return Formation(int(steps[first]), half, final)
