"""How a walk in a graph is written as token ids and as a line of text, and how it is read back.

A line is ``source target source a b ... target``: the prompt names the two ends, and the answer is the walk, from
source to target (arXiv:2405.09220, ALPINE, and arXiv:2509.23186).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np
from jaxtyping import Int

from circuits import checks, display
from circuits.tasks.problem import MAX_LABELS
from circuits.tasks.walks.graphs import check_dag
from circuits.typing import AnyArray

PROMPT_LENGTH = 2
"""Source and target."""

_LINE = re.compile("(?:(?:0|[1-9][0-9]{0,9})(?: (?!$)|$))+")


@dataclass(frozen=True)
class WalkFormat:
    """Walks on the nodes 0..N-1 as sequences of ``length`` token ids.

    A sequence is source, target, the nodes of the walk, the end token N, and padding N + 1. A format is hashable, so it
    can be a static argument of a jitted function.

    Args:
        nodes: N, 1 to 2^31 - 3 (ids are int32).
        longest: the maximum number of nodes in a walk, at least 1.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> format = WalkFormat(nodes=12, longest=4)
        >>> format.length, format.end_token, format.pad_token
        (7, 12, 13)
    """

    nodes: int
    longest: int

    _repr_html_ = display.html

    def __post_init__(self) -> None:
        checks.integer("nodes", self.nodes, 1, MAX_LABELS - 2)
        checks.integer("longest", self.longest, 1)

    @property
    def end_token(self) -> int:
        """N."""
        return self.nodes

    @property
    def pad_token(self) -> int:
        """N + 1."""
        return self.nodes + 1

    @property
    def vocab_size(self) -> int:
        """N + 2."""
        return self.nodes + 2

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The token of each id: N labels, then the end and the padding."""
        return (*map(str, range(self.nodes)), "<end>", "<pad>")

    @property
    def prompt_length(self) -> int:
        """2: source and target."""
        return PROMPT_LENGTH

    @property
    def answer_length(self) -> int:
        """The nodes of the longest walk, and the end token."""
        return self.longest + 1

    @property
    def length(self) -> int:
        """The number of tokens of prompt and answer."""
        return self.prompt_length + self.answer_length


def walk_format(graph: nx.DiGraph) -> WalkFormat:
    """Return the format for all walks in a DAG: ``longest`` is the number of nodes on its longest path.

    Args:
        graph: a directed acyclic graph on range(N).

    Raises:
        ValueError: if the graph has a cycle or a self loop, or its nodes are not range(N).

    Example:
        >>> from circuits.tasks import graph_from_edges
        >>> walk_format(graph_from_edges(4, [(0, 1), (1, 2), (0, 3)]))
        WalkFormat(nodes=4, longest=3)
    """
    check_dag("graph", graph)
    return WalkFormat(len(graph), len(nx.dag_longest_path(graph, weight=None)))


def encode_walk(format: WalkFormat, path: Sequence[int] | Int[np.ndarray, " nodes"]) -> Int[np.ndarray, " T"]:
    """Return the token ids of one walk. Its edges are not checked (see ``check_walk``).

    Args:
        format: the ids.
        path: the 2 to ``longest`` nodes of the walk.

    Returns:
        T = ``format.length`` ids, int32.

    Raises:
        ValueError: if the walk has too few or too many nodes, or a node is out of range.

    Example:
        >>> encode_walk(WalkFormat(12, 4), [0, 5, 10]).tolist()
        [0, 10, 0, 5, 10, 12, 13]
    """
    nodes = np.asarray(path, dtype=np.int64).tolist()
    _check_walk_nodes(format, "path", nodes)
    ids = np.full(format.length, format.pad_token, dtype=np.int32)
    ids[: PROMPT_LENGTH + len(nodes) + 1] = [nodes[0], nodes[-1], *nodes, format.end_token]
    return ids


def decode_walk(format: WalkFormat, ids: Sequence[int] | Int[AnyArray, " T"]) -> list[int]:
    """Return the nodes of the walk of one sequence; inverts ``encode_walk``.

    Args:
        format: the ids.
        ids: T = ``format.length`` token ids.

    Raises:
        ValueError: if the number of ids is wrong, there is no end token, an id after it is not padding, an id before it
            is not a node, or the prompt does not name the ends of the walk.

    Example:
        >>> decode_walk(WalkFormat(12, 4), [0, 10, 0, 5, 10, 12, 13])
        [0, 5, 10]
    """
    checks.shape("ids", ids, (format.length,))
    values = np.asarray(ids).tolist()
    prompt, answer = values[:PROMPT_LENGTH], values[PROMPT_LENGTH:]
    checks.require(format.end_token in answer, "ids", f"must have the end token {format.end_token}", values)
    end = answer.index(format.end_token)
    rest = [token for token in answer[end + 1 :] if token != format.pad_token]
    checks.require(not rest, "ids", f"must have only padding {format.pad_token} after the end", rest[:1])
    _check_prompt(format, "ids", prompt, answer[:end])
    return answer[:end]


