"""Coordinates: which entries a coordinate describes, and what is an error."""

import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.weights import Layer, zeros
from circuits.disentangled.weights import norm as norm_of_weights
from circuits.flow.coordinates import all_entries, causal_entries, coordinates, fixed, free, norm, orbits, toeplitz
from circuits.tasks.star.graph import StarGraph
from tests.cases import assert_close, weights_for

SPEC = StarGraph(2, 3, 6)
N, T = SPEC.labels, SPEC.sequence_length
EVERYTHING = coordinates(SPEC, orbits(N), causal_entries(T), orbits(N), all_entries(T))


def draw(count: int, seed: int = 0) -> jnp.ndarray:
    return jnp.asarray(np.random.default_rng(seed).normal(size=count))


def test_blocks_of_each_kind():
    block = orbits(4)
    assert block.names == ("diagonal", "off-diagonal")
    assert block.multiplicity == (4, 12)
    expected = [[2.0 if i == j else 3.0 for j in range(4)] for i in range(4)]
    assert_close(block.embed(jnp.array([2.0, 3.0])), np.array(expected), atol=0)

    block = toeplitz(3)
    assert block.names == ("w(0)", "w(1)", "w(2)")
    assert block.multiplicity == (1, 1, 1)
    expected = np.array([[5.0, 0.0, 0.0], [6.0, 5.0, 0.0], [7.0, 6.0, 5.0]])
    assert_close(block.embed(jnp.array([5.0, 6.0, 7.0])), expected, atol=0)

    block = free(np.array([[False, True], [True, True]]))
    assert block.names == ("[0,1]", "[1,0]", "[1,1]")
    assert block.multiplicity == (1, 1, 1)
    assert_close(block.embed(jnp.array([1.0, 2.0, 3.0])), np.array([[0.0, 1.0], [2.0, 3.0]]), atol=0)
    assert len(causal_entries(T).names) == T * (T + 1) // 2
    assert len(all_entries(T).names) == T * T


def test_fixed_blocks_do_not_move():
    at = weights_for(SPEC, seed=0)
    at = (Layer(jnp.zeros((N, N)), at[0].position), Layer(jnp.eye(N), at[1].position))
    chart = coordinates(SPEC, position_1=toeplitz(T), at=at)
    first, second = chart.embed(jnp.arange(float(T)))
    assert_close((first.content, second), (at[0].content, at[1]), atol=0)
    assert fixed(at[1].content).names == ()
    assert_close(coordinates(SPEC, position_1=toeplitz(T)).embed(jnp.zeros(T)), zeros(2, N, T), atol=0)


def test_blocks_are_concatenated():
    counts = {"content_1": 2, "position_1": 55, "content_2": 2, "position_2": 100}
    assert len(EVERYTHING.names) == len(set(EVERYTHING.names)) == 159
    assert EVERYTHING.names[:3] == ("content_1 diagonal", "content_1 off-diagonal", "position_1 [0,0]")
    assert EVERYTHING.names[-1] == "position_2 [9,9]"
    assert EVERYTHING.multiplicity.tolist() == [N, N * (N - 1), *[1] * 55, N, N * (N - 1), *[1] * 100]
    theta = jnp.arange(159.0)
    first, second = EVERYTHING.embed(theta)
    begin = 0
    for name, count in counts.items():
        assert EVERYTHING.slice_of(name) == slice(begin, begin + count)
        begin += count
    parts = [theta[EVERYTHING.slice_of(name)] for name in counts]
    assert_close(first.content, orbits(N).embed(parts[0]), atol=0)
    assert_close(first.position[np.tril_indices(T)], parts[1], atol=0)
    assert_close(second.content, orbits(N).embed(parts[2]), atol=0)
    assert_close(second.position.ravel(), parts[3], atol=0)
    only = coordinates(SPEC, content_2=orbits(N))
    assert len(theta[only.slice_of("position_1")]) == 0
    assert only.slice_of("content_2") == slice(0, 2)


def test_row_sums_are_those_of_the_matrices_and_of_w():
    chart = coordinates(SPEC, orbits(N), toeplitz(T), None, all_entries(T))
    theta = draw(len(chart.names), seed=1)
    first, second = chart.embed(theta)
    w = theta[chart.slice_of("position_1")]
    expected = [jnp.sum(first.content, axis=1), jnp.sum(w)[None], jnp.sum(second.position, axis=1)]
    assert_close(chart.row_sums(theta), jnp.concatenate(expected), atol=1e-13)


def test_norm_is_that_of_all_entries():
    velocity = draw(159, seed=2)
    assert_close(norm(EVERYTHING, velocity), norm_of_weights(EVERYTHING.embed(velocity)), atol=1e-13)
    tied = coordinates(SPEC, position_1=toeplitz(T))
    assert_close(norm(tied, velocity[:T]), jnp.linalg.norm(velocity[:T]), atol=1e-13)


def test_errors():
    uneven = zeros(2, N, T)
    uneven = (uneven[0], Layer(uneven[1].content.at[0, 1].set(1.0), uneven[1].position))
    cases = [
        (lambda: EVERYTHING.embed(jnp.zeros(158)), r"theta: must have shape \(159,\)"),
        (lambda: EVERYTHING.slice_of("w"), "name: must be one of content_1, position_1, content_2, position_2"),
        (lambda: coordinates(SPEC, at=uneven), r"content_2: must be a I \+ b 1 1\^T"),
        (lambda: coordinates(SPEC, content_1=free(np.ones((N, N), bool))), r"content_1: must be a I \+ b 1 1\^T"),
        (lambda: coordinates(SPEC, position_1=toeplitz(9)), "position_1: must have shape"),
        (lambda: coordinates(SPEC, content_2=orbits(5)), "content_2: must have shape"),
        (lambda: coordinates(SPEC, at=zeros(1, N, T)), "at: must have 2 layers"),
        (lambda: orbits(1), "labels: must be an integer at least 2"),
        (lambda: toeplitz(0), "length: must be an integer at least 1"),
        (lambda: free(np.zeros((2, 3), bool)), "mask: must hold at least one entry"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
