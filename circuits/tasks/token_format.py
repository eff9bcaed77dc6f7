"""The token ids of a problem for a standard transformer: encoding and decoding."""

from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from circuits import checks, display
from circuits.tasks.answers import Edges
from circuits.tasks.problem import MAX_LABELS, Problem, check_single
from circuits.tasks.star.answers import solve_star
from circuits.tasks.star.graph import QUERIES, StarGraph
from circuits.tasks.tree.answers import solve_tree
from circuits.tasks.tree.graph import BinaryTree
from circuits.typing import AnyArray, Label, Tokens

STYLES = ("text", "pairs")
SYMBOLS = ("|", "=", "/", "$")
"""Tokens that are not labels: after an edge, before the answer, before the query, and the teacherless dummy token."""


@dataclass(frozen=True)
class TokenFormat:
    """A family of problems, and the order in which the tokens of a problem are written.

    Token ids are the labels 0..N-1, followed by the four ``SYMBOLS``, in both styles. A format is hashable, so it can
    be a static argument of a jitted function.

    Args:
        family: the graphs, with at most 2^31 - 5 labels (ids are int32).
        style: "text" is the public format (Bachmann & Nagarajan 2024) without its commas,
            ``u v | u v | ... | u v / start goal = n0 n1 ...``, whose answer has all M nodes of the path. "pairs" is
            the format of arXiv:2604.11912, Section 5.1: ``u v u v ... u v goal start``, then the answer ``n1 ...``
            without the start n0.
        query: the order of start and goal in the prompt: "start-goal" (the public format) or "goal-start" (Section
            5.1).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> format = TokenFormat(StarGraph(2, 5, 20), "text", "start-goal")
        >>> format.vocab_size, format.prompt_length, format.answer_length
        (24, 27, 5)
    """

    family: StarGraph | BinaryTree
    style: str
    query: str

    _repr_html_ = display.html

    def __post_init__(self) -> None:
        checks.choice("style", self.style, STYLES)
        checks.choice("query", self.query, QUERIES)
        limit = MAX_LABELS - len(SYMBOLS)
        checks.require(self.family.labels <= limit, "family", f"must have at most {limit} labels", self.family)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The token of each id: N labels, then the symbols."""
        return (*map(str, range(self.family.labels)), *SYMBOLS)

    @property
    def vocab_size(self) -> int:
        """N + 4."""
        return self.family.labels + len(SYMBOLS)

    @property
    def dummy_token(self) -> int:
        """The id of "$", which replaces the input tokens of the answer in teacherless training."""
        return self.symbol_id("$")

    @property
    def prompt_length(self) -> int:
        """The number of tokens before the answer: 3 E + 3 in style text (with the "="), 2 E + 2 in style pairs."""
        edges = self.family.edge_count
        return 3 * edges + 3 if self.style == "text" else 2 * edges + 2

    @property
    def answer_length(self) -> int:
        """The number of tokens of the answer: M in style text, M - 1 in style pairs, which omits the start."""
        return self.family.nodes - self.path_offset

    @property
    def length(self) -> int:
        """The number of tokens of prompt and answer."""
        return self.prompt_length + self.answer_length

    @property
    def path_offset(self) -> int:
        """Token i of the answer is node i + path_offset of the path: 0 in style text, 1 in style pairs."""
        return 0 if self.style == "text" else 1

    @property
    def branching_positions(self) -> tuple[int, ...]:
        """The indices, within the answer, of the branching tokens: those that need look-ahead.

        A branching token follows a node with several successors, and is not the goal, which the query names. A star
        has one, the first node after the start (none for M = 2); a tree has one at every step but the last.
        """
        factors = self.family.branching_factors[:-1]
        return tuple(depth + 1 - self.path_offset for depth, factor in enumerate(factors) if factor > 1)

    def symbol_id(self, symbol: str) -> int:
        """Return the id of one of the symbols. Raises ValueError for another text."""
        checks.choice("symbol", symbol, SYMBOLS)
        return self.family.labels + SYMBOLS.index(symbol)


def encode_problem(format: TokenFormat, problem: Problem) -> Int[AnyArray, " T"]:
    """Return the token ids of one problem, the prompt followed by the answer.

    Jittable with ``format`` static; vmap over a batch.

    Args:
        format: how problems of its family are written.
        problem: one problem of that family.

    Returns:
        T = ``format.length`` ids, int32; numpy if the problem is numpy.

    Raises:
        ValueError: for a batch, or if an array of the problem does not have the shape of the family.

    Example:
        >>> from circuits.tasks import parse_line
        >>> format = TokenFormat(StarGraph(2, 3, 10), "text", "start-goal")
        >>> ids = encode_problem(format, parse_line("3,7|6,0|7,2|3,6/3,0=3,6,0"))
        >>> " ".join(format.vocabulary[i] for i in ids)
        '3 7 | 6 0 | 7 2 | 3 6 / 3 0 = 3 6 0'
    """
    check_single("problem", problem)
    checks.shape("problem.edges", problem.edges, (format.family.edge_count, 2))
    checks.shape("problem.path", problem.path, (format.family.nodes,))
    xp = jnp if any(isinstance(part, jax.Array) for part in problem) else np
    edges, start, goal, path = (xp.asarray(part, dtype=np.int32) for part in problem)
    query = [start, goal] if format.query == "start-goal" else [goal, start]
    return encode_labels(format, xp.concatenate([edges.reshape(-1), xp.stack(query), path]))


def encode_labels(format: TokenFormat, labels: Int[AnyArray, "*batch labels"]) -> Int[AnyArray, "*batch T"]:
    """Return the token ids of problems given as labels: the ends of the edges, then the query, then the path; int32."""
    xp = jnp if isinstance(labels, jax.Array) else np
    symbol_ids = np.arange(format.family.labels, format.vocab_size, dtype=np.int32)
    symbols = xp.broadcast_to(symbol_ids, (*labels.shape[:-1], len(SYMBOLS)))
    return xp.concatenate([labels, symbols], axis=-1)[..., token_sources(format)]


def decode_problem(format: TokenFormat, ids: Tokens) -> Problem:
    """Return the problem of one token sequence, after checking that its answer is correct; inverts ``encode_problem``.

    Args:
        format: how the problem is written.
        ids: T = ``format.length`` token ids.

    Returns:
        The problem, int32 numpy.

    Raises:
        ValueError: if the number of ids, a symbol or the answer is wrong, a node is not a label, or the edges are not
            a graph of the family (see ``solve_star`` and ``solve_tree``).

    Example:
        >>> format = TokenFormat(StarGraph(2, 3, 10), "pairs", "goal-start")
        >>> decode_problem(format, np.array([3, 7, 6, 0, 7, 2, 3, 6, 0, 3, 6, 0])).path.tolist()
        [3, 6, 0]
    """
    checks.shape("ids", ids, (format.length,))
    values = np.asarray(ids).tolist()
    size, labels = format.family.labels, []
    for position, (value, source) in enumerate(zip(values, token_sources(format).tolist(), strict=True)):
        symbol = source - num_labels(format)
        if symbol >= 0:
            rule = f"must have {SYMBOLS[symbol]!r} = {size + symbol} at position {position}"
            checks.require(value == size + symbol, "ids", rule, value)
        else:
            labels.append(value)
    for node in labels:
        checks.require(0 <= node < size, "ids", f"nodes must be labels below N = {size}", node)
    query = 2 * format.family.edge_count
    edges, ends, answer = np.reshape(labels[:query], (-1, 2)), labels[query : query + 2], labels[query + 2 :]
    start, goal = ends if format.query == "start-goal" else ends[::-1]
    path = solve(format.family, edges, start, goal)
    rule = f"must end with the answer {path[format.path_offset :]}"
    checks.require(answer == path[format.path_offset :], "ids", rule, answer)
    return Problem(*(np.asarray(part, dtype=np.int32) for part in (edges, start, goal, path)))


def solve(family: StarGraph | BinaryTree, edges: Edges, start: Label, goal: Label) -> list[int]:
    """Return the path from start to goal, after checking that the edges form a graph of the family; N is not used.

    Args:
        family: star graphs or binary trees.
        edges: directed edges (u, v), in any order.
        start: the root.
        goal: a leaf.

    Returns:
        The M nodes of the path, start and goal included.

    Raises:
        ValueError: if ``edges``, ``start`` or ``goal`` breaks a rule of ``solve_star`` or ``solve_tree``, or the
            graph does not have the size of the family.

    Example:
        >>> solve(StarGraph(2, 3, 10), [(3, 7), (6, 0), (7, 2), (3, 6)], start=3, goal=0)
        [3, 6, 0]
    """
    solver = solve_tree if isinstance(family, BinaryTree) else solve_star
    path = solver(edges, start, goal)
    sizes, expected = (len(edges), len(path)), (family.edge_count, family.nodes)
    checks.require(sizes == expected, "edges", f"must be {expected[0]}, with paths of {expected[1]} nodes", sizes)
    return path


def num_labels(format: TokenFormat) -> int:
    """Return the number of labels in the text of a problem: two for each edge, two for the query, M for the path."""
    return 2 * format.family.edge_count + 2 + format.family.nodes


@cache
def token_sources(format: TokenFormat) -> Int[np.ndarray, " T"]:
    """Return the source of each token: its index in the labels of a problem, followed by the symbols."""
    edges, nodes, count = format.family.edge_count, format.family.nodes, num_labels(format)
    labels = np.arange(count, dtype=np.int32)  # the same type whether 64-bit types are enabled or not
    if format.style == "pairs":
        return np.delete(labels, 2 * edges + 2)
    bar, equals, slash = (count + SYMBOLS.index(symbol) for symbol in "|=/")
    separators = np.array([bar] * (edges - 1) + [slash], np.int32)
    listed = np.column_stack([labels[: 2 * edges].reshape(-1, 2), separators]).reshape(-1)
    return np.concatenate(
        [listed, labels[2 * edges : 2 * edges + 2], np.array([equals], np.int32), labels[count - nodes :]]
    )
