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
    held_out_walks,
    hops,
    make_blocksworld,
    observe,
    plan_format,
    random_dag,
    random_walks,
    split_pairs,
    training_walks,
    walk_format,
)
from tests.tasks.walks import naive_walks

# 0 -> 1 -> 3 -> 4 and 0 -> 2 -> 3, 0 -> 3: by hand, the reachable pairs without an edge are 0-4, 1-4, 2-4.
DIAMOND = graph_from_edges(6, [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3), (3, 4)])
WORLD = make_blocksworld(3)


def digraph(nodes: int, density: float, seed: int) -> nx.DiGraph:
    matrix = np.random.default_rng(seed).random((nodes, nodes)) < density
    return graph_from_edges(nodes, [(int(u), int(v)) for u, v in np.argwhere(matrix) if u != v])


def as_set(pairs: np.ndarray) -> set[tuple[int, int]]:
    return {(int(u), int(v)) for u, v in pairs}


def reachable(graph: nx.DiGraph) -> set[tuple[int, int]]:
    return {(u, v) for u, v in as_set(np.argwhere(naive_walks.reach(adjacency(graph)))) if u != v}


def walks_of(format: WalkFormat, rows: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(decode_walk(format, row)) for row in rows]


# Not built by the strategy: networkx draws from the generator of the standard library.
GRAPHS = st.tuples(
    st.sampled_from([random_dag, digraph]), st.integers(3, 8), st.floats(0.1, 0.9), st.integers(0, 2**32 - 1)
)


