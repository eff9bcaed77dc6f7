from fractions import Fraction as F
from math import prod

import pytest

from circuits.tasks import Baselines, BinaryTree, StarGraph, TokenFormat, chance, clever_hans
from tests.tasks.draws import draw

FAMILIES = [StarGraph(2, 2, 9), StarGraph(2, 5, 20), StarGraph(5, 4, 30), BinaryTree(3, 8), BinaryTree(5, 40)]


def options(problem, node, sees_goal):
    """Where an edge follower may go from a node, all equally likely."""
    heads = [v for u, v in problem.edges.tolist() if u == node]
    return [int(problem.goal)] if sees_goal and int(problem.goal) in heads else heads


def free_walks(problem, sees_goal):
    """Every walk from the start to a leaf that the edge follower may write, with its probability."""
    unfinished, finished = [([int(problem.start)], F(1))], []
    while unfinished:
        walk, probability = unfinished.pop()
        heads = options(problem, walk[-1], sees_goal)
        unfinished += [([*walk, head], probability / len(heads)) for head in heads]
        if not heads:
            finished.append((walk, probability))
    return finished


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sees_goal", [False, True])
def test_chance_sums_over_all_walks_and_clever_hans_takes_one_step_from_each_true_node(family, sees_goal):
    problem = draw(family, 3)
    path = problem.path.tolist()
    walks = free_walks(problem, sees_goal)
    assert sum(probability for _, probability in walks) == 1
    exact = sum((p for walk, p in walks if walk == path), F(0))
    by_node = [sum((p for walk, p in walks if walk[j] == path[j]), F(0)) for j in range(family.nodes)]
    choices = [options(problem, node, sees_goal) for node in path[:-1]]
    steps = [F(heads.count(true), len(heads)) for heads, true in zip(choices, path[1:], strict=True)]
    for style, offset in (("text", 0), ("pairs", 1)):
        format = TokenFormat(family, style, "start-goal")
        assert chance(format, sees_goal=sees_goal) == Baselines(exact, tuple(by_node[offset:]))
        expected = Baselines(prod(steps, start=F(1)), (F(1), *steps)[offset:])
        assert clever_hans(format, sees_goal=sees_goal) == expected


def test_baselines_by_hand():
    star = TokenFormat(StarGraph(2, 5, 20), "text", "start-goal")
    half, one = F(1, 2), F(1)
    assert chance(star) == (half, (one, half, half, half, half))
    assert clever_hans(star) == (half, (one, half, one, one, one))
    tree = TokenFormat(BinaryTree(4, 20), "pairs", "goal-start")
    assert chance(tree, sees_goal=True) == (F(1, 4), (half, F(1, 4), F(1, 4)))
    assert clever_hans(tree, sees_goal=True) == (F(1, 4), (half, half, one))


@pytest.mark.parametrize("family", FAMILIES)
def test_only_branching_tokens_are_uncertain_under_teacher_forcing_for_one_that_sees_the_goal(family):
    for style in ("text", "pairs"):
        format = TokenFormat(family, style, "start-goal")
        by_token = clever_hans(format, sees_goal=True).by_token
        assert len(by_token) == format.answer_length
        assert tuple(i for i, probability in enumerate(by_token) if probability < 1) == format.branching_positions
