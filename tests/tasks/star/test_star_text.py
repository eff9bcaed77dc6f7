import re

import numpy as np
import pytest
from hypothesis import given
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
from tests.tasks.star.naive_star import random_problem, star_leaves, walks

RUNNING_EXAMPLE = "3,7|6,0|7,2|3,6/3,0=3,6,0"
# The paper, Appendix E.3.
FIVE_PATHS = (
    "74,64 | 3,36 | 49,63 | 40,16 | 31,73 | 73,18 | 51,22 | 49,46 | 38,19 | 13,27 | 46,40 | 49,74 | 63,31"
    " | 65,13 | 64,3 | 49,61 | 19,51 | 61,65 | 49,38 | 16,41 / 49,18 = 49,63,31,73,18"
)


def same(one: Problem, other: Problem) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_running_example_of_the_paper():
    problem = parse_line(RUNNING_EXAMPLE)
    assert encode_prompt(problem).tolist() == [3, 7, 6, 0, 7, 2, 3, 6, 0, 3]
    assert problem.path.tolist() == [3, 6, 0]
    assert {array.dtype for array in problem} == {np.dtype("int32")}
    assert format_line(problem) == RUNNING_EXAMPLE


def test_the_example_of_appendix_e3_is_a_star_of_five_paths_of_five_nodes():
    problem = parse_line(FIVE_PATHS, labels=100)
    edges = [(u, v) for u, v in problem.edges.tolist()]
    assert len(edges) == 20
    assert star_leaves(edges, 49) == {18, 41, 36, 27, 22}
    assert walks(edges, int(problem.start), int(problem.goal)) == [[49, 63, 31, 73, 18]]
    assert problem.path.tolist() == [49, 63, 31, 73, 18]
    assert format_line(problem) == FIVE_PATHS.replace(" ", "")
    assert encode_prompt(problem, "start-goal").tolist()[-2:] == [49, 18]


@pytest.mark.parametrize(
    "text",
    [
        RUNNING_EXAMPLE + "\n",
        RUNNING_EXAMPLE + "\r\n",
        "  3 , 7 | 6,0|7,2 |3,6 / 3, 0 = 3 ,6, 0  ",
        "\t3,7|6,0|7,2|3,6/3,0=3,6,0",
    ],
)
def test_blanks_around_separators_are_skipped(text):
    assert same(parse_line(text), parse_line(RUNNING_EXAMPLE))


def test_the_other_order_of_the_query():
    problem = parse_line(RUNNING_EXAMPLE)
    text = "3,7|6,0|7,2|3,6/0,3=3,6,0"
    assert format_line(problem, "goal-start") == text
    assert same(parse_line(text, query="goal-start"), problem)
    with pytest.raises(ValueError, match=r"^line 1: start: must be the root of the star"):
        parse_line(text)


def test_an_unanswered_line_is_solved_where_that_is_allowed():
    text = "3,7|6,0|7,2|3,6/3,0="
    assert same(parse_line(text, allow_unanswered=True), parse_line(RUNNING_EXAMPLE))
    assert same(parse_line(text + " \n", allow_unanswered=True), parse_line(RUNNING_EXAMPLE))
    assert same(parse_line(RUNNING_EXAMPLE, allow_unanswered=True), parse_line(RUNNING_EXAMPLE))


