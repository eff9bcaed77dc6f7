import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.tasks import (
    Problem,
    StarGraph,
    encode_prompt,
    file_name,
    format_line,
    format_lines,
    parse_file_name,
    parse_line,
    parse_lines,
    read_problems,
)
from tests.tasks.draws import draw, draw_batch, same
from tests.tasks.star.naive_star import star_leaves, walks

LINE = "3,7|6,0|7,2|3,6/3,0=3,6,0"
"""The running example of arXiv:2604.11912."""
# Its Appendix E.3.
FIVE_PATHS = (
    "74,64 | 3,36 | 49,63 | 40,16 | 31,73 | 73,18 | 51,22 | 49,46 | 38,19 | 13,27 | 46,40 | 49,74 | 63,31"
    " | 65,13 | 64,3 | 49,61 | 19,51 | 61,65 | 49,38 | 16,41 / 49,18 = 49,63,31,73,18"
)


WILDCARD = re.escape(".*")


def test_the_running_example_of_the_paper():
    problem = parse_line(LINE)
    assert encode_prompt(problem).tolist() == [3, 7, 6, 0, 7, 2, 3, 6, 0, 3]
    assert problem.path.tolist() == [3, 6, 0]
    assert {array.dtype for array in problem} == {np.dtype("int32")}
    assert format_line(problem) == LINE


def test_the_example_of_appendix_e3_is_a_star_of_five_paths_of_five_nodes():
    problem = parse_line(FIVE_PATHS, labels=100)
    edges = [(u, v) for u, v in problem.edges.tolist()]
    assert len(edges) == 20
    assert star_leaves(edges, 49) == {18, 41, 36, 27, 22}
    assert walks(edges, int(problem.start), int(problem.goal)) == [problem.path.tolist()] == [[49, 63, 31, 73, 18]]
    assert format_line(problem) == FIVE_PATHS.replace(" ", "")


@pytest.mark.parametrize("text", [LINE + "\n", LINE + "\r\n", "  3 , 7 | 6,0|7,2 |3,6 / 3, 0 = 3 ,6, 0  ", "\t" + LINE])
def test_blanks_around_separators_are_skipped(text):
    assert same(parse_line(text), parse_line(LINE))


def test_the_other_order_of_the_query():
    problem = parse_line(LINE)
    text = "3,7|6,0|7,2|3,6/0,3=3,6,0"
    assert format_line(problem, "goal-start") == text
    assert same(parse_line(text, query="goal-start"), problem)
    with pytest.raises(ValueError, match=r"^line 1: start: must be the root of the star"):
        parse_line(text)


@pytest.mark.parametrize("text", [LINE, "3,7|6,0|7,2|3,6/3,0=", "3,7|6,0|7,2|3,6/3,0= \n"])
def test_an_unanswered_line_is_solved_where_that_is_allowed(text):
    assert same(parse_line(text, allow_unanswered=True), parse_line(LINE))


