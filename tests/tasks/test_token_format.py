import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.tasks import (
    BinaryTree,
    Problem,
    StarGraph,
    TokenFormat,
    decode_problem,
    encode_problem,
    format_line,
    parse_line,
    solve,
    solve_tree,
)
from tests.tasks.draws import draw, draw_batch, same

STAR = Problem(*(np.array(part, np.int32) for part in ([[3, 7], [6, 0], [7, 2], [3, 6]], 3, 0, [3, 6, 0])))
TREE = Problem(
    *(np.array(part, np.int32) for part in ([[6, 2], [4, 1], [1, 0], [6, 9], [4, 6], [1, 3]], 4, 9, [4, 6, 9]))
)
KINDS = [(style, query) for style in ("text", "pairs") for query in ("start-goal", "goal-start")]
SMALL_STAR, SMALL_TREE = StarGraph(2, 3, 10), BinaryTree(3, 10)


def words_by_hand(problem: Problem, style: str, query: str) -> list[str]:
    ends = [int(problem.start), int(problem.goal)]
    ends = ends if query == "start-goal" else ends[::-1]
    edges, path = problem.edges.tolist(), problem.path.tolist()
    if style == "pairs":
        return [str(node) for node in (*itertools.chain(*edges), *ends, *path[1:])]
    listed = " | ".join(f"{u} {v}" for u, v in edges)
    return f"{listed} / {ends[0]} {ends[1]} = {' '.join(map(str, path))}".split()


@pytest.mark.parametrize(
    ("problem", "family", "style", "query", "text"),
    [
        (STAR, SMALL_STAR, "text", "start-goal", "3 7 | 6 0 | 7 2 | 3 6 / 3 0 = 3 6 0"),
        (STAR, SMALL_STAR, "text", "goal-start", "3 7 | 6 0 | 7 2 | 3 6 / 0 3 = 3 6 0"),
        (STAR, SMALL_STAR, "pairs", "goal-start", "3 7 6 0 7 2 3 6 0 3 6 0"),
        (STAR, SMALL_STAR, "pairs", "start-goal", "3 7 6 0 7 2 3 6 3 0 6 0"),
        (TREE, SMALL_TREE, "text", "start-goal", "6 2 | 4 1 | 1 0 | 6 9 | 4 6 | 1 3 / 4 9 = 4 6 9"),
        (TREE, SMALL_TREE, "pairs", "goal-start", "6 2 4 1 1 0 6 9 4 6 1 3 9 4 6 9"),
    ],
)
def test_ids_by_hand(problem, family, style, query, text):
    ids = encode_problem(TokenFormat(family, style, query), problem)
    symbols = {"|": 10, "=": 11, "/": 12, "$": 13}
    assert ids.tolist() == [symbols[word] if word in symbols else int(word) for word in text.split()]
    assert ids.dtype == np.int32
    assert isinstance(ids, np.ndarray)


@pytest.mark.parametrize(("style", "query"), KINDS)
@pytest.mark.parametrize("family", [StarGraph(2, 2, 5), StarGraph(3, 4, 12), BinaryTree(3, 7), BinaryTree(5, 40)])
def test_the_sizes_of_a_format(family, style, query):
    format = TokenFormat(family, style, query)
    words = words_by_hand(draw(family, 0), style, query)
    answer = family.nodes if style == "text" else family.nodes - 1
    assert format.length == len(words)
    assert (format.prompt_length, format.answer_length) == (len(words) - answer, answer)
    assert format.path_offset == family.nodes - answer
    if style == "text":
        assert words[format.prompt_length - 1] == "="
    assert format.vocabulary == (*(str(label) for label in range(family.labels)), "|", "=", "/", "$")
    assert format.vocab_size == len(format.vocabulary) == family.labels + 4
    assert format.vocabulary[format.dummy_token] == "$"


@pytest.mark.parametrize(
    ("family", "text", "pairs"),
    [
        (StarGraph(2, 2, 9), (), ()),
        (StarGraph(2, 3, 9), (1,), (0,)),
        (StarGraph(5, 5, 100), (1,), (0,)),
        (BinaryTree(3, 9), (1,), (0,)),
        (BinaryTree(5, 40), (1, 2, 3), (0, 1, 2)),
    ],
)
def test_the_branching_tokens(family, text, pairs):
    assert TokenFormat(family, "text", "start-goal").branching_positions == text
    assert TokenFormat(family, "pairs", "goal-start").branching_positions == pairs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SMALL_STAR, "lines", "start-goal"), "style: must be one of text, pairs, got 'lines'"),
        ((SMALL_STAR, "text", "start"), "query: must be one of goal-start, start-goal, got 'start'"),
        ((StarGraph(2, 3, 2**31 - 4), "text", "start-goal"), "family: must have at most 2147483643 labels, got"),
    ],
)
def test_a_format_out_of_range_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        TokenFormat(*arguments)


def test_a_format_is_a_dictionary_key_and_frozen():
    format = TokenFormat(SMALL_TREE, "text", "start-goal")
    assert {format: "here"}[TokenFormat(BinaryTree(3, 10), "text", "start-goal")] == "here"
    with pytest.raises(AttributeError):
        format.style = "pairs"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match=r"^symbol: must be one of"):
        format.symbol_id("3")


