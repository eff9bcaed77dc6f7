"""When each part of the circuit forms, from the scores of every attention head over the checkpoints of a run."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from circuits import checks, display
from circuits.probes.attention.scores import CircuitScores

PREDECESSOR, GOAL, EDGE = "predecessor", "attends to the goal", "the goal reads its edge"
"""Names of strengths; the others are "hop 0", "hop 1", ..."""


class Formation(NamedTuple):
    """When a quantity permanently exceeded half of its total rise."""

    step: int | None
    """The step of the first checkpoint from which on it is at least ``half``; None if it rose by less than
    ``min_rise``."""
    half: float
    """The mean of baseline and final value."""
    final: float

    _repr_html_ = display.html


def circuit_strengths(scores: Sequence[CircuitScores]) -> dict[str, Float[np.ndarray, " steps"]]:
    """Return the strength of each part of the circuit in its strongest attention head, at each checkpoint.

        predecessor              the maximum over layers and heads of the score of that name
        attends to the goal      the maximum of goal_in_query: the first step of the circuit
        the goal reads its edge  the maximum of edge_attention_elsewhere at hop 0: the goal in the prompt's query
                                 attends to its edge
        hop i                    the maximum of backward_trace - distractor_attention at hop i: the second step, at the
                                 query position. It is 0 for a head that attends to all paths equally

    Args:
        scores: one record for each checkpoint, averaged over problems.

    Returns:
        Strengths from 0 to 1 by name; those of hops may be negative. "the goal reads its edge" is omitted if it is NaN,
        because no position after the edge holds the goal.

    Raises:
        ValueError: if there is no checkpoint.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import CircuitScores, circuit_strengths
        >>> scores = CircuitScores(*[np.array([[0.1, 0.6]])] * 6, *[np.zeros((1, 2, 2))] * 3)  # one layer, two heads
        >>> {name: values.tolist() for name, values in circuit_strengths([scores]).items() if "hop" not in name}
        {'predecessor': [0.6], 'attends to the goal': [0.6], 'the goal reads its edge': [0.0]}
    """
    checks.require(len(scores) > 0, "scores", "must hold at least one checkpoint", len(scores))
    excess = [np.asarray(one.backward_trace) - np.asarray(one.distractor_attention) for one in scores]
    hops = np.array([np.max(one, axis=(0, 1)) for one in excess])
    strengths = {
        PREDECESSOR: np.array([np.max(one.predecessor) for one in scores]),
        GOAL: np.array([np.max(one.goal_in_query) for one in scores]),
        EDGE: np.array([np.max(np.asarray(one.edge_attention_elsewhere)[..., 0]) for one in scores]),
    } | {f"hop {hop}": hops[:, hop] for hop in range(hops.shape[1])}
    if np.all(np.isnan(strengths[EDGE])):
        del strengths[EDGE]
    return strengths


def formation(
    steps: Int[np.ndarray, " steps"], values: Float[np.ndarray, " steps"], *, baseline: float, min_rise: float = 0.1
) -> Formation:
    """Return the step from which on values stay above the middle between a baseline and their final value.

    Args:
        steps: training steps of the checkpoints.
        values: a strength at each of them.
        baseline: the strength of untrained models.
        min_rise: a smaller rise counts as none.

    Raises:
        ValueError: if the values are not finite, or not as many as the steps.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import formation
        >>> formation(np.array([0, 100, 200, 300]), np.array([0.1, 0.2, 0.8, 0.9]), baseline=0.1)
        Formation(step=200, half=0.5, final=0.9)
    """
    checks.shape("values", values, (len(steps),))
    checks.finite("values", values)
    final = float(values[-1])
    half = (baseline + final) / 2
    if final - baseline < min_rise:
        return Formation(None, half, final)
    below = np.flatnonzero(values < half)
    first = 0 if len(below) == 0 else int(below[-1]) + 1
    return Formation(int(steps[first]), half, final)
