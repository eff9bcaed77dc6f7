"""Solve a binary-tree problem by climbing from the goal to the root."""

from collections.abc import Sequence

from jaxtyping import Int

from circuits import checks
from circuits.tasks.answers import AnswerCheck, Edges, compare_paths, path_to_root, rooted_tree
from circuits.tasks.problem import Problem, check_single
from circuits.typing import AnyArray, Label


def solve_tree(edges: Edges, start: Label, goal: Label) -> list[int]:
    """The path from start to goal, after checking that the edges form a complete binary tree with root ``start``.

    A complete binary tree: no self loop, no edge twice, one predecessor for every node but the start, no cycle,
    every node reached from the start, 2 successors or none for each node, and all leaves at one depth.

    Raises ValueError naming what breaks the rule: ``edges``, ``start``, or ``goal`` (which must be a leaf, and
    not the start).
    """
    tree = rooted_tree(edges, start, goal, "tree")
    for node, heads in tree.out.items():
        rule = f"each node but the leaves must have 2 successors, and node {node} has not"
        checks.require(len(heads) == 2, "edges", rule, heads)
    leaves = [node for node in tree.into if node not in tree.out]
    depths = {leaf: len(path_to_root(tree.into, leaf)) - 1 for leaf in leaves}
    rule = "must put all leaves at one depth"
    checks.require(len(set(depths.values())) == 1, "edges", rule, depths)
    checks.require(tree.goal in depths, "goal", "must be a leaf, the last node of its path", tree.goal)
    return path_to_root(tree.into, tree.goal)[::-1]


def check_tree_answer(problem: Problem, proposed: Sequence[int] | Int[AnyArray, " n"]) -> AnswerCheck:
    """Compare an answer with the path that the edges of one tree problem dictate, and name its first wrong step.

    The rules for the answer are those of ``check_answer``.

    Raises ValueError when the problem is a batch or no tree (see ``solve_tree``); never for a wrong answer.
    """
    check_single("problem", problem)
    return compare_paths(problem, solve_tree(problem.edges, problem.start, problem.goal), proposed)
