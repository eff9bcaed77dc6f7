"""Is the circuit found where it was planted, and nowhere else?"""

# pyright: reportOptionalSubscript=false

from functools import cache

import numpy as np
import pytest

from circuits.probes.attention.planning import Finding, find_circuit
from circuits.probes.attention.scores import BY_HOP, READS_LABELS, CircuitScores
from circuits.transformer.config import TransformerConfig
from tests.probes.planted import HEADS, LAYERS, PAIRS, PLANTED, STAR, rows, walker
from tests.transformer.models import random_model

LEVEL = 0.2
"""At this level few untrained models are enough."""


@cache
def findings() -> dict[str, Finding]:
    return find_circuit(walker(), rows(STAR, 128), STAR, level=LEVEL, models=75)


@pytest.mark.parametrize("name", CircuitScores._fields)
def test_what_was_planted_is_found_and_nothing_else(name):
    found = findings()[name]
    assert {tuple(head) for head in np.argwhere(found.significant).tolist()} == PLANTED[name]
    for head in PLANTED[name]:
        shared = name == "distractor_attention" and head[:2] != (4, 0)  # between two first edges
        assert found.score.mean[head] >= (0.49 if shared else 0.99)


def test_decoys_fail_by_the_null_that_is_there_for_them():
    trace = findings()["backward_trace"]
    follower, other_path, one_position = (3, 1, 2), (4, 0, 2), (4, 1, 0)
    # The edge follower: beyond untrained models, beyond another problem's edges, and not beyond the other path.
    assert trace.untrained[follower] <= LEVEL
    assert trace.shuffled[follower] <= LEVEL
    assert trace.distractor[follower] > LEVEL
    assert trace.shuffled[other_path] > LEVEL
    assert trace.distractor[other_path] > LEVEL
    # One position holds the edge into the goal now and then, as much in this problem as in another.
    assert trace.shuffled[one_position] > LEVEL
    assert findings()["distractor_attention"].significant[other_path]


def test_a_finding_holds_what_it_says():
    for name, found in findings().items():
        size = (LAYERS, HEADS, *([STAR.family.nodes - 1] * (name in BY_HOP)))
        assert all(part.shape == size for part in (*found.score, found.baseline, found.untrained, found.significant))
        assert (found.shuffled is not None) == (name in READS_LABELS)
        assert (found.distractor is not None) == (name == "backward_trace")
        assert np.all(found.score.low <= found.score.mean)
        assert np.all(found.score.high >= found.score.mean)
        assert np.all((found.baseline > 0) & (found.baseline < 0.5))
        smallest = 15 / 76  # 15 scores, hop by hop; 75 untrained models and the one in question
        assert found.untrained.min() >= smallest - 1e-12
        for p in (found.untrained, found.shuffled, found.distractor):
            assert p is None or np.all((p >= 0) & (p <= 1))
            assert p is None or np.all(p[found.significant] <= LEVEL)


TINY = TransformerConfig(vocab=PAIRS.vocab_size, positions=PAIRS.length, layers=1, heads=2, width=8, mlp_width=4)


def test_nothing_is_found_in_an_untrained_model():
    """Of small random weights, which differ from those of the null."""
    for seed in range(3):
        done: list[int] = []
        model, problems = random_model(TINY, seed), rows(PAIRS, 100, seed)
        found = find_circuit(model, problems, PAIRS, seed=seed, on_progress=done.append)
        assert done == [64, 100]
        assert list(found) == list(CircuitScores._fields)
        assert not any(np.any(part.significant) for part in found.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problems": rows(PAIRS, 1)}, "problems: must be at least 2"),
        ({"level": 0.004}, "level: must be at least 0.005 and below 1"),
        ({"level": 1.0}, "level: must be at least 0.005 and below 1"),
        ({"models": 239}, "models: must be 0, or at least 240 at this level"),
        ({"query": 8, "level": 0.5}, "query: must be an integer between 9 and 10"),
        ({"problems": rows(STAR, 3), "level": 0.5}, r"tokens: must have shape \(12,\)"),
    ],
)
def test_errors(changes, message):
    given = {"problems": rows(PAIRS, 3)} | changes
    with pytest.raises(ValueError, match=f"^{message}"):
        find_circuit(random_model(TINY), given.pop("problems"), PAIRS, **given)
