"""How a problem is written as token ids for a standard transformer, and how it is read back."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from circuits import checks
from circuits.tasks.answers import Edges
from circuits.tasks.problem import MAX_LABELS, Problem, check_single
from circuits.tasks.star.answers import solve_star
from circuits.tasks.star.graph import QUERIES, StarGraph
from circuits.tasks.tree.answers import solve_tree
from circuits.tasks.tree.graph import BinaryTree
from circuits.typing import AnyArray, Label, Tokens

STYLES = ("text", "pairs")
SYMBOLS = ("|", "=", "/", "$")
"""What is no label: between edges, before the answer, before the query, and the dummy of teacherless training."""


@dataclass(frozen=True)
class TokenFormat:
    """A family of problems, and the order in which the parts of one problem are written.

    Style "text" is the public format (Bachmann & Nagarajan 2024) without its commas, edges first:
    ``u v | u v | ... | u v / start goal = n0 n1 ...``; the answer is all M nodes, the start n0 included. Style
    "pairs" is the paper's Section 5.1: ``u v u v ... u v goal start`` and then the answer n1 ..., without n0.
    ``query`` is the order of the two ends in the prompt; "start-goal" is the public one, "goal-start" the
    paper's. Ids are the labels 0..N-1, then N.. for the ``SYMBOLS``, in both styles. N <= 2^31 - 5, for ids
    are int32. Hashable, so it can be a static argument.

    Raises ValueError naming the argument that is out of range.
    """

    family: StarGraph | BinaryTree
    style: str
    query: str

    def __post_init__(self) -> None:
        checks.choice("style", self.style, STYLES)
        checks.choice("query", self.query, QUERIES)
        most = MAX_LABELS - len(SYMBOLS)
        checks.require(self.family.labels <= most, "family", f"must have at most {most} labels", self.family)

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
        """The id of "$", which teacherless training puts in place of the answer's inputs."""
        return self.symbol("$")

    @property
    def prompt_length(self) -> int:
        """3 E + 3 in style text (the "=" is its end), 2 E + 2 in style pairs."""
        edges = self.family.edge_count
        return 3 * edges + 3 if self.style == "text" else 2 * edges + 2

    @property
    def answer_length(self) -> int:
        """M in style text, M - 1 in style pairs, which leaves out the start."""
        return self.family.nodes - self.first_node

    @property
    def length(self) -> int:
        """The tokens of the prompt and of the answer."""
        return self.prompt_length + self.answer_length

    @property
    def first_node(self) -> int:
        """The place in the path of the answer's first token: 0 in style text, 1 in style pairs."""
        return 0 if self.style == "text" else 1

    @property
    def hard(self) -> tuple[int, ...]:
        """The places in the answer whose token needs look-ahead: node j + 1 where node j branches, but the goal.

        The goal itself stands in the query. Star: the first node after the start (none for M = 2, when that is
        the goal). Tree: every node after the start but the last.
        """
        branches = self.family.branching[:-1]
        return tuple(j + 1 - self.first_node for j, edges in enumerate(branches) if edges > 1)

    def symbol(self, text: str) -> int:
        """The id of one of the symbols.

        Raises ValueError for another text.
        """
        checks.choice("text", text, SYMBOLS)
        return self.family.labels + SYMBOLS.index(text)


def encode_problem(format: TokenFormat, problem: Problem) -> Int[AnyArray, " T"]:
    """The ids of one problem, the prompt and then the answer; int32, and numpy when the problem is numpy.

    Jittable with ``format`` static; vmap for a batch.

    Raises ValueError for a batch, or naming the array of the problem whose shape is not the family's.
    """
    check_single("problem", problem)
    checks.shape("problem.edges", problem.edges, (format.family.edge_count, 2))
    checks.shape("problem.path", problem.path, (format.family.nodes,))
    space = jnp if any(isinstance(part, jax.Array) for part in problem) else np
    edges, start, goal, path = (space.asarray(part, dtype=np.int32) for part in problem)
    ends = [start, goal] if format.query == "start-goal" else [goal, start]
    if format.style == "pairs":
        return space.concatenate([edges.reshape(-1), space.stack(ends), path[1:]])
    bars = np.full((format.family.edge_count, 1), format.symbol("|"), dtype=np.int32)
    bars[-1] = format.symbol("/")
    listed = space.concatenate([edges, space.asarray(bars)], axis=1).reshape(-1)
    equals = np.asarray([format.symbol("=")], dtype=np.int32)
    return space.concatenate([listed, space.stack(ends), space.asarray(equals), path])


def decode_problem(format: TokenFormat, ids: Tokens) -> Problem:
    """The inverse of ``tokens``: read one sequence, and check that its answer is the path that its edges dictate.

    Arrays of the problem are int32 numpy.

    Raises ValueError naming ``ids``, when their number or a symbol is wrong, a node is no label, or the answer
    is another; or what breaks the rules of the graph (see ``solve`` and ``solve_tree``).
    """
    checks.shape("ids", ids, (format.length,))
    values = np.asarray(ids).tolist()
    labels, width = format.family.labels, 3 if format.style == "text" else 2
    for place, mark in _marks(format).items():
        symbol = SYMBOLS[mark - labels]
        checks.require(values[place] == mark, "ids", f"must hold {symbol!r} = {mark} at {place}", values[place])
    listed = width * format.family.edge_count
    edges = np.reshape(values[:listed], (-1, width))[:, :2]
    ends, answer = values[listed : listed + 2], values[format.prompt_length :]
    for node in (*edges.reshape(-1).tolist(), *ends, *answer):
        checks.require(0 <= node < labels, "ids", f"must hold a label below N = {labels} where a node stands", node)
    start, goal = ends if format.query == "start-goal" else ends[::-1]
    path = solve(format.family, edges, start, goal)
    rule = f"must end with the answer {path[format.first_node :]}"
    checks.require(answer == path[format.first_node :], "ids", rule, answer)
    return Problem(*(np.asarray(part, dtype=np.int32) for part in (edges, start, goal, path)))


def solve(family: StarGraph | BinaryTree, edges: Edges, start: Label, goal: Label) -> list[int]:
    """The path from start to goal, after checking that the graph is one of the family; labels aside.

    Raises ValueError naming what breaks the rules of ``solve`` or ``solve_tree``, or ``edges`` when their
    number or the length of the path is not the family's.
    """
    solver = solve_tree if isinstance(family, BinaryTree) else solve_star
    path = solver(edges, start, goal)
    sizes, expected = (len(edges), len(path)), (family.edge_count, family.nodes)
    checks.require(sizes == expected, "edges", f"must be {expected[0]}, with paths of {expected[1]} nodes", sizes)
    return path


def _marks(format: TokenFormat) -> dict[int, int]:
    """The symbol that stands at each place of a sequence where no node does."""
    if format.style == "pairs":
        return {}
    after_edges = range(2, 3 * format.family.edge_count, 3)
    bars = dict.fromkeys(after_edges, format.symbol("|"))
    return bars | {after_edges[-1]: format.symbol("/"), format.prompt_length - 1: format.symbol("=")}