MALFORMED = [
    ("", "must hold one '=' before the answer; without one the line is truncated, got ''"),
    ("3,7|6,0|7,2|3,6/3,0", "without one the line is truncated, got '3,7|6,0|7,2|3,6/3,0'"),
    ("3,7|6,0|7", "without one the line is truncated, got '3,7|6,0|7'"),
    ("3,7|6,0|7,2|3,6/3,0==3,6,0", "must hold one '=' before the answer"),
    ("3,7|6,0|7,2|3,6=3,6,0", "must hold one '/' between the edges and the query, got '3,7|6,0|7,2|3,6'"),
    ("3,7|6,0/7,2|3,6/3,0=3,6,0", "must hold one '/' between the edges and the query"),
    (
        "3,7|6,0|7,2|3,6/3,0=",
        "each label of the answer must be a whole number without sign or leading zero, got ''",
    ),
    ("3,7|6,0|7,2|3,6|/3,0=3,6,0", "an edge must be 2 labels, got ''"),
    ("|3,7|6,0|7,2|3,6/3,0=3,6,0", "an edge must be 2 labels, got ''"),
    ("/3,0=3,6,0", "an edge must be 2 labels, got ''"),
    ("3,7|6|7,2|3,6/3,0=3,6,0", "an edge must be 2 labels, got '6'"),
    ("3,7|6,0,7,2|3,6/3,0=3,6,0", "an edge must be 2 labels, got '6,0,7,2'"),
    (
        "3,7|6,|7,2|3,6/3,0=3,6,0",
        "each label of an edge must be a whole number without sign or leading zero, got '6,'",
    ),
    (
        "3,7|6,x|7,2|3,6/3,0=3,6,0",
        "each label of an edge must be a whole number without sign or leading zero, got 'x'",
    ),
    ("3,7|6,-1|7,2|3,6/3,0=3,6,0", "without sign or leading zero, got '-1'"),
    ("3,7|6,+0|7,2|3,6/3,0=3,6,0", "without sign or leading zero, got '+0'"),
    ("3,7|6,00|7,2|3,6/3,0=3,6,0", "without sign or leading zero, got '00'"),
    ("3,7|6,0.0|7,2|3,6/3,0=3,6,0", "without sign or leading zero, got '0.0'"),
    ("3,7|6,1 0|7,2|3,6/3,0=3,6,0", "without sign or leading zero, got '1 0'"),
    ("3,7|6,٣|7,2|3,6/3,0=3,6,0", "without sign or leading zero, got '٣'"),
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
    ("3,3|6,0|7,2|3,6/3,0=3,6,0", "edges: must hold no self loop, got (3, 3)"),
    ("3,7|6,0|3,7|3,6/3,0=3,6,0", "edges: must hold no duplicate edge, got (3, 7)"),
    ("3,7|6,0|7,0|3,6/3,0=3,6,0", "node 0 must have one predecessor, for with two its path is ambiguous"),
    ("3,7|6,0|7,2|3,6/3,3=3,6,0", "goal: must differ from start, got 3"),
    ("3,7|6,0|7,2|3,6/3,6=3,6", "goal: must be a leaf, the last node of its path, got 6"),
    ("3,7|6,0|7,2|3,6/3,8=3,6,8", "goal: must be in the graph, got 8"),
    ("3,7|6,0|3,6/3,0=3,6,0", "edges: must form paths of equal length, got [2, 3]"),
    ("6,0|3,6/3,0=3,6,0", "edges: must form at least 2 paths, got 1"),
]


@pytest.mark.parametrize(("text", "words"), MALFORMED)
def test_a_malformed_line_is_refused_by_number(text, words):
    lines = [RUNNING_EXAMPLE + "\n"] * 6 + [text + "\n"]
    with pytest.raises(ValueError, match=f"^line 7: .*{re.escape(words)}"):
        parse_lines(lines, 10)


def test_labels_fit_int32_where_their_number_is_not_given():
    assert parse_line("0,2147483646|0,1/0,1=0,1").edges.tolist() == [[0, 2147483646], [0, 1]]
    words = r"^line 1: each label must be below N = 2147483647, got '2147483647'$"
    with pytest.raises(ValueError, match=words):
        parse_line("0,2147483647|0,1/0,1=0,1")


@pytest.mark.parametrize("labels", [0, 2**31])
def test_the_number_of_labels_is_in_range(labels):
    with pytest.raises(ValueError, match=f"^labels: must be an integer between 1 and 2147483647, got {labels}$"):
        parse_line(RUNNING_EXAMPLE, labels)


@pytest.mark.parametrize("query", ["", "goal"])
def test_another_query_is_refused(query):
    words = f"^query: must be one of goal-start, start-goal, got '{query}'$"
    problem = parse_line(RUNNING_EXAMPLE)
    batch = Problem(*(part[None] for part in problem))
    for call in (
        lambda: parse_line(RUNNING_EXAMPLE, query=query),
        lambda: parse_lines([RUNNING_EXAMPLE], query=query),
        lambda: format_line(problem, query),
        lambda: format_lines(batch, query),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@given(
    st.integers(2, 6),
    st.integers(2, 6),
    st.integers(0, 200),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["goal-start", "start-goal"]),
)
def test_a_problem_is_read_back_from_its_line(paths, nodes, spare, seed, query):
    labels = paths * (nodes - 1) + 1 + spare
    problem = random_problem(paths, nodes, labels, seed)
    text = format_line(problem, query)
    again = parse_line(text, labels, query=query)
    assert same(again, problem)
    assert format_line(again, query) == text
    edges, rest = text.split("/")
    ends, answer = rest.split("=")
    assert [[int(n) for n in edge.split(",")] for edge in edges.split("|")] == problem.edges.tolist()
    pair = [int(problem.goal), int(problem.start)]
    assert [int(n) for n in ends.split(",")] == (pair if query == "goal-start" else pair[::-1])
    assert [int(n) for n in answer.split(",")] == problem.path.tolist()


