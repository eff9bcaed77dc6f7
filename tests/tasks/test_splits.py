import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.tasks import BinaryTree, Problem, StarGraph, enumerate_problems, graph_hash, is_test, sample_split
from circuits.tasks.splits import fmix32
from tests.tasks.draws import FALSE_ALARM, draw, draw_batch, excess, rows
from tests.tasks.star.naive_star import all_problems

WORD = 2**32
HASHES = jax.jit(jax.vmap(graph_hash))
SMALL = StarGraph(2, 2, 7)  # 105 graphs with 2 orders of their edges and 2 goals


def naive_mix(word: int) -> int:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        word = (word ^ (word >> shift)) * factor % WORD
    return word ^ (word >> 16)


def naive_hash(edges) -> int:
    """The hash of a set of edges, with Python's own integers."""
    codes = [naive_mix((naive_mix((u + 0x9E3779B9) % WORD) + v) % WORD) for u, v in {tuple(edge) for edge in edges}]
    return naive_mix(sum(codes) % WORD)


def test_the_finalizer_is_murmur3s():
    # murmur3 of the empty text is fmix32(seed): published as 0 for seed 0 and 0x514E28B7 for seed 1.
    words = np.array([0, 1, 2, 0xFFFFFFFF, 0x12345678], dtype=np.uint32)
    mixed = fmix32(jnp.asarray(words))
    assert mixed.dtype == jnp.uint32
    assert mixed.tolist() == [naive_mix(int(word)) for word in words]
    assert mixed.tolist()[:2] == [0, 0x514E28B7]


@pytest.mark.parametrize(("family", "largest"), [(StarGraph(2, 5, 20), 2**31 - 2), (BinaryTree(4, 40), 39)])
def test_the_hash_is_that_of_python_integers_and_depends_on_the_directed_edges_alone(family, largest):
    problems = Problem(*(np.int32(largest) - part for part in draw_batch(family, 100)))
    values = HASHES(problems)
    assert values.dtype == jnp.uint32
    assert values.tolist() == [naive_hash(edges) for edges in problems.edges.tolist()]
    for one_in in (2, 3, 64):
        expected = [value % one_in == 0 for value in values.tolist()]
        assert jax.jit(jax.vmap(partial(is_test, one_in=one_in)))(problems).tolist() == expected
    assert jax.vmap(is_test)(problems).tolist() == expected
    edges, rng = problems.edges, np.random.default_rng(0)
    shuffled = edges[:, rng.permutation(edges.shape[1])]
    other = Problem(shuffled, problems.goal, problems.start, problems.path[:, ::-1])
    assert np.array_equal(HASHES(other), values)
    turned, rotated = edges.copy(), edges.copy()
    turned[:, 3] = turned[:, 3, ::-1]
    rotated[..., 0] = np.roll(edges[..., 0], 1, axis=1)
    assert (HASHES(problems._replace(edges=turned)) != values).all()
    assert (HASHES(problems._replace(edges=rotated)) != values).all()


def test_all_graphs_of_a_family_have_different_hashes_and_an_even_split():
    # One edge order with all labelings: each graph twice. Two of them share one of 2^32 hashes with chance 0.03.
    values, counts = np.unique(HASHES(next(enumerate_problems(StarGraph(2, 3, 10)))), return_counts=True)
    assert set(counts) == {2}
    n = len(values)
    assert n == 15_120
    for one_in in (2, 3, 64):
        # Bernstein: a binomial count is off by more than this with chance FALSE_ALARM.
        x, variance = math.log(2 / FALSE_ALARM), n / one_in * (1 - 1 / one_in)
        assert abs((values % one_in == 0).sum() - n / one_in) < math.sqrt(2 * variance * x) + x / 3


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_problem_of_a_split_is_equally_likely(split):
    one_in, count = 3, 40_000  # several chunks
    possible = [row for row in all_problems(2, 2, 7) if (naive_hash(row[0]) % one_in == 0) == (split == "test")]
    drawn = sample_split(SMALL, split, jax.random.key(5), count, one_in)
    assert [part.shape for part in drawn] == [(count, 2, 2), (count,), (count,), (count, 2)]
    assert {part.dtype for part in drawn} == {jnp.dtype("int32")}
    counts = dict.fromkeys(possible, 0)
    for row in rows(drawn):
        counts[row] += 1
    assert excess(np.array(list(counts.values()))) < 1


@pytest.mark.parametrize(("split", "count"), [("train", 200), ("test", 1)])
def test_splits_of_trees(split, count):
    edges = sample_split(BinaryTree(3, 9), split, jax.random.key(2), count, 8).edges.tolist()
    assert [naive_hash(graph) % 8 == 0 for graph in edges] == [split == "test"] * count
    assert len({frozenset(map(tuple, graph)) for graph in edges}) > count / 2


def test_the_key_decides_the_sample_compiled_and_mapped():
    keys = jax.random.split(jax.random.key(6), 3)
    alone = [rows(sample_split(SMALL, "train", key, 20, 3)) for key in keys]
    assert alone[0] != alone[1]
    mapped = jax.jit(jax.vmap(lambda key: sample_split(SMALL, "train", key, 20, 3)))(keys)
    assert alone == [rows(Problem(*(part[i] for part in mapped))) for i in range(3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((StarGraph(2, 3, 10), "valid", 5, 64), "split: must be one of train, test, got 'valid'"),
        ((StarGraph(2, 3, 10), "test", 0, 64), "count: must be an integer at least 1, got 0"),
        ((StarGraph(2, 3, 10), "test", 5, 1), "one_in: must be an integer between 2 and 2147483647, got 1"),
        ((StarGraph(2, 3, 6), "train", 5, 64), "family: must have at least 2048 labelled graphs, got 360"),
        ((BinaryTree(3, 7), "test", 5, 64), "family: must have at least 2048 labelled graphs, got 630"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    family, split, count, one_in = arguments
    with pytest.raises(ValueError, match=f"^{message}$"):
        sample_split(family, split, jax.random.key(0), count, one_in)


def test_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"^problem: must be one problem"):
        graph_hash(draw_batch(SMALL, 5))
    with pytest.raises(ValueError, match=r"^one_in: must be an integer between 2"):
        is_test(draw(SMALL, 0), 1)
