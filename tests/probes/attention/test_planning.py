"""Is the circuit found where it was planted, and nowhere else?"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from flax import nnx

from circuits.probes.attention.planning import Finding, find_circuit
from circuits.probes.attention.scores import READS_CONTENT
from circuits.probes.attention.scores import CircuitScores
from circuits.probes.layout import query_position
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from tests.probes.planted import HEADS, LAYERS, PAIRS, QUERY, SEEN, STAR, rows, walker

LEVEL = 0.2
"""At this level few untrained models are enough."""


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    return find_circuit(walker(), STAR, rows(STAR, 128), QUERY, level=LEVEL, models=75)


@pytest.mark.parametrize("name", CircuitScores._fields)
def test_what_was_planted_is_found_and_nothing_else(findings, name):
    found = findings[name]
    assert {tuple(place) for place in np.argwhere(found.significant).tolist()} == SEEN[name]
    for place in SEEN[name]:
        shared = name == "astray" and place[:2] != (4, 0)  # between two first edges
        assert found.score.mean[place] >= (0.49 if shared else 0.99)


def test_decoys_fail_by_the_null_that_is_there_for_them(findings):
    trace = findings["trace"]
    follower, other_path, one_place = (3, 1, 2), (4, 0, 2), (4, 1, 0)
    # The edge follower: beyond untrained models, beyond another problem's edges, and not beyond the other path.
    assert trace.untrained[follower] <= LEVEL
    assert trace.shuffled[follower] <= LEVEL
    assert trace.astray[follower] > LEVEL
    assert trace.shuffled[other_path] > LEVEL
    assert trace.astray[other_path] > LEVEL
    # One place holds the edge into the goal now and then, as much in this problem as in another.
    assert trace.shuffled[one_place] > LEVEL
    assert findings["astray"].significant[other_path]


def test_a_finding_holds_what_it_says(findings):
    for name, found in findings.items():
        size = (LAYERS, HEADS, STAR.family.nodes - 1) if name in ("trace", "astray", "link") else (LAYERS, HEADS)
        assert (
            found.score.mean.shape == found.baseline.shape == found.untrained.shape == found.significant.shape == size
        )
        assert (found.shuffled is not None) == (name in READS_CONTENT)
        assert (found.astray is not None) == (name == "trace")
        assert np.all(found.score.low <= found.score.mean)
        assert np.all(found.score.high >= found.score.mean)
        assert np.all((found.baseline > 0) & (found.baseline < 0.5))
        least = 15 / 76  # 15 scores, hop by hop; 75 untrained models and the one in question
        assert found.untrained.min() >= least - 1e-12
        for p in (found.untrained, found.shuffled, found.astray):
            assert p is None or np.all((p >= 0) & (p <= 1))
            assert p is None or np.all(p[found.significant] <= LEVEL)


TINY = TransformerConfig(vocab=PAIRS.vocab_size, positions=PAIRS.length, layers=1, heads=2, width=8, mlp_width=4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_is_found_in_an_untrained_model(seed):
    model = Predictor(TINY, nnx.Rngs(100 + seed))
    shown: list[int] = []
    found = find_circuit(model, PAIRS, rows(PAIRS, 100, seed), query_position(PAIRS), seed=seed, show=shown.append)
    assert shown == [64, 100]
    assert list(found) == list(CircuitScores._fields)
    assert not any(np.any(part.significant) for part in found.values())


def tiny_search(**changes: object) -> Callable[[], dict[str, Finding]]:
    given = {"problems": rows(PAIRS, 3), "query": 9} | changes
    return partial(find_circuit, Predictor(TINY, nnx.Rngs(0)), PAIRS, **given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problems": rows(PAIRS, 1)}, "problems: must be at least 2, got 1"),
        ({"level": 0.004}, "level: must be at least 0.005 and below 1, got 0.004"),
        ({"level": 1.0}, "level: must be at least 0.005 and below 1, got 1.0"),
        ({"models": 239}, "models: must be 0, or at least 240 at this level, got 239"),
        ({"query": 8, "level": 0.5}, "query: must be an integer between 9 and 10, got 8"),
        ({"problems": rows(STAR, 3), "level": 0.5}, r"tokens: must have shape \(12,\), got \(17,\)"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=rf"^{message}(\n|$)"):
        tiny_search(**changes)()
