"""Strengths of made-up scores, and when curves count as risen."""

import jax.numpy as jnp
import numpy as np
import pytest

from circuits.probes.attention.development import Formation, circuit_strengths, formation
from circuits.probes.attention.scores import BY_HOP, CircuitScores

STEPS = np.array([0, 10, 20, 30, 40])


def made_up(**changes: np.ndarray) -> CircuitScores:
    """Two layers of three heads and two hops; nothing anywhere but for what is given."""
    empty = {name: np.zeros((2, 3, 2) if name in BY_HOP else (2, 3)) for name in CircuitScores._fields}
    return CircuitScores(*(jnp.asarray((empty | changes)[name]) for name in CircuitScores._fields))


def heads(place: tuple[int, ...], value: float) -> np.ndarray:
    found = np.zeros((2, 3, 2) if len(place) == 3 else (2, 3))
    found[place] = value
    return found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"predecessor": heads((1, 2), 0.7)}, {"predecessor": 0.7}),
        ({"goal_in_query": heads((0, 1), 0.6)}, {"attends to the goal": 0.6}),
        ({"goal": heads((0, 1), 0.9), "start": heads((1, 1), 0.8), "content_match": heads((1, 1), 0.8)}, {}),
        ({"edge_attention_elsewhere": heads((1, 0, 0), 0.5)}, {"the goal reads its edge": 0.5}),
        ({"edge_attention_elsewhere": heads((1, 0, 1), 0.5)}, {}),  # at hop 1
        ({"backward_trace": heads((0, 0, 0), 0.4)}, {"hop 0": 0.4}),
        ({"backward_trace": heads((1, 2, 1), 0.4)}, {"hop 1": 0.4}),
        # What looks at all paths alike is in no hop.
        ({"backward_trace": np.full((2, 3, 2), 0.5), "distractor_attention": np.full((2, 3, 2), 0.5)}, {}),
        (
            {"backward_trace": np.full((2, 3, 2), 0.2), "distractor_attention": np.full((2, 3, 2), 0.5)},
            {"hop 0": -0.3, "hop 1": -0.3},
        ),
        # The largest difference of one head, not the difference of the largest.
        (
            {"backward_trace": heads((0, 0, 0), 0.4), "distractor_attention": heads((1, 1, 0), 0.4)},
            {"hop 0": 0.4},
        ),
    ],
)
def test_a_strength_is_that_of_the_strongest_head(changes, expected):
    found = circuit_strengths([made_up(), made_up(**changes)])
    names = ("predecessor", "attends to the goal", "the goal reads its edge", "hop 0", "hop 1")
    assert tuple(found) == names
    for name in names:
        assert found[name].tolist() == pytest.approx([0, expected.get(name, 0)])


def test_edge_attention_that_no_position_can_pay_is_left_out():
    nothing = made_up(edge_attention_elsewhere=np.full((2, 3, 2), np.nan))
    assert set(circuit_strengths([nothing, nothing])) == {"predecessor", "attends to the goal", "hop 0", "hop 1"}
    later = made_up(edge_attention_elsewhere=np.where(np.arange(2) == 1, np.nan, np.full((2, 3, 2), 0.25)))
    assert circuit_strengths([later])["the goal reads its edge"].tolist() == [0.25]


def test_no_checkpoint():
    with pytest.raises(ValueError, match=r"^scores: must hold at least one checkpoint"):
        circuit_strengths([])


@pytest.mark.parametrize(
    ("values", "baseline", "step"),
    [
        ([0.1, 0.1, 0.1, 0.1, 0.1], 0.1, None),  # never
        ([0.9, 0.9, 0.9, 0.9, 0.9], 0.1, 0),  # from the first on
        ([0.1, 0.1, 0.9, 0.9, 0.9], 0.1, 20),
        ([0.1, 0.1, 0.1, 0.1, 0.9], 0.1, 40),
        ([0.1, 0.9, 0.2, 0.9, 0.9], 0.1, 30),  # dips and rises again: it came to stay later
        ([0.1, 0.9, 0.6, 0.7, 0.9], 0.1, 10),  # a dip that stays above half-way
        ([0.1, 0.9, 0.9, 0.9, 0.1], 0.1, None),  # gone at the end
        ([0.9, 0.7, 0.5, 0.3, 0.1], 0.1, None),  # falls
        ([0.11, 0.09, 0.13, 0.08, 0.15], 0.1, None),  # noise
        ([0.1, 0.1, 0.1, 0.1, 0.199], 0.1, None),  # below the smallest rise
        ([0.1, 0.1, 0.1, 0.1, 0.201], 0.1, 40),
        ([0.1, 0.5, 0.5, 0.9, 0.9], 0.1, 10),  # half-way itself is not below
        ([0.1, 0.4, 0.4, 0.9, 0.9], 0.3, 30),  # half-way is between the baseline and the end
        ([-0.2, -0.2, 0.3, 0.4, 0.4], -0.2, 20),
    ],
)
def test_formation_is_when_a_curve_came_to_stay(values, baseline, step):
    found = formation(STEPS, np.array(values), baseline=baseline)
    assert found == Formation(step, (baseline + values[-1]) / 2, values[-1])


@pytest.mark.parametrize("seed", range(20))
def test_formation_against_a_loop_over_steps(seed):
    rng = np.random.default_rng(seed)
    values, baseline = np.cumsum(rng.normal(0.1, 0.2, 12)), float(rng.uniform(-0.2, 0.2))
    steps = np.cumsum(rng.integers(1, 50, 12))
    expected = None
    for place in range(12)[::-1]:
        if values[place] - baseline < (values[-1] - baseline) / 2:
            break
        expected = int(steps[place])
    risen = values[-1] - baseline >= 0.3
    assert formation(steps, values, baseline=baseline, min_rise=0.3).step == (expected if risen else None)


@pytest.mark.parametrize("min_rise", [0.05, 0.5])
def test_the_smallest_rise_can_be_chosen(min_rise):
    values = np.array([0.0, 0.0, 0.0, 0.3, 0.3])
    assert formation(STEPS, values, baseline=0.0, min_rise=min_rise).step == (30 if min_rise < 0.3 else None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([0, 0, np.nan, 1, 1.0]), r"^values: must be finite, got nan at \(2,\)"),
        (np.array([0, 0, 0, 1, np.inf]), r"^values: must be finite, got inf at \(4,\)"),
    ],
)
def test_curves_that_are_none(values, message):
    with pytest.raises(ValueError, match=message):
        formation(STEPS, values, baseline=0.0)
