"""The lines of a task of walks: which pairs they join, in which order, and by what their answers are judged."""

import os
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from circuits.tasks.walks.format import decode_walk
from circuits.tasks.walks.pairs import degrees
from circuits.training import data, walk_data
from circuits.training.config import TaskConfig, TrainConfig, WalksConfig
from circuits.training.walk_data import groups_of, pair_lines, walks_of

DAG = TaskConfig(
    graph="dag", labels=12, walks=WalksConfig(edge_probability=0.25, train_share=0.3, paths_a_pair=3, graph_seed=2)
)
BLOCKS = TaskConfig(graph="blocksworld", walks=WalksConfig(blocks=3, train_share=0.2, paths_a_pair=4))


def pairs_of(rows) -> set[tuple[int, int]]:
    return {(int(s), int(t)) for s, t in rows[:, :2]}


@pytest.mark.parametrize("task", [DAG, BLOCKS], ids=["dag", "blocks"])
def test_pairs_are_tested_or_trained_on_and_every_line_is_a_walk(task):
    made = walks_of(task)
    trained, tested = pairs_of(made.train), pairs_of(made.test)
    reachable = {(s, t) for s in made.graph for t in nx.descendants(made.graph, s)}
    assert trained | tested == reachable
    assert not trained & tested
    assert pairs_of(made.train_sample) == trained >= set(made.graph.edges)
    assert (len(made.test), len(made.train_sample)) == (len(tested), len(trained))
    assert len(made.train) == len(made.graph.edges) + 3 * len(trained) + (len(trained) if task is BLOCKS else 0)
    for row in np.concatenate([made.train, made.test, made.train_sample]):
        walk = decode_walk(made.form, row)
        assert nx.is_simple_path(made.graph, walk)


def test_the_first_test_lines_are_a_mixture():
    """Sorted by their source they would be those of the first nodes alone."""
    made = walks_of(TaskConfig(graph="dag", labels=60))
    sources = made.test[:, 0]
    assert not np.array_equal(sources, np.sort(sources))
    first = sources[: len(sources) // 4]
    assert abs(first.mean() - sources.mean()) < 0.2 * sources.std() * 4
    assert np.array_equal(data.problems(DAG, "test", 5), pair_lines(DAG, "test")[:5])
    assert np.array_equal(data.problems(DAG, "train", None), pair_lines(DAG, "train"))


def test_a_run_trains_on_the_lines_and_is_evaluated_on_some_pairs():
    config = TrainConfig(task=DAG, batch=8, test_examples=4)
    found, made = data.load(config), walks_of(DAG)
    assert found.train is not None
    assert found.train.dtype == np.uint8
    assert np.array_equal(found.train, made.train)
    assert np.array_equal(found.test, made.test[:4])
    assert np.array_equal(found.train_sample, made.train_sample[:4])
    with pytest.raises(
        ValueError, match=rf"task.walks: must give at least a batch of lines, 4096, got {len(made.train)}"
    ):
        data.load(replace(config, batch=4096))


def test_each_seed_is_of_one_thing():
    base = walks_of(DAG)
    for name, same in {"walk_seed": "pairs", "split_seed": "graph", "graph_seed": ""}.items():
        other = walks_of(replace(DAG, walks=replace(DAG.walks, **{name: 7})))
        assert (set(other.graph.edges) == set(base.graph.edges)) == (same in ("pairs", "graph"))
        assert (pairs_of(other.test) == pairs_of(base.test)) == (same == "pairs")
        assert other.train.shape != base.train.shape or not np.array_equal(other.train, base.train)
    walk_data._made.cache_clear()
    assert np.array_equal(walks_of(DAG).train, base.train)


@pytest.mark.parametrize("task", [DAG, BLOCKS], ids=["dag", "blocks"])
def test_groups_are_degrees_and_distances_of_pairs(task):
    made, groups = walks_of(task), groups_of(task)
    rows = np.concatenate([made.test, made.train_sample])[:, :2]
    assert groups.degree[tuple(rows.T)].tolist() == degrees(made.graph, made.observed, rows).tolist()
    assert len(set(groups.degree[tuple(made.test[:, :2].T)].tolist())) > 1
    for source, target in rows.tolist():
        assert groups.hops[source, target] == nx.shortest_path_length(made.graph, source, target)
        assert groups.reachability[source, target]
        assert groups.adjacency[source, target] == made.graph.has_edge(source, target)


@pytest.mark.parametrize(("share", "shortest"), [(0.0, 1), (0.5, 2), (0.7, 3), (1.0, 4)])
def test_of_the_plans_of_each_pair_so_many_are_shortest(share, shortest):
    """Moves come first, each alone; then four plans for each pair, the first of them shortest."""
    task = replace(BLOCKS, walks=replace(BLOCKS.walks, optimal_share=share))
    made = walks_of(task)
    moves, pairs = made.graph.number_of_edges(), len(made.pairs.train)
    lengths = np.array([len(decode_walk(made.form, row)) - 1 for row in made.train])
    best = lengths == groups_of(task).hops[tuple(made.train[:, :2].T)]
    assert lengths[:moves].tolist() == [1] * moves
    each = best[moves:].reshape(pairs, 4)
    assert each[:, :shortest].all()
    # The only plans to and from a tower's neighbour are shortest: of 3 blocks there are 6 towers.
    assert each[:, shortest:].all(axis=1).sum() == (12 if shortest < 4 else pairs)


def test_a_graph_is_that_of_its_file_as_it_is_now(tmp_path):
    path = tmp_path / "graph"
    path.write_text("0 1\n1 2\n2 3\n")
    task = TaskConfig(graph="dag", walks=WalksConfig(file=path, train_share=0.3))
    first = walks_of(task), groups_of(task)
    path.write_text("0 1\n0 2\n1 3\n2 3\n")
    os.utime(path, ns=(1, 1))
    assert pairs_of(first[0].test) <= {(0, 2), (0, 3), (1, 3)}
    assert pairs_of(walks_of(task).test) == {(0, 3)}
    assert groups_of(task).adjacency.sum() == 4 != first[1].adjacency.sum()
