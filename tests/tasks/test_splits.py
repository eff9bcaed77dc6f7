"""Tests of shares have fixed seeds; FALSE_ALARM bounds how often a fair split fails one of them."""

import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.tasks import BinaryTree, Problem, StarGraph, graph_hash, is_test, sample, sample_split
from circuits.tasks.splits import fmix32
from tests.tasks.star.naive_star import all_problems, random_problem
from tests.tasks.tree.naive_tree import random_tree

FALSE_ALARM = 1e-7
WORD = 2**32


def naive_mix(word: int) -> int:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        word = (word ^ (word >> shift)) * factor % WORD
    return word ^ (word >> 16)


def naive_hash(edges) -> int:
    """The hash of a set of edges, with Python's own integers."""
    codes = [naive_mix((naive_mix((u + 0x9E3779B9) % WORD) + v) % WORD) for u, v in {tuple(edge) for edge in edges}]
    return naive_mix(sum(codes) % WORD)


def graphs(problem: Problem) -> list[frozenset[tuple[int, int]]]:
    return [frozenset((u, v) for u, v in edges) for edges in np.asarray(problem.edges).tolist()]


def either(tree: bool, seed: int) -> Problem:
    return random_tree(4, 40, seed) if tree else random_problem(2, 5, 20, seed)


def test_the_finalizer_is_murmur3s():
    # murmur3 of the empty text is fmix32(seed): published as 0 for seed 0 and 0x514E28B7 for seed 1.
    words = np.array([0, 1, 2, 0xFFFFFFFF, 0x12345678], dtype=np.uint32)
    mixed = fmix32(jnp.asarray(words))
    assert mixed.dtype == jnp.uint32
    assert mixed.tolist() == [naive_mix(int(word)) for word in words]
    assert mixed.tolist()[:2] == [0, 0x514E28B7]


@given(st.booleans(), st.integers(0, 2**32 - 1))
def test_the_hash_is_that_of_python_integers(tree, seed):
    problem = either(tree, seed)
    value = graph_hash(problem)
    assert (value.dtype, value.shape) == (jnp.uint32, ())
    assert int(value) == naive_hash(problem.edges.tolist())
    for one_in in (2, 3, 64):
        assert bool(is_test(problem, one_in)) == (int(value) % one_in == 0)
    assert bool(is_test(problem)) == bool(is_test(problem, 64))


