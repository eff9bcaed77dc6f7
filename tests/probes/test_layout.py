"""Where things stand in a problem, against a reading of its words from left to right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.probes.layout import ROLES, Layout, aligned_names, problem_layout, query_position, start_goal_positions
from circuits.probes.positions import position_of
from circuits.tasks import BinaryTree, StarGraph, TokenFormat, decode_problem, encode_problem
from circuits.tasks.problem import Problem
from tests.cases import assert_close
from tests.probes.naive_layout import Naive, naive_layout
from tests.probes.planted import PAIRS, rows

FORMATS = {
    "star pairs": TokenFormat(StarGraph(2, 4, 9), "pairs", "goal-start"),
    "star pairs, goal last": TokenFormat(StarGraph(2, 3, 7), "pairs", "start-goal"),
    "star text": TokenFormat(StarGraph(3, 3, 9), "text", "start-goal"),
    "star text, start last": TokenFormat(StarGraph(2, 3, 6), "text", "goal-start"),
    "tree pairs": TokenFormat(BinaryTree(3, 8), "pairs", "goal-start"),
    "tree text": TokenFormat(BinaryTree(4, 17), "text", "start-goal"),
}
CASES = [(name, token) for name in FORMATS for token in (0, FORMATS[name].answer_length - 1)]
COUNT = 12


def layouts(format: TokenFormat, ids: np.ndarray, query: int) -> Layout:
    """The layouts of a batch."""
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda row: problem_layout(row, format, query)))(ids))


def one(batch: Layout, number: int) -> Layout:
    return jax.tree.map(lambda part: part[number], batch)


def as_layout(naive: Naive) -> Layout:
    fields = naive._asdict() | {"roles": [ROLES.index(role) for role in naive.roles]}
    return Layout(*(np.asarray(fields[name], np.int32) for name in Layout._fields))


@pytest.mark.parametrize(("name", "token"), CASES)
def test_layouts_are_what_a_reader_finds(name, token):
    format = FORMATS[name]
    query = query_position(format, token)
    ids = rows(format, COUNT, seed=token)
    batch, names = layouts(format, ids, query), set()
    for i, row in enumerate(ids.tolist()):
        ours, naive = one(batch, i), naive_layout(format, row, query)
        assert_close(ours, as_layout(naive), atol=0)
        assert all(part.dtype == np.int32 for part in ours)
        assert sorted(ours.order.tolist()) == list(range(query + 1))
        path = decode_problem(format, np.asarray(row)).path.tolist()
        assert [row[t] for t in ours.children] == path[1:]
        assert [row[t] for t in ours.parents] == path[:-1]
        assert (row[ours.start], row[ours.goal]) == (path[0], path[-1])
        texts, roles = aligned_names(ours)
        assert roles == tuple(naive.roles[t] for t in naive.order)
        assert texts == tuple(text(naive, t) for t in naive.order)
        names.add((texts, roles))
    assert len({tuple(row) for row in batch.order.tolist()}) > 1
    assert len(names) == 1


def text(naive: Naive, position: int) -> str:
    """The name of what stands at a position."""
    node, role = naive.tokens[position], naive.roles[position]
    if role == "symbol":
        return "·"
    if node in naive.path:
        number = naive.path.index(node)
        return "s" if number == 0 else "g" if number == len(naive.path) - 1 else f"n{number}"
    return f"x{naive.depths[position]}"


def test_names_by_hand():
    """The paper's problem 3 7 | 6 0 | 7 2 | 3 6, from 3 to 0."""
    ids = jnp.asarray([3, 7, 6, 0, 7, 2, 3, 6, 0, 3, 6, 0], jnp.int32)
    layout = problem_layout(ids, PAIRS, 9)
    assert aligned_names(layout)[0] == ("s", "n1", "n1", "g", "s", "x1", "x1", "x2", "g", "s")
    assert layout.order.tolist() == [6, 7, 2, 3, 0, 1, 4, 5, 8, 9]
    assert (layout.parents.tolist(), layout.children.tolist()) == ([6, 2], [7, 3])
    assert layout.depths.tolist() == [0, 1, 1, 2, 1, 2, 0, 1, 2, 0]
    spoken = [ROLES[role] for role in layout.roles.tolist()]
    listed = ["start", "distractor", "path", "goal", "distractor", "distractor", "start", "path"]
    assert spoken == [*listed, "goal", "start"]
    named = ("query", "goal in query", "start in query", "edge 0 parent", "edge 1 child", 0)
    assert [int(position_of(layout, name)) for name in named] == [9, 8, 9, 6, 3, 6]


