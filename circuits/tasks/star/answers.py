"""Solve a star problem by following edges, and say where a proposed answer first goes wrong."""

from collections.abc import Sequence

from jaxtyping import Int

from circuits import checks
from circuits.tasks.answers import AnswerCheck, Edges, RootedTree, compare_paths, rooted_tree
from circuits.tasks.problem import Problem, check_single
from circuits.typing import AnyArray, Label

__all__ = ["AnswerCheck", "check_answer", "solve"]


def solve_star(edges: Edges, start: Label, goal: Label) -> list[int]:
    """The path from start to goal, after checking that the edges form a star rooted at ``start``.

    A star: no self loop, no edge twice, one predecessor for every node but the start, no cycle, no branching
    but at the start, every node reached from it, and at least 2 paths, all of one length.

    Raises ValueError naming what breaks the rule: ``edges``, ``start``, or ``goal`` (which must be the last
    node of a path, and not the start).
    """
    star = rooted_tree(edges, start, goal, "star")
    matching = [path for path in _paths(star) if path[-1] == star.goal]
    checks.require(bool(matching), "goal", "must be a leaf, the last node of its path", star.goal)
    return matching[0]


def check_star_answer(problem: Problem, proposed: Sequence[int] | Int[AnyArray, " n"]) -> AnswerCheck:
    """Compare an answer with the path that the edges of one problem dictate, and name its first wrong step.

    The answer has to begin at the start, follow edges that exist (step i goes to ``proposed[i]``), and end at
    the goal, with nothing after it.

    Raises ValueError when the problem is a batch or no star (see ``solve``); never for a wrong answer.
    """
    check_single("problem", problem)
    return compare_paths(problem, solve_star(problem.edges, problem.start, problem.goal), proposed)


def _paths(star: RootedTree) -> list[list[int]]:
    start, out = star.start, star.out
    for node, heads in out.items():
        rule = f"no node but the start may branch, and node {node} does"
        checks.require(node == start or len(heads) == 1, "edges", rule, heads)
    checks.require(len(out[start]) > 1, "edges", "must form at least 2 paths", 1)
    paths = []
    for head in out[start]:
        path = [start, head]
        while path[-1] in out:
            path.append(out[path[-1]][0])
        paths.append(path)
    lengths = [len(path) for path in paths]
    checks.require(len(set(lengths)) == 1, "edges", "must form paths of equal length", lengths)
    return paths
