"""The flow of Phase I against a plain twin."""

from fractions import Fraction
from itertools import chain, permutations

import numpy as np
import pytest

from proofs_check.methods.star import UNIFORM, T, random_rows
from proofs_check.planning.theorem_2_phase_1 import parity_field
from proofs_check.planning.theorem_2_phase_1_flow import Flow, by_column, by_offset, untied, velocities, velocity

START, V, END, OTHER, LEAF = 5, 7, 2, 9, 0


EDGES = [(START, V), (V, END), (START, OTHER), (OTHER, LEAF)]
CONTEXTS = np.array([[*chain(*order), END, START] for order in permutations(EDGES)])


def mean_loss(matrix: np.ndarray) -> np.ndarray:
    """E[L2] at W1^(1), as in Definition 1 with W0^(1) = 0, over all edge orders."""
    weights = np.exp(matrix[-1])
    return -np.log((CONTEXTS == END) @ weights / weights.sum()).mean()


def minus_slopes(embed, at, step=1e-30):
    """By complex steps, exact to rounding."""
    return np.array([-np.imag(mean_loss(embed(at + 1j * step * d))) / step for d in np.eye(len(at))])


@pytest.mark.parametrize("seed", [0, 1])
def test_velocities_are_minus_the_slopes_of_a_plain_loss(seed):
    s = random_rows(1, seed)[0]
    w = np.log(np.array(s, float))
    lag = np.subtract.outer(np.arange(T), np.arange(T))

    def tied(w):
        return w[np.maximum(lag, 0)]

    speeds = np.array(velocity(s), float)
    np.testing.assert_allclose(speeds, minus_slopes(tied, w), rtol=0, atol=1e-14)
    free = minus_slopes(lambda entries: entries.reshape(T, T), tied(w).ravel()).reshape(T, T)
    np.testing.assert_allclose(np.array(velocities(s, Flow(tie=untied)), float), free, rtol=0, atol=1e-14)
    np.testing.assert_allclose(np.array(parity_field(s), float), speeds, rtol=0, atol=1e-15)


def test_velocities_at_zero():
    expected = [Fraction(-1, 10), Fraction(2, 5), *[Fraction(1, 40), Fraction(-1, 10)] * 4]
    assert velocity(UNIFORM) == expected


def test_tied_entries_move_by_the_sum_of_their_derivatives():
    free = [[Fraction(T * i + j if j <= i else 0) for j in range(T)] for i in range(T)]
    array = np.array(free, float)
    offsets, columns = np.array(by_offset(free), float), np.array(by_column(free), float)
    for k in range(T):
        np.testing.assert_array_equal(np.diagonal(offsets, -k), np.trace(array, -k))
        np.testing.assert_array_equal(columns[k:, k], array[:, k].sum())
    assert not np.triu(offsets, 1).any()
    assert not np.triu(columns, 1).any()
