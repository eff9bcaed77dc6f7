import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.tasks import AnswerCheck, Problem, check_star_answer, solve_star
from tests.tasks.star.naive_star import random_problem, star_leaves, walks

STAR = [(3, 7), (6, 0), (7, 2), (3, 6)]
PROBLEM = Problem(np.array(STAR), np.array(3), np.array(0), np.array([3, 6, 0]))

INVALID = [
    ([(3, 3), (6, 0), (7, 2), (3, 6)], 3, 0, "edges: must have no self loop, got (3, 3)"),
    ([(3, 7), (6, 0), (3, 7), (3, 6)], 3, 0, "edges: must have no duplicate edge, got (3, 7)"),
    ([(3, 7), (6, 0), (7, 0), (3, 6)], 3, 0, "edges: node 0 must have one predecessor, got [6, 7]"),
    ([(3, 7), (7, 3)], 3, 7, "edges: must have no cycle, got [7, 3, 7]"),
    ([(3, 7), (3, 6), (1, 2), (2, 1)], 3, 6, "edges: must have no cycle, got [2, 1, 2]"),
    ([(3, 7), (3, 6), (6, 0), (6, 2)], 3, 0, "edges: only the start may branch, and node 6 does, got [0, 2]"),
    (STAR, 5, 0, "start: must be in the graph, got 5"),
    ([], 5, 0, "start: must be in the graph, got 5"),
    (STAR, 3, 9, "goal: must be in the graph, got 9"),
    (STAR, 3, 3, "goal: must differ from start, got 3"),
    (STAR, 3, 6, "goal: must be a leaf"),
    (STAR, 6, 0, "start: must be the root of the star, without predecessor 3, got 6"),
    ([(3, 7), (3, 6), (1, 2)], 3, 2, "goal: must be reachable from start 3, got 2"),
    ([(3, 7), (3, 6), (1, 2)], 3, 1, "goal: must be reachable from start 3, got 1"),
    ([(3, 7), (3, 6), (1, 2)], 3, 6, "edges: every node must be reachable from start 3, got 2"),
    ([(3, 7), (3, 6), (6, 0)], 3, 0, "edges: must form paths of equal length, got [2, 3]"),
    ([(3, 6), (6, 0)], 3, 0, "edges: must form at least 2 paths, got 1"),
    ([(3, 6), (6, -1)], 3, 6, "edges: must be an integer at least 0, got -1"),
    ([(3, 6, 0), (3, 7, 2)], 3, 6, "edges: must be pairs"),
    (STAR, -3, 0, "start: must be an integer at least 0, got -3"),
]


@pytest.mark.parametrize(("edges", "start", "goal", "message"), INVALID)
def test_what_is_not_a_star_is_refused(edges, start, goal, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        solve_star(edges, start, goal)


@pytest.mark.parametrize("kind", [list, np.array])
def test_the_running_example_of_the_paper(kind):
    assert solve_star(kind(STAR), 3, 0) == [3, 6, 0]
    assert solve_star(kind(STAR), 3, 2) == [3, 7, 2]


@settings(max_examples=30)
@given(st.integers(2, 5), st.integers(2, 6), st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_a_star_is_solved_as_by_brute_force(paths, nodes, spare, seed):
    problem = random_problem(paths, nodes, paths * (nodes - 1) + 1 + spare, seed)
    edges = [(u, v) for u, v in problem.edges.tolist()]
    start = int(problem.start)
    for goal in star_leaves(edges, start):
        assert walks(edges, start, goal) == [solve_star(problem.edges, start, goal)]
    assert solve_star(problem.edges, problem.start, problem.goal) == problem.path.tolist()


def four_edges():
    """Edges into the nodes 1 to 4, from any other node, each once."""
    return [[*zip(tails, (1, 2, 3, 4), strict=True)] for tails in itertools.product(range(5), repeat=4)]


def few_edges(count, labels):
    return list(itertools.combinations_with_replacement(itertools.product(range(labels), repeat=2), count))


@pytest.mark.parametrize(("graphs", "stars"), [(few_edges(2, 4), 2), (few_edges(3, 4), 1), (four_edges(), 6 + 1)])
def test_exactly_the_stars_are_accepted(graphs, stars):
    # Every graph, its edges in one order, with the start 0 and the goal 1.
    accepted = 0
    for edges in graphs:
        if len(set(edges)) == len(edges) and 1 in star_leaves(list(edges), 0):
            assert [solve_star(edges, 0, 1)] == walks(list(edges), 0, 1)
            accepted += 1
        else:
            with pytest.raises(ValueError, match=r"^(edges|start|goal): "):
                solve_star(edges, 0, 1)
    assert accepted == stars


@pytest.mark.parametrize(
    ("proposed", "reason"),
    [
        ([3, 6, 0], ""),
        ([], "too short: 0 of 3 nodes"),
        ([3], "too short: 1 of 3 nodes"),
        ([3, 7], "too short: 2 of 3 nodes"),
        ([6, 0], "starts at 6, not at the start 3"),
        ([0, 6, 3], "starts at 0, not at the start 3"),
        ([3, 0, 0], "no edge from 3 to 0 at step 1"),
        ([3, 7, 0], "no edge from 7 to 0 at step 2"),
        ([3, 6, 3], "no edge from 6 to 3 at step 2"),
        ([3, -1, 99], "no edge from 3 to -1 at step 1"),
        ([3, 7, 2], "ends at another leaf: 2, not the goal 0"),
        ([3, 7, 2, 0], "ends at another leaf: 2, not the goal 0"),
        ([3, 6, 0, 0], "too long: 4 nodes, the goal 0 is node 3"),
        ([3, 6, 0, 3, 6, 0], "too long: 6 nodes, the goal 0 is node 3"),
    ],
)
@pytest.mark.parametrize("kind", [list, np.array])
def test_the_first_wrong_step_of_an_answer(proposed, reason, kind):
    answer = kind(proposed) if proposed else []
    assert check_star_answer(PROBLEM, answer) == AnswerCheck(reason == "", reason)


def test_only_the_path_is_correct_among_all_short_answers():
    for length in range(4):
        for proposed in itertools.product([0, 2, 3, 6, 9], repeat=length):
            check = check_star_answer(PROBLEM, proposed)
            assert check.correct == (proposed == (3, 6, 0))
            assert (check.reason == "") == check.correct


def test_the_edges_decide_and_not_the_path_that_is_stored():
    wrong = PROBLEM._replace(path=np.array([3, 7, 2]))
    assert check_star_answer(wrong, [3, 6, 0]).correct
    assert not check_star_answer(wrong, [3, 7, 2]).correct


def test_an_answer_to_a_batch_or_to_another_graph_is_refused():
    batch = Problem(*(np.stack([part, part]) for part in PROBLEM))
    with pytest.raises(ValueError, match=r"^problem: must be one problem"):
        check_star_answer(batch, [3, 6, 0])
    with pytest.raises(ValueError, match=r"^goal: must be a leaf"):
        check_star_answer(PROBLEM._replace(goal=np.array(7)), [3, 7])