@given(st.booleans(), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_order_and_goal_do_not_matter_and_the_graph_does(tree, seed, random):
    problem = either(tree, seed)
    edges = problem.edges.tolist()
    shuffled = random.sample(edges, len(edges))
    other = Problem(np.array(shuffled), problem.start, np.array(99), problem.path[::-1].copy())
    assert int(graph_hash(other)) == int(graph_hash(problem))
    place = random.randrange(len(edges))
    turned = [edge[::-1] if i == place else edge for i, edge in enumerate(edges)]
    swapped = [[edges[(i + 1) % len(edges)][0], edge[1]] for i, edge in enumerate(edges)]
    assert int(graph_hash(problem._replace(edges=np.array(turned)))) != int(graph_hash(problem))
    if {tuple(edge) for edge in swapped} != {tuple(edge) for edge in edges}:
        assert int(graph_hash(problem._replace(edges=np.array(swapped)))) != int(graph_hash(problem))


def test_the_largest_labels_do_not_overflow():
    big = 2**31 - 2
    problem = Problem(np.array([[big, big - 1], [big, 0]], np.int32), np.array(big), np.array(0), np.array([big, 0]))
    assert int(graph_hash(problem)) == naive_hash([[big, big - 1], [big, 0]])


def test_all_graphs_of_a_family_have_different_hashes_and_an_even_split():
    # 15120 graphs: two of them share one of 2^32 hashes with chance 0.03.
    drawn = jax.jit(lambda key: sample(StarGraph(2, 3, 10), key, 60_000))(jax.random.key(0))
    hashes = np.asarray(jax.vmap(graph_hash)(drawn))
    by_graph = dict(zip(graphs(drawn), hashes.tolist(), strict=True))
    assert len(by_graph) > 14_000
    assert len(set(by_graph.values())) == len(by_graph)
    for one_in in (2, 3, 64):
        tests, n = sum(value % one_in == 0 for value in by_graph.values()), len(by_graph)
        # Bernstein: a binomial count is off by more than this with chance FALSE_ALARM.
        x, variance = math.log(2 / FALSE_ALARM), n / one_in * (1 - 1 / one_in)
        assert abs(tests - n / one_in) < math.sqrt(2 * variance * x) + x / 3


@pytest.mark.parametrize("spec", [StarGraph(2, 5, 20), BinaryTree(4, 30)])
def test_the_share_of_test_problems_among_samples(spec):
    count = 40_000
    problems = sample(spec, jax.random.key(1), count)
    for one_in in (4, 64):
        share = float(np.mean(jax.jit(jax.vmap(partial(is_test, one_in=one_in)))(problems)))
        x = math.log(2 / FALSE_ALARM)
        slack = math.sqrt(2 * x * (1 / one_in) / count) + x / (3 * count)
        assert slack < 0.5 / one_in
        assert abs(share - 1 / one_in) < slack


@pytest.mark.parametrize(("spec", "one_in"), [(StarGraph(2, 3, 10), 64), (BinaryTree(3, 9), 8)])
def test_no_graph_is_in_both_splits(spec, one_in):
    train = set(graphs(sample_split(spec, "train", jax.random.key(2), 4000, one_in)))
    test = set(graphs(sample_split(spec, "test", jax.random.key(2), 1000, one_in)))
    assert not train & test
    assert all(naive_hash(graph) % one_in != 0 for graph in train)
    assert all(naive_hash(graph) % one_in == 0 for graph in test)
    assert min(len(train), len(test)) > 50


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_problem_of_a_split_is_equally_likely(split):
    # 105 graphs with 2 orders of their edges and 2 goals.
    spec, one_in, count = StarGraph(2, 2, 7), 3, 60_000
    possible = [row for row in all_problems(2, 2, 7) if (naive_hash(row[0]) % one_in == 0) == (split == "test")]
    drawn = sample_split(spec, split, jax.random.key(5), count, one_in)
    pairs = [tuple((u, v) for u, v in edges) for edges in np.asarray(drawn.edges).tolist()]
    rows = list(zip(pairs, np.asarray(drawn.goal).tolist(), strict=True))
    counts = dict.fromkeys(possible, 0)
    for row in rows:
        counts[row] += 1
    expected, freedom = count / len(possible), len(possible) - 1
    statistic = sum((seen - expected) ** 2 for seen in counts.values()) / expected
    # Laurent and Massart's bound for chi-square.
    x = math.log(1 / FALSE_ALARM)
    assert statistic < freedom + 2 * math.sqrt(freedom * x) + 2 * x


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("count", [1, 300])
def test_a_sample_has_its_count_and_no_row_left_empty(split, count):
    problems = sample_split(StarGraph(3, 3, 12), split, jax.random.key(3), count)
    assert [part.shape for part in problems] == [(count, 6, 2), (count,), (count,), (count, 3)]
    assert {part.dtype for part in problems} == {jnp.dtype("int32")}
    assert all(len({node for edge in graph for node in edge}) == 7 for graph in graphs(problems))


def test_many_problems_take_several_chunks_and_do_not_repeat():
    problems = sample_split(StarGraph(2, 5, 20), "train", jax.random.key(4), 40_000)
    assert len(np.unique(np.asarray(problems.edges).reshape(40_000, -1), axis=0)) == 40_000
    assert not np.asarray(jax.vmap(is_test)(problems)).any()
    tests = sample_split(StarGraph(2, 5, 20), "test", jax.random.key(4), 1000)
    assert len(np.unique(np.asarray(tests.edges).reshape(1000, -1), axis=0)) == 1000
    assert np.asarray(jax.vmap(is_test)(tests)).all()


def test_the_key_decides_the_sample_compiled_and_mapped():
    spec, keys = StarGraph(2, 3, 10), jax.random.split(jax.random.key(6), 3)
    alone = [graphs(sample_split(spec, "train", key, 20)) for key in keys]
    assert alone[0] != alone[1]
    mapped = jax.jit(jax.vmap(lambda key: sample_split(spec, "train", key, 20)))(keys)
    assert alone == [graphs(Problem(*(part[i] for part in mapped))) for i in range(3)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((StarGraph(2, 3, 10), "valid", 5, 64), "split: must be one of train, test, got 'valid'"),
        ((StarGraph(2, 3, 10), "test", 0, 64), "count: must be an integer at least 1, got 0"),
        ((StarGraph(2, 3, 10), "test", 5, 1), "one_in: must be an integer between 2 and 2147483647, got 1"),
        ((StarGraph(2, 3, 6), "train", 5, 64), "spec: must have at least 2048 labelled graphs, got 360"),
        ((BinaryTree(3, 7), "test", 5, 64), "spec: must have at least 2048 labelled graphs, got 630"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, words):
    spec, split, count, one_in = arguments
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        sample_split(spec, split, jax.random.key(0), count, one_in)


def test_a_batch_is_refused_and_mapped():
    problems = sample(StarGraph(2, 3, 10), jax.random.key(0), 5)
    with pytest.raises(ValueError, match=r"^problem: must be one problem \(vmap over a batch\)"):
        graph_hash(problems)
    with pytest.raises(ValueError, match=r"^one_in: must be an integer between 2"):
        is_test(Problem(*(part[0] for part in problems)), 1)
    assert jax.vmap(graph_hash)(problems).tolist() == [naive_hash(edges) for edges in problems.edges.tolist()]
