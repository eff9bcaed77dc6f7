"""Walks in one graph as tasks: which pairs their lines join, and by what their answers are judged."""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from circuits.tasks.blocksworld.config import BlocksworldConfig, BlocksworldWalks
from circuits.tasks.task import GRAPH_FILE, Task, build_task
from circuits.tasks.walks import task as walk_task
from circuits.tasks.walks.config import DagConfig, DagWalks
from circuits.tasks.walks.format import WalkFormat, decode_walk
from circuits.tasks.walks.graph_files import write_graph
from circuits.tasks.walks.graphs import graph_from_edges
from circuits.tasks.walks.pairs import degrees
from circuits.tasks.walks.task import Groups, Judged, groups_of, judge, optimal, walk_metrics

DAG = DagConfig(labels=12, walks=DagWalks(edge_probability=0.25, train_share=0.3, paths_a_pair=3, graph_seed=2))
BLOCKS = BlocksworldConfig(walks=BlocksworldWalks(blocks=3, train_share=0.2, paths_a_pair=4))
TASKS = {"dag": build_task(DAG), "blocks": build_task(BLOCKS)}


def pairs_of(rows) -> set[tuple[int, int]]:
    return {(int(s), int(t)) for s, t in rows[:, :2]}


def lines(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray, nx.DiGraph]:
    assert task.training_set is not None
    assert task.graph is not None
    return task.training_set(), task.problems("test", None), task.problems("train", None), task.graph


def groups(task: Task) -> Groups:
    assert task.graph is not None
    assert task.observed is not None
    return groups_of(task.graph, task.observed())


@pytest.mark.parametrize("name", TASKS)
def test_pairs_are_tested_or_trained_on_and_every_line_is_a_walk(name):
    task = TASKS[name]
    train, test, sample, graph = lines(task)
    trained, tested = pairs_of(train), pairs_of(test)
    assert trained | tested == {(s, t) for s in graph for t in nx.descendants(graph, s)}
    assert not trained & tested
    assert pairs_of(sample) == trained >= set(graph.edges)
    assert (len(test), len(sample)) == (len(tested), len(trained))
    assert len(train) == len(graph.edges) + (4 if name == "blocks" else 3) * len(trained)
    for row in np.concatenate([train, test, sample]):
        assert isinstance(task.format, WalkFormat)
        assert nx.is_simple_path(graph, decode_walk(task.format, row))