MALFORMED = [
    ("", "must have one '=' .*, got ''"),
    ("3,7|6,0|7", "must have one '=' .* the line is truncated, got '3,7|6,0|7'"),
    ("3,7|6,0|7,2|3,6/3,0==3,6,0", "must have one '='"),
    ("3,7|6,0|7,2|3,6=3,6,0", "must have one '/' .*, got '3,7|6,0|7,2|3,6'"),
    ("3,7|6,0/7,2|3,6/3,0=3,6,0", "must have one '/'"),
    ("3,7|6,0|7,2|3,6/3,0=", "each label of the answer must be a whole number .*, got ''"),
    ("3,7|6,0|7,2|3,6|/3,0=3,6,0", "an edge must be 2 labels, got ''"),
    ("|3,7|6,0|7,2|3,6/3,0=3,6,0", "an edge must be 2 labels, got ''"),
    ("/3,0=3,6,0", "an edge must be 2 labels, got ''"),
    ("3,7|6|7,2|3,6/3,0=3,6,0", "an edge must be 2 labels, got '6'"),
    ("3,7|6,0,7,2|3,6/3,0=3,6,0", "an edge must be 2 labels, got '6,0,7,2'"),
    ("3,7|6,|7,2|3,6/3,0=3,6,0", "each label of an edge must be a whole number .*, got '6,'"),
    ("3,7|6,x|7,2|3,6/3,0=3,6,0", "each label of an edge must be a whole number .*, got 'x'"),
    ("3,7|6,-1|7,2|3,6/3,0=3,6,0", "each label of an edge must be a whole number .*, got '-1'"),
    ("3,7|6,+0|7,2|3,6/3,0=3,6,0", "each label of an edge must be a whole number .*, got '+0'"),
    ("3,7|6,00|7,2|3,6/3,0=3,6,0", "each label of an edge must be a whole number .*, got '00'"),
    ("3,7|6,0.0|7,2|3,6/3,0=3,6,0", "each label of an edge must be a whole number .*, got '0.0'"),
    ("3,7|6,1 0|7,2|3,6/3,0=3,6,0", "each label of an edge must be a whole number .*, got '1 0'"),
    ("3,7|6,٣|7,2|3,6/3,0=3,6,0", "each label of an edge must be a whole number .*, got '٣'"),
    ("3,7|6,0|7,2|3,6/3=3,6,0", "the query must be 2 labels, got '3'"),
    ("3,7|6,0|7,2|3,6/=3,6,0", "the query must be 2 labels, got ''"),
    ("3,7|6,0|7,2|3,6/3,0,0=3,6,0", "the query must be 2 labels, got '3,0,0'"),
    ("3,7|6,0|7,2|3,6/3,0=3,7,2", "the answer must be the path 3,6,0, got '3,7,2'"),
    ("3,7|6,0|7,2|3,6/3,0=3,6", "the answer must be the path 3,6,0, got '3,6'"),
    ("3,7|6,0|7,2|3,6/3,0=0,6,3", "the answer must be the path 3,6,0, got '0,6,3'"),
    ("3,7|6,0|7,2|3,6/3,0=3,6,0,", "each label of the answer must be a whole number"),
    ("3,7|6,0|7,2|3,6/3,0=3,6,0|", "each label of the answer must be a whole number"),
    ("3,7|6,0|7,2|3,12/3,0=3,6,0", "each label must be below N = 10, got '12'"),
    ("3,7|6,0|7,2|3,6/3,10=3,6,0", "each label must be below N = 10, got '10'"),
    ("3,7|6,0|7,2|3,6/3,0=3,6,30", "each label must be below N = 10, got '30'"),
    (f"3,7|6,{'9' * 5000}|7,2|3,6/3,0=3,6,0", "each label must be below N = 10, got '999"),
    ("3,3|6,0|7,2|3,6/3,0=3,6,0", "edges: must have no self loop"),
    ("3,7|6,0|3,7|3,6/3,0=3,6,0", "edges: must have no duplicate edge"),
    ("3,7|6,0|7,0|3,6/3,0=3,6,0", "edges: node 0 must have one predecessor"),
    ("3,7|6,0|7,2|3,6/3,3=3,6,0", "goal: must differ from start"),
    ("3,7|6,0|7,2|3,6/3,6=3,6", "goal: must be a leaf"),
    ("3,7|6,0|7,2|3,6/3,8=3,6,8", "goal: must be in the graph"),
    ("3,7|6,0|3,6/3,0=3,6,0", "edges: must form paths of equal length"),
    ("6,0|3,6/3,0=3,6,0", "edges: must form at least 2 paths"),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED)
def test_a_malformed_line_is_refused_by_number(text, message):
    lines = [LINE + "\n"] * 6 + [text + "\n"]
    with pytest.raises(ValueError, match=f"^line 7: {re.escape(message).replace(WILDCARD, '.*')}"):
        parse_lines(lines, 10)


def test_labels_fit_int32_where_their_number_is_not_given():
    assert parse_line("0,2147483646|0,1/0,1=0,1").edges.tolist() == [[0, 2147483646], [0, 1]]
    with pytest.raises(ValueError, match=r"^line 1: each label must be below N = 2147483647, got '2147483647'$"):
        parse_line("0,2147483647|0,1/0,1=0,1")


@pytest.mark.parametrize("labels", [0, 2**31])
def test_the_number_of_labels_is_in_range(labels):
    with pytest.raises(ValueError, match=f"^labels: must be an integer between 1 and 2147483647, got {labels}$"):
        parse_line(LINE, labels)


@pytest.mark.parametrize("query", ["", "goal"])
def test_another_query_is_refused(query):
    problem = parse_line(LINE)
    batch = Problem(*(part[None] for part in problem))
    for call in (
        lambda: parse_line(LINE, query=query),
        lambda: parse_lines([LINE], query=query),
        lambda: format_line(problem, query),
        lambda: format_lines(batch, query),
    ):
        with pytest.raises(ValueError, match=f"^query: must be one of goal-start, start-goal, got '{query}'$"):
            call()


@settings(max_examples=30)
@given(
    st.integers(2, 6),
    st.integers(2, 6),
    st.integers(0, 200),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["goal-start", "start-goal"]),
)
def test_a_problem_is_read_back_from_its_line(paths, nodes, spare, seed, query):
    labels = paths * (nodes - 1) + 1 + spare
    problem = draw(StarGraph(paths, nodes, labels), seed)
    text = format_line(problem, query)
    again = parse_line(text, labels, query=query)
    assert same(again, problem)
    edges, rest = text.split("/")
    ends, answer = rest.split("=")
    assert [[int(n) for n in edge.split(",")] for edge in edges.split("|")] == problem.edges.tolist()
    pair = [int(problem.goal), int(problem.start)]
    assert [int(n) for n in ends.split(",")] == (pair if query == "goal-start" else pair[::-1])
    assert [int(n) for n in answer.split(",")] == problem.path.tolist()


