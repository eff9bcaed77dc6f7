"""Tests of uniformity have fixed seeds; FALSE_ALARM bounds how often a fair sampler fails one of them."""

import math

import jax
import numpy as np
import pytest

from circuits.tasks import Problem, StarGraph, sample
from circuits.tasks.sampling import CHUNK
from circuits.typing import AnyArray
from tests.tasks.star.naive_star import all_problems, star_leaves, walks

FALSE_ALARM = 1e-7


def excess(counts: np.ndarray, tests: int = 1) -> float:
    """Pearson's statistic for equally likely cells, over a bound it exceeds with chance FALSE_ALARM / tests.

    The bound k + 2 sqrt(k x) + 2 x, x = log(tests / FALSE_ALARM), is Laurent and Massart's for chi-square.
    """
    expected = counts.sum() / counts.size
    statistic = float(((counts - expected) ** 2).sum() / expected)
    freedom, x = counts.size - 1, math.log(tests / FALSE_ALARM)
    return statistic / (freedom + 2 * math.sqrt(freedom * x) + 2 * x)


def host(problem: Problem) -> Problem:
    return Problem(*(np.asarray(part) for part in problem))


def rows(problem: Problem) -> list[tuple[tuple[tuple[int, int], ...], int]]:
    pairs = [tuple((u, v) for u, v in edges) for edges in np.asarray(problem.edges).tolist()]
    return list(zip(pairs, np.asarray(problem.goal).tolist(), strict=True))


@pytest.fixture(scope="module")
def small() -> Problem:
    return host(sample(StarGraph(2, 3, 10), jax.random.key(1), 240_000))


@pytest.fixture(scope="module")
def large() -> Problem:
    return host(sample(StarGraph(5, 5, 100), jax.random.key(2), CHUNK + 3616))


def codes(edges: AnyArray, goal: AnyArray, labels: int) -> np.ndarray:
    """One integer for each (edge list, goal)."""
    digits = np.column_stack([edges.reshape(len(goal), -1), goal]).astype(np.int64)
    return digits @ labels ** np.arange(digits.shape[-1])


@pytest.mark.parametrize(("paths", "nodes", "labels", "seed"), [(3, 2, 5, 2), (2, 3, 6, 4)])
def test_every_problem_is_equally_likely(paths, nodes, labels, seed):
    edges, goals = zip(*all_problems(paths, nodes, labels), strict=True)
    possible = codes(np.array(edges), np.array(goals), labels)
    draws = host(sample(StarGraph(paths, nodes, labels), jax.random.key(seed), 20 * max(5000, len(goals))))
    drawn, counts = np.unique(codes(draws.edges, draws.goal, labels), return_counts=True)
    assert set(drawn) <= set(possible)
    assert excess(np.pad(counts, (0, len(possible) - len(drawn)))) < 1


def test_the_statistic_finds_the_bias_of_a_naive_shuffle():
    # Swapping each entry with any entry, 4^4 outcomes over 24 orders, is the classic mistake.
    rng = np.random.default_rng(0)
    orders = np.tile(np.arange(4), (240_000, 1))
    every = np.arange(len(orders))
    for i in range(4):
        other = rng.integers(4, size=len(orders))
        orders[every, i], orders[every, other] = orders[every, other], orders[every, i]
    fair = rng.permuted(np.tile(np.arange(4), (240_000, 1)), axis=1)
    weights = 4 ** np.arange(4)
    assert excess(np.unique(orders @ weights, return_counts=True)[1]) > 1
    assert excess(np.unique(fair @ weights, return_counts=True)[1]) < 1


def test_every_edge_order_is_equally_likely(small):
    heads = small.edges[..., 1]
    tails = small.edges[..., 0]
    answer = (heads[:, :, None] == small.path[:, None, :]).any(-1)
    first = tails == small.start[:, None]
    kind = 2 * answer + first
    assert np.array_equal(np.sort(kind, axis=-1), np.tile(np.arange(4), (len(kind), 1)))
    counts = np.unique(kind @ (4 ** np.arange(4)), return_counts=True)[1]
    assert counts.size == 24
    assert excess(counts) < 1


