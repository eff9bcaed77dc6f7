import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.tasks import Problem, StarGraph, canonical_problem, encode_prompt, relabel, replay_context, targets
from tests.tasks.draws import draw, draw_batch, same
from tests.tasks.star.naive_star import star_leaves, walks

SHAPES = [(2, 2), (2, 3), (3, 2), (3, 4), (5, 5)]
RUNNING_EXAMPLE = Problem(np.array([[3, 7], [6, 0], [7, 2], [3, 6]]), np.array(3), np.array(0), np.array([3, 6, 0]))


@pytest.mark.parametrize(
    ("paths", "nodes", "edges", "distinct", "length"),
    [(2, 2, 2, 3, 6), (2, 3, 4, 5, 10), (5, 5, 20, 21, 42), (2, 10, 18, 19, 38)],
)
def test_sizes_of_a_family(paths, nodes, edges, distinct, length):
    family = StarGraph(paths, nodes, distinct)
    assert (family.edge_count, family.node_count, family.sequence_length) == (edges, distinct, length)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 3, 10), "paths: must be an integer at least 2, got 1"),
        ((2, 1, 10), "nodes: must be an integer at least 2, got 1"),
        ((2, 3, 4), "labels: must be an integer between 5 and 2147483647, got 4"),
        ((2, 3, 2**31), "labels: must be an integer between 5 and 2147483647, got 2147483648"),
        ((True, 3, 10), "paths: must be an integer at least 2, got True"),
    ],
)
def test_a_family_out_of_range_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        StarGraph(*arguments)


def test_a_family_is_a_dictionary_key_and_frozen():
    assert {StarGraph(2, 3, 10): "here"}[StarGraph(2, 3, 10)] == "here"
    with pytest.raises(AttributeError):
        StarGraph(2, 3, 10).labels = 11  # pyright: ignore[reportAttributeAccessIssue]


def test_canonical_edges_run_path_by_path():
    problem = canonical_problem(StarGraph(3, 3, 10), np.arange(6))
    assert problem.edges.tolist() == [[0, 1], [1, 2], [0, 3], [3, 4], [0, 5], [5, 6]]
    assert (int(problem.start), int(problem.goal), problem.path.tolist()) == (0, 2, [0, 1, 2])