@settings(max_examples=50)
@given(GRAPHS, st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_pairs_are_split_as_documented(drawn, train_share, seed):
    graph = drawn[0](*drawn[1:])
    known, edges = reachable(graph), set(graph.edges)
    others = len(known - edges)
    if not edges or not others or round(train_share * others) == others:
        with pytest.raises(ValueError, match=r"^(graph|train_share): must"):
            split_pairs(graph, train_share, seed)
        return
    pairs = split_pairs(graph, train_share, seed)
    train, test = as_set(pairs.train), as_set(pairs.test)
    assert train | test == known
    assert not train & test
    assert edges <= train
    assert len(train - edges) == round(train_share * others)
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
    ("graph", "train_share", "message"),
    [
        (graph_from_edges(1, []), 0.1, "graph: must have at least one edge, got 0"),
        (graph_from_edges(4, [(0, 1), (2, 3)]), 0, "graph: must have a reachable pair without an edge"),
        (graph_from_edges(3, [(0, 1), (1, 0)]), 0, "graph: must have a reachable pair without an edge"),
        (DIAMOND, 1, "train_share: must leave at least one of 3 pairs for the tests, got 1"),
        (DIAMOND, 0.9, "train_share: must leave at least one of 3 pairs for the tests, got 0.9"),
        (DIAMOND, 1.1, "train_share: must be in [0, 1], got 1.1"),
        (DIAMOND, -0.1, "train_share: must be in [0, 1], got -0.1"),
        (nx.DiGraph([(0, 5)]), 0, "graph: nodes must be the integers of range(2), got [5]"),
    ],
)
def test_an_empty_split_is_refused(graph, train_share, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        split_pairs(graph, train_share, 0)


@settings(max_examples=30)
@given(GRAPHS, st.integers(0, 2), st.integers(0, 2**32 - 1), st.booleans())
def test_walks_are_paths_of_the_graph_that_fit(drawn, spare, seed, shortest):
    graph = drawn[0](*drawn[1:])
    pairs = np.asarray(sorted(reachable(graph)), dtype=np.int32).reshape(-1, 2)
    lengths = [naive_walks.distance(adjacency(graph), u, v) or 0 for u, v in pairs.tolist()]
    format = WalkFormat(len(graph), max(lengths, default=0) + 1 + spare)
    rows = random_walks(format, graph, pairs, seed, shortest=shortest)
    assert rows.shape == (len(pairs), format.length)
    assert rows.dtype == np.int32
    for row, (source, target), length in zip(rows, pairs.tolist(), lengths, strict=True):
        path = decode_walk(format, row)
        assert path in naive_walks.simple_paths(set(graph.edges), source, target)
        assert not shortest or len(path) == length + 1
    np.testing.assert_array_equal(rows, random_walks(format, graph, pairs, seed, shortest=shortest))


def test_steps_are_uniform_over_the_successors_that_reach_the_target():
    # From 0 to 4: 3, 1 and 2 each lead there, 5 does not. Weighting paths instead of steps would count 1/4 twice.
    graph = graph_from_edges(7, [(0, 1), (0, 2), (0, 3), (0, 5), (1, 3), (2, 3), (2, 4), (3, 4), (4, 6)])
    pairs = np.repeat(np.asarray([[0, 4]], dtype=np.int32), 3000, axis=0)
    format, longer, shorter = walk_format(graph), WalkFormat(7, 20), WalkFormat(7, 3)
    rows = random_walks(format, graph, pairs, 3)
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    shares = dict(zip(walks_of(format, kinds), (counts / 3000).tolist(), strict=True))
    expected = {(0, 1, 3, 4): 1 / 3, (0, 3, 4): 1 / 3, (0, 2, 3, 4): 1 / 6, (0, 2, 4): 1 / 6}
    assert set(shares) == set(expected)
    # Five standard deviations of 3000 draws are at most 0.043.
    assert max(abs(shares[path] - expected[path]) for path in expected) < 0.043
    assert walks_of(longer, random_walks(longer, graph, pairs, 3)[:200]) == walks_of(format, rows[:200])
    assert {*walks_of(shorter, random_walks(shorter, graph, pairs[:200], 3))} == {(0, 2, 4), (0, 3, 4)}


def test_on_a_cyclic_graph_walks_take_detours_and_do_not_return():
    format = plan_format(WORLD)
    pairs = np.repeat(split_pairs(WORLD.graph, 0, 0).test, 5, axis=0)
    paths = walks_of(format, random_walks(format, WORLD.graph, pairs, 1))
    assert all(len(set(path)) == len(path) for path in paths)
    extra = np.asarray([len(path) - 1 for path in paths]) - hops(WORLD.graph, pairs)
    assert set(extra.tolist()) >= {0, 1, 2}


@pytest.mark.parametrize("graph", [DIAMOND, random_dag(15, 0.3, 1), WORLD.graph])
@pytest.mark.parametrize("copies", [0, 3])
def test_training_lines_are_the_edges_and_then_the_pairs(graph, copies):
    format = plan_format(WORLD) if graph is WORLD.graph else walk_format(graph)
    pairs = split_pairs(graph, 0.3, 2)
    rows = training_walks(format, graph, pairs, copies, 4)
    paths = walks_of(format, rows)
    count = graph.number_of_edges()
    assert paths[:count] == sorted(graph.edges)
    ends = [(path[0], path[-1]) for path in paths[count:]]
    assert ends == [tuple(pair) for pair in pairs.train.tolist() for _ in range(copies)]
    np.testing.assert_array_equal(rows, training_walks(format, graph, pairs, copies, 4))
    test = held_out_walks(format, graph, pairs, 4)
    np.testing.assert_array_equal(test[:, :2], pairs.test)
    assert not as_set(rows[:, :2]) & as_set(test[:, :2])
    for path in [*paths, *walks_of(format, test)]:
        assert all(graph.has_edge(*edge) for edge in nx.utils.pairwise(path))


def test_other_seeds_give_other_walks():
    graph = random_dag(20, 0.4, 0)
    format, pairs = walk_format(graph), split_pairs(graph, 0.5, 0)
    one, other = (training_walks(format, graph, pairs, 2, seed) for seed in (0, 1))
    assert (one != other).any(axis=1).mean() > 0.3


@settings(max_examples=40)
@given(GRAPHS, st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_what_walks_reveal_is_what_the_twin_sees(drawn, copies, seed):
    graph = drawn[0](*drawn[1:])
    known = np.asarray(sorted(reachable(graph)), dtype=np.int32).reshape(-1, 2)
    format = WalkFormat(len(graph), len(graph))
    chosen = known[np.random.default_rng(seed).random(len(known)) < 0.5]
    rows = random_walks(format, graph, np.repeat(chosen, copies, axis=0), seed)
    seen = observe(format, rows)
    edges, reached = naive_walks.seen(len(graph), rows.tolist())
    assert as_set(np.argwhere(seen.adjacency)) == edges
    assert as_set(np.argwhere(seen.reachability)) == reached
    expected = [naive_walks.degree(adjacency(graph), reached, s, t) for s, t in known.tolist()]
    np.testing.assert_array_equal(degrees(graph, seen, known), expected)
    expected = [naive_walks.distance(adjacency(graph), s, t) for s, t in known.tolist()]
    np.testing.assert_array_equal(hops(graph, known), expected)


def test_observe_by_hand():
    # 0 3 0 1 3 <end> and 2 3 2 3 <end>: 1 and 3 are seen to reach 3, and the sources 0 and 2 are not.
    format = WalkFormat(4, 3)
    rows = np.asarray([[0, 3, 0, 1, 3, 4], [2, 3, 2, 3, 4, 5]])
    seen = observe(format, rows)
    assert np.argwhere(seen.adjacency).tolist() == [[0, 1], [1, 3], [2, 3]]
    assert np.argwhere(seen.reachability).tolist() == [[1, 3], [3, 3]]
    assert seen.adjacency.shape == seen.reachability.shape == (4, 4)
    nothing = observe(format, rows[:0])
    assert not nothing.adjacency.any()
    assert not nothing.reachability.any()


def test_degrees_by_hand():
    chain = graph_from_edges(6, [(u, u + 1) for u in range(5)])
    reached = np.zeros((6, 6), dtype=bool)
    reached[[3, 5], 5] = True
    pairs = np.asarray([[3, 5], [2, 5], [1, 5], [0, 5], [4, 5], [0, 1]])
    # 4 is not seen to reach 5, but 5 itself is one edge away; and no walk leads to 1.
    assert degrees(chain, Observed(adjacency(chain), reached), pairs).tolist() == [0, 1, 2, 3, 1, 3]
    assert hops(chain, pairs).tolist() == [2, 3, 4, 5, 1, 1]


def test_degrees_where_the_node_that_is_seen_is_out_of_reach():
    graph = graph_from_edges(2, [(0, 1)])
    reached = np.zeros((2, 2), dtype=bool)
    assert degrees(graph, Observed(adjacency(graph), reached), np.asarray([[0, 1]])).tolist() == [3]
    graph = graph_from_edges(3, [(1, 0), (1, 2)])
    reached = np.zeros((3, 3), dtype=bool)
    reached[0, 2] = True
    assert degrees(graph, Observed(adjacency(graph), reached), np.asarray([[1, 2]])).tolist() == [1]


def test_on_the_graph_of_the_paper_every_edge_is_seen_and_most_of_the_reach():
    graph = random_dag(100, 0.1, 0)
    format, pairs = walk_format(graph), split_pairs(graph, 0.1, 0)
    rows = training_walks(format, graph, pairs, 20, 0)
    assert len(rows) == graph.number_of_edges() + 20 * len(pairs.train)
    assert 10_000 < len(rows) < 20_000
    seen = observe(format, rows)
    np.testing.assert_array_equal(seen.adjacency, adjacency(graph))
    assert not (seen.reachability & ~np.eye(100, dtype=bool) & ~naive_walks.reach(adjacency(graph))).any()
    counts = np.bincount(degrees(graph, seen, pairs.test))
    assert len(counts) == 4
    assert counts.min() > 10


FORMAT, PAIRS = WalkFormat(6, 4), Pairs(np.asarray([[0, 1]]), np.asarray([[0, 4]]))


def seen_on_the_diamond() -> Observed:
    return observe(FORMAT, np.asarray([[0, 1, 0, 1, 6, 7, 7]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hops(DIAMOND, np.asarray([[4, 0]])), "pairs: must be two different nodes, with a path"),
        (lambda: hops(DIAMOND, np.asarray([[0, 4], [2, 2]])), "pairs: must be two different nodes"),
        (lambda: hops(DIAMOND, np.asarray([[0, 6]])), "pairs: each node must be below N = 6, got [[0, 6]]"),
        (lambda: hops(DIAMOND, np.asarray([[-1, 4]])), "pairs: each node must be below N = 6, got [[-1, 4]]"),
        (lambda: degrees(DIAMOND, seen_on_the_diamond(), np.asarray([[5, 0]])), "pairs: must be two different nodes"),
        (
            lambda: degrees(graph_from_edges(3, [(0, 1)]), seen_on_the_diamond(), np.asarray([[0, 1]])),
            "observed.reachability: must have shape (3, 3), got (6, 6)",
        ),
        (lambda: training_walks(FORMAT, DIAMOND, PAIRS, -1, 0), "paths_per_pair: must be an integer at least 0"),
        (lambda: training_walks(FORMAT, DIAMOND, PAIRS, 1, -1), "seed: must be an integer at least 0, got -1"),
        (lambda: held_out_walks(FORMAT, DIAMOND, PAIRS, -1), "seed: must be an integer at least 0, got -1"),
        (lambda: split_pairs(DIAMOND, 0.1, -1), "seed: must be an integer at least 0, got -1"),
        (lambda: held_out_walks(WalkFormat(7, 4), DIAMOND, PAIRS, 0), "format: must have N = 6 nodes"),
        (lambda: held_out_walks(WalkFormat(6, 2), DIAMOND, PAIRS, 0), "format: longest must be at least 3"),
        (lambda: observe(WalkFormat(6, 5), np.zeros((1, 7), int)), "rows: must have length 8, got (1, 7)"),
        (lambda: observe(FORMAT, np.full((1, 7), 8)), "rows: ids must be below 8, got [8]"),
        (lambda: observe(FORMAT, np.full((1, 7), -1)), "rows: ids must be below 8, got [-1]"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        call()
