"""Coordinates: which entries a number stands for, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.weights import Layer, random, zeros
from circuits.disentangled.weights import norm as norm_of_weights
from circuits.flow.coordinates import all_entries, causal_entries, coordinates, free, norm, orbits, toeplitz
from circuits.flow.coordinates import fixed
from circuits.tasks.star.graph import StarGraph
from tests.cases import assert_close

SPEC = StarGraph(2, 3, 6)
N, T = SPEC.labels, SPEC.sequence_length
EVERYTHING = coordinates(SPEC, orbits(N), causal_entries(T), orbits(N), all_entries(T))


def test_orbits_are_one_number_on_the_diagonal_and_one_off_it():
    block = orbits(4)
    assert block.names == ("diagonal", "off-diagonal")
    assert block.multiplicity == (4, 12)
    expected = [[2.0 if i == j else 3.0 for j in range(4)] for i in range(4)]
    assert_close(block.embed(jnp.array([2.0, 3.0])), np.array(expected), atol=0)


def test_toeplitz_is_one_number_an_offset_and_zero_where_attention_cannot_look():
    block = toeplitz(3)
    assert block.names == ("w(0)", "w(1)", "w(2)")
    assert block.multiplicity == (1, 1, 1)
    expected = np.array([[5.0, 0.0, 0.0], [6.0, 5.0, 0.0], [7.0, 6.0, 5.0]])
    assert_close(block.embed(jnp.array([5.0, 6.0, 7.0])), expected, atol=0)


def test_free_entries_are_those_of_the_mask_in_row_major_order():
    block = free(np.array([[False, True], [True, True]]))
    assert block.names == ("[1,2]", "[2,1]", "[2,2]")
    assert block.multiplicity == (1, 1, 1)
    assert_close(block.embed(jnp.array([1.0, 2.0, 3.0])), np.array([[0.0, 1.0], [2.0, 3.0]]), atol=0)
    assert len(causal_entries(T).names) == T * (T + 1) // 2
    assert len(all_entries(T).names) == T * T


def test_held_blocks_do_not_move():
    at = random(jax.random.key(0), 2, N, T)
    at = (Layer(jnp.zeros((N, N)), at[0].position), Layer(jnp.eye(N), at[1].position))
    found = coordinates(SPEC, position_1=toeplitz(T), at=at)
    first, second = found.embed(jnp.arange(float(T)))
    assert_close((first.content, second), (at[0].content, at[1]), atol=0)
    assert fixed(at[1].content).names == ()
    assert_close(coordinates(SPEC, position_1=toeplitz(T)).embed(jnp.zeros(T)), zeros(2, N, T), atol=0)


def test_blocks_stand_one_after_the_other():
    counts = {"content_1": 2, "position_1": 55, "content_2": 2, "position_2": 100}
    assert len(EVERYTHING.names) == len(set(EVERYTHING.names)) == 159
    assert EVERYTHING.names[:3] == ("content_1 diagonal", "content_1 off-diagonal", "position_1 [1,1]")
    assert EVERYTHING.names[-1] == "position_2 [10,10]"
    assert EVERYTHING.multiplicity.tolist() == [N, N * (N - 1), *[1] * 55, N, N * (N - 1), *[1] * 100]
    theta = jnp.arange(159.0)
    first, second = EVERYTHING.embed(theta)
    begin = 0
    for name, count in counts.items():
        assert EVERYTHING.of(name) == slice(begin, begin + count)
        begin += count
    places = [theta[EVERYTHING.of(name)] for name in counts]
    assert_close(first.content, orbits(N).embed(places[0]), atol=0)
    assert_close(first.position[np.tril_indices(T)], places[1], atol=0)
    assert_close(second.content, orbits(N).embed(places[2]), atol=0)
    assert_close(second.position.ravel(), places[3], atol=0)
    only = coordinates(SPEC, content_2=orbits(N))
    assert only.of("position_1") == slice(0, 0)
    assert only.of("content_2") == slice(0, 2)


def test_row_sums_are_those_of_the_matrices_and_of_w():
    found = coordinates(SPEC, orbits(N), toeplitz(T), None, all_entries(T))
    theta = jax.random.normal(jax.random.key(1), (len(found.names),))
    first, second = found.embed(theta)
    w = theta[found.of("position_1")]
    expected = [jnp.sum(first.content, axis=1), jnp.sum(w)[None], jnp.sum(second.position, axis=1)]
    assert_close(found.row_sums(theta), jnp.concatenate(expected), atol=1e-13)


def test_norm_is_that_of_all_entries():
    velocity = jax.random.normal(jax.random.key(2), (159,))
    assert_close(norm(EVERYTHING, velocity), norm_of_weights(EVERYTHING.embed(velocity)), atol=1e-13)
    tied = coordinates(SPEC, position_1=toeplitz(T))
    assert_close(norm(tied, velocity[:T]), jnp.linalg.norm(velocity[:T]), atol=1e-13)


def test_errors():
    uneven = zeros(2, N, T)
    uneven = (uneven[0], Layer(uneven[1].content.at[0, 1].set(1.0), uneven[1].position))
    cases = [
        (lambda: EVERYTHING.embed(jnp.zeros(158)), r"theta: must have shape \(159,\), got \(158,\)"),
        (lambda: EVERYTHING.of("w"), "name: must be one of content_1, position_1, content_2, position_2, got 'w'"),
        (lambda: coordinates(SPEC, at=uneven), r"content_2: must be a I \+ b 1 1\^T .*, got"),
        (lambda: coordinates(SPEC, content_1=free(np.ones((N, N), bool))), r"content_1: must be a I \+ b 1 1\^T"),
        (lambda: coordinates(SPEC, position_1=toeplitz(9)), r"position_1: must have shape \(10, 10\), got \(9, 9\)"),
        (lambda: coordinates(SPEC, content_2=orbits(5)), r"content_2: must have shape \(6, 6\), got \(5, 5\)"),
        (lambda: coordinates(SPEC, at=zeros(1, N, T)), "at: must have 2 layers, got 1"),
        (lambda: orbits(1), "labels: must be an integer at least 2, got 1"),
        (lambda: toeplitz(0), "length: must be an integer at least 1, got 0"),
        (lambda: free(np.zeros((2, 3), bool)), r"mask: must hold at least one entry, got \(2, 3\)"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