def test_the_first_lines_are_a_mixture():
    """Sorted by their source they would be those of the first nodes alone."""
    task = build_task(DagConfig(labels=60))
    sources = task.problems("test", None)[:, 0]
    assert not np.array_equal(sources, np.sort(sources))
    assert abs(sources[: len(sources) // 4].mean() - sources.mean()) < 0.2 * sources.std() * 4
    assert np.array_equal(task.problems("test", 5), task.problems("test", None)[:5])


def test_a_config_without_files_is_built_once():
    """A compiled program belongs to one task; that of a file is another each time, see below."""
    task = build_task(DAG)
    assert build_task(replace(DAG)) is task
    assert build_task(replace(DAG, labels=13)) is not task


def test_each_seed_determines_one_thing():
    train, test, _, graph = lines(TASKS["dag"])
    for name, same in {"walk_seed": "pairs", "split_seed": "graph", "graph_seed": ""}.items():
        other_train, other_test, _, other = lines(build_task(replace(DAG, walks=replace(DAG.walks, **{name: 7}))))
        assert (set(other.edges) == set(graph.edges)) == (same in ("pairs", "graph"))
        assert (pairs_of(other_test) == pairs_of(test)) == (same == "pairs")
        assert other_train.shape != train.shape or not np.array_equal(other_train, train)
    assert np.array_equal(lines(walk_task.build(DAG))[0], train)  # built again


@pytest.mark.parametrize("name", TASKS)
def test_groups_are_degrees_and_distances_of_pairs(name):
    task, found = TASKS[name], groups(TASKS[name])
    _, test, sample, graph = lines(task)
    rows = np.concatenate([test, sample])[:, :2]
    assert task.observed is not None
    assert found.degree[tuple(rows.T)].tolist() == degrees(graph, task.observed(), rows).tolist()
    assert len(set(found.degree[tuple(test[:, :2].T)].tolist())) > 1
    for source, target in rows.tolist():
        assert found.hops[source, target] == nx.shortest_path_length(graph, source, target)
        assert found.reachability[source, target]
        assert found.adjacency[source, target] == graph.has_edge(source, target)


@pytest.mark.parametrize(("share", "shortest"), [(0.0, 1), (0.5, 2), (0.7, 3), (1.0, 4)])
def test_so_many_plans_of_each_pair_are_shortest(share, shortest):
    """Moves come first, each alone; then four plans for each pair, the first of them shortest."""
    task = build_task(replace(BLOCKS, walks=replace(BLOCKS.walks, optimal_share=share)))
    train, _, sample, graph = lines(task)
    moves = graph.number_of_edges()
    assert isinstance(task.format, WalkFormat)
    lengths = np.array([len(decode_walk(task.format, row)) - 1 for row in train])
    best = lengths == groups(task).hops[tuple(train[:, :2].T)]
    assert lengths[:moves].tolist() == [1] * moves
    each = best[moves:].reshape(len(sample), 4)
    assert each[:, :shortest].all()
    # The only plans to and from a tower's neighbour are shortest: of 3 blocks there are 6 towers.
    assert each[:, shortest:].all(axis=1).sum() == (12 if shortest < 4 else len(sample))


def test_the_graph_is_that_of_the_folder_of_the_file_or_random(tmp_path, monkeypatch):
    path = tmp_path / "graph"
    path.write_text("0 1\n1 2\n2 3\n")
    config = DagConfig(walks=DagWalks(file=path, train_share=0.3))
    first = build_task(config)
    path.write_text("0 1\n0 2\n1 3\n2 3\n")
    assert pairs_of(first.problems("test", None)) <= {(0, 2), (0, 3), (1, 3)}
    assert pairs_of(build_task(config).problems("test", None)) == {(0, 3)}
    path.write_text("0 1\n1 2\n2 0\n")
    with pytest.raises(ValueError, match=r"^task.walks.file: must hold an acyclic graph, .*must have no cycle"):
        build_task(config)
    # A folder has its own graph: neither the file nor the generator of random graphs matters any more.
    (tmp_path / GRAPH_FILE).write_text(first.files[GRAPH_FILE])
    path.unlink()
    again = build_task(config, tmp_path)
    assert again.files == first.files
    chain = [(u, u + 1) for u in range(11)]
    (tmp_path / GRAPH_FILE).write_text(TASKS["dag"].files[GRAPH_FILE])
    monkeypatch.setattr(walk_task, "random_dag", lambda *_: graph_from_edges(12, [*chain, (0, 2)]))
    assert lines(walk_task.build(DAG))[3].number_of_edges() == 12
    for ours, truth in zip(lines(build_task(DAG, tmp_path))[:3], lines(TASKS["dag"])[:3], strict=True):
        assert np.array_equal(ours, truth)


def test_blocksworld_is_the_graph_of_its_blocks(tmp_path):
    write_graph(tmp_path / GRAPH_FILE, lines(TASKS["blocks"])[3])
    assert build_task(BLOCKS, tmp_path).files == TASKS["blocks"].files
    with pytest.raises(ValueError, match=r"^graph.txt: must be the graph of Blocksworld with 2 blocks"):
        build_task(replace(BLOCKS, walks=replace(BLOCKS.walks, blocks=2)), tmp_path)


ANSWERS = {
    "valid": ([0, 1, 2, 4, 5, 5], True, (2, 2, 2)),
    "after the end anything": ([0, 1, 2, 4, 0, 1], True, (2, 2, 2)),
    "no end": ([0, 1, 2, 5, 5, 5], False, (2, 2, 2)),
    "wrong start": ([1, 2, 4, 5, 5, 5], False, (1, 1, 1)),
    "wrong end": ([0, 1, 4, 5, 5, 5], False, (1, 1, 1)),
    "no such edge": ([0, 2, 4, 5, 5, 5], False, (1, 0, 0)),
    "away": ([0, 3, 4, 5, 5, 5], False, (1, 1, 0)),
    "beyond the target": ([0, 1, 2, 3, 4, 5], False, (3, 2, 2)),
    "at once the end": ([4, 0, 1, 2, 4, 5], False, (0, 0, 0)),
}


def test_answers_are_judged_by_the_graph():
    """The graph 0 -> 1 -> 2 and 0 -> 3, asked for a walk from 0 to 2; 4 is the end and 5 the padding."""
    edges = np.zeros((4, 4), bool)
    edges[[0, 1, 0], [1, 2, 3]] = True
    reached = edges.copy()
    reached[0, 2] = True
    known = Groups(edges, reached, np.zeros((4, 4), np.int32), np.zeros((4, 4), np.int32))
    row = jnp.asarray([0, 2, 0, 1, 2, 4, 5, 5], jnp.int32)
    answers = jnp.asarray([answer for answer, _, _ in ANSWERS.values()], jnp.int32)
    found = jax.jit(jax.vmap(lambda answer: judge(WalkFormat(4, 5), known, row, answer)))(answers)
    for number, (name, (_, valid, steps)) in enumerate(ANSWERS.items()):
        assert bool(found.valid[number]) == valid, name
        assert tuple(int(part[number]) for part in found[1:]) == steps, name


def test_figures_are_shares_of_groups():
    """Random answers, a third of them the line's own walk, against loops over pairs."""
    task, found = TASKS["dag"], groups(TASKS["dag"])
    _, rows, _, graph = lines(task)
    form, rng = task.format, np.random.default_rng(3)
    answers = np.where(np.arange(len(rows))[:, None] % 3 == 0, rows[:, 2:], rng.integers(0, 13, rows[:, 2:].shape))
    answers[:, 0] = rows[:, 0]
    judged = jax.vmap(task.judge)(jnp.asarray(rows), jnp.asarray(answers, jnp.int32))
    exact, by_degree, by_hop, counts = [], {}, {}, np.zeros(3)
    for row, answer in zip(rows.tolist(), answers.tolist(), strict=True):
        source, target = row[:2]
        nodes = answer[: next((i for i, token in enumerate(answer) if token >= 12), len(answer))]
        edges = [edge for edge in pairwise(nodes) if graph.has_edge(*edge)]
        whole = len(nodes) < len(answer) and answer[len(nodes)] == 12 and len(edges) == len(nodes) - 1
        exact.append(whole and nodes[-1] == target)
        counts += len(nodes) - 1, len(edges), sum(v == target or target in nx.descendants(graph, v) for _, v in edges)
        by_degree.setdefault(int(found.degree[source, target]), []).append(exact[-1])
        by_hop.setdefault(nx.shortest_path_length(graph, source, target), []).append(exact[-1])
    got = task.metrics(judged, rows)
    assert got["exact"] == pytest.approx(np.mean(exact))
    assert 0.2 < got["exact"] < 0.9
    assert got["by_degree"] == [np.mean(by_degree[d]) if d in by_degree else None for d in range(4)]
    assert got["degree_pairs"] == [len(by_degree.get(d, [])) for d in range(4)]
    farthest = len(got["by_hop"])
    assert farthest == max(max(ends.values()) for _, ends in nx.all_pairs_shortest_path_length(graph))
    assert got["by_hop"] == [np.mean(by_hop[h]) if h in by_hop else None for h in range(1, farthest + 1)]
    assert got["hop_pairs"] == [len(by_hop.get(h, [])) for h in range(1, farthest + 1)]
    assert (got["steps"], got["steps_ahead"]) == (counts[1] / counts[0], counts[2] / counts[1])
    assert form.answer_length == answers.shape[1]
    report = task.report(got, len(rows))
    assert report.title == "pairs of walks in one directed acyclic graph"
    shown = {row[0]: row[1:] for section in report.sections for row in section}
    assert shown["all"][:2] == (str(len(rows)), f"{got['exact']:.1%}")
    assert "distance 1" not in shown  # edges are all trained on, so there is no such pair
    assert shown["steps along edges"] == ("", f"{got['steps']:.1%}", "")
    assert task.status({"by_degree": [1.0, None, 0.5, 0.0]}) == "by degree 100/-/50/0%"


def test_an_answer_is_optimal_where_it_is_valid_and_as_short_as_any():
    """From 0 to 2 by 1 or, a step more, by 3 and 1; one of the five answers is both."""
    hops = np.array([[0, 1, 2, 1], [4, 0, 1, 4], [4, 4, 0, 4], [4, 1, 2, 0]], np.int32)
    known = Groups(hops == 1, (hops > 0) & (hops < 4), np.zeros_like(hops), hops)
    rows = np.array([[0, 2]] * 4 + [[3, 2]])
    valid, steps = jnp.array([True, True, False, False, True]), jnp.array([2, 3, 2, 1, 3], jnp.int32)
    assert optimal(Judged(valid, steps, steps, steps), known, rows) == {"optimal": 0.2}
    every = Judged(jnp.array([True] * 5), jnp.full(5, 2, jnp.int32), steps, steps)
    assert optimal(every, known, rows) == {"optimal": 1.0}


def test_an_empty_group_has_no_share():
    task, known = TASKS["dag"], groups(TASKS["dag"])
    rows = task.problems("test", None)
    rows = rows[known.degree[tuple(rows[:, :2].T)] == 1][:2]
    nothing = jnp.zeros(len(rows), jnp.int32)
    found = walk_metrics(Judged(nothing == 1, nothing, nothing, nothing), known, rows)
    assert found["by_degree"] == [None, 0.0, None, None]
    assert (found["steps"], found["steps_ahead"]) == (None, None)
    assert found["degree_pairs"] == [0, 2, 0, 0]
