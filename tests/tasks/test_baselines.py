from fractions import Fraction as F
from math import prod

import numpy as np
import pytest

from circuits.tasks import Baselines, BinaryTree, StarGraph, TokenFormat, chance, clever_hans
from tests.tasks.star.naive_star import random_problem
from tests.tasks.tree.naive_tree import random_tree

FAMILIES = [
    StarGraph(2, 2, 9),
    StarGraph(2, 5, 20),
    StarGraph(3, 3, 9),
    StarGraph(5, 4, 30),
    BinaryTree(3, 8),
    BinaryTree(5, 40),
]


def drawn(family):
    if isinstance(family, StarGraph):
        return random_problem(family.paths, family.nodes, family.labels, 3)
    return random_tree(family.nodes, family.labels, 3)


def options(problem, node, sees_goal):
    """Where an edge-follower may go from a node, all equally likely."""
    heads = [v for u, v in problem.edges.tolist() if u == node]
    return [int(problem.goal)] if sees_goal and int(problem.goal) in heads else heads


def free_walks(problem, sees_goal):
    """Every walk from the start to a leaf that the edge-follower may write, with its probability."""
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
def test_chance_is_what_all_walks_together_give(family, sees_goal):
    problem = drawn(family)
    path = problem.path.tolist()
    walks = free_walks(problem, sees_goal)
    assert sum(probability for _, probability in walks) == 1
    exact = sum((p for walk, p in walks if walk == path), F(0))
    right = [sum((p for walk, p in walks if walk[j] == path[j]), F(0)) for j in range(family.nodes)]
    for style, first in (("text", 0), ("pairs", 1)):
        format = TokenFormat(family, style, "start-goal")
        assert chance(format, sees_goal=sees_goal) == Baselines(exact, tuple(right[first:]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sees_goal", [False, True])
def test_clever_hans_is_one_step_from_each_true_node(family, sees_goal):
    problem = drawn(family)
    path = problem.path.tolist()
    choices = [options(problem, node, sees_goal) for node in path[:-1]]
    right = [F(heads.count(true), len(heads)) for heads, true in zip(choices, path[1:], strict=True)]
    for style, given in (("text", [F(1)]), ("pairs", [])):
        format = TokenFormat(family, style, "goal-start")
        expected = Baselines(prod(right, start=F(1)), (*given, *right))
        assert clever_hans(format, sees_goal=sees_goal) == expected


def test_levels_by_hand():
    star = TokenFormat(StarGraph(2, 5, 20), "text", "start-goal")
    half, one = F(1, 2), F(1)
    assert chance(star) == (half, (one, half, half, half, half))
    assert clever_hans(star) == (half, (one, half, one, one, one))
    tree = TokenFormat(BinaryTree(4, 20), "pairs", "goal-start")
    assert chance(tree) == (F(1, 8), (half, F(1, 4), F(1, 8)))
    assert chance(tree, sees_goal=True) == (F(1, 4), (half, F(1, 4), F(1, 4)))
    assert clever_hans(tree) == (F(1, 8), (half, half, half))
    assert clever_hans(tree, sees_goal=True) == (F(1, 4), (half, half, one))


@pytest.mark.parametrize("family", FAMILIES)
def test_only_hard_tokens_are_uncertain_under_teacher_forcing_for_one_that_sees_the_goal(family):
    for style in ("text", "pairs"):
        format = TokenFormat(family, style, "start-goal")
        by_token = clever_hans(format, sees_goal=True).by_token
        assert len(by_token) == format.answer_length
        assert tuple(j for j, level in enumerate(by_token) if level < 1) == format.hard


@pytest.mark.parametrize("family", [StarGraph(3, 4, 20), BinaryTree(4, 20)])
def test_a_simulated_edge_follower_has_these_levels(family):
    rng = np.random.default_rng(0)
    problem = drawn(family)
    path, tries = problem.path.tolist(), 4000
    right = np.zeros(family.nodes)
    for _ in range(tries):
        walk = [int(problem.start)]
        while heads := options(problem, walk[-1], False):
            walk.append(int(rng.choice(heads)))
        right += np.equal(walk, path)
    levels = chance(TokenFormat(family, "text", "start-goal")).by_token
    # Hoeffding: off by more than 0.06 with chance 2 exp(-2 * 4000 * 0.06^2) < 1e-12.
    assert np.abs(right / tries - np.array([float(level) for level in levels])).max() < 0.06
