import re

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
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

FORMAT = WalkFormat(12, 4)


@st.composite
def walks(draw) -> tuple[WalkFormat, list[int]]:
    nodes = draw(st.integers(2, 120))
    path = draw(st.lists(st.integers(0, nodes - 1), min_size=2, max_size=9))
    return WalkFormat(nodes, len(path) + draw(st.integers(0, 3))), path


def test_sizes_by_hand():
    assert (FORMAT.end_token, FORMAT.pad_token, FORMAT.vocab_size) == (12, 13, 14)
    assert (FORMAT.prompt_length, FORMAT.answer_length, FORMAT.length) == (2, 5, 7)
    assert FORMAT.vocabulary == (*(str(label) for label in range(12)), "<end>", "<pad>")
    assert hash(FORMAT) == hash(WalkFormat(12, 4))


@pytest.mark.parametrize(
    ("path", "ids", "text"),
    [
        ([3, 11], [3, 11, 3, 11, 12, 13, 13], "3 11 3 11"),
        ([0, 5, 10], [0, 10, 0, 5, 10, 12, 13], "0 10 0 5 10"),
        ([9, 2, 7, 1], [9, 1, 9, 2, 7, 1, 12], "9 1 9 2 7 1"),
    ],
)
def test_lines_by_hand(path, ids, text):
    assert encode_walk(FORMAT, path).tolist() == ids
    assert encode_walk(FORMAT, np.asarray(path)).dtype == np.int32
    assert format_walk(path) == text
    for kind in (list, np.array, jnp.array):
        assert decode_walk(FORMAT, kind(ids)) == path
    for end in ("", "\n", "\r\n"):
        assert parse_walk(FORMAT, text + end) == path


@settings(max_examples=50)
@given(walks())
def test_a_walk_is_read_back(made):
    format, path = made
    ids = encode_walk(format, path)
    assert ids.shape == (format.length,)
    assert decode_walk(format, ids) == path
    assert parse_walk(format, format_walk(path)) == path
    words = [format.vocabulary[i] for i in ids.tolist()]
    assert " ".join(words[: words.index("<end>")]) == format_walk(path)
    assert set(words[words.index("<end>") + 1 :]) <= {"<pad>"}


def test_a_file_is_read_back(tmp_path):
    rng = np.random.default_rng(5)
    rows = np.stack([encode_walk(FORMAT, rng.integers(12, size=size)) for size in (2, 3, 4, 4, 3)])
    write_walks(FORMAT, tmp_path / "walks.txt", rows)
    lines = (tmp_path / "walks.txt").read_text().split("\n")
    assert lines == [*(format_walk(decode_walk(FORMAT, row)) for row in rows), ""]
    again = read_walks(FORMAT, str(tmp_path / "walks.txt"))
    assert again.dtype == np.int32
    np.testing.assert_array_equal(again, rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be labels .*, got ''"),
        (" 1 2 1 2", "got ' 1 2 1 2'"),
        ("1 2 1 2 ", "got '1 2 1 2 '"),
        ("1 2  1 2", "got '1 2  1 2'"),
        ("1\t2 1 2", "got '1\\t2 1 2'"),
        ("1 2 1 2\n\n", "got '1 2 1 2\\n'"),
        ("1 2 1 -2", "got '1 2 1 -2'"),
        ("1 2 1 02", "got '1 2 1 02'"),
        ("1 2 1 two", "got '1 2 1 two'"),
        ("1 2 1 ٢", "got '1 2 1 ٢'"),
        ("1 2 1 99999999999", "got '1 2 1 99999999999'"),
        ("1 2 1", "a walk must have 2 to longest = 4 nodes, got 1"),
        ("1 2", "a walk must have 2 to longest = 4 nodes, got 0"),
        ("1", "a walk must have 2 to longest = 4 nodes, got 0"),
        ("1 2 1 3 4 5 2", "a walk must have 2 to longest = 4 nodes, got 5"),
        ("1 12 1 12", "each node must be below N = 12, got [12]"),
        ("1 2 3 2", "must begin with the ends [3, 2] of its walk, got [1, 2]"),
        ("2 1 1 2", "must begin with the ends [1, 2] of its walk, got [2, 1]"),
    ],
)
def test_a_malformed_line_is_refused_by_number(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"^line 7: .*{re.escape(message).replace(re.escape('.*'), '.*')}$"):
        parse_walk(FORMAT, text, 7)
    path = tmp_path / "walks.txt"
    path.write_bytes(b"1 2 1 2\n" * 3 + text.replace("\n", "").encode() + b"\n1 2 1 2\n")
    if "\n" not in text:
        with pytest.raises(ValueError, match=r"^line 4: "):
            read_walks(FORMAT, path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "walks.txt").write_text("")
    with pytest.raises(ValueError, match=r"^path: must have at least one line, got '.*walks.txt'$"):
        read_walks(FORMAT, tmp_path / "walks.txt")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 2, 1, 2, 12, 13], "ids: must have shape (7,), got (6,)"),
        ([1, 2, 1, 2, 13, 13, 13], "ids: must have the end token 12, got [1, 2, 1, 2, 13, 13, 13]"),
        ([1, 2, 1, 2, 12, 12, 13], "ids: must have only padding 13 after the end, got [12]"),
        ([1, 2, 1, 2, 12, 13, 0], "ids: must have only padding 13 after the end, got [0]"),
        ([1, 1, 1, 12, 13, 13, 13], "ids: a walk must have 2 to longest = 4 nodes, got 1"),
        ([1, 2, 1, 13, 2, 12, 13], "ids: each node must be below N = 12, got [13]"),
        ([1, 2, 1, -1, 2, 12, 13], "ids: each node must be below N = 12, got [-1]"),
        ([1, 3, 1, 2, 12, 13, 13], "ids: must begin with the ends [1, 2] of its walk, got [1, 3]"),
        ([12, 3, 1, 2, 12, 13, 13], "ids: must begin with the ends [1, 2] of its walk, got [12, 3]"),
    ],
)
def test_ids_that_are_not_a_walk(tmp_path, ids, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        decode_walk(FORMAT, ids)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_walks(FORMAT, tmp_path / "walks.txt", np.asarray([ids]))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ([], "path: a walk must have 2 to longest = 4 nodes, got 0"),
        ([1], "path: a walk must have 2 to longest = 4 nodes, got 1"),
        ([1, 2, 3, 4, 5], "path: a walk must have 2 to longest = 4 nodes, got 5"),
        ([1, 12], "path: each node must be below N = 12, got [12]"),
        ([-1, 2], "path: each node must be below N = 12, got [-1]"),
    ],
)
def test_a_path_that_does_not_fit(path, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        encode_walk(FORMAT, path)
    if len(path) < 2:
        with pytest.raises(ValueError, match=r"^path: must have at least 2 nodes, got"):
            format_walk(path)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 1), "nodes: must be an integer between 1 and 2147483645, got 0"),
        ((2**31 - 2, 1), "nodes: must be an integer between 1 and 2147483645, got 2147483646"),
        ((3, 0), "longest: must be an integer at least 1, got 0"),
    ],
)
def test_a_format_out_of_range(sizes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        WalkFormat(*sizes)


@settings(max_examples=40)
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


def test_a_graph_with_a_cycle_is_refused():
    with pytest.raises(ValueError, match=r"^graph: must have no cycle, got \[0, 1, 0\]$"):
        walk_format(graph_from_edges(2, [(0, 1), (1, 0)]))
