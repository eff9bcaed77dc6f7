"""Solve a binary-tree problem by climbing from the goal to the root."""

from collections.abc import Sequence

from jaxtyping import Int

from circuits import checks
from circuits.tasks.answers import AnswerCheck, Edges, compare_paths, path_to_root, rooted_tree
from circuits.tasks.problem import Problem, check_single
from circuits.typing import AnyArray, Label


def solve_tree(edges: Edges, start: Label, goal: Label) -> list[int]:
    """Return the path from start to goal, after checking that the edges form a complete binary tree.

    A complete binary tree is a tree (no self loop, no duplicate edge, no cycle, one predecessor for every node but the
    start, every node reachable from the start) whose nodes have 2 successors or none, with all leaves at one depth.

    Args:
        edges: directed edges (u, v), in any order.
        start: the root.
        goal: a leaf.

    Returns:
        The nodes of the path, start and goal included.

    Raises:
        ValueError: if ``edges``, ``start`` or ``goal`` breaks a rule.

    Example:
        >>> solve_tree([(6, 2), (4, 1), (1, 0), (6, 9), (4, 6), (1, 3)], start=4, goal=9)
        [4, 6, 9]
    """
    tree = rooted_tree(edges, start, goal, "tree")
    for node, heads in tree.successors.items():
        rule = f"each node but the leaves must have 2 successors, and node {node} does not"
        checks.require(len(heads) == 2, "edges", rule, heads)
    leaves = [node for node in tree.predecessor if node not in tree.successors]
    depths = {leaf: len(path_to_root(tree.predecessor, leaf)) - 1 for leaf in leaves}
    checks.require(len(set(depths.values())) == 1, "edges", "must have all leaves at one depth", depths)
    checks.require(tree.goal in depths, "goal", "must be a leaf, the last node of its path", tree.goal)
    return path_to_root(tree.predecessor, tree.goal)[::-1]


def check_tree_answer(problem: Problem, proposed: Sequence[int] | Int[AnyArray, " nodes"]) -> AnswerCheck:
    """Compare an answer with the path that the edges of one problem determine, and name its first wrong step.

    Args:
        problem: one tree problem; its ``path`` is not used.
        proposed: the nodes of the answer, start and goal included; see ``check_star_answer``.

    Returns:
        Whether the answer is correct, and the reason if not.

    Raises:
        ValueError: if the problem is a batch or not a tree (see ``solve_tree``); never for a wrong answer.

    Example:
        >>> from circuits.tasks import parse_line
        >>> problem = parse_line("6,2|4,1|1,0|6,9|4,6|1,3/4,9=4,6,9", solver=solve_tree)
        >>> check_tree_answer(problem, [4, 6, 2]).reason
        'ends at another leaf: 2, not the goal 9'
    """
    check_single("problem", problem)
    return compare_paths(problem, solve_tree(problem.edges, problem.start, problem.goal), proposed)
