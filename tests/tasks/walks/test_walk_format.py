import re

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.tasks import (
    WalkFormat,
    decode_walk,
    encode_walk,
    format_walk,
    graph_from_edges,
    parse_walk,
    random_dag,
    read_walks,
    write_walks,
)
from circuits.tasks.walks.format import walk_format

FORM = WalkFormat(12, 4)


@st.composite
def walks(draw) -> tuple[WalkFormat, list[int]]:
    nodes = draw(st.integers(2, 120))
    path = draw(st.lists(st.integers(0, nodes - 1), min_size=2, max_size=9))
    return WalkFormat(nodes, len(path) + draw(st.integers(0, 3))), path


def test_sizes_by_hand():
    assert (FORM.end_token, FORM.pad_token, FORM.vocab_size) == (12, 13, 14)
    assert (FORM.prompt_length, FORM.answer_length, FORM.length) == (2, 5, 7)
    assert FORM.vocabulary == (*(str(label) for label in range(12)), "<end>", "<pad>")
    assert hash(FORM) == hash(WalkFormat(12, 4))


@pytest.mark.parametrize(
    ("path", "ids", "text"),
    [
        ([3, 11], [3, 11, 3, 11, 12, 13, 13], "3 11 3 11"),
        ([0, 5, 10], [0, 10, 0, 5, 10, 12, 13], "0 10 0 5 10"),
        ([9, 2, 7, 1], [9, 1, 9, 2, 7, 1, 12], "9 1 9 2 7 1"),
    ],
)
def test_lines_by_hand(path, ids, text):
    assert encode_walk(FORM, path).tolist() == ids
    assert encode_walk(FORM, np.asarray(path)).dtype == np.int32
    assert format_walk(path) == text
    for kind in (list, np.array, jnp.array):
        assert decode_walk(FORM, kind(ids)) == path
    for end in ("", "\n", "\r\n"):
        assert parse_walk(FORM, text + end) == path


@given(walks())
def test_a_walk_is_read_back(made):
    form, path = made
    ids = encode_walk(form, path)
    assert ids.shape == (form.length,)
    assert decode_walk(form, ids) == path
    assert parse_walk(form, format_walk(path)) == path
    words = [form.vocabulary[i] for i in ids.tolist()]
    assert " ".join(words[: words.index("<end>")]) == format_walk(path)
    assert set(words[words.index("<end>") + 1 :]) <= {"<pad>"}


