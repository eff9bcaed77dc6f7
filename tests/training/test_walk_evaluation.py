"""Walks judged by the graph, against answers decoded and followed one by one in Python."""

from collections import Counter
from itertools import pairwise

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from flax import nnx

from circuits.one_layer.config import OneLayerConfig
from circuits.one_layer.module import from_parameters
from circuits.one_layer.parameters import Parameters
from circuits.tasks.walks.format import WalkFormat
from circuits.training import walk_evaluation
from circuits.training.config import TaskConfig, WalksConfig
from circuits.training.scoring import score, scoring
from circuits.training.walk_data import Groups, groups_of, walks_of
from circuits.transformer.config import TransformerConfig
from tests.transformer.models import drawn
from tests.transformer.naive_transformer import naive_logits

TASK = TaskConfig(graph="dag", labels=16, walks=WalksConfig(edge_probability=0.3, train_share=0.2, paths_a_pair=1))


@pytest.fixture(scope="module")
def walker():
    """A one-layer model that knows most edges and most of what they lead to, and errs now and then."""
    groups, form, rng = groups_of(TASK), TASK.walk_format, np.random.default_rng(3)
    content, value = 1.6 * rng.normal(size=(2, form.vocab_size, form.vocab_size))
    ahead = groups.reachability | np.eye(form.nodes, dtype=bool)
    content[: form.nodes, : form.nodes] += 6 * groups.adjacency
    value[: form.nodes, : form.nodes] += 4 * ahead.T
    content[:, form.end_token] += 8  # less than an edge ahead, and more than one that leads away
    model = from_parameters(
        OneLayerConfig(vocab=form.vocab_size, positions=form.length - 1, param_dtype="float64"),
        Parameters(*(jnp.asarray(a) for a in (content, value, np.zeros((0, *content.shape)), np.ones(())))),
    )
    return model, content, value


def follow(form: WalkFormat, content, value, source: int, target: int) -> list[int]:
    """The greedy answer, a token at a time."""
    answer = [source]
    while len(answer) < form.answer_length:
        answer.append(int(np.argmax(content[answer[-1]] + value[target])))
    return answer


def told(graph: nx.DiGraph, form: WalkFormat, source: int, target: int, answer: list[int]) -> tuple[bool, Counter]:
    """Whether the answer is a walk, and its steps."""
    nodes = []
    for token in answer:
        if token >= form.nodes:
            break
        nodes.append(token)
    ends = len(nodes) < len(answer) and answer[len(nodes)] == form.end_token
    edges = list(pairwise(nodes))
    right = ends and bool(nodes) and nodes[0] == source and nodes[-1] == target
    right = right and all(graph.has_edge(*edge) for edge in edges)
    counts = Counter(steps=len(edges), edges=0, ahead=0)
    for u, v in edges:
        if graph.has_edge(u, v):
            counts["edges"] += 1
            counts["ahead"] += v == target or target in nx.descendants(graph, v)
    return right, counts