def test_names_tell_an_edge_that_leaves_the_path_from_one_that_does_not():
    """Three levels down a tree, both stand off the path: their order has to be the same in every problem."""
    format = TokenFormat(BinaryTree(4, 15), "pairs", "goal-start")
    batch = layouts(format, rows(format, 100), format.prompt_length - 1)
    names = {aligned_names(one(batch, i)) for i in range(100)}
    assert len(names) == 1
    texts = names.pop()[0]
    pairs = [" ".join(texts[t : t + 2]) for t in range(0, 28, 2)]
    assert pairs == ["s n1", "n1 n2", "n2 g", "s x1", "n1 x2", *["x1 x2"] * 2, "n2 x3", *["x2 x3"] * 6]


@pytest.mark.parametrize("name", ["star text", "tree pairs"])
def test_other_names_of_nodes_move_nothing(name):
    format = FORMATS[name]
    query, rng = query_position(format), np.random.default_rng(3)
    ids = rows(format, COUNT)
    renamed = []
    for row in ids:
        names = rng.permutation(format.family.labels).astype(np.int32)
        renamed.append(encode_problem(format, Problem(*(names[part] for part in decode_problem(format, row)))))
    ours, theirs = layouts(format, ids, query), layouts(format, np.stack(renamed), query)
    assert np.any(ours.tokens != theirs.tokens)
    assert_close(theirs._replace(tokens=ours.tokens), ours, atol=0)


@pytest.mark.parametrize(
    ("style", "query", "start", "goal"), [("pairs", "goal-start", 9, 8), ("text", "start-goal", 12, 13)]
)
def test_start_and_goal_stand_in_the_query(style, query, start, goal):
    assert start_goal_positions(TokenFormat(StarGraph(2, 3, 10), style, query)) == (start, goal)


@pytest.mark.parametrize(
    ("format", "token", "position"),
    [
        (PAIRS, None, 9),  # the last of the prompt predicts the first node after the start
        (PAIRS, 1, 10),
        (TokenFormat(StarGraph(2, 3, 10), "text", "start-goal"), None, 15),  # after the prompt comes the start
        (TokenFormat(StarGraph(2, 3, 10), "text", "start-goal"), 0, 14),
        (TokenFormat(StarGraph(2, 2, 5), "pairs", "goal-start"), 0, 5),
    ],
)
def test_the_query_position_predicts_the_token(format, token, position):
    assert query_position(format, token) == position


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: query_position(PAIRS, 2), "token: must be an integer between 0 and 1"),
        (lambda: query_position(PAIRS, -1), "token: must be an integer between 0 and 1"),
        (lambda: query_position(TokenFormat(StarGraph(2, 2, 5), "pairs", "goal-start")), "token: must be given"),
        (lambda: problem_layout(np.zeros(11, np.int32), PAIRS, 9), r"tokens: must have shape \(12,\)"),
        (lambda: problem_layout(np.zeros(12, np.int32), PAIRS, 8), "query: must be an integer between 9 and 10"),
        (lambda: problem_layout(np.zeros(12, np.int32), PAIRS, 11), "query: must be an integer between 9 and 10"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
    layout = one(layouts(PAIRS, rows(PAIRS, 1), 9), 0)
    with pytest.raises(ValueError, match=r"^position: must be one of query, goal in query"):
        position_of(layout, "end")
    with pytest.raises(ValueError, match=r"^position: must be an integer between 0 and 9"):
        position_of(layout, 10)