def test_a_file_is_read_back(tmp_path):
    rng = np.random.default_rng(5)
    rows = np.stack([encode_walk(FORM, rng.integers(12, size=size)) for size in (2, 3, 4, 4, 3)])
    write_walks(FORM, tmp_path / "walks.txt", rows)
    lines = (tmp_path / "walks.txt").read_text().split("\n")
    assert lines == [*(format_walk(decode_walk(FORM, row)) for row in rows), ""]
    again = read_walks(FORM, str(tmp_path / "walks.txt"))
    assert again.dtype == np.int32
    np.testing.assert_array_equal(again, rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be labels without sign or leading zero, with single blanks between them, got ''"),
        (" 1 2 1 2", "with single blanks between them, got ' 1 2 1 2'"),
        ("1 2 1 2 ", "got '1 2 1 2 '"),
        ("1 2  1 2", "got '1 2  1 2'"),
        ("1\t2 1 2", "got '1\\t2 1 2'"),
        ("1 2 1 2\n\n", "got '1 2 1 2\\n'"),
        ("1 2 1 -2", "got '1 2 1 -2'"),
        ("1 2 1 02", "got '1 2 1 02'"),
        ("1 2 1 two", "got '1 2 1 two'"),
        ("1 2 1 ٢", "got '1 2 1 ٢'"),
        ("1 2 1 99999999999", "got '1 2 1 99999999999'"),
        ("1 2 1", "must have between 2 and longest = 4 nodes in its walk, got 1"),
        ("1 2", "must have between 2 and longest = 4 nodes in its walk, got 0"),
        ("1", "must have between 2 and longest = 4 nodes in its walk, got 0"),
        ("1 2 1 3 4 5 2", "must have between 2 and longest = 4 nodes in its walk, got 5"),
        ("1 12 1 12", "each node must be below N = 12, got [12]"),
        ("1 2 3 2", "must begin with the ends [3, 2] of its walk, got [1, 2]"),
        ("2 1 1 2", "must begin with the ends [1, 2] of its walk, got [2, 1]"),
    ],
)
def test_a_malformed_line_is_refused_by_number(tmp_path, text, words):
    with pytest.raises(ValueError, match=f"^line 7: .*{re.escape(words)}$"):
        parse_walk(FORM, text, 7)
    path = tmp_path / "walks.txt"
    path.write_bytes(b"1 2 1 2\n" * 3 + text.replace("\n", "").encode() + b"\n1 2 1 2\n")
    if "\n" not in text:
        with pytest.raises(ValueError, match=r"^line 4: "):
            read_walks(FORM, path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "walks.txt").write_text("")
    with pytest.raises(ValueError, match=r"^path: must hold at least one line, got '.*walks.txt'$"):
        read_walks(FORM, tmp_path / "walks.txt")


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([1, 2, 1, 2, 12, 13], "ids: must have shape (7,), got (6,)"),
        ([1, 2, 1, 2, 13, 13, 13], "ids: must hold the end token 12, got [1, 2, 1, 2, 13, 13, 13]"),
        ([1, 2, 1, 2, 12, 12, 13], "ids: must hold padding 13 after the end, got [12]"),
        ([1, 2, 1, 2, 12, 13, 0], "ids: must hold padding 13 after the end, got [0]"),
        ([1, 1, 1, 12, 13, 13, 13], "ids: must have between 2 and longest = 4 nodes in its walk, got 1"),
        ([1, 2, 1, 13, 2, 12, 13], "ids: each node must be below N = 12, got [13]"),
        ([1, 2, 1, -1, 2, 12, 13], "ids: each node must be below N = 12, got [-1]"),
        ([1, 3, 1, 2, 12, 13, 13], "ids: must begin with the ends [1, 2] of its walk, got [1, 3]"),
        ([12, 3, 1, 2, 12, 13, 13], "ids: must begin with the ends [1, 2] of its walk, got [12, 3]"),
    ],
)
def test_ids_that_are_no_walk(tmp_path, ids, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        decode_walk(FORM, ids)
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        write_walks(FORM, tmp_path / "walks.txt", np.asarray([ids]))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ([], "path: must have between 2 and longest = 4 nodes in its walk, got 0"),
        ([1], "path: must have between 2 and longest = 4 nodes in its walk, got 1"),
        ([1, 2, 3, 4, 5], "path: must have between 2 and longest = 4 nodes in its walk, got 5"),
        ([1, 12], "path: each node must be below N = 12, got [12]"),
        ([-1, 2], "path: each node must be below N = 12, got [-1]"),
    ],
)
def test_a_path_that_does_not_fit(path, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        encode_walk(FORM, path)
    if len(path) < 2:
        with pytest.raises(ValueError, match=r"^path: must have at least 2 nodes, got"):
            format_walk(path)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((0, 1), "nodes: must be an integer between 1 and 2147483645, got 0"),
        ((2**31 - 2, 1), "nodes: must be an integer between 1 and 2147483645, got 2147483646"),
        ((3, 0), "longest: must be an integer at least 1, got 0"),
    ],
)
def test_a_format_out_of_range(sizes, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        WalkFormat(*sizes)


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_the_format_of_a_dag_holds_its_longest_path(nodes, probability, seed):
    graph = random_dag(nodes, probability, seed)
    # Nodes are in topological order here, so the longest path that ends at each node is known before it is used.
    best = [1] * nodes
    for v in range(nodes):
        best[v] = max([best[u] + 1 for u in range(v) if graph.has_edge(u, v)], default=1)
    assert walk_format(graph) == WalkFormat(nodes, max(best))


def test_weights_do_not_make_a_path_longer():
    graph = graph_from_edges(4, [(0, 1), (1, 2), (0, 3)])
    graph[0][3]["weight"] = 100.0
    assert walk_format(graph).longest == 3


def test_a_graph_with_a_cycle_has_no_such_format():
    with pytest.raises(ValueError, match=r"^graph: must have no cycle, got \[0, 1, 0\]$"):
        walk_format(graph_from_edges(2, [(0, 1), (1, 0)]))
