import re

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.tasks import (
    Observed,
    Pairs,
    WalkFormat,
    adjacency,
    decode_walk,
    degrees,
    graph_from_edges,
    hops,
    observe,
    plan_format,
    random_dag,
    random_walks,
    split_pairs,
    training_walks,
)
from circuits.tasks.blocksworld.world import make_blocksworld
from circuits.tasks.walks import pairs as walks
from circuits.tasks.walks.format import walk_format
from tests.tasks.walks import naive_walks

# 0 -> 1 -> 3 -> 4 and 0 -> 2 -> 3, 0 -> 3: by hand, the reachable pairs without edge are 0-4, 1-4, 2-4.
DIAMOND = graph_from_edges(6, [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3), (3, 4)])
WORLD = make_blocksworld(3)


def digraph(nodes: int, density: float, seed: int) -> nx.DiGraph:
    matrix = np.random.default_rng(seed).random((nodes, nodes)) < density
    return graph_from_edges(nodes, [(int(u), int(v)) for u, v in np.argwhere(matrix) if u != v])


def reachable(graph: nx.DiGraph) -> set[tuple[int, int]]:
    found = naive_walks.reach(adjacency(graph))
    return {(int(u), int(v)) for u, v in np.argwhere(found) if u != v}


def as_set(pairs: np.ndarray) -> set[tuple[int, int]]:
    return {(int(u), int(v)) for u, v in pairs}


# Not built by the strategy, for networkx draws from the generator of the standard library.
GRAPHS = st.tuples(
    st.sampled_from([random_dag, digraph]), st.integers(3, 8), st.floats(0.1, 0.9), st.integers(0, 2**32 - 1)
)


