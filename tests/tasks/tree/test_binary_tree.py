import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.tasks import BinaryTree, Problem, StarGraph, canonical_problem, check_tree_answer, sample, solve_tree
from tests.tasks.draws import FALSE_ALARM
from tests.tasks.star.naive_star import walks
from tests.tasks.tree.naive_tree import random_tree, tree_leaves

#        4
#    1       6
#  3   0   9   2
TREE = [(6, 2), (4, 1), (1, 0), (6, 9), (4, 6), (1, 3)]
COUNT = 16_000


def pairs_of(edges) -> list[tuple[int, int]]:
    return [(u, v) for u, v in np.asarray(edges).tolist()]


def without(edge, *others):
    return [pair for pair in TREE if pair != edge] + list(others)


@pytest.mark.parametrize(("nodes", "distinct", "edges", "length"), [(3, 7, 6, 14), (5, 31, 30, 62)])
def test_sizes_of_a_family(nodes, distinct, edges, length):
    family = BinaryTree(nodes, 100)
    assert (family.node_count, family.edge_count, family.sequence_length) == (distinct, edges, length)
    assert family.branching_factors == (2,) * (nodes - 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 10), "nodes: must be an integer between 3 and 31, got 2"),
        ((32, 10), "nodes: must be an integer between 3 and 31, got 32"),
        ((3, 6), "labels: must be an integer between 7 and 2147483647, got 6"),
        ((3, 2**31), "labels: must be an integer between 7 and 2147483647, got 2147483648"),
        ((True, 10), "nodes: must be an integer between 3 and 31, got True"),
    ],
)
def test_a_family_out_of_range_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        BinaryTree(*arguments)


def test_a_family_is_a_dictionary_key_and_frozen():
    assert {BinaryTree(3, 7): "here"}[BinaryTree(3, 7)] == "here"
    with pytest.raises(AttributeError):
        BinaryTree(3, 7).labels = 8  # pyright: ignore[reportAttributeAccessIssue]


def test_the_canonical_tree_of_seven_nodes():
    problem = canonical_problem(BinaryTree(3, 10), np.arange(6))
    assert problem.edges.tolist() == [[0, 1], [0, 2], [1, 3], [1, 4], [2, 5], [2, 6]]
    assert (int(problem.start), int(problem.goal), problem.path.tolist()) == (0, 3, [0, 1, 3])
    assert {array.dtype for array in problem} == {np.dtype("int32")}


@pytest.mark.parametrize("nodes", [3, 5])
def test_the_canonical_problem_lists_a_complete_tree_in_the_order_given(nodes):
    family = BinaryTree(nodes, 40)
    order = np.random.default_rng(nodes).permutation(family.edge_count)
    problem = canonical_problem(family, order)
    edges = pairs_of(problem.edges)
    assert edges == [pairs_of(family.canonical_edges)[i] for i in order]
    assert len(tree_leaves(edges, 0)) == 2 ** (nodes - 1)
    assert walks(edges, int(problem.start), int(problem.goal)) == [problem.path.tolist()]


@pytest.mark.parametrize("family", [StarGraph(2, 2, 9), StarGraph(2, 3, 9), StarGraph(3, 2, 9), BinaryTree(3, 9)])
def test_the_automorphisms_of_a_family_by_brute_force(family):
    edges = set(pairs_of(family.canonical_edges))
    renamings = itertools.permutations(range(family.node_count))
    count = sum({(names[u], names[v]) for u, v in edges} == edges for names in renamings)
    assert count == family.num_automorphisms


@pytest.mark.parametrize("family", [StarGraph(2, 5, 20), StarGraph(4, 2, 9), BinaryTree(3, 9), BinaryTree(5, 40)])
def test_branching_factors_count_the_edges_along_the_answer(family):
    tails = [u for u, _ in pairs_of(family.canonical_edges)]
    assert family.branching_factors == tuple(tails.count(node) for node in family.canonical_path[:-1].tolist())


INVALID = [
    (without((1, 3), (3, 3)), 4, 0, "edges: must have no self loop, got (3, 3)"),
    (without((1, 3), (1, 0)), 4, 0, "edges: must have no duplicate edge, got (1, 0)"),
    (without((1, 3), (6, 0)), 4, 0, "edges: node 0 must have one predecessor"),
    ([*TREE, (7, 8), (8, 7)], 4, 0, "edges: must have no cycle, got [8, 7, 8]"),
    ([*TREE, (7, 8)], 4, 0, "edges: every node must be reachable from start 4, got 8"),
    ([*TREE, (7, 8)], 4, 8, "goal: must be reachable from start 4, got 8"),
    (TREE, 1, 0, "start: must be the root of the tree, without predecessor 4, got 1"),
    (TREE, 5, 0, "start: must be in the graph, got 5"),
    (TREE, 4, 8, "goal: must be in the graph, got 8"),
    (TREE, 4, 4, "goal: must differ from start, got 4"),
    (TREE, 4, 6, "goal: must be a leaf"),
    (without((1, 3)), 4, 0, "edges: each node but the leaves must have 2 successors, and node 1 does not, got [0]"),
    ([*TREE, (4, 5)], 4, 0, "edges: each node but the leaves must have 2 successors, and node 4 does not"),
    ([(4, 1), (4, 6), (6, 2), (6, 9)], 4, 2, "edges: must have all leaves at one depth, got {1: 1, 2: 2, 9: 2}"),
    ([(4, 1, 6)], 4, 1, "edges: must be pairs"),
    (TREE, -4, 0, "start: must be an integer at least 0, got -4"),
]


