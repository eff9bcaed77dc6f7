import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
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
    read_sequences,
    solve_tree,
)
from tests.tasks.star.naive_star import random_problem
from tests.tasks.tree.naive_tree import random_tree

STAR = Problem(*(np.array(part, np.int32) for part in ([[3, 7], [6, 0], [7, 2], [3, 6]], 3, 0, [3, 6, 0])))
TREE = Problem(
    *(np.array(part, np.int32) for part in ([[6, 2], [4, 1], [1, 0], [6, 9], [4, 6], [1, 3]], 4, 9, [4, 6, 9]))
)
KINDS = [(style, query) for style in ("text", "pairs") for query in ("start-goal", "goal-start")]
SMALL_STAR, SMALL_TREE = StarGraph(2, 3, 10), BinaryTree(3, 10)


def drawn(family, seed: int) -> Problem:
    if isinstance(family, StarGraph):
        return random_problem(family.paths, family.nodes, family.labels, seed)
    return random_tree(family.nodes, family.labels, seed)


def written(problem: Problem, style: str, query: str) -> list[str]:
    """The words of a problem, by hand: the words of its public line, or pairs."""
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
def test_tokens_by_hand(problem, family, style, query, text):
    format = TokenFormat(family, style, query)
    ids = encode_problem(format, problem)
    symbols = {"|": 10, "=": 11, "/": 12, "$": 13}
    assert ids.tolist() == [symbols[word] if word in symbols else int(word) for word in text.split()]
    assert ids.dtype == np.int32
    assert isinstance(ids, np.ndarray)


@pytest.mark.parametrize(("style", "query"), KINDS)
@pytest.mark.parametrize("family", [StarGraph(2, 2, 5), StarGraph(3, 4, 12), BinaryTree(3, 7), BinaryTree(5, 40)])
def test_the_sizes_of_a_format(family, style, query):
    format = TokenFormat(family, style, query)
    words = written(drawn(family, 0), style, query)
    answer = family.nodes if style == "text" else family.nodes - 1
    assert format.length == len(words)
    assert (format.prompt_length, format.answer_length) == (len(words) - answer, answer)
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
def test_the_tokens_that_need_look_ahead(family, text, pairs):
    assert TokenFormat(family, "text", "start-goal").branching_positions == text
    assert TokenFormat(family, "pairs", "goal-start").branching_positions == pairs


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((SMALL_STAR, "lines", "start-goal"), "style: must be one of text, pairs, got 'lines'"),
        ((SMALL_STAR, "text", "start"), "query: must be one of goal-start, start-goal, got 'start'"),
        (
            (StarGraph(2, 3, 2**31 - 4), "text", "start-goal"),
            "family: must have at most 2147483643 labels, got StarGraph(paths=2, nodes=3, labels=2147483644)",
        ),
    ],
)
def test_a_format_out_of_range_is_refused(arguments, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        TokenFormat(*arguments)


def test_a_format_is_a_dictionary_key_and_frozen():
    format = TokenFormat(SMALL_TREE, "text", "start-goal")
    assert {format: "here"}[TokenFormat(BinaryTree(3, 10), "text", "start-goal")] == "here"
    with pytest.raises(AttributeError):
        format.style = "pairs"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match=r"^text: must be one of"):
        format.symbol("3")


FAMILIES = [StarGraph(2, 2, 3), StarGraph(2, 5, 20), StarGraph(5, 3, 30), BinaryTree(3, 7), BinaryTree(4, 40)]


