import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.probes.interventions.pairs import planning_twin, planning_twins
from circuits.probes.layout import query_position, start_goal_positions
from circuits.tasks.star.graph import StarGraph
from circuits.tasks.token_format import TokenFormat, decode_problem, solve
from circuits.tasks.tree.graph import BinaryTree
from tests.probes.interventions.planted import FORM, one, some_problems

CASES = [
    (FORM, None),
    (TokenFormat(StarGraph(3, 4, 12), "text", "start-goal"), None),
    (TokenFormat(StarGraph(3, 4, 12), "pairs", "goal-start"), 1),
    (TokenFormat(StarGraph(2, 2, 5), "pairs", "start-goal"), 0),
    (TokenFormat(BinaryTree(3, 9), "pairs", "goal-start"), None),
    (TokenFormat(BinaryTree(4, 20), "text", "start-goal"), 2),
    (TokenFormat(BinaryTree(4, 20), "pairs", "goal-start"), 2),
]


def test_twins_differ_in_the_goal_alone_and_their_answers_are_right():
    for form, answer in CASES:
        problems = some_problems(12, form)
        found = planning_twins(form, problems, jax.random.key(0), answer)
        query, goal_at = query_position(form, answer), start_goal_positions(form)[1]
        level = query + 1 - form.prompt_length + form.first_node
        for number, ids in enumerate(np.asarray(problems)):
            pair, true = one(found, number), decode_problem(form, ids)
            clean, corrupt = np.asarray(pair.layout.tokens), np.asarray(pair.corrupt)
            assert np.array_equal(clean, ids[: query + 1]), form
            assert np.flatnonzero(clean != corrupt).tolist() == [goal_at], form
            goals = (int(clean[goal_at]), int(corrupt[goal_at]))
            path, other = (solve(form.family, true.edges, true.start, goal) for goal in goals)
            assert int(pair.clean_token) == path[level] == ids[query + 1]
            assert int(pair.corrupt_token) == other[level] != path[level]
            branches = level == 1 or isinstance(form.family, BinaryTree)
            assert (path[:level] == other[:level]) == branches, "the first wrong turn is at the chosen token"


def test_every_other_goal_is_drawn_about_as_often():
    form = TokenFormat(StarGraph(4, 3, 9), "pairs", "goal-start")
    ids = some_problems(1, form)[0]
    found = planning_twins(form, jnp.tile(ids, (600, 1)), jax.random.key(0))
    goals, counts = np.unique(np.asarray(found.corrupt[:, start_goal_positions(form)[1]]), return_counts=True)
    assert len(goals) == 3
    assert counts.min() > 150


def test_one_problem_and_a_key_of_its_own():
    ids = some_problems(3)
    batch = planning_twins(FORM, ids, jax.random.key(0))
    alone = jax.jit(planning_twin, static_argnums=0)(FORM, ids[2], jax.random.fold_in(jax.random.key(0), 2))
    assert jax.tree.all(jax.tree.map(np.array_equal, one(batch, 2), alone))


def test_bad_input():
    text = TokenFormat(StarGraph(2, 3, 6), "text", "start-goal")
    ids = some_problems(1, text)[0]
    with pytest.raises(ValueError, match="answer: must not be the place of the start, which all paths share, got 0"):
        planning_twin(text, ids, jax.random.key(0), 0)
    with pytest.raises(ValueError, match=r"tokens: must have shape \(18,\), got \(17,\)"):
        planning_twin(text, ids[:-1], jax.random.key(0))
    with pytest.raises(ValueError, match="answer: must be an integer between 0 and 2, got 3"):
        planning_twin(text, ids, jax.random.key(0), 3)