@given(GRAPHS, st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_pairs_are_split_as_said(drawn, share, seed):
    graph = drawn[0](*drawn[1:])
    known, edges = reachable(graph), set(graph.edges)
    others = len(known - edges)
    if not edges or not others or round(share * others) == others:
        with pytest.raises(ValueError, match=r"^(graph|share): must"):
            split_pairs(graph, share, seed)
        return
    pairs = split_pairs(graph, share, seed)
    train, test = as_set(pairs.train), as_set(pairs.test)
    assert train | test == known
    assert not train & test
    assert edges <= train
    assert len(train - edges) == round(share * others)
    assert {v for _, v in train} == {v for _, v in known}
    for part in pairs:
        assert part.dtype == np.int32
        assert part.tolist() == sorted(part.tolist())
        assert len(part) == len(as_set(part))


def test_each_pair_is_as_likely_to_be_for_training():
    drawn = [as_set(split_pairs(DIAMOND, 0.34, seed).train) - set(DIAMOND.edges) for seed in range(300)]
    assert {len(part) for part in drawn} == {1}
    counts = [sum(part == {pair} for part in drawn) for pair in [(0, 4), (1, 4), (2, 4)]]
    # 100 each, with the standard deviation 8.2.
    assert max(abs(count - 100) for count in counts) < 37


@pytest.mark.parametrize(
    ("graph", "share", "words"),
    [
        (graph_from_edges(1, []), 0.1, "graph: must have at least one edge, got 0"),
        (graph_from_edges(4, []), 0.1, "graph: must have at least one edge, got 0"),
        (
            graph_from_edges(4, [(0, 1), (2, 3)]),
            0,
            "graph: must have a pair that is reachable, but by no edge, for the tests, got 0",
        ),
        (
            graph_from_edges(3, [(0, 1), (1, 0)]),
            0,
            "graph: must have a pair that is reachable, but by no edge, for the tests, got 0",
        ),
        (DIAMOND, 1, "share: must leave at least one of 3 pairs for the tests, got 1"),
        (DIAMOND, 0.9, "share: must leave at least one of 3 pairs for the tests, got 0.9"),
        (DIAMOND, 1.1, "share: must lie in [0, 1], got 1.1"),
        (DIAMOND, -0.1, "share: must lie in [0, 1], got -0.1"),
        (nx.DiGraph([(0, 5)]), 0, "graph: nodes must be the integers of range(2), got [5]"),
    ],
)
def test_an_empty_split_is_refused(graph, share, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        split_pairs(graph, share, 0)


def test_with_no_share_the_training_pairs_are_the_edges():
    pairs = split_pairs(DIAMOND, 0, 5)
    assert pairs.train.tolist() == sorted(map(list, DIAMOND.edges))
    assert pairs.test.tolist() == [[0, 4], [1, 4], [2, 4]]


@settings(max_examples=40)
@given(GRAPHS, st.integers(0, 2), st.integers(0, 2**32 - 1), st.booleans())
def test_walks_are_paths_of_the_graph_that_fit(drawn, spare, seed, shortest):
    graph = drawn[0](*drawn[1:])
    pairs = np.asarray(sorted(reachable(graph)), dtype=np.int32).reshape(-1, 2)
    apart = [naive_walks.distance(adjacency(graph), u, v) or 0 for u, v in pairs.tolist()]
    form = WalkFormat(len(graph), max(apart, default=0) + 1 + spare)
    rows = random_walks(form, graph, pairs, seed, shortest=shortest)
    assert rows.shape == (len(pairs), form.length)
    assert rows.dtype == np.int32
    for row, (source, target), fewest in zip(rows, pairs.tolist(), apart, strict=True):
        path = decode_walk(form, row)
        assert path in naive_walks.simple_paths(set(graph.edges), source, target)
        assert not shortest or len(path) == fewest + 1
    np.testing.assert_array_equal(rows, random_walks(form, graph, pairs, seed, shortest=shortest))


def test_steps_are_uniform_over_the_successors_that_reach_the_target():
    # From 0 to 4: 3, 1 and 2 each lead there, 5 does not. Weighting paths instead of steps would count 1/4 twice.
    graph = graph_from_edges(7, [(0, 1), (0, 2), (0, 3), (0, 5), (1, 3), (2, 3), (2, 4), (3, 4), (4, 6)])
    pairs = np.repeat(np.asarray([[0, 4]], dtype=np.int32), 3000, axis=0)
    form = walk_format(graph)
    found = [tuple(decode_walk(form, row)) for row in random_walks(form, graph, pairs, 3)]
    expected = {(0, 1, 3, 4): 1 / 3, (0, 3, 4): 1 / 3, (0, 2, 3, 4): 1 / 6, (0, 2, 4): 1 / 6}
    assert set(found) == set(expected)
    for path, chance in expected.items():
        # Five standard deviations of 3000 draws are at most 0.043.
        assert abs(found.count(path) / 3000 - chance) < 0.043
    longer = [decode_walk(WalkFormat(7, 20), row) for row in random_walks(WalkFormat(7, 20), graph, pairs, 3)]
    assert longer == [list(path) for path in found]
    shorter = WalkFormat(7, 3)
    assert {tuple(decode_walk(shorter, row)) for row in random_walks(shorter, graph, pairs, 3)} == {(0, 2, 4), (0, 3, 4)}


def test_on_a_cyclic_graph_walks_wander_and_do_not_come_back():
    form = plan_format(WORLD)
    pairs = np.repeat(split_pairs(WORLD.graph, 0, 0).test, 30, axis=0)
    paths = [decode_walk(form, row) for row in random_walks(form, WORLD.graph, pairs, 1)]
    assert all(len(set(path)) == len(path) for path in paths)
    extra = np.asarray([len(path) - 1 for path in paths]) - hops(WORLD.graph, pairs)
    assert set(extra.tolist()) >= {0, 1, 2}


@pytest.mark.parametrize("graph", [DIAMOND, random_dag(15, 0.3, 1), WORLD.graph])
@pytest.mark.parametrize("copies", [0, 1, 3])
def test_training_lines_are_the_edges_and_then_the_pairs(graph, copies):
    form = plan_format(WORLD) if graph is WORLD.graph else walk_format(graph)
    pairs = split_pairs(graph, 0.3, 2)
    rows = training_walks(form, graph, pairs, copies, 4)
    paths = [decode_walk(form, row) for row in rows]
    count = graph.number_of_edges()
    assert paths[:count] == [list(edge) for edge in sorted(graph.edges)]
    ends = [(path[0], path[-1]) for path in paths[count:]]
    assert ends == [tuple(pair) for pair in pairs.train.tolist() for _ in range(copies)]
    np.testing.assert_array_equal(rows, training_walks(form, graph, pairs, copies, 4))
    test = walks.held_out_walks(form, graph, pairs, 4)
    np.testing.assert_array_equal(test[:, :2], pairs.test)
    assert not as_set(rows[:, :2]) & as_set(test[:, :2])
    for path in [*paths, *(decode_walk(form, row) for row in test)]:
        assert all(graph.has_edge(*edge) for edge in nx.utils.pairwise(path))


def test_other_seeds_give_other_walks():
    graph = random_dag(20, 0.4, 0)
    form, pairs = walk_format(graph), split_pairs(graph, 0.5, 0)
    one, other = (training_walks(form, graph, pairs, 2, seed) for seed in (0, 1))
    assert (one != other).any(axis=1).mean() > 0.3


@given(GRAPHS, st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_what_walks_show_is_what_the_twin_sees(drawn, copies, seed):
    graph = drawn[0](*drawn[1:])
    known = np.asarray(sorted(reachable(graph)), dtype=np.int32).reshape(-1, 2)
    form = WalkFormat(len(graph), len(graph))
    rng = np.random.default_rng(seed)
    chosen = known[rng.random(len(known)) < 0.5]
    rows = random_walks(form, graph, np.repeat(chosen, copies, axis=0), seed)
    edges, reached = naive_walks.seen(len(graph), rows.tolist())
    found = observe(form, rows)
    assert as_set(np.argwhere(found.adjacency)) == edges
    assert as_set(np.argwhere(found.reachability)) == reached
    expected = [naive_walks.degree(adjacency(graph), reached, s, t) for s, t in known.tolist()]
    np.testing.assert_array_equal(degrees(graph, found, known), expected)
    expected = [naive_walks.distance(adjacency(graph), s, t) for s, t in known.tolist()]
    np.testing.assert_array_equal(hops(graph, known), expected)


def test_observed_by_hand():
    # 0 3 0 1 3 <end> and 2 3 2 3 <end>: 1 and 3 are seen to reach 3, and the sources 0 and 2 are not.
    form = WalkFormat(4, 3)
    rows = np.asarray([[0, 3, 0, 1, 3, 4], [2, 3, 2, 3, 4, 5]])
    found = observe(form, rows)
    assert np.argwhere(found.adjacency).tolist() == [[0, 1], [1, 3], [2, 3]]
    assert np.argwhere(found.reachability).tolist() == [[1, 3], [3, 3]]
    assert found.adjacency.shape == found.reachability.shape == (4, 4)
    nothing = observe(form, rows[:0])
    assert not nothing.adjacency.any()
    assert not nothing.reachability.any()


def test_degrees_by_hand():
    chain = graph_from_edges(6, [(u, u + 1) for u in range(5)])
    reached = np.zeros((6, 6), dtype=bool)
    reached[[3, 5], 5] = True
    pairs = np.asarray([[3, 5], [2, 5], [1, 5], [0, 5], [4, 5], [0, 1]])
    found = degrees(chain, Observed(adjacency(chain), reached), pairs)
    # 4 is not seen to reach 5, but 5 itself is one edge away; and no walk leads to 1.
    assert found.tolist() == [0, 1, 2, 3, 1, 3]
    assert hops(chain, pairs).tolist() == [2, 3, 4, 5, 1, 1]


def test_degrees_of_two_nodes_where_the_one_that_is_seen_is_out_of_reach():
    graph = graph_from_edges(2, [(0, 1)])
    reached = np.zeros((2, 2), dtype=bool)
    assert degrees(graph, Observed(adjacency(graph), reached), np.asarray([[0, 1]])).tolist() == [3]
    graph = graph_from_edges(3, [(1, 0), (1, 2)])
    reached = np.zeros((3, 3), dtype=bool)
    reached[0, 2] = True
    assert degrees(graph, Observed(adjacency(graph), reached), np.asarray([[1, 2]])).tolist() == [1]


def test_on_the_graph_of_the_paper_every_edge_is_seen_and_most_of_the_reach():
    graph = random_dag(100, 0.1, 0)
    form, pairs = walk_format(graph), split_pairs(graph, 0.1, 0)
    rows = training_walks(form, graph, pairs, 20, 0)
    assert len(rows) == graph.number_of_edges() + 20 * len(pairs.train)
    assert 10_000 < len(rows) < 20_000
    found = observe(form, rows)
    np.testing.assert_array_equal(found.adjacency, adjacency(graph))
    assert not (found.reachability & ~np.eye(100, dtype=bool) & ~naive_walks.reach(adjacency(graph))).any()
    counts = np.bincount(degrees(graph, found, pairs.test))
    assert len(counts) == 4
    assert counts.min() > 10


def test_pairs_without_a_walk_and_sizes_that_do_not_fit():
    form, pairs = WalkFormat(6, 4), Pairs(np.asarray([[0, 1]]), np.asarray([[0, 4]]))
    seen = observe(form, np.asarray([[0, 1, 0, 1, 6, 7, 7]]))
    table = [
        (lambda: hops(DIAMOND, np.asarray([[4, 0]])), "pairs: must be of two different nodes, with a path from the "),
        (lambda: hops(DIAMOND, np.asarray([[0, 4], [2, 2]])), "first to the second, got [[2, 2]]"),
        (lambda: hops(DIAMOND, np.asarray([[0, 6]])), "pairs: each node must be below N = 6, got [[0, 6]]"),
        (lambda: hops(DIAMOND, np.asarray([[-1, 4]])), "pairs: each node must be below N = 6, got [[-1, 4]]"),
        (lambda: degrees(DIAMOND, seen, np.asarray([[5, 0]])), "pairs: must be of two different nodes"),
        (
            lambda: degrees(graph_from_edges(3, [(0, 1)]), seen, np.asarray([[0, 1]])),
            "observed.reachability: must have shape (3, 3), got (6, 6)",
        ),
        (lambda: training_walks(form, DIAMOND, pairs, -1, 0), "paths_a_pair: must be an integer at least 0, got -1"),
        (lambda: training_walks(form, DIAMOND, pairs, 1, -1), "seed: must be an integer at least 0, got -1"),
        (lambda: walks.held_out_walks(form, DIAMOND, pairs, -1), "seed: must be an integer at least 0, got -1"),
        (lambda: split_pairs(DIAMOND, 0.1, -1), "seed: must be an integer at least 0, got -1"),
        (
            lambda: walks.held_out_walks(WalkFormat(7, 4), DIAMOND, pairs, 0),
            "form: must have N = 6 nodes, as the graph, got 7",
        ),
        (
            lambda: walks.held_out_walks(WalkFormat(6, 2), DIAMOND, pairs, 0),
            "form: longest must be at least 3, the nodes of a shortest path, got 2",
        ),
        (lambda: observe(WalkFormat(6, 5), np.zeros((1, 7), int)), "rows: must have length 8, got (1, 7)"),
        (lambda: observe(form, np.full((1, 7), 8)), "rows: ids must be below 8, got [8]"),
        (lambda: observe(form, np.full((1, 7), -1)), "rows: ids must be below 8, got [-1]"),
    ]
    for call, words in table:
        with pytest.raises(ValueError, match=re.escape(words)):
            call()
