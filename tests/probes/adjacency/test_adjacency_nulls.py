"""Nulls against loops over graphs; what rewiring keeps and what it loses; p-values against a count."""

import networkx as nx
import numpy as np
import pytest

from circuits.probes.adjacency.nulls import (
    _rewired_graphs,
    max_t_p_values,
    permuted_cosines,
    rewired_cosines,
    untrained_cosines,
)
from circuits.probes.adjacency.references import Reference, centre_rows, graph_references
from circuits.probes.adjacency.rewiring import rewire
from circuits.probes.adjacency.scores import compare_matrices
from circuits.tasks.walks.graphs import adjacency, random_dag
from circuits.tasks.walks.pairs import Observed
from tests.cases import assert_close

NODES = 8
DAG = random_dag(NODES, 0.5, 1)
REFS = graph_references(DAG, 3)


def noise(count: int, nodes: int = NODES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, nodes, nodes))


def cosines(matrices: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """With the references of one graph, in the order of ``REFS``, by the public functions."""
    graph = nx.from_numpy_array(edges, create_using=nx.DiGraph)
    found = {r.name: r for r in graph_references(graph, 3)}
    # What the graph lacks is named alike in REFS; its cosine is 0, and a support that is its counts is these.
    found = {r.name: found.get(r.name, found.get(r.name.removesuffix(" support"))) for r in REFS}
    each = [
        np.zeros(len(matrices)) if r is None else compare_matrices(matrices, [r]).cosine[:, 0] for r in found.values()
    ]
    return np.stack(each, axis=1)


GRAPHS = {
    "dag": adjacency(DAG),
    "dag in another order": adjacency(DAG)[::-1, ::-1],
    "cycles": noise(1, 10)[0] > 0.6,
    "reversible": (noise(1, 10)[0] + noise(1, 10)[0].T) > 0.9,
}
for _edges in GRAPHS.values():
    np.fill_diagonal(_edges, False)


@pytest.mark.parametrize("name", GRAPHS)
def test_rewiring_keeps_degrees_and_what_kind_of_graph_it_is(name):
    edges = GRAPHS[name]
    before = edges.copy()
    drawn = rewire(edges, 40, seed=1)
    assert np.array_equal(edges, before)
    assert np.all(drawn.sum(axis=1) == edges.sum(axis=0))
    assert np.all(drawn.sum(axis=2) == edges.sum(axis=1))
    assert not drawn[:, np.arange(len(edges)), np.arange(len(edges))].any()
    graphs = [nx.from_numpy_array(one, create_using=nx.DiGraph) for one in drawn]
    acyclic = [nx.is_directed_acyclic_graph(graph) for graph in graphs]
    assert all(acyclic) if name.startswith("dag") else not any(acyclic)
    if name == "dag":  # its nodes are in order, and stay so
        assert not np.tril(drawn).any()
    assert np.array_equal(drawn, drawn.swapaxes(1, 2)) == (name == "reversible")
    assert len({one.tobytes() for one in drawn}) > 10
    assert np.array_equal(drawn, rewire(edges, 40, seed=1))
    assert not np.array_equal(drawn, rewire(edges, 40, seed=2))


def test_the_overlap_falls_to_that_of_two_draws():
    edges = adjacency(random_dag(60, 0.15, 0))
    shared = {
        swaps: float((rewire(edges, 20, swaps=swaps) & edges).sum(axis=(1, 2)).mean() / edges.sum())
        for swaps in (1, 10, 30)
    }
    drawn = rewire(edges, 20)
    between = float((drawn[:10] & drawn[10:]).sum(axis=(1, 2)).mean() / edges.sum())
    assert shared[1] > shared[10] + 0.05
    assert abs(shared[10] - shared[30]) < 0.02
    assert abs(shared[10] - between) < 0.02
    assert shared[10] < 0.3


def test_draws_are_as_far_from_each_other_as_from_the_given_graph():
    """So soon that nothing has mixed: without the way to a hub and back, they would be twice as far."""
    edges = adjacency(random_dag(60, 0.15, 0))
    drawn = rewire(edges, 20, swaps=1)
    own = (drawn & edges).sum() / 20 / edges.sum()
    between = (drawn[:10] & drawn[10:]).sum() / 10 / edges.sum()
    assert abs(own - between) < 0.04
    assert own > 0.2


def test_rewiring_reaches_every_graph_alike():
    """Two edges out of 0 and one out of 1, one into each of 2, 3 and 4: three graphs, each a third of the draws."""
    edges = np.zeros((5, 5), bool)
    edges[0, 2] = edges[0, 3] = edges[1, 4] = True
    drawn = rewire(edges, 3000, swaps=20)
    counts = np.unique(drawn.reshape(3000, -1), axis=0, return_counts=True)[1]
    assert len(counts) == 3
    assert np.all(np.abs(counts - 1000) < 4 * np.sqrt(3000 * 2 / 9))


def test_a_graph_that_allows_no_swap_stays():
    whole = np.triu(np.ones((5, 5), bool), 1)
    assert np.all(rewire(whole, 3) == whole)
    one = np.zeros((4, 4), bool)
    one[1, 2] = True
    assert np.all(rewire(one, 3) == one)
    given = graph_references(nx.from_numpy_array(whole, create_using=nx.DiGraph), 2)
    found = rewired_cosines(noise(2, 5), given, 19)
    assert np.all(max_t_p_values(compare_matrices(noise(2, 5), given).cosine, found) == 1)


def test_permuted_cosines_are_those_of_renamed_graphs():
    matrices, rng = noise(2), np.random.default_rng(5)
    found = permuted_cosines(matrices, REFS, 4, seed=5)
    orders = rng.permuted(np.tile(np.arange(NODES), (4, 1)), axis=1)
    for row, order in zip(found, orders, strict=True):
        assert_close(row, cosines(matrices, adjacency(DAG)[np.ix_(order, order)]), atol=1e-6)
    assert len(np.unique(found[:, 0, 0])) == 4


def test_rewired_cosines_are_those_of_the_graphs():
    matrices = noise(3)
    found = rewired_cosines(matrices, REFS, 6, seed=2)
    for row, edges in zip(found, rewire(adjacency(DAG), 6, seed=2), strict=True):
        assert_close(row, cosines(matrices, edges), atol=1e-6)


def test_graphs_are_rewired_once_for_each_graph_and_seed(monkeypatch):
    drawn = []

    def counted(edges, draws, *, seed):
        drawn.append((edges.tobytes(), draws, seed))
        return rewire(edges, draws, seed=seed)

    _rewired_graphs.cache_clear()
    monkeypatch.setattr("circuits.probes.adjacency.nulls.rewire", counted)
    other = graph_references(random_dag(NODES, 0.5, 2), 3)
    calls = [(noise(1), REFS, 5, 31), (noise(2), REFS, 5, 31), (noise(1), other, 5, 31), (noise(1), REFS, 5, 32)]
    results = [rewired_cosines(*call) for call in (*calls, (noise(1), REFS, 6, 32))]
    assert len(drawn) == len(set(drawn)) == 4
    assert_close(results[1][:, :1], results[0], atol=1e-6)
    assert all(np.abs(result[:5] - results[0]).max() > 0.01 for result in (*results[3:],))


def test_blocks_of_draws_are_one_draw(monkeypatch):
    matrices = noise(3)
    nulls = (permuted_cosines, rewired_cosines)
    whole = [null(matrices, REFS, 7) for null in nulls]
    monkeypatch.setattr("circuits.probes.adjacency.nulls.MAX_ENTRIES", 3 * len(REFS) * NODES**2)
    for null, expected in zip(nulls, whole, strict=True):
        assert_close(null(matrices, REFS, 7), expected, atol=1e-6)


def test_observed_reachability_has_no_rewired_graph():
    full = adjacency(DAG)
    less = full.copy()
    less[tuple(np.argwhere(full)[0])] = False
    given = graph_references(DAG, 2, Observed(less, np.tril(np.ones_like(full))))
    found = rewired_cosines(noise(1), given, 5)
    alone = [r.observed and not r.power for r in given]
    assert sum(alone) == 2
    assert np.array_equal(np.isnan(found).all(axis=(0, 1)), alone)
    place = [r.name for r in given].index("observed A")
    for cosine, edges in zip(found[:, 0, place], rewire(less, 5, seed=1), strict=True):
        ref = [Reference("A", 1, False, True, edges.astype(float))]
        assert cosine == pytest.approx(compare_matrices(noise(1), ref).cosine[0, 0], abs=1e-6)
    p = max_t_p_values(compare_matrices(noise(1), given).cosine, found)
    assert np.array_equal(np.isnan(p[0]), alone)


def test_untrained_cosines():
    fresh = noise(6).reshape(3, 2, NODES, NODES)
    found = untrained_cosines(fresh, REFS)
    assert_close(found, np.stack([compare_matrices(one, REFS).cosine for one in fresh]), atol=1e-12)
    with pytest.raises(ValueError, match=r"^fresh: must be of shape \(models, matrices, 8, 8\)"):
        untrained_cosines(fresh[..., :5, :5], REFS)


def test_p_values_count_draws_by_their_largest_standardised_cosine():
    rng = np.random.default_rng(0)
    observed, null = rng.normal(size=(2, 3)), rng.normal(size=(30, 2, 3)) * [[[1, 10, 0.1]], [[1, 2, 3]]][0]
    both = np.concatenate([observed[None], null])
    z = (both - both.mean(axis=0)) / both.std(axis=0)
    truth = [[(1 + sum(np.max(draw) >= z[0, m, r] for draw in z[1:])) / 31 for r in range(3)] for m in range(2)]
    assert_close(max_t_p_values(observed, null), np.array(truth), atol=1e-12)
    # A scale or an offset of one reference's null leaves all p-values as they are.
    assert_close(max_t_p_values(7 * observed + 3, 7 * null + 3), np.array(truth), atol=1e-12)


def test_a_matrix_with_a_high_null_does_not_hide_the_others():
    rng = np.random.default_rng(1)
    null = rng.normal(size=(199, 2, 1)) * 0.01 + np.array([[[0.9], [0.2]]])[0]
    assert max_t_p_values(np.array([[0.9], [0.3]]), null)[1, 0] == 0.005


def test_p_values_err_as_often_as_they_say():
    """Over 2 matrices and 3 references at once, with skewed nulls of any width."""
    rng = np.random.default_rng(2)
    drawn = rng.exponential(size=(1500, 40, 2, 3)) * [1, 5, 0.2]
    smallest = np.array([max_t_p_values(one[0], one[1:]).min() for one in drawn])
    for level in (0.1, 0.3):
        assert abs(np.mean(smallest <= level) - level) < 4 * np.sqrt(level * (1 - level) / 1500)


@pytest.mark.parametrize("null", [permuted_cosines, rewired_cosines])
def test_draws_are_at_least_one(null):
    with pytest.raises(ValueError, match=r"^draws: must be an integer at least 1"):
        null(noise(1), REFS, 0)
    with pytest.raises(ValueError, match=r"^graph: must have an edge"):
        rewire(np.zeros((3, 3), bool), 2)


def test_centring_commutes_with_renaming():
    order = np.random.default_rng(0).permutation(NODES)
    renamed = np.ix_(order, order)
    assert_close(centre_rows(REFS[1].matrix[renamed]), centre_rows(REFS[1].matrix)[renamed], atol=1e-12)