def test_a_batch_is_written_line_by_line():
    family = StarGraph(3, 3, 20)
    problems = [draw(family, seed) for seed in range(5)]
    for query in ("start-goal", "goal-start"):
        lines = list(format_lines(draw_batch(family, 5), query))
        assert lines == [format_line(problem, query) for problem in problems]
        assert all(map(same, parse_lines(lines, 20, query=query), problems))


def test_one_problem_and_a_batch_are_not_confused():
    problem = parse_line(LINE)
    with pytest.raises(ValueError, match=r"^problem: must be one problem .* got \(3, 1, 1, 2\)$"):
        format_line(Problem(*(part[None] for part in problem)))
    with pytest.raises(ValueError, match=r"^problems: must be a batch with one leading axis, .* got \(2, 0, 0, 1\)$"):
        format_lines(problem)


def test_a_file_is_read_lazily_with_numbered_errors(tmp_path):
    path = tmp_path / "graphs.txt"
    path.write_bytes(f"{LINE}\r\n{LINE}\n3,7|6,\xff\n".encode("latin-1"))
    problems = read_problems(path, 10)
    assert same(next(problems), parse_line(LINE))
    assert same(next(problems), parse_line(LINE))
    with pytest.raises(ValueError, match=r"^line 3: .* the line is truncated, got"):
        next(problems)


def test_a_whole_file_and_a_blank_line(tmp_path):
    path = tmp_path / "graphs.txt"
    path.write_text("3,7|6,0|7,2|3,6/0,3=\n" * 3)
    problems = list(read_problems(str(path), query="goal-start", allow_unanswered=True))
    assert [problem.path.tolist() for problem in problems] == [[3, 6, 0]] * 3
    path.write_text(f"{LINE}\n\n{LINE}\n")
    with pytest.raises(ValueError, match=r"^line 2: must have one '='.* got ''$"):
        list(read_problems(path))


@pytest.mark.parametrize(
    ("family", "split", "count", "name"),
    [
        (StarGraph(2, 3, 10), "train", 200_000, "deg_2_path_3_nodes_10_train_200000.txt"),
        (StarGraph(2, 10, 50), "test", 1, "deg_2_path_10_nodes_50_test_1.txt"),
    ],
)
def test_file_names(family, split, count, name):
    assert file_name(family, split, count) == name
    assert parse_file_name(name) == (family, split, count)


@pytest.mark.parametrize(("split", "count"), [("test", 20_000), ("train", 5)])
def test_the_other_public_file_name(split, count):
    name = f"deg_3_path_3_nodes_50_reverse_False_{count}_{split}.txt"
    assert parse_file_name(name) == (StarGraph(3, 3, 50), split, count)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *(
            (name, "name: must be deg_P_path_M_nodes_N_train_COUNT.txt or ")
            for name in (
                "",
                "deg_2_path_3_nodes_10_train_200000",
                "deg_2_path_3_nodes_10_valid_5.txt",
                "deg_2_path_3_nodes_10_test_5xtxt",
                "deg_02_path_3_nodes_10_test_5.txt",
                "deg_2_path_3_nodes_10_5_test.txt",
                "deg_3_path_3_nodes_50_reverse_True_20000_test.txt",
                "deg_3_path_3_nodes_50_reverse_False_test_20000.txt",
                "deg_3_path_3_nodes_50_reverse_False_020_test.txt",
                "folder/deg_2_path_3_nodes_10_test_5.txt",
                "deg_2_path_3_nodes_10_test_5.txt\n",
            )
        ),
        ("deg_1_path_3_nodes_10_test_5.txt", "paths: must be an integer at least 2, got 1"),
        ("deg_2_path_1_nodes_10_test_5.txt", "nodes: must be an integer at least 2, got 1"),
        ("deg_5_path_5_nodes_20_test_5.txt", "labels: must be an integer between 21 and"),
        ("deg_2_path_3_nodes_10_test_0.txt", "count: must be an integer at least 1, got 0"),
        ("deg_2_path_3_nodes_10_reverse_False_0_test.txt", "count: must be an integer at least 1, got 0"),
    ],
)
def test_another_file_name_is_refused(name, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse_file_name(name)


def test_a_file_name_needs_a_split_and_a_count():
    with pytest.raises(ValueError, match=r"^split: must be one of train, test, got 'valid'$"):
        file_name(StarGraph(2, 3, 10), "valid", 5)
    with pytest.raises(ValueError, match=r"^count: must be an integer at least 1, got 0$"):
        file_name(StarGraph(2, 3, 10), "test", 0)
