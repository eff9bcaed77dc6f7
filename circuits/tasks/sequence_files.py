"""Token sequences from files in the public text format, half a million lines in seconds.

Lines are parsed, solved and checked in blocks, with numpy. Any line that the block parser does not accept goes to the
slow parser ``parse_line``. That returns the problem if the line is valid (it may have unusual blanks), or raises an
error that names the line and the rule.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, UInt8

from circuits import checks
from circuits.tasks.star.text import parse_line
from circuits.tasks.token_format import TokenFormat, encode_labels, encode_problem, num_labels, solve, token_sources

BLOCK = 2**21
"""Labels per block: 16 MB for each intermediate array."""
BLANKS = np.frombuffer(b" \t", np.uint8)


def read_sequences(
    format: TokenFormat, path: str | Path, progress: Callable[[int], None] | None = None
) -> Int[np.ndarray, "n T"]:
    """Return the token ids of every problem of a file, one per line; each line is solved, and its answer checked.

    Args:
        format: the family, the style of the ids, and in which order the lines (and the ids) name start and goal.
        path: a file of lines ``u,v|u,v|.../start,goal=n0,n1,...``, star graphs or binary trees.
        progress: called with the number of lines read so far, once per block of lines.

    Returns:
        The ids, int32; n is the number of lines.

    Raises:
        ValueError: "line {number}: ..." for the first line that breaks the text format, has a label that is not below
            N, is not a problem of the family, or has a wrong answer; naming ``path`` for a file without lines.
        OSError: if the file cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> from circuits.tasks import StarGraph
        >>> file = Path(mkdtemp()) / "deg_2_path_2_nodes_3_test_1.txt"
        >>> file.write_text("0,1|0,2/0,1=0,1\\n")
        16
        >>> read_sequences(TokenFormat(StarGraph(2, 2, 3), "pairs", "start-goal"), file).tolist()
        [[0, 1, 0, 2, 0, 1, 1]]
    """
    blocks, done, size = [], 0, max(1, BLOCK // num_labels(format))
    # A byte that is not ASCII becomes a character that is not in a label, so the error names its line.
    with open(path, encoding="ascii", errors="replace") as file:
        while lines := list(islice(file, size)):
            blocks.append(_read_block(format, lines, first=done + 1))
            done += len(lines)
            if progress is not None:
                progress(done)
    checks.require(done > 0, "path", "must have at least one line", str(path))
    return np.concatenate(blocks)


def edge_codes(format: TokenFormat, sequences: Int[np.ndarray, "n T"]) -> Int[np.ndarray, "n E"]:
    """Return the sorted codes u N + v of the edges of each sequence: equal rows mean equal labelled graphs.

    Args:
        format: how the sequences are written.
        sequences: ids of problems, such as ``read_sequences`` returns.

    Returns:
        Codes, int64. Two sets of problems share a graph if and only if they share a row.

    Example:
        >>> from circuits.tasks import StarGraph
        >>> format = TokenFormat(StarGraph(2, 2, 10), "pairs", "start-goal")
        >>> edge_codes(format, np.array([[0, 1, 0, 2, 0, 1, 1], [0, 2, 0, 1, 0, 2, 2]])).tolist()
        [[1, 2], [1, 2]]
    """
    positions = np.flatnonzero(token_sources(format) < 2 * format.family.edge_count)
    u, v = sequences[:, positions].astype(np.int64).reshape(len(sequences), -1, 2).transpose(2, 0, 1)
    return np.sort(u * format.family.labels + v, axis=1)


def _read_block(format: TokenFormat, lines: list[str], first: int) -> Int[np.ndarray, "n T"]:
    """Return the ids of each line; ``first`` is the number of the first line."""
    accepted, labels = _parse_block(format, lines)
    correct = _are_correct(format, labels)
    accepted[accepted] = correct
    ids = np.empty((len(lines), format.length), np.int32)
    ids[accepted] = encode_labels(format, labels[correct])
    family, solver = format.family, partial(solve, format.family)
    for i in np.flatnonzero(~accepted).tolist():
        problem = parse_line(lines[i], family.labels, query=format.query, number=first + i, solver=solver)
        ids[i] = encode_problem(format, problem)
    return ids


def _parse_block(
    format: TokenFormat, lines: list[str]
) -> tuple[Bool[np.ndarray, " n"], Int[np.ndarray, "accepted labels"]]:
    """Return which lines have the separators and the labels of the format, and the labels of these lines."""
    text = "".join(lines).encode("ascii", "replace")
    chars = _without_blanks(np.frombuffer(text if text.endswith(b"\n") else text + b"\n", np.uint8))
    # Each number is the run of digits before a separator.
    stops = np.flatnonzero(~_is_digit(chars))
    starts = np.concatenate([[0], stops[:-1] + 1])
    newlines = np.flatnonzero(chars[stops] == ord("\n"))
    edges, nodes = format.family.edge_count, format.family.nodes
    separators = np.frombuffer((",|" * (edges - 1) + ",/,=" + "," * (nodes - 1) + "\n").encode(), np.uint8)
    accepted = np.diff(newlines, prepend=-1) == len(separators)
    columns = newlines[accepted][:, None] + np.arange(1 - len(separators), 1)
    starts, stops = starts[columns], stops[columns]
    lengths, max_length = stops - starts, len(str(format.family.labels))
    labels = np.zeros_like(stops)
    for power in range(max_length):
        digit = chars[np.maximum(stops - 1 - power, 0)] - ord("0")
        labels += np.where(power < lengths, digit, 0) * np.int64(10**power)
    leading_zero = (chars[starts] == ord("0")) & (lengths > 1)
    valid = (lengths > 0) & (lengths <= max_length) & ~leading_zero & (labels < format.family.labels)
    valid = (valid & (chars[stops] == separators)).all(axis=1)
    accepted[accepted] = valid
    return accepted, labels[valid]


def _are_correct(format: TokenFormat, labels: Int[np.ndarray, "n labels"]) -> Bool[np.ndarray, " n"]:
    """Return which problems are graphs of the family with the right answer, from the labels of their lines."""
    family, rows, E = format.family, np.arange(len(labels))[:, None], format.family.edge_count
    tails, heads = labels[:, : 2 * E : 2], labels[:, 1 : 2 * E : 2]
    query, path = labels[:, 2 * E : 2 * E + 2], labels[:, 2 * E + 2 :]
    start, goal = np.hsplit(query if format.query == "start-goal" else query[:, ::-1], 2)
    order = np.argsort(heads, axis=1)
    by_head = np.take_along_axis(heads, order, axis=1)
    codes = (rows * family.labels + by_head).reshape(-1)  # increasing, so one search finds nodes in all rows

    def edge_into(nodes: Int[np.ndarray, "n nodes"]) -> Int[np.ndarray, "n nodes"]:
        wanted = rows * family.labels + nodes
        index = np.minimum(np.searchsorted(codes, wanted), max(len(codes) - 1, 0))
        return np.where(codes[index] == wanted, order.reshape(-1)[index], -1)

    # A tree: distinct heads, and all other tails are the start, which is no head.
    parent = edge_into(tails)
    is_root = parent < 0
    correct = (np.diff(by_head, axis=1) > 0).all(axis=1) & (is_root == (tails == start)).all(axis=1)
    depth = is_root.astype(np.int64)  # of the head of each edge, up to M - 1
    for _ in range(family.nodes - 2):
        above = np.take_along_axis(depth, np.maximum(parent, 0), axis=1)
        depth = np.where(is_root, 1, np.where(above > 0, above + 1, 0))
    # A tree of the family: nodes have the out-degree of their depth, and those at depth M - 1 are leaves. Edges on a
    # cycle stay at depth 0 and are rejected: each would need as many successors as the start, at least 2, on the cycle.
    # Since the number of edges is correct, so is the out-degree of the start.
    successors = np.bincount((rows * E + parent)[~is_root], minlength=rows.size * E).reshape(-1, E)
    correct &= (successors == np.array([*family.branching_factors, 0])[depth]).all(axis=1)
    # The answer: M - 1 consecutive edges, so from the start to a leaf, which is the goal.
    into = edge_into(path[:, 1:])
    steps = (into >= 0) & (np.take_along_axis(tails, np.maximum(into, 0), axis=1) == path[:, :-1])
    return correct & steps.all(axis=1) & (path[:, -1:] == goal)[:, 0]


def _without_blanks(chars: UInt8[np.ndarray, " chars"]) -> UInt8[np.ndarray, " remaining"]:
    """Return the characters without blanks and tabs, except between two digits, where a blank is an error."""
    positions = np.flatnonzero(~np.isin(chars, BLANKS))
    if len(positions) == len(chars):
        return chars
    remaining = chars[positions]
    split = _is_digit(remaining[:-1]) & _is_digit(remaining[1:]) & (np.diff(positions) > 1)
    return np.insert(remaining, np.flatnonzero(split) + 1, ord(" "))


def _is_digit(chars: UInt8[np.ndarray, " chars"]) -> Bool[np.ndarray, " chars"]:
    return chars - ord("0") < 10  # unsigned: smaller characters wrap around
