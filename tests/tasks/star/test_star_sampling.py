import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.tasks import Problem, StarGraph, sample
from circuits.tasks.sampling import CHUNK
from tests.tasks.draws import FALSE_ALARM, excess, rows
from tests.tasks.star.naive_star import all_problems, star_leaves, walks

SPEC = StarGraph(2, 3, 10)
EDGES = [[[5, 6], [4, 7], [6, 9], [5, 4]], [[9, 7], [0, 9], [0, 1], [1, 8]], [[9, 3], [0, 5], [8, 0], [8, 9]]]
PATHS = [[5, 4, 7], [0, 9, 7], [8, 9, 3]]
COUNT = CHUNK + 3616


@pytest.fixture(scope="module")
def large() -> Problem:
    return Problem(*map(np.asarray, sample(StarGraph(5, 5, 100), jax.random.key(2), COUNT)))


def codes(edges: np.ndarray, goal: np.ndarray, labels: int) -> np.ndarray:
    """One integer for each (edge list, goal)."""
    digits = np.column_stack([edges.reshape(len(goal), -1), goal]).astype(np.int64)
    return digits @ labels ** np.arange(digits.shape[-1])


@pytest.mark.parametrize(("paths", "nodes", "labels", "seed"), [(3, 2, 5, 2), (2, 3, 5, 4)])
def test_every_problem_is_equally_likely(paths, nodes, labels, seed):
    edges, goals = zip(*all_problems(paths, nodes, labels), strict=True)
    possible = codes(np.array(edges), np.array(goals), labels)
    draws = sample(StarGraph(paths, nodes, labels), jax.random.key(seed), 20 * max(2000, len(goals)))
    assert {array.dtype for array in draws} == {np.dtype("int32")}
    drawn, counts = np.unique(codes(np.asarray(draws.edges), np.asarray(draws.goal), labels), return_counts=True)
    assert set(drawn) <= set(possible)
    assert excess(np.pad(counts, (0, len(possible) - len(drawn)))) < 1


def test_the_statistic_detects_the_bias_of_a_naive_shuffle():
    # Swapping each entry with any entry, 4^4 outcomes over 24 orders, is the classic mistake.
    rng = np.random.default_rng(0)
    orders = np.tile(np.arange(4), (40_000, 1))
    every = np.arange(len(orders))
    for i in range(4):
        other = rng.integers(4, size=len(orders))
        orders[every, i], orders[every, other] = orders[every, other], orders[every, i]
    fair = rng.permuted(np.tile(np.arange(4), (40_000, 1)), axis=1)
    weights = 4 ** np.arange(4)
    assert excess(np.unique(orders @ weights, return_counts=True)[1]) > 1
    assert excess(np.unique(fair @ weights, return_counts=True)[1]) < 1


def test_every_label_is_equally_likely_at_each_position(large):
    columns = [*large.edges.reshape(COUNT, -1).T, large.start, large.goal, *large.path.T]
    for column in columns:
        assert excess(np.bincount(column, minlength=100), len(columns)) < 1


def test_every_position_of_an_answer_edge_is_equally_likely(large):
    for step in range(4):
        edge = large.path[:, None, step : step + 2]
        position = np.argmax((large.edges == edge).all(-1), axis=-1)
        assert excess(np.bincount(position, minlength=20), 4) < 1


def test_large_label_sets_are_not_biased_by_a_remainder():
    # For N = 3 * 2^29 the remainders of 32-bit words below 2^30 would come 3/4 of the time, not 2/3.
    count = 10_000
    start = np.asarray(sample(StarGraph(2, 2, 3 * 2**29), jax.random.key(5), count).start)
    # Hoeffding: a fair share is off by more than this with chance FALSE_ALARM.
    slack = math.sqrt(math.log(2 / FALSE_ALARM) / (2 * count))
    assert slack < (3 / 4 - 2 / 3) / 2
    assert abs((start < 2**30).mean() - 2 / 3) < slack


def test_every_sample_is_a_star_with_its_answer_and_none_is_repeated_in_the_next_chunk(large):
    assert large.edges.shape == (COUNT, 20, 2)
    for i in range(0, COUNT, 200):
        edges = [(u, v) for u, v in large.edges[i].tolist()]
        start, goal = int(large.start[i]), int(large.goal[i])
        assert len(star_leaves(edges, start)) == 5
        assert walks(edges, start, goal) == [large.path[i].tolist()]
    assert large.edges.min() == 0
    assert large.edges.max() == 99
    assert len(np.unique(large.edges.reshape(COUNT, -1), axis=0)) == COUNT


def test_the_key_decides_the_sample_and_its_stream_never_changes():
    # Measured results were drawn from this stream.
    key, other = jax.random.key(7), jax.random.key(8)
    drawn = sample(SPEC, key, 3)
    assert drawn.edges.tolist() == EDGES
    assert drawn.path.tolist() == PATHS
    mapped = jax.jit(jax.vmap(lambda key: sample(SPEC, key, 3)))(jnp.stack([key, other]))
    first, second = (rows(Problem(*(part[i] for part in mapped))) for i in range(2))
    assert first == rows(drawn)
    assert second == rows(sample(SPEC, other, 3)) != first


@pytest.mark.parametrize("count", [0, -1])
def test_the_count_is_positive(count):
    with pytest.raises(ValueError, match=f"^count: must be an integer at least 1, got {count}$"):
        sample(SPEC, jax.random.key(0), count)


@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 1, 10 * CHUNK - 3])
def test_a_sample_has_its_count_as_the_first_axis(count):
    shapes = jax.eval_shape(lambda key: sample(SPEC, key, count), jax.random.key(0))
    assert [part.shape for part in shapes] == [(count, 4, 2), (count,), (count,), (count, 3)]