def test_a_batch_is_written_line_by_line():
    problems = [random_problem(3, 3, 20, seed) for seed in range(5)]
    batch = Problem(*(np.stack(parts) for parts in zip(*problems, strict=True)))
    for query in ("start-goal", "goal-start"):
        lines = list(format_lines(batch, query))
        assert lines == [format_line(problem, query) for problem in problems]
        assert all(map(same, parse_lines(lines, 20, query=query), problems))


def test_one_problem_is_no_batch_and_a_batch_is_not_one_problem():
    problem = parse_line(RUNNING_EXAMPLE)
    batch = Problem(*(part[None] for part in problem))
    with pytest.raises(ValueError, match=r"^problem: must be one problem .* got \(3, 1, 1, 2\)$"):
        format_line(batch)
    with pytest.raises(ValueError, match=r"^problems: must have one leading axis, .* got \(2, 0, 0, 1\)$"):
        format_lines(problem)


def test_a_file_is_read_lazily_with_numbered_errors(tmp_path):
    path = tmp_path / "graphs.txt"
    path.write_bytes(f"{RUNNING_EXAMPLE}\r\n{RUNNING_EXAMPLE}\n3,7|6,\xff\n".encode("latin-1"))
    problems = read_problems(path, 10)
    assert same(next(problems), parse_line(RUNNING_EXAMPLE))
    assert same(next(problems), parse_line(RUNNING_EXAMPLE))
    with pytest.raises(ValueError, match=r"^line 3: .* the line is truncated, got"):
        next(problems)


def test_a_whole_file_and_a_blank_line(tmp_path):
    path = tmp_path / "graphs.txt"
    path.write_text("3,7|6,0|7,2|3,6/0,3=\n" * 3)
    problems = list(read_problems(str(path), query="goal-start", allow_unanswered=True))
    assert [problem.path.tolist() for problem in problems] == [[3, 6, 0]] * 3
    path.write_text(f"{RUNNING_EXAMPLE}\n\n{RUNNING_EXAMPLE}\n")
    with pytest.raises(ValueError, match=r"^line 2: must hold one '='.* got ''$"):
        list(read_problems(path))


@pytest.mark.parametrize(
    ("spec", "split", "count", "name"),
    [
        (StarGraph(2, 3, 10), "train", 200_000, "deg_2_path_3_nodes_10_train_200000.txt"),
        (StarGraph(5, 5, 100), "test", 20_000, "deg_5_path_5_nodes_100_test_20000.txt"),
        (StarGraph(2, 10, 50), "test", 1, "deg_2_path_10_nodes_50_test_1.txt"),
    ],
)
def test_file_names(spec, split, count, name):
    assert file_name(spec, split, count) == name
    assert parse_file_name(name) == (spec, split, count)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "name: must be deg_P_path_M_nodes_N_train_COUNT.txt"),
        ("deg_2_path_3_nodes_10_train_200000", "name: must be deg_P_path_M_nodes_N_train_COUNT.txt"),
        ("deg_2_path_3_nodes_10_valid_5.txt", "got 'deg_2_path_3_nodes_10_valid_5.txt'"),
        ("deg_2_path_3_nodes_10_test_5xtxt", "got 'deg_2_path_3_nodes_10_test_5xtxt'"),
        ("deg_02_path_3_nodes_10_test_5.txt", "got 'deg_02_path_3_nodes_10_test_5.txt'"),
        ("deg_3_path_3_nodes_50_reverse_False_20000_test.txt", "name: must be deg_P_path_M"),
        ("folder/deg_2_path_3_nodes_10_test_5.txt", "name: must be deg_P_path_M"),
        ("deg_2_path_3_nodes_10_test_5.txt\n", "name: must be deg_P_path_M"),
        ("deg_1_path_3_nodes_10_test_5.txt", "paths: must be an integer at least 2, got 1"),
        ("deg_2_path_1_nodes_10_test_5.txt", "nodes: must be an integer at least 2, got 1"),
        ("deg_5_path_5_nodes_20_test_5.txt", "labels: must be an integer between 21 and 2147483647, got 20"),
        ("deg_2_path_3_nodes_10_test_0.txt", "count: must be an integer at least 1, got 0"),
    ],
)
def test_another_file_name_is_refused(name, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_file_name(name)


@pytest.mark.parametrize(
    ("split", "count", "words"),
    [
        ("valid", 5, "split: must be one of train, test, got 'valid'"),
        ("test", 0, "count: must be an integer at least 1, got 0"),
    ],
)
def test_a_file_name_needs_a_split_and_a_count(split, count, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        file_name(StarGraph(2, 3, 10), split, count)