FAMILIES = [StarGraph(2, 2, 3), StarGraph(2, 5, 20), StarGraph(5, 3, 30), BinaryTree(3, 7), BinaryTree(4, 40)]


@settings(max_examples=50)
@given(st.sampled_from(FAMILIES), st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
def test_ids_are_the_words_and_can_be_read_back(family, kind, seed):
    format, problem = TokenFormat(family, *kind), draw(family, seed)
    ids = encode_problem(format, problem)
    assert [format.vocabulary[i] for i in ids.tolist()] == words_by_hand(problem, *kind)
    back = decode_problem(format, ids)
    assert same(back, problem)
    assert {(type(part), part.dtype) for part in back} == {(np.ndarray, np.dtype("int32"))}


@pytest.mark.parametrize(
    ("family", "kind"), [(SMALL_STAR, KINDS[0]), (SMALL_STAR, KINDS[3]), (BinaryTree(4, 30), KINDS[1])]
)
def test_ids_of_a_batch_compiled(family, kind):
    format, batch = TokenFormat(family, *kind), draw_batch(family, 6)
    together = jax.jit(jax.vmap(lambda one: encode_problem(format, one)))(Problem(*map(jnp.asarray, batch)))
    assert together.dtype == jnp.int32
    assert together.tolist() == [encode_problem(format, Problem(*row)).tolist() for row in zip(*batch, strict=True)]


def test_problems_of_another_shape_are_refused():
    format = TokenFormat(SMALL_STAR, "text", "start-goal")
    with pytest.raises(ValueError, match=r"^problem: must be one problem"):
        encode_problem(format, Problem(*(np.stack([part, part]) for part in STAR)))
    with pytest.raises(ValueError, match=r"^problem.edges: must have shape \(4, 2\), got \(6, 2\)$"):
        encode_problem(format, TREE)
    with pytest.raises(ValueError, match=r"^problem.path: must have shape \(3,\), got \(2,\)$"):
        encode_problem(format, STAR._replace(path=np.array([3, 6])))


IDS = [3, 7, 10, 6, 0, 10, 7, 2, 10, 3, 6, 12, 3, 0, 11, 3, 6, 0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({2: 12}, "ids: must have '|' = 10 at position 2, got 12"),
        ({11: 10}, "ids: must have '/' = 12 at position 11, got 10"),
        ({14: 13}, "ids: must have '=' = 11 at position 14, got 13"),
        ({0: 11}, "ids: nodes must be labels below N = 10, got 11"),
        ({12: 13}, "ids: nodes must be labels below N = 10, got 13"),
        ({16: -1}, "ids: nodes must be labels below N = 10, got -1"),
        ({16: 7}, "ids: must end with the answer [3, 6, 0], got [3, 7, 0]"),
        ({15: 6}, "ids: must end with the answer [3, 6, 0], got [6, 6, 0]"),
        ({1: 3}, "edges: must have no self loop, got (3, 3)"),
        ({13: 6}, "goal: must be a leaf"),
        # 4 edges can also be 4 paths of 2 nodes.
        ({3: 3, 6: 3}, "edges: must be 4, with paths of 3 nodes, got (4, 2)"),
    ],
)
def test_a_sequence_that_is_not_a_problem_is_refused(changed, message):
    format = TokenFormat(SMALL_STAR, "text", "start-goal")
    assert encode_problem(format, decode_problem(format, np.array(IDS))).tolist() == IDS
    ids = [changed.get(position, value) for position, value in enumerate(IDS)]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        decode_problem(format, np.array(ids))


def test_a_sequence_of_another_length_or_family_is_refused():
    format = TokenFormat(SMALL_STAR, "pairs", "goal-start")
    with pytest.raises(ValueError, match=r"^ids: must have shape \(12,\), got \(11,\)$"):
        decode_problem(format, np.arange(11))
    ids = encode_problem(format, STAR)
    with pytest.raises(ValueError, match=r"^ids: must end with the answer \[6, 0\], got \[6, 2\]$"):
        decode_problem(format, np.array([*ids[:-1], 2]))
    with pytest.raises(ValueError, match=r"^start: must be the root of the star"):
        decode_problem(TokenFormat(SMALL_STAR, "pairs", "start-goal"), ids)
    # A star of 2 paths of 4 nodes has the 6 edges of a tree of 7 nodes.
    star = StarGraph(2, 4, 10)
    ids = encode_problem(TokenFormat(star, "pairs", "goal-start"), draw(star, 0))[:-1]
    with pytest.raises(ValueError, match=r"^edges: each node but the leaves must have 2 successors"):
        decode_problem(TokenFormat(SMALL_TREE, "pairs", "goal-start"), ids)


def test_trees_are_read_from_public_lines():
    line = "6,2|4,1|1,0|6,9|4,6|1,3/4,9=4,6,9"
    assert format_line(TREE) == line
    assert same(parse_line(line, labels=10, solver=solve_tree), TREE)
    assert solve(SMALL_TREE, TREE.edges, TREE.start, TREE.goal) == [4, 6, 9]
    with pytest.raises(ValueError, match=r"^line 1: edges: only the start may branch"):
        parse_line(line)
