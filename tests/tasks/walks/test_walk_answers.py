import itertools
import re
from functools import partial

import jax
import numpy as np
import pytest

from circuits.tasks import WalkFormat, adjacency, check_walk, graph_from_edges, is_valid_walk, random_dag
from tests.tasks.walks import naive_walks

GRAPH = graph_from_edges(5, [(0, 1), (1, 2), (2, 4), (0, 2), (4, 1), (2, 3)])
FORMAT = WalkFormat(5, 4)
END, PAD = FORMAT.end_token, FORMAT.pad_token
JUDGE = jax.jit(is_valid_walk, static_argnums=1)


@pytest.mark.parametrize(
    ("source", "target", "answer", "outcome"),
    [
        (0, 2, [0, 1, 2, END, PAD], "valid"),
        (0, 2, [0, 2, END, PAD, PAD], "valid"),
        (0, 2, [0, 2, END, 0, 0], "valid"),
        (0, 2, [0, 2, END], "valid"),
        # A walk may not return to a node, not even to its target or its source.
        (1, 2, [1, 2, 4, 1, 2, END], "repeated node"),
        (1, 3, [1, 2, 4, 1, 2, 3], "repeated node"),
        (1, 1, [1, 2, 4, 1, END], "repeated node"),
        (1, 4, [1, 2, 4, END, 1, 2], "valid"),
        (3, 3, [3, END], "valid"),
        (0, 2, [1, 2, END, PAD, PAD], "wrong start"),
        (0, 2, [END, PAD, PAD, PAD, PAD], "wrong start"),
        (0, 2, [PAD, 0, 2, END, PAD], "wrong start"),
        (0, 2, [2, END, PAD, PAD, PAD], "wrong start"),
        (0, 2, [], "wrong start"),
        (0, 4, [0, 4, END, PAD, PAD], "no such edge"),
        (0, 2, [0, 1, PAD, 2, END], "no such edge"),
        (0, 1, [0, 1, PAD, PAD, PAD], "no such edge"),
        (2, 1, [2, 1, END, PAD, PAD], "no such edge"),
        (0, 2, [0, 0, 2, END, PAD], "no such edge"),
        (0, 2, [0, -1, 2, END, PAD], "no such edge"),
        (0, 2, [0, 99, 2, END, PAD], "no such edge"),
        (0, 4, [0, 1, 2, END, PAD], "wrong end"),
        (0, 2, [0, END, 1, 2, END], "wrong end"),
        (0, 2, [0, 1, 2, 3, END], "wrong end"),
        (0, 4, [0, 1, 2, 4], "no end"),
        (0, 1, [0, 1, 2, 4, 1], "repeated node"),
        (0, 2, [0], "no end"),
        # The first fault of several, in the order of reading.
        (0, 2, [1, 0, 3, 4, 1], "wrong start"),
        (0, 2, [0, 3, 1, 1, 1], "no such edge"),
        (1, 2, [1, 2, 4, 1, 0, END], "repeated node"),
    ],
)
def test_answers_by_hand(source, target, answer, outcome):
    assert check_walk(GRAPH, source, target, answer, FORMAT) == outcome
    assert check_walk(adjacency(GRAPH), np.int32(source), np.int32(target), np.asarray(answer, int), FORMAT) == outcome
    assert naive_walks.verdict(set(GRAPH.edges), source, target, answer, 5) == outcome
    # One length, so one compilation: what is added comes after the end, or is not an end.
    padded = np.asarray([*answer, *[PAD] * (6 - len(answer))])
    assert bool(JUDGE(adjacency(GRAPH), FORMAT, np.asarray([source, target]), padded)) == (outcome == "valid")


def test_every_answer_of_four_ids_in_a_small_graph():
    graph = graph_from_edges(3, [(2, 1), (1, 0), (0, 1)])
    format = WalkFormat(3, 3)
    answers = np.asarray(list(itertools.product(range(-1, 6), repeat=4)))
    pairs = np.asarray(list(itertools.product(range(3), repeat=2)))
    judge = jax.jit(jax.vmap(jax.vmap(partial(is_valid_walk, adjacency(graph), format), (None, 0)), (0, None)))
    valid = np.asarray(judge(pairs, answers))
    edges = set(graph.edges)
    expected = [
        [naive_walks.verdict(edges, source, target, answer, 3) == "valid" for answer in answers.tolist()]
        for source, target in pairs.tolist()
    ]
    np.testing.assert_array_equal(valid, expected)
    # Walks of 1, 2 and 3 nodes are followed by the end, and that by 2, 1 and 0 ids out of 7; 0 -> 1 -> 0 is invalid.
    assert valid.sum(axis=1).tolist() == [49, 7, 0, 7, 49, 0, 1, 7, 49]


def test_random_answers_have_every_outcome_and_the_same_as_the_twin():
    rng, graph = np.random.default_rng(2), random_dag(8, 0.6, 1)
    edges, format = set(graph.edges), WalkFormat(8, 4)
    outcomes = []
    for _ in range(400):
        rest = np.sort(rng.choice(np.arange(1, 9), size=3, replace=False))
        answer = [int(rng.integers(2)), *rest.tolist()]
        outcomes.append(check_walk(graph, 0, 7, answer, format))
        assert outcomes[-1] == naive_walks.verdict(edges, 0, 7, answer, 8)
    counts = {outcome: outcomes.count(outcome) for outcome in set(outcomes)}
    assert set(counts) == {"valid", "wrong start", "no such edge", "wrong end", "no end"}
    assert min(counts.values()) >= 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: check_walk(GRAPH, 0, 1, [0, 1, 4], WalkFormat(4, 4)),
            "format: must have N = 5 nodes, as the graph, got 4",
        ),
        (lambda: check_walk(GRAPH, 5, 1, [0], FORMAT), "source: must be an integer between 0 and 4, got 5"),
        (lambda: check_walk(GRAPH, 0, -1, [0], FORMAT), "target: must be an integer between 0 and 4, got -1"),
        (
            lambda: is_valid_walk(adjacency(GRAPH), WalkFormat(6, 4), np.zeros(2, int), np.zeros(3, int)),
            "format: must have N = 5 nodes, as the adjacency, got 6",
        ),
        (
            lambda: is_valid_walk(adjacency(GRAPH), FORMAT, np.zeros(2, int), np.zeros(0, int)),
            "answer: must have at least one id, got (0,)",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()
