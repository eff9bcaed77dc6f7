"""Solve a star problem by following its edges, and name the first wrong step of an answer."""

from collections.abc import Sequence

from jaxtyping import Int

from circuits import checks
from circuits.tasks.answers import AnswerCheck, Edges, RootedTree, compare_paths, path_to_root, rooted_tree
from circuits.tasks.problem import Problem, check_single
from circuits.typing import AnyArray, Label


def solve_star(edges: Edges, start: Label, goal: Label) -> list[int]:
    """Return the path from start to goal, after checking that the edges form a star with its center at ``start``.

    A star is a tree (no self loop, no duplicate edge, no cycle, one predecessor for every node but the start, every
    node reachable from the start) that branches only at the start, into at least 2 paths of equal length.

    Args:
        edges: directed edges (u, v), in any order.
        start: the center of the star.
        goal: the last node of one of its paths.

    Returns:
        The nodes of the path, start and goal included.

    Raises:
        ValueError: if ``edges``, ``start`` or ``goal`` breaks a rule.

    Example:
        >>> solve_star([(3, 7), (6, 0), (7, 2), (3, 6)], start=3, goal=0)
        [3, 6, 0]
    """
    star = rooted_tree(edges, start, goal, "star")
    _check_star(star)
    checks.require(star.goal not in star.successors, "goal", "must be a leaf, the last node of its path", star.goal)
    return path_to_root(star.predecessor, star.goal)[::-1]


def check_star_answer(problem: Problem, proposed: Sequence[int] | Int[AnyArray, " nodes"]) -> AnswerCheck:
    """Compare an answer with the path that the edges of one problem determine, and name its first wrong step.

    A correct answer begins at the start, follows edges (step i leads to ``proposed[i]``), and ends at the goal, with
    nothing after it. ``problem.path`` is not used.

    Args:
        problem: one star problem.
        proposed: the nodes of the answer, start and goal included.

    Returns:
        Whether the answer is correct, and the reason if not.

    Raises:
        ValueError: if the problem is a batch or not a star (see ``solve_star``); never for a wrong answer.

    Example:
        >>> from circuits.tasks import parse_line
        >>> check_star_answer(parse_line("3,7|6,0|7,2|3,6/3,0=3,6,0"), [3, 7, 0])
        AnswerCheck(correct=False, reason='no edge from 7 to 0 at step 2')
    """
    check_single("problem", problem)
    return compare_paths(problem, solve_star(problem.edges, problem.start, problem.goal), proposed)


def _check_star(star: RootedTree) -> None:
    for node, heads in star.successors.items():
        rule = f"only the start may branch, and node {node} does"
        checks.require(node == star.start or len(heads) == 1, "edges", rule, heads)
    heads = star.successors[star.start]
    checks.require(len(heads) > 1, "edges", "must form at least 2 paths", len(heads))
    leaves = [node for node in star.predecessor if node not in star.successors]
    lengths = [len(path_to_root(star.predecessor, leaf)) for leaf in leaves]
    checks.require(len(set(lengths)) == 1, "edges", "must form paths of equal length", lengths)
