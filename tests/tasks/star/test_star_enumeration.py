import itertools
import math

import numpy as np
import pytest

from circuits.tasks import (
    StarGraph,
    canonical_problem,
    canonical_problems,
    edge_orders,
    enumerate_problems,
    labelings,
    num_problems,
)
from tests.tasks.draws import rows, same
from tests.tasks.star.naive_star import all_problems

SMALL = [(2, 2, 4), (2, 3, 5), (3, 2, 5)]


def swaps(order, paths, nodes):
    """The orders of the same problem, under every permutation of the distractor paths."""
    steps = nodes - 1
    for distractors in itertools.permutations(range(1, paths)):
        names = (0, *distractors)
        yield tuple(names[edge // steps] * steps + edge % steps for edge in order)


@pytest.mark.parametrize(("paths", "nodes"), [(2, 2), (2, 3), (3, 3), (5, 2)])
def test_one_edge_order_of_each_class(paths, nodes):
    family = StarGraph(paths, nodes, 50)
    orders = [tuple(row) for row in edge_orders(family).tolist()]
    assert edge_orders(family).dtype == np.int32
    assert len(orders) == math.factorial(family.edge_count) // math.factorial(paths - 1)
    assert orders == sorted(orders)
    reached = [same for order in orders for same in swaps(order, paths, nodes)]
    assert sorted(reached) == list(itertools.permutations(range(family.edge_count)))
    for order in orders:  # distractors are first listed in the order of the paths
        assert [p for p in dict.fromkeys(edge // (nodes - 1) for edge in order) if p] == list(range(1, paths))


def test_canonical_problems_are_those_of_the_orders():
    family = StarGraph(3, 3, 50)
    batch, orders = canonical_problems(family), edge_orders(family)
    assert [part.shape for part in batch] == [(360, 6, 2), (360,), (360,), (360, 3)]
    for i in (0, 1, 359):
        assert same(type(batch)(*(part[i] for part in batch)), canonical_problem(family, orders[i]))


@pytest.mark.parametrize("call", [edge_orders, canonical_problems, enumerate_problems])
@pytest.mark.parametrize("family", [StarGraph(2, 7, 13), StarGraph(11, 2, 12), StarGraph(5, 5, 100)])
def test_too_many_orders_are_refused_at_once(call, family):
    with pytest.raises(ValueError, match=r"^family: must have E! <= 5000000 edge orders"):
        call(family)


@pytest.mark.parametrize(("paths", "nodes", "labels"), SMALL)
@pytest.mark.parametrize("chunk", [1, 7, 60, 10**6])
def test_labelings_are_all_injections_in_lexicographic_order(paths, nodes, labels, chunk):
    family = StarGraph(paths, nodes, labels)
    blocks = list(labelings(family, chunk))
    expected = list(itertools.permutations(range(labels), family.node_count))
    assert [tuple(row) for block in blocks for row in block.tolist()] == expected
    assert {len(block) for block in blocks[:-1]} <= {chunk}
    assert 1 <= len(blocks[-1]) <= chunk


def test_a_huge_family_can_be_begun():
    first, second = itertools.islice(labelings(StarGraph(5, 5, 100), 2), 2)
    start = list(range(20))
    assert first.tolist() == [[*start, 20], [*start, 21]]
    assert second.tolist() == [[*start, 22], [*start, 23]]


@pytest.mark.parametrize("call", [labelings, enumerate_problems])
@pytest.mark.parametrize("chunk", [0, -5])
def test_a_chunk_has_at_least_one_problem(call, chunk):
    with pytest.raises(ValueError, match=f"^chunk: must be an integer at least 1, got {chunk}$"):
        call(StarGraph(2, 2, 4), chunk)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ((2, 3, 10), 725_760),
        ((2, 2, 3), 12),
        ((3, 2, 5), 360),
        ((5, 5, 100), math.factorial(20) // 24 * (math.factorial(100) // math.factorial(79))),
    ],
)
def test_num_problems(family, expected):
    assert num_problems(StarGraph(*family)) == expected


@pytest.mark.parametrize(("paths", "nodes", "labels"), SMALL)
def test_every_star_is_enumerated_once(paths, nodes, labels):
    family = StarGraph(paths, nodes, labels)
    result = [row for batch in enumerate_problems(family) for row in rows(batch)]
    assert len(result) == len(set(result)) == num_problems(family)
    assert set(result) == all_problems(paths, nodes, labels)


@pytest.mark.parametrize("chunk", [1, 11, 24])
def test_the_chunk_does_not_change_the_stream(chunk):
    family = StarGraph(2, 2, 4)
    batches = list(enumerate_problems(family, chunk))
    whole = [row for batch in enumerate_problems(family) for row in rows(batch)]
    assert [row for batch in batches for row in rows(batch)] == whole
    assert max(len(batch.goal) for batch in batches) == chunk


def test_the_labeling_varies_fastest():
    first = next(enumerate_problems(StarGraph(2, 2, 3)))
    assert {(type(part), part.dtype) for part in first} == {(np.ndarray, np.dtype("int32"))}
    labels = np.column_stack([first.path, first.edges[:, 1, 1]])
    assert labels.tolist() == [list(row) for row in itertools.permutations(range(3))]


def test_all_725760_problems_of_the_two_path_three_node_stars_differ():
    batches = list(enumerate_problems(StarGraph(2, 3, 10), 30_240))
    edges, goal = (np.concatenate(parts) for parts in zip(*((each.edges, each.goal) for each in batches), strict=True))
    assert edges.shape == (725_760, 4, 2)
    digits = np.column_stack([edges.reshape(-1, 8), goal])
    assert len(np.unique(digits @ 10 ** np.arange(9, dtype=np.int64))) == 725_760