@pytest.mark.parametrize(("name", "labels"), [("small", 10), ("large", 100)])
def test_every_label_is_equally_likely_at_each_position(request, name, labels):
    problems = request.getfixturevalue(name)
    tokens = problems.edges.reshape(len(problems.goal), -1)
    columns = [*tokens.T, problems.start, problems.goal, *problems.path.T]
    for column in columns:
        assert excess(np.bincount(column, minlength=labels), len(columns)) < 1


def test_every_place_of_an_answer_edge_is_equally_likely(large):
    for step in range(4):
        edge = large.path[:, None, step : step + 2]
        place = np.argmax((large.edges == edge).all(-1), axis=-1)
        assert excess(np.bincount(place, minlength=20), 4) < 1


def test_pairs_of_labels_are_equally_likely(small):
    pairs = 10 * small.start + small.goal
    counts = np.bincount(pairs, minlength=100).reshape(10, 10)
    assert np.trace(counts) == 0
    assert excess(counts[~np.eye(10, dtype=bool)]) < 1


def test_large_label_sets_are_not_biased_by_a_remainder():
    # For N = 3 * 2^29 the remainders of 32-bit words below 2^30 would come 3/4 of the time, not 2/3.
    count = 40_000
    start = np.asarray(sample(StarGraph(2, 2, 3 * 2**29), jax.random.key(5), count).start)
    # Hoeffding: a fair share is off by more than this with chance FALSE_ALARM.
    slack = math.sqrt(math.log(2 / FALSE_ALARM) / (2 * count))
    assert slack < (3 / 4 - 2 / 3) / 2
    assert abs((start < 2**30).mean() - 2 / 3) < slack


def test_every_sample_is_a_star_with_its_answer(large):
    assert large.edges.shape == (20_000, 20, 2)
    for i in range(0, 20_000, 50):
        edges = [(u, v) for u, v in large.edges[i].tolist()]
        start, goal = int(large.start[i]), int(large.goal[i])
        assert len(star_leaves(edges, start)) == 5
        assert walks(edges, start, goal) == [large.path[i].tolist()]
    assert large.edges.min() == 0
    assert large.edges.max() == 99


def test_samples_do_not_repeat_from_one_chunk_to_the_next(large):
    assert len(np.unique(large.edges.reshape(20_000, -1), axis=0)) == 20_000


def test_arrays_are_int32(small):
    assert {array.dtype for array in small} == {np.dtype("int32")}


def test_the_key_decides_the_sample():
    spec, key = StarGraph(2, 3, 10), jax.random.key(7)
    once, again, other = (sample(spec, k, 9) for k in (key, key, jax.random.key(8)))
    assert rows(once) == rows(again)
    assert rows(once) != rows(other)
    raw = sample(spec, jax.random.PRNGKey(7), 9)
    assert rows(once) == rows(raw)


def test_sampling_can_be_jitted_and_mapped_over_keys():
    spec, keys = StarGraph(2, 3, 10), jax.random.split(jax.random.key(3), 4)
    mapped = jax.jit(jax.vmap(lambda key: sample(spec, key, 9)))(keys)
    for i, key in enumerate(keys):
        assert rows(Problem(*(part[i] for part in mapped))) == rows(sample(spec, key, 9))


@pytest.mark.parametrize("count", [0, -1])
def test_the_count_is_positive(count):
    with pytest.raises(ValueError, match=f"^count: must be an integer at least 1, got {count}$"):
        sample(StarGraph(2, 3, 10), jax.random.key(0), count)


@pytest.mark.parametrize("count", [1, 2, CHUNK, CHUNK + 1, 10 * CHUNK - 3])
def test_a_sample_has_its_count_as_the_first_axis(count):
    shapes = jax.eval_shape(lambda key: sample(StarGraph(2, 3, 10), key, count), jax.random.key(0))
    assert [part.shape for part in shapes] == [(count, 4, 2), (count,), (count,), (count, 3)]