@pytest.mark.parametrize(("edges", "start", "goal", "message"), INVALID)
def test_what_is_not_a_complete_tree_is_refused(edges, start, goal, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        solve_tree(edges, start, goal)


@pytest.mark.parametrize("kind", [list, np.array, jnp.array])
@pytest.mark.parametrize(("goal", "path"), [(3, [4, 1, 3]), (0, [4, 1, 0]), (9, [4, 6, 9]), (2, [4, 6, 2])])
def test_a_tree_is_solved(kind, goal, path):
    assert solve_tree(kind(TREE), 4, goal) == path


@settings(max_examples=15)
@given(st.integers(3, 5), st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_a_tree_is_solved_as_by_brute_force(nodes, spare, seed):
    problem = random_tree(nodes, 2**nodes - 1 + spare, seed)
    edges, start = pairs_of(problem.edges), int(problem.start)
    for goal in sorted(tree_leaves(edges, start))[:3]:
        assert walks(edges, start, goal) == [solve_tree(problem.edges, start, goal)]
    assert solve_tree(problem.edges, problem.start, problem.goal) == problem.path.tolist()


def judged_as_by_definition(edges, start, goal) -> bool:
    if goal in tree_leaves(edges, start):
        assert [solve_tree(edges, start, goal)] == walks(edges, start, goal)
        return True
    with pytest.raises(ValueError, match=r"^(edges|start|goal): "):
        solve_tree(edges, start, goal)
    return False


def test_exactly_the_complete_trees_are_accepted():
    # Every tree on range(7) whose parents are named below their children. The complete ones are the heaps:
    # 7! / (7 * 3 * 3) = 80 with children in order, so 80 / 2^3 as sets of edges. Node 6 is a leaf of each.
    every = itertools.product(*(range(child) for child in range(1, 7)))
    trees = ([(parent, child) for child, parent in enumerate(parents, start=1)] for parents in every)
    assert sum(judged_as_by_definition(edges, 0, 6) for edges in trees) == 10


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=6, max_size=6),
    st.integers(0, 6),
    st.integers(0, 5),
    st.integers(0, 2**32 - 1),
)
def test_any_six_edges_and_trees_with_one_edge_replaced_are_judged_as_by_definition(edges, goal, place, seed):
    for start in range(7):
        judged_as_by_definition(edges, start, goal)
    problem = random_tree(3, 7, seed)
    changed = pairs_of(problem.edges)
    changed[place] = edges[0]
    judged_as_by_definition(changed, int(problem.start), int(problem.goal))


PROBLEM = Problem(np.array(TREE), np.array(4), np.array(9), np.array([4, 6, 9]))


@pytest.mark.parametrize(
    ("proposed", "reason"),
    [
        ([4, 6, 9], ""),
        ([6, 9], "starts at 6, not at the start 4"),
        ([4, 1, 9], "no edge from 1 to 9 at step 2"),
        ([4, 6, 2], "ends at another leaf: 2, not the goal 9"),
        ([4, 6, 9, 0], "too long: 4 nodes, the goal 9 is node 3"),
    ],
)
def test_the_first_wrong_step_of_an_answer(proposed, reason):
    assert check_tree_answer(PROBLEM, proposed) == (reason == "", reason)


def test_an_answer_to_a_batch_or_to_another_graph_is_refused():
    batch = Problem(*(np.stack([part, part]) for part in PROBLEM))
    with pytest.raises(ValueError, match=r"^problem: must be one problem"):
        check_tree_answer(batch, [4, 6, 9])
    with pytest.raises(ValueError, match=r"^edges: each node but the leaves"):
        check_tree_answer(PROBLEM._replace(edges=np.array(without((1, 3)))), [4, 6, 9])


@pytest.fixture(scope="module")
def trees() -> Problem:
    return Problem(*map(np.asarray, sample(BinaryTree(3, 9), jax.random.key(4), COUNT)))


def test_every_sample_is_a_tree_with_its_answer(trees):
    assert {array.dtype for array in trees} == {np.dtype("int32")}
    for i in range(0, COUNT, 200):
        edges, start, goal = pairs_of(trees.edges[i]), int(trees.start[i]), int(trees.goal[i])
        assert goal in tree_leaves(edges, start)
        assert walks(edges, start, goal) == [trees.path[i].tolist()]


def unevenness(values: np.ndarray, cells: int, tests: int) -> float:
    """The largest distance of a share from 1 / cells, over Hoeffding's bound for a false alarm in all tests."""
    shares = np.bincount(values, minlength=cells) / len(values)
    slack = math.sqrt(math.log(2 * cells * tests / FALSE_ALARM) / (2 * len(values)))
    return float(np.abs(shares - 1 / cells).max()) / slack


def test_labels_and_positions_of_a_sample_are_even(trees):
    columns = [*trees.edges.reshape(COUNT, -1).T, trees.start, trees.goal, *trees.path.T]
    for column in columns:
        assert unevenness(column, 9, len(columns)) < 1
    for step in range(2):
        position = np.argmax((trees.edges == trees.path[:, None, step : step + 2]).all(-1), axis=-1)
        assert unevenness(position, 6, 2) < 1
    # The goal is listed before its sibling half of the time.
    position = np.argmax(trees.edges[..., 0] == trees.path[:, 1:2], axis=-1)
    first = np.take_along_axis(trees.edges[..., 1], position[:, None], axis=-1)[:, 0] == trees.goal
    assert unevenness(first.astype(int), 2, 1) < 1
    assert unevenness(np.repeat([0, 1], [7_400, 8_600]), 2, 1) > 1
