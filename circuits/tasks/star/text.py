"""The public text format of star problems (Bachmann & Nagarajan 2024), one graph a line.

``u,v|u,v|.../start,goal=n0,n1,...`` with directed, shuffled edges. Files are named
``deg_{P}_path_{M}_nodes_{N}_{train|test}_{count}.txt``.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from circuits import checks
from circuits.tasks.problem import MAX_LABELS, Problem, check_single
from circuits.tasks.star.answers import solve_star
from circuits.tasks.star.graph import QUERIES, StarGraph

SPLITS = ("train", "test")

_NUMBER = "(0|[1-9][0-9]*)"
_FILE_NAME = f"deg_{_NUMBER}_path_{_NUMBER}_nodes_{_NUMBER}_(train|test)_{_NUMBER}[.]txt"


def parse_line(
    text: str,
    labels: int | None = None,
    *,
    query: str = "start-goal",
    allow_unanswered: bool = False,
    number: int = 1,
    solver: Callable[..., list[int]] = solve_star,
) -> Problem:
    """Read one line as a problem of int32 numpy arrays; blanks around separators and a line end are skipped.

    Labels are below ``labels``, when given. The answer must be the true path, which is filled in where the
    line has none and ``allow_unanswered``. ``query`` "goal-start" reads ``.../goal,start=...``. ``solver`` finds
    the path from (edges, start, goal); ``solve_tree`` reads binary trees, which are written in the same way.

    Raises ValueError("line {number}: reason, got 'fragment'") for text that breaks the format, or when the
    edges are no star (see ``solve``, or the other ``solver``); and for another ``query``.
    """
    checks.choice("query", query, QUERIES)
    if labels is not None:
        checks.integer("labels", labels, 1, MAX_LABELS)
    line = f"line {number}"
    rule = "must hold one '=' before the answer; without one the line is truncated"
    checks.require(text.count("=") == 1, line, rule, text.strip())
    graph, answer = text.split("=")
    rule = "must hold one '/' between the edges and the query"
    checks.require(graph.count("/") == 1, line, rule, graph.strip())
    edges, ends = graph.split("/")
    pairs = [_labels(line, "an edge", edge, labels, 2) for edge in edges.split("|")]
    asked = _labels(line, "the query", ends, labels, 2)
    start, goal = asked if query == "start-goal" else asked[::-1]
    try:
        path = solver(pairs, start, goal)
    except ValueError as error:
        raise ValueError(f"{line}: {error}") from error
    if answer.strip() or not allow_unanswered:
        given = _labels(line, "the answer", answer, labels, None)
        checks.require(given == path, line, f"the answer must be the path {_join(path)}", answer.strip())
    return Problem(*(np.asarray(part, dtype=np.int32) for part in (pairs, start, goal, path)))


def parse_lines(
    lines: Iterable[str],
    labels: int | None = None,
    *,
    query: str = "start-goal",
    allow_unanswered: bool = False,
) -> list[Problem]:
    """Read every line as ``parse_line`` does, numbered from 1 in its errors.

    Raises ValueError for the first line that cannot be read; a blank line is one.
    """
    return list(_each(lines, labels, query, allow_unanswered))


def read_problems(
    path: str | Path,
    labels: int | None = None,
    *,
    query: str = "start-goal",
    allow_unanswered: bool = False,
) -> Iterator[Problem]:
    """Read a file lazily, a problem a line; the file is opened when the first problem is asked for.

    Raises ValueError for the first line that cannot be read, once it is reached; and OSError from the file.
    """
    # A byte that is no ASCII becomes a sign that is no label, so that the error names its line.
    with open(path, encoding="ascii", errors="replace") as lines:
        yield from _each(lines, labels, query, allow_unanswered)


def format_line(problem: Problem, query: str = "start-goal") -> str:
    """Write one problem in the public format: no blanks, the answer included, and no line end.

    Raises ValueError for a batch or another ``query``.
    """
    checks.choice("query", query, QUERIES)
    check_single("problem", problem)
    start, goal = int(problem.start), int(problem.goal)
    ends = [start, goal] if query == "start-goal" else [goal, start]
    edges = "|".join(_join(edge) for edge in np.asarray(problem.edges).tolist())
    return f"{edges}/{_join(ends)}={_join(np.asarray(problem.path).tolist())}"


def format_lines(problems: Problem, query: str = "start-goal") -> Iterator[str]:
    """Write each problem of a batch with one leading axis, lazily and without line ends.

    Raises ValueError for another ``query`` or another number of axes.
    """
    checks.choice("query", query, QUERIES)
    arrays = [np.asarray(part) for part in problems]
    ranks = tuple(array.ndim for array in arrays)
    rule = "must have one leading axis, so arrays of ranks (3, 1, 1, 2)"
    checks.require(ranks == (3, 1, 1, 2), "problems", rule, ranks)
    rows = zip(*arrays, strict=True)
    return (format_line(Problem(*(np.asarray(part) for part in row)), query) for row in rows)


def file_name(spec: StarGraph, split: str, count: int) -> str:
    """The public name of a file of ``count`` >= 1 graphs, ``split`` being "train" or "test".

    Raises ValueError for another split or count.
    """
    checks.choice("split", split, SPLITS)
    checks.integer("count", count, 1)
    return f"deg_{spec.paths}_path_{spec.nodes}_nodes_{spec.labels}_{split}_{count}.txt"


def parse_file_name(name: str) -> tuple[StarGraph, str, int]:
    """The inverse of ``file_name``, for a name without folders.

    Raises ValueError for a name of another form, or naming the number that is out of range.
    """
    match = re.fullmatch(_FILE_NAME, name)
    if match is None:
        raise ValueError(f"name: must be deg_P_path_M_nodes_N_train_COUNT.txt or ..._test_..., got {name!r}")
    paths, nodes, labels, split, count = match.groups()
    checks.integer("count", int(count), 1)
    return StarGraph(int(paths), int(nodes), int(labels)), split, int(count)


def _each(lines: Iterable[str], labels: int | None, query: str, allow_unanswered: bool) -> Iterator[Problem]:
    for number, text in enumerate(lines, start=1):
        yield parse_line(text, labels, query=query, allow_unanswered=allow_unanswered, number=number)


def _labels(line: str, part: str, text: str, labels: int | None, length: int | None) -> list[int]:
    fragment = text.strip()
    words = [word.strip() for word in fragment.split(",")]
    checks.require(length in (None, len(words)), line, f"{part} must be {length} labels", fragment)
    for word in words:
        rule = f"each label of {part} must be a whole number without sign or leading zero"
        checks.require(re.fullmatch(_NUMBER, word) is not None, line, rule, word or fragment)
        # A corrupt line can hold more digits than Python agrees to convert.
        most = MAX_LABELS if labels is None else labels
        low = len(word) <= len(str(most)) and int(word) < most
        checks.require(low, line, f"each label must be below N = {most}", word)
    return [int(word) for word in words]


def _join(nodes: list[int]) -> str:
    return ",".join(map(str, nodes))
