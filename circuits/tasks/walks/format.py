"""How a walk in a graph is written as token ids and as a line of text, and how it is read back.

One line is ``source target source a b ... target``: the prompt names both ends, and the answer is the walk, its
source and target counted. Source: arXiv:2405.09220 (ALPINE) and arXiv:2509.23186.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np
from jaxtyping import Int

from circuits import checks
from circuits.tasks.problem import MAX_LABELS
from circuits.tasks.walks.graphs import check_dag
from circuits.typing import AnyArray

PROMPT_LENGTH = 2
"""Source and target."""

_LINE = re.compile("(?:(?:0|[1-9][0-9]{0,9})(?: (?!$)|$))+")


@dataclass(frozen=True)
class WalkFormat:
    """Walks on the nodes 0..N-1, of at most ``longest`` nodes.

    Ids: the nodes 0..N-1, the end N, the padding N + 1. A sequence is source, target, the nodes of the walk, the
    end, and padding up to ``length``. N <= 2^31 - 3, for ids are int32. Hashable, so it can be a static argument.

    Raises ValueError naming ``nodes`` or ``longest`` when it is no integer of at least 1.
    """

    nodes: int
    longest: int

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
        """2."""
        return PROMPT_LENGTH

    @property
    def answer_length(self) -> int:
        """The nodes of the longest walk, and the end."""
        return self.longest + 1

    @property
    def length(self) -> int:
        """The tokens of the prompt and of the answer."""
        return self.prompt_length + self.answer_length


def walk_format(graph: nx.DiGraph) -> WalkFormat:
    """The format that holds every walk in a DAG: ``longest`` is the number of nodes of its longest path.

    Raises ValueError naming ``graph`` when it has a cycle (see ``check_dag``).
    """
    check_dag("graph", graph)
    return WalkFormat(len(graph), len(nx.dag_longest_path(graph, weight=None)))


def encode_walk(form: WalkFormat, path: Sequence[int] | Int[np.ndarray, " n"]) -> Int[np.ndarray, " T"]:
    """The ids of the line of one walk, given by its 2..longest nodes; int32.

    Whether its edges exist is not asked here (see ``check_walk``).

    Raises ValueError naming ``path`` when it has too few or too many nodes, or one out of range.
    """
    nodes = np.asarray(path, dtype=np.int64).tolist()
    _check_path(form, "path", nodes)
    ids = np.full(form.length, form.pad_token, dtype=np.int32)
    ids[: PROMPT_LENGTH + len(nodes) + 1] = [nodes[0], nodes[-1], *nodes, form.end_token]
    return ids


def decode_walk(form: WalkFormat, ids: Sequence[int] | Int[AnyArray, " T"]) -> list[int]:
    """The nodes of a walk from its line of ids: the inverse of ``walk_tokens``.

    Raises ValueError naming ``ids`` for another number of ids, a line without end, something else than padding
    after it, no node where one should stand, or a prompt that does not name the ends of the walk.
    """
    checks.shape("ids", ids, (form.length,))
    values = np.asarray(ids).tolist()
    answer = values[PROMPT_LENGTH:]
    checks.require(form.end_token in answer, "ids", f"must hold the end token {form.end_token}", values)
    end = answer.index(form.end_token)
    rest = [token for token in answer[end + 1 :] if token != form.pad_token]
    checks.require(not rest, "ids", f"must hold padding {form.pad_token} after the end", rest[:1])
    _check_line(form, "ids", values[:PROMPT_LENGTH], answer[:end])
    return answer[:end]


def format_walk(path: Sequence[int] | Int[np.ndarray, " n"]) -> str:
    """The line of one walk, given by its nodes: decimal labels, single blanks, no line end, no end token.

    Raises ValueError naming ``path`` when it has fewer than 2 nodes.
    """
    nodes = np.asarray(path, dtype=np.int64).tolist()
    checks.require(len(nodes) >= 2, "path", "must have at least 2 nodes", nodes)
    return " ".join(map(str, [nodes[0], nodes[-1], *nodes]))


def parse_walk(form: WalkFormat, text: str, number: int = 1) -> list[int]:
    """The nodes of a walk from its line ``source target source a b ... target``; a line end is skipped.

    Raises ValueError("line {number}: reason, got 'fragment'") when the line is not decimal labels with single
    blanks between them, has fewer than 4 or more than 2 + longest, or one not below N, or when the prompt does
    not name the ends of the walk.
    """
    line, bare = f"line {number}", text.removesuffix("\n").removesuffix("\r")
    rule = "must be labels without sign or leading zero, with single blanks between them"
    checks.require(_LINE.fullmatch(bare) is not None, line, rule, bare[:80])
    labels = [int(word) for word in bare.split(" ")]
    _check_line(form, line, labels[:PROMPT_LENGTH], labels[PROMPT_LENGTH:])
    return labels[PROMPT_LENGTH:]


def read_walks(form: WalkFormat, path: str | Path) -> Int[np.ndarray, "n T"]:
    """The ids of every walk of a file, one line each; int32.

    Raises ValueError("line {number}: ...") for the first line that cannot be read (a blank one is such a line);
    ValueError naming ``path`` for a file without lines; and OSError from the file.
    """
    # A byte that is no ASCII becomes a sign that is no label, so that the error names its line.
    with open(path, encoding="ascii", errors="replace") as lines:
        rows = [encode_walk(form, parse_walk(form, text, number)) for number, text in enumerate(lines, start=1)]
    checks.require(bool(rows), "path", "must hold at least one line", str(path))
    return np.stack(rows)


def write_walks(form: WalkFormat, path: str | Path, rows: Int[np.ndarray, "n T"]) -> None:
    """Write the walk of each row of ids as a line of text; the inverse of ``read_walks``.

    Raises ValueError naming ``ids`` for a row that is no walk (see ``walk_of``), and OSError from the file.
    """
    lines = [format_walk(decode_walk(form, row)) for row in rows]
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def _check_line(form: WalkFormat, argument: str, prompt: list[int], nodes: list[int]) -> None:
    _check_path(form, argument, nodes)
    rule = f"must begin with the ends {[nodes[0], nodes[-1]]} of its walk"
    checks.require(prompt == [nodes[0], nodes[-1]], argument, rule, prompt)


def _check_path(form: WalkFormat, argument: str, nodes: list[int]) -> None:
    rule = f"must have between 2 and longest = {form.longest} nodes in its walk"
    checks.require(2 <= len(nodes) <= form.longest, argument, rule, len(nodes))
    outside = [node for node in nodes if not 0 <= node < form.nodes]
    checks.require(not outside, argument, f"each node must be below N = {form.nodes}", outside[:1])
