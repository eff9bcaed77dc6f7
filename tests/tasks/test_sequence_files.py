"""The reader that works on blocks of lines, against ``parse_line`` on each line."""

import re
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.tasks import (
    BinaryTree,
    StarGraph,
    TokenFormat,
    edge_codes,
    encode_problem,
    format_line,
    parse_line,
    read_sequences,
    sequence_files,
    solve,
)
from tests.tasks.draws import draw
from tests.tasks.test_token_format import KINDS, TREE, words_by_hand

FORMAT = TokenFormat(StarGraph(2, 3, 10), "text", "start-goal")
GOOD = "3,7|6,0|7,2|3,6/3,0=3,6,0"
FAMILIES = [
    StarGraph(2, 2, 3),
    StarGraph(2, 3, 10),
    StarGraph(3, 4, 101),
    StarGraph(2, 3, 2**31 - 5),
    BinaryTree(3, 9),
    BinaryTree(4, 1000),
]


def slow(format, path) -> list[list[int]] | str:
    """The ids of each line, or the error of the first bad line, by ``parse_line`` alone."""
    read = partial(parse_line, labels=format.family.labels, query=format.query, solver=partial(solve, format.family))
    with open(path, encoding="ascii", errors="replace") as lines:
        try:
            return [encode_problem(format, read(line, number=n)).tolist() for n, line in enumerate(lines, start=1)]
        except ValueError as error:
            return str(error)


