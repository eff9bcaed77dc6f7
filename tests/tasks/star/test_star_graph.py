import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.tasks import Problem, StarGraph, canonical_problem, encode_prompt, relabel, replay_context, targets
from tests.tasks.star.naive_star import random_problem, star_leaves, walks

SHAPES = [(2, 2), (2, 3), (3, 2), (3, 4), (5, 5)]
RUNNING_EXAMPLE = Problem(np.array([[3, 7], [6, 0], [7, 2], [3, 6]]), np.array(3), np.array(0), np.array([3, 6, 0]))


@pytest.mark.parametrize(
    ("paths", "nodes", "edges", "distinct", "length"),
    [(2, 2, 2, 3, 6), (2, 3, 4, 5, 10), (3, 2, 3, 4, 8), (5, 5, 20, 21, 42), (2, 10, 18, 19, 38)],
)
def test_sizes_of_a_family(paths, nodes, edges, distinct, length):
    spec = StarGraph(paths, nodes, 100)
    assert (spec.edge_count, spec.node_count, spec.sequence_length) == (edges, distinct, length)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1, 3, 10), "paths: must be an integer at least 2, got 1"),
        ((0, 3, 10), "paths: must be an integer at least 2, got 0"),
        ((2, 1, 10), "nodes: must be an integer at least 2, got 1"),
        ((2, -3, 10), "nodes: must be an integer at least 2, got -3"),
        ((2, 3, 4), "labels: must be an integer between 5 and 2147483647, got 4"),
        ((5, 5, 20), "labels: must be an integer between 21 and 2147483647, got 20"),
        ((2, 3, 2**31), "labels: must be an integer between 5 and 2147483647, got 2147483648"),
        ((True, 3, 10), "paths: must be an integer at least 2, got True"),
    ],
)
def test_a_family_out_of_range_is_refused(arguments, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        StarGraph(*arguments)


def test_the_smallest_number_of_labels_is_the_number_of_nodes():
    assert StarGraph(2, 3, 5).labels == 5


def test_a_family_is_a_dictionary_key_and_frozen():
    assert {StarGraph(2, 3, 10): "here"}[StarGraph(2, 3, 10)] == "here"
    with pytest.raises(AttributeError):
        StarGraph(2, 3, 10).labels = 11  # pyright: ignore[reportAttributeAccessIssue]


def test_canonical_edges_run_path_by_path():
    problem = canonical_problem(StarGraph(3, 3, 10), np.arange(6))
    assert problem.edges.tolist() == [[0, 1], [1, 2], [0, 3], [3, 4], [0, 5], [5, 6]]
    assert (int(problem.start), int(problem.goal), problem.path.tolist()) == (0, 2, [0, 1, 2])


@pytest.mark.parametrize(("paths", "nodes"), SHAPES)
def test_canonical_lists_the_edges_in_the_order_given(paths, nodes):
    spec = StarGraph(paths, nodes, 100)
    in_order = canonical_problem(spec, np.arange(spec.edge_count)).edges.tolist()
    order = np.random.default_rng(0).permutation(spec.edge_count)
    problem = canonical_problem(spec, order)
    edges = [(u, v) for u, v in problem.edges.tolist()]
    assert problem.edges.tolist() == [in_order[i] for i in order]
    assert star_leaves(edges, 0) == {(p + 1) * (nodes - 1) for p in range(paths)}
    assert walks(edges, int(problem.start), int(problem.goal)) == [problem.path.tolist()]
    assert {array.dtype for array in problem} == {np.dtype("int32")}


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([0, 1, 2], "order: must have shape (4,), got (3,)"),
        ([0, 1, 2, 2], "order: must be a permutation of range(4), got [0, 1, 2, 2]"),
        ([1, 2, 3, 4], "order: must be a permutation of range(4), got [1, 2, 3, 4]"),
        ([0, 1, 2, -1], "order: must be a permutation of range(4), got [0, 1, 2, -1]"),
    ],
)
def test_canonical_refuses_what_is_no_permutation(order, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        canonical_problem(StarGraph(2, 3, 10), np.array(order))


def test_canonical_checks_the_shape_of_a_traced_order():
    with pytest.raises(ValueError, match=r"order: must have shape \(4,\)"):
        jax.vmap(canonical_problem, in_axes=(None, 0))(StarGraph(2, 3, 10), jnp.zeros((7, 3), jnp.int32))


@given(st.sampled_from([(2, 3), (3, 2), (3, 4)]), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_relabel_renames_every_node(shape, spare, seed):
    paths, nodes = shape
    spec = StarGraph(paths, nodes, paths * (nodes - 1) + 1 + spare)
    rng = np.random.default_rng(seed)
    problem = canonical_problem(spec, rng.permutation(spec.edge_count))
    names = rng.permutation(spec.labels)[: spec.node_count]
    renamed = relabel(problem, names)
    assert renamed.edges.tolist() == [[names[u], names[v]] for u, v in problem.edges.tolist()]
    assert int(renamed.start) == names[0]
    assert int(renamed.goal) == names[nodes - 1]
    assert renamed.path.tolist() == names[:nodes].tolist()
    assert {array.dtype for array in renamed} == {np.dtype("int32")}


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 2, 3], "labels: must have shape (5,), got (4,)"),
        ([0, 1, 2, 3, 3], "labels: must be distinct, got [0, 1, 2, 3, 3]"),
        ([0, 1, 2, 3, -4], "labels: must lie in range(2147483647), got [0, 1, 2, 3, -4]"),
        ([0, 1, 2, 3, 2**32], "labels: must lie in range(2147483647), got [0, 1, 2, 3, 4294967296]"),
    ],
)
def test_relabel_refuses_bad_labels(labels, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        relabel(canonical_problem(StarGraph(2, 3, 10), np.arange(4)), np.array(labels))


def test_relabel_refuses_a_problem_that_is_not_canonical():
    words = r"^problem.edges: must hold canonical labels in range\(5\), got \[7\]$"
    with pytest.raises(ValueError, match=words):
        relabel(RUNNING_EXAMPLE, np.arange(5))


def test_relabel_of_a_batch_shares_the_labels():
    spec = StarGraph(2, 3, 10)
    orders = np.array(list(itertools.permutations(range(4))))[::5]
    batch = jax.vmap(canonical_problem, in_axes=(None, 0))(spec, orders)
    names = np.array([9, 3, 5, 0, 1])
    together = relabel(batch, names)
    for i, order in enumerate(orders):
        alone = relabel(canonical_problem(spec, order), names)
        assert all(np.array_equal(a[i], b) for a, b in zip(together, alone, strict=True))


def test_the_running_example_of_the_paper():
    assert encode_prompt(RUNNING_EXAMPLE).tolist() == [3, 7, 6, 0, 7, 2, 3, 6, 0, 3]
    assert encode_prompt(RUNNING_EXAMPLE).dtype == jnp.int32
    assert walks([(3, 7), (6, 0), (7, 2), (3, 6)], 3, 0) == [[3, 6, 0]]
    assert [int(y) for y in targets(RUNNING_EXAMPLE)] == [6, 0]
    assert replay_context(encode_prompt(RUNNING_EXAMPLE), 6).tolist() == [3, 7, 6, 0, 7, 2, 3, 6, 0, 6]


@pytest.mark.parametrize(("query", "ends"), [("goal-start", [0, 3]), ("start-goal", [3, 0])])
def test_encode_writes_the_query_in_both_orders(query, ends):
    assert encode_prompt(RUNNING_EXAMPLE, query).tolist() == [3, 7, 6, 0, 7, 2, 3, 6, *ends]


@given(
    st.integers(2, 4),
    st.integers(2, 4),
    st.integers(0, 20),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["goal-start", "start-goal"]),
)
def test_a_problem_can_be_read_back_from_its_tokens(paths, nodes, spare, seed, query):
    spec = StarGraph(paths, nodes, paths * (nodes - 1) + 1 + spare)
    problem = random_problem(paths, nodes, spec.labels, seed)
    tokens = encode_prompt(problem, query)
    assert tokens.shape == (spec.sequence_length,)
    assert tokens.dtype == jnp.int32
    *flat, first, second = tokens.tolist()
    start, goal = (second, first) if query == "goal-start" else (first, second)
    edges = list(zip(flat[::2], flat[1::2], strict=True))
    assert edges == [(u, v) for u, v in problem.edges.tolist()]
    assert walks(edges, start, goal) == [problem.path.tolist()]


