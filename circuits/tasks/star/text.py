"""The public text format of path-finding problems (Bachmann & Nagarajan 2024), one problem per line.

``u,v|u,v|.../start,goal=n0,n1,...`` with directed edges in random order. Files are named
``deg_{P}_path_{M}_nodes_{N}_{train|test}_{count}.txt``, or ``..._nodes_{N}_reverse_False_{count}_{train|test}.txt``.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from circuits import checks
from circuits.tasks.problem import MAX_LABELS, Problem, check_single
from circuits.tasks.splits import SPLITS
from circuits.tasks.star.answers import solve_star
from circuits.tasks.star.graph import QUERIES, StarGraph

_NUMBER = "(0|[1-9][0-9]*)"
_FILE_NAME = re.compile(
    f"deg_{_NUMBER}_path_{_NUMBER}_nodes_{_NUMBER}_"
    f"(?:(?P<split>train|test)_(?P<count>{_NUMBER})|reverse_False_(?P<count_2>{_NUMBER})_(?P<split_2>train|test))[.]txt"
)


def parse_line(
    text: str,
    labels: int | None = None,
    *,
    query: str = "start-goal",
    allow_unanswered: bool = False,
    number: int = 1,
    solver: Callable[..., list[int]] = solve_star,
) -> Problem:
    """Return the problem of one line. Blanks around separators and a line end are skipped.

    Args:
        text: the line.
        labels: N; labels must be below it. By default below 2^31 - 1.
        query: "start-goal", or "goal-start" for lines with ``.../goal,start=...``.
        allow_unanswered: accept a line without an answer, and fill in the path.
        number: the number of the line, for error messages.
        solver: returns the path for (edges, start, goal); ``solve_tree`` for binary trees, whose lines look the same.

    Returns:
        The problem, int32 numpy.

    Raises:
        ValueError: "line {number}: rule, got fragment" if the text breaks the format, the edges are not a star (see
            ``solve_star``, or the other solver), or the answer is not the path; and for another ``query``.

    Example:
        >>> parse_line("3,7|6,0|7,2|3,6/3,0=3,6,0").path.tolist()
        [3, 6, 0]
    """
    checks.choice("query", query, QUERIES)
    if labels is not None:
        checks.integer("labels", labels, 1, MAX_LABELS)
    line = f"line {number}"
    rule = "must have one '=' before the answer; without one the line is truncated"
    checks.require(text.count("=") == 1, line, rule, text.strip())
    graph, answer = text.split("=")
    checks.require(graph.count("/") == 1, line, "must have one '/' between the edges and the query", graph.strip())
    edges, ends = graph.split("/")
    pairs = [_labels(line, "an edge", edge, labels, 2) for edge in edges.split("|")]
    ends = _labels(line, "the query", ends, labels, 2)
    start, goal = ends if query == "start-goal" else ends[::-1]
    try:
        path = solver(pairs, start, goal)
    except ValueError as error:
        raise ValueError(f"{line}: {error}") from error
    if answer.strip() or not allow_unanswered:
        nodes = _labels(line, "the answer", answer, labels, None)
        checks.require(nodes == path, line, f"the answer must be the path {_join(path)}", answer.strip())
    return Problem(*(np.asarray(part, dtype=np.int32) for part in (pairs, start, goal, path)))


def parse_lines(
    lines: Iterable[str], labels: int | None = None, *, query: str = "start-goal", allow_unanswered: bool = False
) -> list[Problem]:
    """Return the problem of every line of a text.

    Args:
        lines: lines of star problems in the public format.
        labels: N; labels must be below it. By default below 2^31 - 1.
        query: "start-goal", or "goal-start" for lines with ``.../goal,start=...``.
        allow_unanswered: accept lines without an answer, and fill in the path.

    Raises:
        ValueError: for the first invalid line, with its number, counted from 1; see ``parse_line``.

    Example:
        >>> [int(problem.goal) for problem in parse_lines(["0,1|0,2/0,1=0,1", "0,1|0,2/0,2=0,2"])]
        [1, 2]
    """
    return list(_parse_each(lines, labels, query, allow_unanswered))


def read_problems(
    path: str | Path, labels: int | None = None, *, query: str = "start-goal", allow_unanswered: bool = False
) -> Iterator[Problem]:
    """Iterate over the problems of a file, one per line.

    The file is opened when the first problem is requested. For the token ids of a large file, ``read_sequences`` is
    hundreds of times faster.

    Args:
        path: a file of star problems in the public format.
        labels: N; labels must be below it. By default below 2^31 - 1.
        query: "start-goal", or "goal-start" for lines with ``.../goal,start=...``.
        allow_unanswered: accept lines without an answer, and fill in the path.

    Raises:
        ValueError: for an invalid line, when it is reached; see ``parse_line``.
        OSError: if the file cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "deg_2_path_2_nodes_3_test_1.txt"
        >>> file.write_text("0,1|0,2/0,1=0,1\\n")
        16
        >>> next(read_problems(file)).path.tolist()
        [0, 1]
    """
    # A byte that is not ASCII becomes a character that is not in a label, so the error names its line.
    with open(path, encoding="ascii", errors="replace") as lines:
        yield from _parse_each(lines, labels, query, allow_unanswered)


def format_line(problem: Problem, query: str = "start-goal") -> str:
    """Return one problem in the public format: without blanks and line end, with the answer.

    Args:
        problem: one problem.
        query: the order of the two ends, "start-goal" or "goal-start".

    Raises:
        ValueError: for a batch, or another ``query``.

    Example:
        >>> from circuits.tasks import canonical_problem
        >>> format_line(canonical_problem(StarGraph(2, 3, 10), np.array([2, 0, 3, 1])))
        '0,3|0,1|3,4|1,2/0,2=0,1,2'
    """
    checks.choice("query", query, QUERIES)
    check_single("problem", problem)
    start, goal = int(problem.start), int(problem.goal)
    ends = [start, goal] if query == "start-goal" else [goal, start]
    edges = "|".join(_join(edge) for edge in np.asarray(problem.edges).tolist())
    return f"{edges}/{_join(ends)}={_join(np.asarray(problem.path).tolist())}"


def format_lines(problems: Problem, query: str = "start-goal") -> Iterator[str]:
    """Iterate over the lines of a batch of problems.

    Args:
        problems: a batch with one leading axis.
        query: the order of the two ends, "start-goal" or "goal-start".

    Raises:
        ValueError: for another number of axes, or another ``query``.

    Example:
        >>> from circuits.tasks import enumerate_problems
        >>> next(format_lines(next(enumerate_problems(StarGraph(2, 2, 3)))))
        '0,1|0,2/0,1=0,1'
    """
    checks.choice("query", query, QUERIES)
    arrays = [np.asarray(part) for part in problems]
    ranks = tuple(array.ndim for array in arrays)
    rule = "must be a batch with one leading axis, with arrays of ranks (3, 1, 1, 2)"
    checks.require(ranks == (3, 1, 1, 2), "problems", rule, ranks)
    rows = zip(*arrays, strict=True)
    return (format_line(Problem(*(np.asarray(part) for part in row)), query) for row in rows)


def file_name(family: StarGraph, split: str, count: int) -> str:
    """Return the name of a file of star problems in the public data sets.

    Args:
        family: the star graphs.
        split: "train" or "test".
        count: number of problems in the file.

    Raises:
        ValueError: for another split, or a count below 1.

    Example:
        >>> file_name(StarGraph(2, 5, 50), "test", 20000)
        'deg_2_path_5_nodes_50_test_20000.txt'
    """
    checks.choice("split", split, SPLITS)
    checks.integer("count", count, 1)
    return f"deg_{family.paths}_path_{family.nodes}_nodes_{family.labels}_{split}_{count}.txt"


def parse_file_name(name: str) -> tuple[StarGraph, str, int]:
    """Return the family, the split and the number of problems of a public file name.

    Args:
        name: a file name without folders, in one of the two public formats (see the module's docstring).

    Raises:
        ValueError: if the name has another format, or a number is out of range.

    Example:
        >>> parse_file_name("deg_3_path_3_nodes_50_reverse_False_20000_test.txt")
        (StarGraph(paths=3, nodes=3, labels=50), 'test', 20000)
    """
    match = _FILE_NAME.fullmatch(name)
    if match is None:
        rule = "must be deg_P_path_M_nodes_N_train_COUNT.txt or deg_P_path_M_nodes_N_reverse_False_COUNT_train.txt"
        raise ValueError(f"name: {rule}, or the same with test, got {name!r}")
    split, count = match["split"] or match["split_2"], int(match["count"] or match["count_2"])
    checks.integer("count", count, 1)
    return StarGraph(*(int(match[group]) for group in (1, 2, 3))), split, count


def _parse_each(lines: Iterable[str], labels: int | None, query: str, allow_unanswered: bool) -> Iterator[Problem]:
    for number, text in enumerate(lines, start=1):
        yield parse_line(text, labels, query=query, allow_unanswered=allow_unanswered, number=number)


def _labels(line: str, part: str, text: str, labels: int | None, length: int | None) -> list[int]:
    fragment = text.strip()
    words = [word.strip() for word in fragment.split(",")]
    checks.require(length in (None, len(words)), line, f"{part} must be {length} labels", fragment)
    limit = MAX_LABELS if labels is None else labels
    for word in words:
        rule = f"each label of {part} must be a whole number without sign or leading zero"
        checks.require(re.fullmatch(_NUMBER, word) is not None, line, rule, word or fragment)
        # Python refuses to convert a number with thousands of digits, so their number is checked first.
        in_range = len(word) <= len(str(limit)) and int(word) < limit
        checks.require(in_range, line, f"each label must be below N = {limit}", word)
    return [int(word) for word in words]


def _join(nodes: list[int]) -> str:
    return ",".join(map(str, nodes))
