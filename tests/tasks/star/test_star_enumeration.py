import itertools
import math

import jax
import numpy as np
import pytest

from circuits.tasks import (
    StarGraph,
    canonical_problem,
    canonical_problems,
    edge_orders,
    encode_prompt,
    enumerate_problems,
    labelings,
    num_problems,
)
from tests.tasks.star.naive_star import all_problems

SMALL = [(2, 2, 4), (2, 3, 6), (3, 2, 5), (4, 2, 5)]


def rows(batch):
    pairs = [tuple((u, v) for u, v in edges) for edges in np.asarray(batch.edges).tolist()]
    return list(zip(pairs, np.asarray(batch.goal).tolist(), strict=True))


def swaps(order, paths, nodes):
    """The orders that name the same problem, under every permutation of the distractor paths."""
    steps = nodes - 1
    for distractors in itertools.permutations(range(1, paths)):
        names = (0, *distractors)
        yield tuple(names[edge // steps] * steps + edge % steps for edge in order)


@pytest.mark.parametrize(("paths", "nodes"), [(2, 2), (2, 3), (2, 4), (3, 2), (3, 3), (4, 2), (5, 2)])
def test_one_edge_order_of_each_class(paths, nodes):
    spec = StarGraph(paths, nodes, 50)
    orders = [tuple(row) for row in edge_orders(spec).tolist()]
    assert len(orders) == math.factorial(spec.edge_count) // math.factorial(paths - 1)
    assert orders == sorted(orders)
    reached = [same for order in orders for same in swaps(order, paths, nodes)]
    assert sorted(reached) == list(itertools.permutations(range(spec.edge_count)))


@pytest.mark.parametrize(("paths", "nodes"), [(3, 2), (3, 3), (5, 2)])
def test_distractors_are_first_listed_in_path_order(paths, nodes):
    for order in edge_orders(StarGraph(paths, nodes, 50)).tolist():
        seen = [edge // (nodes - 1) for edge in order]
        assert [p for p in dict.fromkeys(seen) if p != 0] == list(range(1, paths))


def test_two_paths_of_three_nodes_have_24_orders():
    assert edge_orders(StarGraph(2, 3, 10)).shape == (24, 4)
    assert edge_orders(StarGraph(2, 3, 10)).dtype == np.int32


def test_representatives_are_the_canonical_problems_of_the_orders():
    spec = StarGraph(3, 3, 50)
    batch = canonical_problems(spec)
    orders = edge_orders(spec)
    assert [part.shape for part in batch] == [(360, 6, 2), (360,), (360,), (360, 3)]
    for i in (0, 1, 100, 359):
        alone = canonical_problem(spec, orders[i])
        assert all(np.array_equal(a[i], b) for a, b in zip(batch, alone, strict=True))


@pytest.mark.parametrize("call", [edge_orders, canonical_problems, enumerate_problems])
@pytest.mark.parametrize("spec", [StarGraph(2, 7, 13), StarGraph(11, 2, 12), StarGraph(5, 5, 100)])
def test_too_many_orders_are_refused_at_once(call, spec):
    with pytest.raises(ValueError, match=r"^spec: must have E! <= 5000000 edge orders, got StarGraph\("):
        call(spec)


@pytest.mark.parametrize(("paths", "nodes", "labels"), SMALL)
@pytest.mark.parametrize("chunk", [1, 7, 60, 10**6])
def test_labelings_are_all_injections_in_lexicographic_order(paths, nodes, labels, chunk):
    spec = StarGraph(paths, nodes, labels)
    every = [row for row in itertools.product(range(labels), repeat=spec.node_count) if len(set(row)) == len(row)]
    blocks = list(labelings(spec, chunk))
    assert [tuple(row) for block in blocks for row in block.tolist()] == every
    assert {len(block) for block in blocks[:-1]} <= {chunk}
    assert 1 <= len(blocks[-1]) <= chunk


def test_a_huge_family_can_be_begun():
    spec = StarGraph(5, 5, 100)
    first, second = itertools.islice(labelings(spec, 2), 2)
    start = list(range(20))
    assert first.tolist() == [[*start, 20], [*start, 21]]
    assert second.tolist() == [[*start, 22], [*start, 23]]


@pytest.mark.parametrize("call", [labelings, enumerate_problems])
@pytest.mark.parametrize("chunk", [0, -5])
def test_a_chunk_holds_at_least_one(call, chunk):
    with pytest.raises(ValueError, match=f"^chunk: must be an integer at least 1, got {chunk}$"):
        call(StarGraph(2, 2, 4), chunk)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ((2, 3, 10), 725_760),
        ((2, 2, 3), 12),
        ((2, 3, 6), 17_280),
        ((3, 2, 5), 360),
        ((5, 5, 100), math.factorial(20) // 24 * (math.factorial(100) // math.factorial(79))),
    ],
)
def test_count(family, expected):
    assert num_problems(StarGraph(*family)) == expected


@pytest.mark.parametrize(("paths", "nodes", "labels"), SMALL)
def test_everything_is_every_star_once(paths, nodes, labels):
    spec = StarGraph(paths, nodes, labels)
    found = [row for batch in enumerate_problems(spec) for row in rows(batch)]
    assert len(found) == len(set(found)) == num_problems(spec)
    assert set(found) == all_problems(paths, nodes, labels)


@pytest.mark.parametrize("chunk", [1, 11, 24])
def test_the_chunk_does_not_change_the_stream(chunk):
    spec = StarGraph(2, 2, 4)
    batches = list(enumerate_problems(spec, chunk))
    whole = [row for batch in enumerate_problems(spec) for row in rows(batch)]
    assert [row for batch in batches for row in rows(batch)] == whole
    assert max(len(batch.goal) for batch in batches) == chunk


def test_the_labeling_varies_fastest():
    spec = StarGraph(2, 2, 3)
    first = next(enumerate_problems(spec))
    assert {(type(part), part.dtype) for part in first} == {(np.ndarray, np.dtype("int32"))}
    assert np.column_stack([first.path, first.edges[:, 1, 1]]).tolist() == [
        list(row) for row in itertools.permutations(range(3))
    ]


def test_all_725760_sequences_of_the_two_path_three_node_stars_differ():
    spec = StarGraph(2, 3, 10)
    tokens = np.concatenate([np.asarray(jax.vmap(encode_prompt)(batch)) for batch in enumerate_problems(spec, 30_240)])
    assert tokens.shape == (725_760, 10)
    assert len(np.unique(tokens @ 10 ** np.arange(10, dtype=np.int64))) == 725_760
    edges = tokens[:, :8].reshape(-1, 4, 2)
    assert ((edges[:, :, 1] == tokens[:, None, 8]).sum(-1) == 1).all()
    assert ((edges[:, :, 0] == tokens[:, None, 9]).sum(-1) == 2).all()