@given(st.sampled_from(FAMILIES), st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
def test_tokens_are_the_words_and_can_be_read_back(family, kind, seed):
    format, problem = TokenFormat(family, *kind), drawn(family, seed)
    ids = encode_problem(format, problem)
    assert [format.vocabulary[i] for i in ids.tolist()] == written(problem, *kind)
    back = decode_problem(format, ids)
    assert all(np.array_equal(a, b) for a, b in zip(back, problem, strict=True))
    assert {(type(part), part.dtype) for part in back} == {(np.ndarray, np.dtype("int32"))}


@pytest.mark.parametrize(("style", "query"), KINDS)
def test_tokens_of_a_batch_compiled(style, query):
    for family in (SMALL_STAR, BinaryTree(4, 30)):
        format = TokenFormat(family, style, query)
        rows = [drawn(family, seed) for seed in range(6)]
        batch = Problem(*(jnp.asarray(np.stack(parts)) for parts in zip(*rows, strict=True)))
        together = jax.jit(lambda batch, format=format: jax.vmap(lambda one: encode_problem(format, one))(batch))(batch)
        assert together.dtype == jnp.int32
        assert together.tolist() == [encode_problem(format, row).tolist() for row in rows]


def test_problems_of_another_shape_are_refused():
    format = TokenFormat(SMALL_STAR, "text", "start-goal")
    batch = Problem(*(np.stack([part, part]) for part in STAR))
    with pytest.raises(ValueError, match=r"^problem: must be one problem"):
        encode_problem(format, batch)
    with pytest.raises(ValueError, match=r"^problem.edges: must have shape \(4, 2\), got \(6, 2\)$"):
        encode_problem(format, TREE)
    with pytest.raises(ValueError, match=r"^problem.path: must have shape \(3,\), got \(2,\)$"):
        encode_problem(format, STAR._replace(path=np.array([3, 6])))


IDS = [3, 7, 10, 6, 0, 10, 7, 2, 10, 3, 6, 12, 3, 0, 11, 3, 6, 0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({2: 12}, "ids: must hold '|' = 10 at 2, got 12"),
        ({11: 10}, "ids: must hold '/' = 12 at 11, got 10"),
        ({14: 13}, "ids: must hold '=' = 11 at 14, got 13"),
        ({0: 11}, "ids: must hold a label below N = 10 where a node stands, got 11"),
        ({12: 13}, "ids: must hold a label below N = 10 where a node stands, got 13"),
        ({16: -1}, "ids: must hold a label below N = 10 where a node stands, got -1"),
        ({16: 7}, "ids: must end with the answer [3, 6, 0], got [3, 7, 0]"),
        ({15: 6}, "ids: must end with the answer [3, 6, 0], got [6, 6, 0]"),
        ({1: 3}, "edges: must hold no self loop, got (3, 3)"),
        ({13: 6}, "goal: must be a leaf, the last node of its path, got 6"),
        # 4 edges can also be 4 paths of 2 nodes.
        ({3: 3, 6: 3}, "edges: must be 4, with paths of 3 nodes, got (4, 2)"),
    ],
)
def test_a_sequence_that_is_no_problem_is_refused(changed, words):
    format = TokenFormat(SMALL_STAR, "text", "start-goal")
    assert encode_problem(format, decode_problem(format, np.array(IDS))).tolist() == IDS
    ids = [changed.get(place, value) for place, value in enumerate(IDS)]
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
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
    star = random_problem(2, 4, 10, 0)
    tree = TokenFormat(SMALL_TREE, "pairs", "goal-start")
    ids = np.array([*encode_problem(TokenFormat(StarGraph(2, 4, 10), "pairs", "goal-start"), star)[:-1]])
    with pytest.raises(ValueError, match=r"^edges: each node but the leaves must have 2 successors"):
        decode_problem(tree, ids)


def test_trees_are_read_from_public_lines():
    line = "6,2|4,1|1,0|6,9|4,6|1,3/4,9=4,6,9"
    assert format_line(TREE) == line
    read = parse_line(line, labels=10, solver=solve_tree)
    assert all(np.array_equal(a, b) for a, b in zip(read, TREE, strict=True))
    with pytest.raises(ValueError, match=r"^line 1: edges: no node but the start may branch"):
        parse_line(line)


@pytest.mark.parametrize(("style", "query"), KINDS)
@pytest.mark.parametrize("family", [StarGraph(3, 4, 25), BinaryTree(4, 25)])
def test_sequences_of_a_file(tmp_path, family, style, query):
    format = TokenFormat(family, style, query)
    problems = [drawn(family, seed) for seed in range(20)]
    path = tmp_path / "graphs.txt"
    path.write_text("".join(format_line(problem, query) + "\n" for problem in problems))
    sequences = read_sequences(format, path)
    assert (sequences.dtype, sequences.shape) == (np.dtype("int32"), (20, format.length))
    words = [[format.vocabulary[i] for i in row] for row in sequences.tolist()]
    assert words == [written(problem, style, query) for problem in problems]


GOOD = "3,7|6,0|7,2|3,6/3,0=3,6,0"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "line 2: must hold one '=' before the answer; without one the line is truncated, got ''"),
        (GOOD[:-1], "line 2: each label of the answer must be a whole number without sign or leading zero"),
        (GOOD[:-1] + "2", "line 2: the answer must be the path 3,6,0, got '3,6,2'"),
        (GOOD.replace("7", "10"), "line 2: each label must be below N = 10, got '10'"),
        ("3,7|3,6|3,1|3,2/3,2=3,2", "line 2: edges: must be 4, with paths of 3 nodes, got (4, 2)"),
        (
            "3,7|6,0|7,2|3,6|3,1|1,4/3,0=3,6,0",
            "line 2: edges: must be 4, with paths of 3 nodes, got (6, 3)",
        ),
        (format_line(TREE), "line 2: edges: no node but the start may branch, and node 6 does, got [2, 9]"),
        (GOOD.replace("7", "é"), "line 2: each label of an edge must be a whole number"),
    ],
)
def test_a_broken_line_of_a_file_is_named(tmp_path, line, words):
    path = tmp_path / "graphs.txt"
    path.write_text(f"{GOOD}\n{line}\n{GOOD}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        read_sequences(TokenFormat(SMALL_STAR, "text", "start-goal"), path)


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "graphs.txt"
    path.write_text("")
    with pytest.raises(ValueError, match=f"^path: must hold at least one line, got '{re.escape(str(path))}'$"):
        read_sequences(TokenFormat(SMALL_STAR, "text", "start-goal"), path)
