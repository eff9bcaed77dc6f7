"""Twins differ in the goal alone, and their answers are those that the task's solver gives."""

import jax
import numpy as np
import pytest

from circuits.probes.interventions.pairs import planning_twin, planning_twins
from circuits.probes.layout import query_position, start_goal_positions
from circuits.tasks import BinaryTree, StarGraph, TokenFormat, decode_problem, solve
from tests.probes.interventions.planted import FORMAT, one
from tests.probes.planted import rows

TEXT = TokenFormat(StarGraph(2, 3, 6), "text", "start-goal")
CASES = [
    (FORMAT, None),
    (TokenFormat(StarGraph(3, 4, 12), "text", "start-goal"), None),
    (TokenFormat(StarGraph(3, 4, 12), "pairs", "goal-start"), 1),
    (TokenFormat(StarGraph(2, 2, 5), "pairs", "start-goal"), 0),
    (TokenFormat(BinaryTree(3, 9), "pairs", "goal-start"), None),
    (TokenFormat(BinaryTree(4, 20), "text", "start-goal"), 2),
]


@pytest.mark.parametrize(("format", "token"), CASES)
def test_twins_differ_in_the_goal_alone_and_their_answers_are_right(format, token):
    problems = rows(format, 12)
    found = planning_twins(problems, format, jax.random.key(0), token)
    query, goal_position = query_position(format, token), start_goal_positions(format)[1]
    depth = query + 1 - format.prompt_length + format.path_offset
    for number, ids in enumerate(problems):
        pair, true = one(found, number), decode_problem(format, ids)
        clean, corrupt = np.asarray(pair.clean_tokens), np.asarray(pair.corrupt_tokens)
        assert np.array_equal(clean, ids[: query + 1])
        assert np.flatnonzero(clean != corrupt).tolist() == [goal_position]
        goals = (int(clean[goal_position]), int(corrupt[goal_position]))
        path, other = (solve(format.family, true.edges, true.start, goal) for goal in goals)
        assert int(pair.clean_answer) == path[depth] == ids[query + 1]
        assert int(pair.corrupt_answer) == other[depth] != path[depth]
        branches = depth == 1 or isinstance(format.family, BinaryTree)
        assert (path[:depth] == other[:depth]) == branches, "the first wrong turn is at the predicted token"


def test_every_other_goal_is_drawn_about_as_often_and_each_problem_has_a_key_of_its_own():
    format = TokenFormat(StarGraph(4, 3, 9), "pairs", "goal-start")
    ids = rows(format, 1)[0]
    batch = planning_twins(np.tile(ids, (600, 1)), format, jax.random.key(0))
    goals, counts = np.unique(np.asarray(batch.corrupt_tokens[:, start_goal_positions(format)[1]]), return_counts=True)
    assert len(goals) == 3
    assert counts.min() > 150
    alone = jax.jit(planning_twin, static_argnums=1)(ids, format, jax.random.fold_in(jax.random.key(0), 2))
    assert jax.tree.all(jax.tree.map(np.array_equal, one(batch, 2), alone))


@pytest.mark.parametrize(
    ("ids", "token", "message"),
    [
        (np.zeros(18, np.int32), 0, "token: must not be that of the start"),
        (np.zeros(17, np.int32), None, r"tokens: must have shape \(18,\)"),
        (np.zeros(18, np.int32), 3, "token: must be an integer between 0 and 2"),
    ],
)
def test_bad_input(ids, token, message):
    with pytest.raises(ValueError, match=message):
        planning_twin(ids, TEXT, jax.random.key(0), token)