def format_walk(path: Sequence[int] | Int[np.ndarray, " nodes"]) -> str:
    """Return the line of one walk: decimal labels separated by single blanks, without end token and line end.

    Args:
        path: the nodes of the walk, at least 2.

    Raises:
        ValueError: if the walk has fewer than 2 nodes.

    Example:
        >>> format_walk([0, 5, 10])
        '0 10 0 5 10'
    """
    nodes = np.asarray(path, dtype=np.int64).tolist()
    checks.require(len(nodes) >= 2, "path", "must have at least 2 nodes", nodes)
    return " ".join(map(str, [nodes[0], nodes[-1], *nodes]))


def parse_walk(format: WalkFormat, text: str, number: int = 1) -> list[int]:
    """Return the nodes of the walk of one line ``source target source a b ... target``; a line end is skipped.

    Args:
        format: the number of labels and the maximum number of nodes.
        text: the line.
        number: the number of the line, for error messages.

    Raises:
        ValueError: "line {number}: rule, got fragment" if the line is not decimal labels separated by single blanks,
            the walk has fewer than 2 or more than ``longest`` nodes, a label is not below N, or the prompt does not
            name the ends of the walk.

    Example:
        >>> parse_walk(WalkFormat(12, 4), "0 10 0 5 10")
        [0, 5, 10]
    """
    line, bare = f"line {number}", text.removesuffix("\n").removesuffix("\r")
    rule = "must be labels without sign or leading zero, separated by single blanks"
    checks.require(_LINE.fullmatch(bare) is not None, line, rule, bare[:80])
    labels = [int(word) for word in bare.split(" ")]
    _check_prompt(format, line, labels[:PROMPT_LENGTH], labels[PROMPT_LENGTH:])
    return labels[PROMPT_LENGTH:]


def read_walks(format: WalkFormat, path: str | Path) -> Int[np.ndarray, "n T"]:
    """Return the token ids of every walk of a file, one per line; int32.

    Args:
        format: the ids.
        path: a file of lines ``source target source a b ... target``.

    Raises:
        ValueError: "line {number}: ..." for the first invalid line, see ``parse_walk``; naming ``path`` for a file
            without lines.
        OSError: if the file cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "walks.txt"
        >>> write_walks(WalkFormat(12, 4), file, encode_walk(WalkFormat(12, 4), [0, 5, 10])[None])
        >>> read_walks(WalkFormat(12, 4), file).tolist()
        [[0, 10, 0, 5, 10, 12, 13]]
    """
    # A byte that is not ASCII becomes a character that is not in a label, so the error names its line.
    with open(path, encoding="ascii", errors="replace") as lines:
        rows = [encode_walk(format, parse_walk(format, text, number)) for number, text in enumerate(lines, start=1)]
    checks.require(bool(rows), "path", "must have at least one line", str(path))
    return np.stack(rows)


def write_walks(format: WalkFormat, path: str | Path, rows: Int[np.ndarray, "n T"]) -> None:
    """Write the walk of each sequence as one line of text; inverts ``read_walks``.

    Args:
        format: the ids.
        path: the file to write.
        rows: token ids of walks.

    Raises:
        ValueError: if a row is not a walk, see ``decode_walk``.
        OSError: if the file cannot be written.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "walks.txt"
        >>> write_walks(WalkFormat(12, 4), file, np.array([[0, 10, 0, 5, 10, 12, 13]]))
        >>> file.read_text()
        '0 10 0 5 10\\n'
    """
    lines = [format_walk(decode_walk(format, row)) for row in rows]
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def _check_prompt(format: WalkFormat, argument: str, prompt: list[int], nodes: list[int]) -> None:
    _check_walk_nodes(format, argument, nodes)
    rule = f"must begin with the ends {[nodes[0], nodes[-1]]} of its walk"
    checks.require(prompt == [nodes[0], nodes[-1]], argument, rule, prompt)


def _check_walk_nodes(format: WalkFormat, argument: str, nodes: list[int]) -> None:
    rule = f"a walk must have 2 to longest = {format.longest} nodes"
    checks.require(2 <= len(nodes) <= format.longest, argument, rule, len(nodes))
    outside = [node for node in nodes if not 0 <= node < format.nodes]
    checks.require(not outside, argument, f"each node must be below N = {format.nodes}", outside[:1])