@pytest.mark.parametrize(("paths", "nodes"), SHAPES)
def test_the_canonical_problem_lists_the_edges_in_the_order_given(paths, nodes):
    family = StarGraph(paths, nodes, 100)
    order = np.random.default_rng(0).permutation(family.edge_count)
    problem = canonical_problem(family, order)
    edges = [(u, v) for u, v in problem.edges.tolist()]
    assert problem.edges.tolist() == [family.canonical_edges.tolist()[i] for i in order]
    assert star_leaves(edges, 0) == {(p + 1) * (nodes - 1) for p in range(paths)}
    assert walks(edges, int(problem.start), int(problem.goal)) == [problem.path.tolist()]
    assert {array.dtype for array in problem} == {np.dtype("int32")}


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0, 1, 2], r"edge_order: must have shape \(4,\)"),
        ([0, 1, 2, 2], r"edge_order: must be a permutation of range\(4\), got \[0, 1, 2, 2\]"),
        ([1, 2, 3, 4], "edge_order: must be a permutation"),
        ([0, 1, 2, -1], "edge_order: must be a permutation"),
    ],
)
def test_what_is_not_a_permutation_of_the_edges_is_refused(order, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        canonical_problem(StarGraph(2, 3, 10), np.array(order))


def test_the_shape_of_a_traced_order_is_checked():
    with pytest.raises(ValueError, match=r"edge_order: must have shape \(4,\)"):
        jax.vmap(canonical_problem, in_axes=(None, 0))(StarGraph(2, 3, 10), jnp.zeros((7, 3), jnp.int32))


@settings(max_examples=30)
@given(st.sampled_from([(2, 3), (3, 2), (3, 4)]), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_relabel_renames_every_node(shape, spare, seed):
    paths, nodes = shape
    family = StarGraph(paths, nodes, paths * (nodes - 1) + 1 + spare)
    rng = np.random.default_rng(seed)
    problem = canonical_problem(family, rng.permutation(family.edge_count))
    names = rng.permutation(family.labels)[: family.node_count]
    renamed = relabel(problem, names)
    assert renamed.edges.tolist() == [[names[u], names[v]] for u, v in problem.edges.tolist()]
    assert int(renamed.start) == names[0]
    assert int(renamed.goal) == names[nodes - 1]
    assert renamed.path.tolist() == names[:nodes].tolist()
    assert {array.dtype for array in renamed} == {np.dtype("int32")}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3], r"labels: must have shape \(5,\)"),
        ([0, 1, 2, 3, 3], "labels: must be distinct"),
        ([0, 1, 2, 3, -4], r"labels: must be in range\(2147483647\)"),
        ([0, 1, 2, 3, 2**32], r"labels: must be in range\(2147483647\)"),
    ],
)
def test_relabel_refuses_bad_labels(labels, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        relabel(canonical_problem(StarGraph(2, 3, 10), np.arange(4)), np.array(labels))


def test_relabel_refuses_a_problem_that_is_not_canonical():
    with pytest.raises(ValueError, match=r"^problem.edges: must have canonical nodes, in range\(5\), got \[7\]$"):
        relabel(RUNNING_EXAMPLE, np.arange(5))


def test_relabel_of_a_batch_shares_the_labels():
    family = StarGraph(2, 3, 10)
    orders = np.array(list(itertools.permutations(range(4))))[::5]
    batch = jax.vmap(canonical_problem, in_axes=(None, 0))(family, orders)
    names = np.array([9, 3, 5, 0, 1])
    together = relabel(batch, names)
    for i, order in enumerate(orders):
        alone = relabel(canonical_problem(family, order), names)
        assert same(Problem(*(part[i] for part in together)), alone)


@pytest.mark.parametrize(("query", "ends"), [("goal-start", [0, 3]), ("start-goal", [3, 0])])
def test_the_running_example_of_the_paper(query, ends):
    tokens = encode_prompt(RUNNING_EXAMPLE, query)
    assert tokens.tolist() == [3, 7, 6, 0, 7, 2, 3, 6, *ends]
    assert tokens.dtype == jnp.int32
    assert encode_prompt(RUNNING_EXAMPLE).tolist()[-2:] == [0, 3]
    assert [int(y) for y in targets(RUNNING_EXAMPLE)] == [6, 0]
    assert replay_context(tokens, 6).tolist() == [3, 7, 6, 0, 7, 2, 3, 6, ends[0], 6]


@pytest.mark.parametrize("query", ["start", "goal-goal", ""])
def test_another_query_is_refused(query):
    with pytest.raises(ValueError, match=f"^query: must be one of goal-start, start-goal, got '{query}'$"):
        encode_prompt(RUNNING_EXAMPLE, query)


@pytest.mark.parametrize("query", ["goal-start", "start-goal"])
def test_prompts_of_a_batch_can_be_read_back(query):
    batch = draw_batch(StarGraph(3, 3, 12), 6)
    with pytest.raises(ValueError, match=r"^problem: must be one problem \(vmap over a batch\).*got \(3, 1, 1, 2\)$"):
        encode_prompt(batch)
    prompts = jax.jit(jax.vmap(lambda problem: encode_prompt(problem, query)))(batch)
    assert prompts.shape == (6, StarGraph(3, 3, 12).sequence_length)
    for problem, (*flat, first, second) in zip(zip(*batch, strict=True), prompts.tolist(), strict=True):
        start, goal = (second, first) if query == "goal-start" else (first, second)
        edges = list(zip(flat[::2], flat[1::2], strict=True))
        assert edges == [(u, v) for u, v in problem[0].tolist()]
        assert walks(edges, start, goal) == [problem[3].tolist()]


def test_targets_of_a_batch_need_paths_of_three_nodes():
    batch = draw_batch(StarGraph(2, 4, 9), 5)
    y1, y2 = targets(batch)
    assert y1.tolist() == batch.path[:, 1].tolist()
    assert y2.tolist() == batch.path[:, 2].tolist()
    with pytest.raises(ValueError, match=r"^problem.path: two-token targets need paths of at least 3 nodes.*, got 2$"):
        targets(draw(StarGraph(2, 2, 5), 0))


def test_replay_context_maps_over_tokens_and_targets():
    tokens = jnp.arange(12, dtype=jnp.int32).reshape(3, 4)
    replayed = jax.jit(jax.vmap(replay_context))(tokens, jnp.array([50, 60, 70]))
    assert replayed.tolist() == [[0, 1, 2, 50], [4, 5, 6, 60], [8, 9, 10, 70]]
    assert replayed.dtype == jnp.int32
