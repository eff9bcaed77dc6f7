"""References and scores against loops, scipy and paths that networkx counts; what is undefined is refused or NaN."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.stats import spearmanr

from circuits.probes.adjacency.intervals import bootstrap_cosines, cosine_interval, difference_interval
from circuits.probes.adjacency.references import Reference, absent_powers, centre_rows, graph_references
from circuits.probes.adjacency.scores import compare_matrices, partial_cosines
from circuits.tasks.walks.graphs import graph_from_edges, random_dag, reachability
from circuits.tasks.walks.pairs import Observed
from tests.cases import assert_close, seeds

DAG = random_dag(9, 0.45, 2)
REFS = graph_references(DAG, 3)
NAMES = ["A", "A^2", "A^2 support", "A^3", "A^3 support", "reachability", "reachability^T"]


def noise(count: int, nodes: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, nodes, nodes))


def naive_auc(matrix: np.ndarray, support: np.ndarray) -> float:
    """All pairs of an entry on the support and one off it; ties are half."""
    on, off = matrix[support], matrix[~support]
    return float(np.mean([(a > b) + 0.5 * (abs(a - b) < 1e-12) for a in on for b in off]))


def test_powers_count_the_paths_of_a_dag():
    found = {r.name: r.matrix for r in REFS}
    assert [r.name for r in REFS] == NAMES
    for length in (1, 2, 3):
        name = "A" if length == 1 else f"A^{length}"
        for u in DAG:
            for v in set(DAG) - {u}:
                paths = [p for p in nx.all_simple_paths(DAG, u, v, cutoff=length) if len(p) == length + 1]
                assert found[name][u, v] == len(paths)
    assert np.array_equal(found["A^2 support"], found["A^2"] > 0)
    assert found["A^2"].max() > 1
    for u in DAG:
        assert set(np.flatnonzero(found["reachability"][u])) == nx.descendants(DAG, u)
        assert set(np.flatnonzero(found["reachability^T"][u])) == nx.ancestors(DAG, u)


def test_powers_beyond_the_longest_path_are_left_out():
    line = graph_references(nx.path_graph(4, create_using=nx.DiGraph), 5)
    assert {r.power for r in line} == {0, 1, 2, 3}
    assert absent_powers(line, 5) == (4, 5)
    assert not any(r.support for r in line)  # every count is 0 or 1


def test_a_power_that_fills_every_row_alike_has_no_support():
    cycle = graph_references(graph_from_edges(3, [(u, v) for u in range(3) for v in range(3) if u != v]), 3)
    assert [r.name for r in cycle] == ["A", "A^2", "A^3"]  # reachability is everywhere too


def test_observed_references_are_those_that_differ():
    full = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]], bool)
    graph = nx.from_numpy_array(full, create_using=nx.DiGraph)
    same = Observed(full, reachability(graph))
    assert [r.name for r in graph_references(graph, 2, same)] == [r.name for r in graph_references(graph, 2)]
    less = Observed(full & [[0, 1, 0], [1, 1, 1], [1, 1, 1]], np.eye(3, dtype=bool))
    found = graph_references(graph, 2, less)
    assert [r.name for r in found if r.observed] == ["observed A", "observed reachability", "observed reachability^T"]
    assert found[-1].transposed
    with pytest.raises(ValueError, match=r"^observed.adjacency: must have shape \(3, 3\)"):
        graph_references(graph, 2, Observed(np.eye(2, dtype=bool), np.eye(2, dtype=bool)))


@pytest.mark.parametrize(
    ("graph", "powers", "message"),
    [
        (graph_from_edges(2, [(0, 1)]), 1, "graph: must have at least 3 nodes"),
        (graph_from_edges(4, []), 1, "graph: must have an edge"),
        (DAG, 0, "powers: must be an integer at least 1"),
    ],
)
def test_graphs_that_say_nothing_are_refused(graph, powers, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        graph_references(graph, powers)


@settings(max_examples=8)
@given(seed=seeds)
def test_scores_are_what_loops_find(seed):
    rng = np.random.default_rng(seed)
    matrices = np.stack([rng.normal(size=(9, 9)), rng.integers(0, 3, (9, 9)).astype(float), REFS[1].matrix])
    found = compare_matrices(matrices, REFS)
    for m, r in np.ndindex(3, len(REFS)):
        matrix, ref = matrices[m], REFS[r].matrix
        own = np.array([row - row.mean() for row in matrix])
        other = np.array([row - row.mean() for row in ref])
        assert found.cosine[m, r] == pytest.approx(
            np.sum(own * other) / np.sqrt(np.sum(own**2) * np.sum(other**2)), abs=1e-12
        )
        scales = np.linspace(0, 4, 4001)
        errors = [np.linalg.norm(own - s * other) / np.linalg.norm(own) for s in scales[::40]]
        assert found.error[m, r] <= min(errors) + 1e-7  # a difference of squares near 1 loses half of the digits
        at_best = np.linalg.norm(own - found.scale[m, r] * other) / np.linalg.norm(own)
        assert found.error[m, r] == pytest.approx(at_best, abs=1e-7)
        support = ref > 0
        assert found.auc[m, r] == pytest.approx(naive_auc(own, support), abs=1e-12)
        assert found.mean_on[m, r] == pytest.approx(matrix[support].mean(), abs=1e-12)
        assert found.mean_off[m, r] == pytest.approx(matrix[~support].mean(), abs=1e-12)
        truth = spearmanr(np.round(own, 9).ravel(), np.round(other, 9).ravel())
        assert found.spearman[m, r] == pytest.approx(np.asarray(truth)[0], abs=1e-9)
    assert_close(found.gap, found.mean_on - found.mean_off, atol=0)
    assert found.cosine[2, 1] == pytest.approx(1)


def test_a_constant_added_to_a_row_and_a_scale_change_nothing():
    matrices = noise(3)
    before = compare_matrices(matrices, REFS)
    shifted = compare_matrices(3.7 * matrices + 50 * noise(3, seed=1)[:, :, :1], REFS)
    for name in ("cosine", "error", "auc", "spearman"):
        assert_close(getattr(shifted, name), getattr(before, name), atol=1e-10)
    assert_close(shifted.scale, 3.7 * before.scale, atol=1e-10)
    # A constant added to a column is a preference for a node, which logits do know.
    moved = compare_matrices(matrices + 50 * noise(3, seed=1)[:, :1], REFS)
    assert np.abs(moved.cosine - before.cosine).max() > 0.1
    assert np.all(compare_matrices(-REFS[0].matrix[None], REFS).error[:, 0] == 1)


def test_what_is_not_defined_is_nan():
    everywhere = Reference("all", 2, False, False, 1 + np.arange(81.0).reshape(9, 9) ** 2)
    found = compare_matrices(noise(1), [everywhere])
    assert np.isnan(found.auc[0, 0])
    assert np.isnan(found.mean_off[0, 0])
    assert np.isfinite(found.cosine[0, 0])


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (noise(1, 5), r"matrices: must be at least one of shape \(9, 9\)"),
        (noise(0), r"matrices: must be at least one of shape \(9, 9\)"),
        (
            np.concatenate([noise(1), np.repeat(noise(1)[:, :, :1], 9, axis=2)]),
            r"matrices\[1\]: must vary within a row",
        ),
        (np.full((1, 9, 9), np.nan), "matrices: must be finite"),
    ],
)
def test_matrices_that_agree_with_nothing_are_refused(matrices, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        compare_matrices(matrices, REFS)
    with pytest.raises(ValueError, match=r"^references: must hold at least one"):
        compare_matrices(noise(1), [])


def test_partial_cosines_are_correlations_of_residuals():
    matrices = noise(4) + centre_rows(REFS[1].matrix)
    found = partial_cosines(matrices, REFS)
    counts = np.stack([centre_rows(r.matrix).ravel() for r in REFS if r.power and not r.support])
    for m, k in np.ndindex(4, 3):
        own, others = centre_rows(matrices[m]).ravel(), np.delete(counts, k, axis=0)
        left = [y - others.T @ np.linalg.pinv(others.T) @ y for y in (own, counts[k])]
        truth = left[0] @ left[1] / np.linalg.norm(left[0]) / np.linalg.norm(left[1])
        assert found[m, NAMES.index("A" if k == 0 else f"A^{k + 1}")] == pytest.approx(truth, abs=1e-10)
    assert np.all(np.isnan(found[:, -2:]))
    # What only looks like A^3 because A^2 does has nothing of its own.
    clean = partial_cosines(np.stack([REFS[1].matrix + 1e-3 * noise(1)[0]]), REFS)[0]
    assert clean[1] > 0.99
    assert abs(clean[3]) < 0.4 < compare_matrices(REFS[1].matrix[None], REFS).cosine[0, 3]


def test_resampled_cosines_are_those_of_the_drawn_rows():
    matrices = noise(2) + centre_rows(REFS[0].matrix)
    drawn = bootstrap_cosines(matrices, REFS, 5, seed=3)
    weights = np.random.default_rng(3).multinomial(9, np.full(9, 1 / 9), 5)
    for d, m, r in np.ndindex(5, 2, len(REFS)):
        rows = np.repeat(np.arange(9), weights[d])
        own, other = centre_rows(matrices[m])[rows].ravel(), centre_rows(REFS[r].matrix)[rows].ravel()
        assert drawn[d, m, r] == pytest.approx(own @ other / np.linalg.norm(own) / np.linalg.norm(other), abs=1e-12)


def coverage(trials: int, nodes: int) -> tuple[float, float]:
    """How often the interval, and Fisher's over entries, hold the true cosine, where rows fit well or badly."""
    rng = np.random.default_rng(0)
    spread = rng.choice([0.2, 1.9], size=(trials, nodes, 1))
    rows = rng.normal(size=(trials, nodes, nodes))
    other, own = centre_rows(rows), rows + spread * rng.normal(size=rows.shape)
    truth = 1 / np.sqrt(1 + (0.2**2 + 1.9**2) / 2)
    hits = fisher = 0
    for m in range(trials):
        kind = [Reference("A", 1, False, False, other[m])]
        cosine = compare_matrices(own[m : m + 1], kind).cosine
        low, high = cosine_interval(cosine, bootstrap_cosines(own[m : m + 1], kind, 300, seed=m), nodes)
        hits += bool(low[0, 0] <= truth <= high[0, 0])
        fisher += abs(np.arctanh(cosine[0, 0]) - np.arctanh(truth)) <= 1.96 / np.sqrt(nodes * (nodes - 1) - 3)
    return hits / trials, fisher / trials


def test_the_bootstrap_over_rows_covers_and_fishers_interval_does_not():
    ours, fisher = coverage(300, 20)
    assert 0.90 <= ours <= 0.99
    assert fisher < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [12, 40])
def test_coverage(nodes):
    ours, fisher = coverage(1500, nodes)
    assert 0.92 <= ours <= 0.98
    assert fisher < 0.9


def test_intervals_close_where_nothing_varies():
    cosine = np.ones((1, 1))
    low, high = cosine_interval(cosine, np.ones((10, 1, 1)), 9)
    assert low[0, 0] == pytest.approx(1)
    assert high[0, 0] == pytest.approx(1)
    assert_close(difference_interval(cosine, np.ones((10, 1, 1)), 9), (cosine, cosine), atol=0)
    with pytest.raises(ValueError, match=r"^confidence: must lie between 0 and 1"):
        cosine_interval(cosine, np.ones((10, 1, 1)), 9, 1)