@pytest.mark.parametrize("query", ["start", "goal-goal", ""])
def test_encode_refuses_another_query(query):
    with pytest.raises(ValueError, match=f"^query: must be one of goal-start, start-goal, got '{query}'$"):
        encode_prompt(RUNNING_EXAMPLE, query)


def test_encode_refuses_a_batch_but_maps_over_it():
    rows = [random_problem(3, 3, 12, seed) for seed in range(6)]
    batch = Problem(*(np.stack(parts) for parts in zip(*rows, strict=True)))
    with pytest.raises(ValueError, match=r"^problem: must be one problem \(vmap over a batch\).*got \(3, 1, 1, 2\)$"):
        encode_prompt(batch)
    mapped = jax.jit(jax.vmap(encode_prompt))(batch)
    assert mapped.tolist() == [encode_prompt(row).tolist() for row in rows]


def test_targets_of_a_batch():
    rows = [random_problem(2, 4, 9, seed) for seed in range(5)]
    batch = Problem(*(np.stack(parts) for parts in zip(*rows, strict=True)))
    y1, y2 = targets(batch)
    assert y1.tolist() == [row.path[1] for row in rows]
    assert y2.tolist() == [row.path[2] for row in rows]


def test_targets_need_paths_of_three_nodes():
    words = r"^problem.path: two-token targets need paths of at least 3 nodes .*, got 2$"
    with pytest.raises(ValueError, match=words):
        targets(random_problem(2, 2, 5, 0))


def test_replay_context_maps_over_tokens_and_targets():
    tokens = jnp.arange(12, dtype=jnp.int32).reshape(3, 4)
    replayed = jax.jit(jax.vmap(replay_context))(tokens, jnp.array([50, 60, 70]))
    assert replayed.tolist() == [[0, 1, 2, 50], [4, 5, 6, 60], [8, 9, 10, 70]]
    assert replayed.dtype == jnp.int32