def test_shares_are_those_of_walks_followed_one_by_one(monkeypatch, walker):
    monkeypatch.setattr(walk_evaluation, "CHUNK", 7)
    model, content, value = walker
    made, groups, form = walks_of(TASK), groups_of(TASK), TASK.walk_format
    found = score(scoring(TASK, False), model, made.test)
    steps, by_degree, by_hop, exact, others = Counter(), {}, {}, [], 0
    for row in made.test.tolist():
        source, target = row[:2]
        answer = follow(form, content, value, source, target)
        right, counts = told(made.graph, form, source, target, answer)
        steps += counts
        exact.append(right)
        by_degree.setdefault(int(groups.degree[source, target]), []).append(right)
        by_hop.setdefault(nx.shortest_path_length(made.graph, source, target), []).append(right)
        others += right and answer[: answer.index(form.end_token)] != row[2 : row.index(form.end_token)]
    assert found["exact"] == pytest.approx(np.mean(exact))
    assert 0.1 < found["exact"] < 0.9
    assert others > 0  # a walk that is valid and not that of the line
    assert found["by_degree"] == [np.mean(by_degree[d]) if d in by_degree else None for d in range(4)]
    assert found["degree_pairs"] == [len(by_degree.get(d, [])) for d in range(4)]
    farthest = max(max(lengths.values()) for _, lengths in nx.all_pairs_shortest_path_length(made.graph))
    assert found["by_hop"] == [np.mean(by_hop[h]) if h in by_hop else None for h in range(1, farthest + 1)]
    assert found["hop_pairs"] == [len(by_hop.get(h, [])) for h in range(1, farthest + 1)]
    assert found["hop_pairs"][0] == 0  # edges are all trained on
    assert sum(found["degree_pairs"]) == len(made.test)
    assert found["steps"] == pytest.approx(steps["edges"] / steps["steps"])
    assert found["steps_ahead"] == pytest.approx(steps["ahead"] / steps["edges"])
    assert 0.3 < found["steps"] < 1
    assert 0.3 < found["steps_ahead"] < 1


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


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_judged_by_the_graph(monkeypatch, name):
    """The graph 0 -> 1 -> 2 and 0 -> 3, asked for a walk from 0 to 2; 4 is the end and 5 the padding."""
    answer, valid, steps = ANSWERS[name]
    form, edges = WalkFormat(4, 5), np.zeros((4, 4), bool)
    edges[[0, 1, 0], [1, 2, 3]] = True
    reached = edges.copy()
    reached[0, 2] = True
    monkeypatch.setattr(walk_evaluation, "greedy", lambda *_: jnp.asarray(answer, jnp.int32))
    rows = jnp.asarray([[0, 2, 0, 1, 2, 4, 5, 5]], jnp.int32)
    config = OneLayerConfig(vocab=6, positions=7)
    weights = jnp.zeros((6, 6), jnp.float32)
    parameters = Parameters(weights, weights, jnp.zeros((0, 6, 6), jnp.float32), jnp.ones((), jnp.float32))
    ask = getattr(walk_evaluation.judged, "__wrapped__", walk_evaluation.judged)  # not what jit remembers
    found = ask(from_parameters(config, parameters), form, jnp.asarray(edges), jnp.asarray(reached), rows)
    assert bool(found.valid[0]) == valid
    assert tuple(int(part[0]) for part in found[1:]) == steps


def test_a_transformer_is_asked_for_its_greedy_answer():
    """By the naive transformer; an untrained one finds nothing."""
    form, groups = TASK.walk_format, groups_of(TASK)
    shape = {"layers": 1, "heads": 1, "width": 8, "activation": "relu", "dtype": "float64", "param_dtype": "float64"}
    config = TransformerConfig(**shape, vocab=form.vocab_size, positions=form.length - 1)
    model = drawn(config, seed=3)
    parameters = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))
    rows, total = walks_of(TASK).test[:4], Counter()
    for row in rows.tolist():
        tokens = row[:2]
        for _ in range(form.answer_length):
            tokens.append(int(np.argmax(naive_logits(config, parameters, tokens)[0][-1])))
        right, counts = told(walks_of(TASK).graph, form, row[0], row[1], tokens[2:])
        assert not right
        total += counts
    found = walk_evaluation.judged(
        model, form, jnp.asarray(groups.adjacency), jnp.asarray(groups.reachability), jnp.asarray(rows)
    )
    assert [int(jnp.sum(part)) for part in found[1:]] == [total[name] for name in ("steps", "edges", "ahead")]
    assert total["steps"] > 0


def test_an_answer_is_optimal_where_it_is_valid_and_as_short_as_any():
    """From 0 to 2 by 1 or, a step more, by 3 and 1; of the five answers one is both."""
    hops = np.array([[0, 1, 2, 1], [4, 0, 1, 4], [4, 4, 0, 4], [4, 1, 2, 0]], np.int32)
    groups = Groups(hops == 1, (hops > 0) & (hops < 4), np.zeros_like(hops), hops)
    rows = np.array([[0, 2]] * 4 + [[3, 2]])
    valid, steps = jnp.array([True, True, False, False, True]), jnp.array([2, 3, 2, 1, 3], jnp.int32)
    found = walk_evaluation.Judged(valid, steps, steps, steps)
    assert walk_evaluation.optimal_figures(found, groups, rows) == {"optimal": 0.2}
    every = walk_evaluation.Judged(jnp.array([True] * 5), jnp.full(5, 2, jnp.int32), steps, steps)
    assert walk_evaluation.optimal_figures(every, groups, rows) == {"optimal": 1.0}


def test_groups_in_which_there_is_nothing_are_none():
    made, groups = walks_of(TASK), groups_of(TASK)
    rows = made.test[groups.degree[tuple(made.test[:, :2].T)] == 1][:2]
    nothing = jnp.zeros(len(rows), jnp.int32)
    found = walk_evaluation.figures(walk_evaluation.Judged(nothing == 1, nothing, nothing, nothing), groups, rows)
    assert found["by_degree"] == [None, 0.0, None, None]
    assert (found["steps"], found["steps_ahead"]) == (None, None)
    assert found["degree_pairs"] == [0, 2, 0, 0]