def fast(format, path) -> list[list[int]] | str:
    try:
        return read_sequences(format, path).tolist()
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(("style", "query"), KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_good_lines_have_the_ids_of_the_slow_parser_and_never_need_it(tmp_path, monkeypatch, family, style, query):
    format, path = TokenFormat(family, style, query), tmp_path / "graphs.txt"
    problems = [draw(StarGraph(2, 3, 10) if family.labels > 10**6 else family, seed) for seed in range(20)]
    if family.labels > 10**6:
        problems = [type(problem)(*(family.labels - 1 - part for part in problem)) for problem in problems]
    lines = [format_line(problem, query) for problem in problems]
    lines[3] = "  " + re.sub("([,|/=])", r" \1\t ", lines[3])
    path.write_bytes("\r\n".join(lines).encode())  # without an end of the last line
    expected = slow(format, path)
    assert isinstance(expected, list)
    monkeypatch.setattr(sequence_files, "parse_line", None)
    monkeypatch.setattr(sequence_files, "BLOCK", 7 * (2 * family.edge_count + 2 + family.nodes))  # 7 lines
    done = []
    sequences = read_sequences(format, str(path), done.append)
    assert (sequences.dtype, sequences.shape) == (np.dtype("int32"), (20, format.length))
    assert sequences.tolist() == expected
    if family.labels < 10**6:
        words = [[format.vocabulary[i] for i in row] for row in expected]
        assert words == [words_by_hand(problem, style, query) for problem in problems]
    assert done == [7, 14, 20]


PIECES = [*"01239,|/=-x é\n\r\t\x0b\x1f", "10", "00"]
MUTATIONS = st.tuples(
    st.integers(0, 200), st.sampled_from(["insert", "replace", "delete", "swap"]), st.sampled_from(PIECES)
)


def mutate(line: str, mutation: tuple[int, str, str]) -> str:
    place, kind, text = mutation
    at = place % len(line)
    if kind == "swap":  # two labels of the line
        spans = [match.span() for match in re.finditer("[0-9]+", line)]
        (a, b), (c, d) = sorted((spans[place % len(spans)], spans[at % len(spans) - 1]))
        return line if a == c else line[:a] + line[c:d] + line[b:c] + line[a:b] + line[d:]
    return line[:at] + ("" if kind == "delete" else text) + line[at + (kind != "insert") :]


@settings(max_examples=300)
@given(
    st.sampled_from(FAMILIES[:3] + FAMILIES[4:]), st.integers(0, 2**32 - 1), st.lists(MUTATIONS, min_size=1, max_size=2)
)
def test_mutated_files_have_the_same_ids_or_the_same_error(tmp_path_factory, family, seed, mutations):
    format, path = TokenFormat(family, "pairs", "start-goal"), tmp_path_factory.getbasetemp() / "mutated.txt"
    lines = [format_line(draw(family, seed + i)) for i in range(4)]
    for i, mutation in enumerate(mutations, start=1):
        lines[i] = mutate(lines[i], mutation)
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    assert fast(format, path) == slow(format, path)


@pytest.mark.parametrize("family", [StarGraph(2, 2, 3), StarGraph(2, 3, 6), StarGraph(3, 2, 5), BinaryTree(3, 8)])
def test_lines_with_changed_labels_are_accepted_exactly_if_the_slow_parser_accepts_them(family):
    format, rng, lines = TokenFormat(family, "text", "start-goal"), np.random.default_rng(0), []
    for seed in range(400):
        labels = re.findall("[0-9]+", format_line(draw(family, seed)))
        for place in rng.integers(len(labels), size=rng.integers(4)):
            labels[place] = str(rng.integers(family.labels))
        edges = "|".join(map(",".join, zip(labels[: 2 * family.edge_count : 2], labels[1::2], strict=False)))
        start, goal, *path = labels[2 * family.edge_count :]
        lines.append(f"{edges}/{start},{goal}={','.join(path)}\n")
    accepted, labels = sequence_files._parse_block(format, lines)
    assert accepted.all()
    correct = sequence_files._are_correct(format, labels)
    solver = partial(solve, family)
    for line, accept in zip(lines, correct.tolist(), strict=True):
        with nullcontext() if accept else pytest.raises(ValueError, match="line 1: "):
            parse_line(line, family.labels, solver=solver)
    assert 50 < correct.sum() < 350


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "must have one '='"),
        (GOOD[:-1], "each label of the answer must be a whole number"),
        (GOOD[:-1] + "2", "the answer must be the path 3,6,0, got '3,6,2'"),
        (GOOD.replace("7", "10"), "each label must be below N = 10, got '10'"),
        (GOOD.replace("7", "07"), "each label of an edge must be a whole number"),
        (GOOD.replace("7,2", "7 1,2"), "each label of an edge must be a whole number"),
        (GOOD.replace("7", "é"), "each label of an edge must be a whole number"),
        ("3,7|3,6|3,1|3,2/3,2=3,2", "edges: must be 4, with paths of 3 nodes, got (4, 2)"),
        ("3,7|6,0|7,2|3,6|3,1|1,4/3,0=3,6,0", "edges: must be 4, with paths of 3 nodes, got (6, 3)"),
        ("6,0|0,6|3,2|3,7/3,0=3,6,0", "edges: must have no cycle"),
        ("3,7|7,2|2,6|6,0/3,0=3,7,2", "edges: must form at least 2 paths"),
        ("3,7|6,0|7,2|6,3/3,0=3,6,0", "start: must be the root of the star"),
        ("3,7|3,6|3,1|7,2/3,2=3,7,2", "edges: must form paths of equal length"),
        ("3,7|6,0|7,2|3,6/3,6=3,6,0", "goal: must be a leaf"),
        (format_line(TREE), "edges: only the start may branch"),
    ],
)
@pytest.mark.parametrize("block", [1, 2**21])  # one line per block, or all
def test_the_first_bad_line_of_a_file_is_named(tmp_path, monkeypatch, line, message, block):
    monkeypatch.setattr(sequence_files, "BLOCK", block)
    path = tmp_path / "graphs.txt"
    path.write_text(f"{GOOD}\n{line}\n{GOOD}\nanother bad line\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"^line 2: {re.escape(message)}") as error:
        read_sequences(FORMAT, path)
    assert str(error.value) == slow(FORMAT, path)


def test_a_file_without_lines_is_refused(tmp_path):
    path = tmp_path / "graphs.txt"
    path.write_text("")
    with pytest.raises(ValueError, match=r"^path: must have at least one line, got '.*graphs.txt'$"):
        read_sequences(FORMAT, path)


@pytest.mark.parametrize("style", ["text", "pairs"])
def test_edge_codes_are_equal_for_equal_graphs_alone(style):
    format = TokenFormat(StarGraph(2, 2, 4), style, "start-goal")
    texts = ["0,1|0,2/0,1=0,1", "0,2|0,1/0,2=0,2", "1,0|1,2/1,0=1,0", "0,1|0,3/0,1=0,1"]
    codes = edge_codes(format, np.stack([encode_problem(format, parse_line(text)) for text in texts]))
    assert codes.tolist() == [[1, 2], [1, 2], [4, 6], [1, 3]]
