"""What the second step's loss teaches the backbone when the transfer matrix holds the adjacency matrix.

With W^T = lambda A, A the adjacency of nodes (the end token has neither row nor column), and S(k) the successors of k,

    dL_2/dW^V[j, k] = lambda sum over contexts c with target j of  N[c] p_2(S(k) | c) - N[c, S(k)]

so what counts is not whether k was seen next, but whether a successor of k was seen two positions ahead. As W^V[j, k]
tends to minus infinity the logits of all of S(k) do, and that of the end token stays at 0, so the gradient tends to
-lambda N[j, S(k)]. The same holds of W^M[i, k], with the current token in place of the target.

The signs are proved in symbols on every DAG of three nodes, which nodes they lead to is listed on every DAG of four.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations, product
from typing import NamedTuple

import networkx as nx
import numpy as np
import sympy
from jaxtyping import Bool

from circuits.tasks.walks.graphs import adjacency, graph_from_edges, reachability
from proofs_check.ledger.certified import nonnegative, same
from proofs_check.ledger.evidence import Findings, Test
from proofs_check.ledger.outcome import Outcome, at_least, every
from proofs_check.transfer import exact
from proofs_check.transfer.exact import CONTEXTS, CURRENT, TARGET, Expression, exponential, weight
from proofs_check.transfer.library import agreement

SMALL, NODES = 3, 4
"""Nodes of the graphs of the proofs in symbols, and of those on which lines are listed."""
Edges = Bool[np.ndarray, "N N"]
Held = Callable[[Edges], Bool[np.ndarray, "N V"]]
"""What the transfer matrix holds of a graph: rows of nodes, columns of nodes and the end token."""


def of_graph(edges: Edges) -> Bool[np.ndarray, "N V"]:
    """A: no edge leads to the end token."""
    return np.pad(edges, ((0, 0), (0, 1)))


def with_end(edges: Edges) -> Bool[np.ndarray, "N V"]:
    """A, and an edge from every node to the end token."""
    return np.concatenate([edges, np.ones((len(edges), 1), bool)], axis=1)


def transposed(edges: Edges) -> Bool[np.ndarray, "N V"]:
    return of_graph(edges.T)


def squared(edges: Edges) -> Bool[np.ndarray, "N V"]:
    return of_graph(edges @ edges)


class Gradient(NamedTuple):
    """Row 0 of dL_2/dW^V or dL_2/dW^M, or a wrong variant of it.

    Args:
        matrix: "V" or "M".
        held: what W^T holds.
        sign: of the gradient.
        step: whose loss.
    """

    matrix: str
    held: Held = of_graph
    sign: int = 1
    step: int = 2

    @property
    def contexts(self) -> list[exact.Context]:
        return [c for c in CONTEXTS if c[CURRENT if self.matrix == "M" else TARGET] == 0]


def backbone_signs() -> Findings:
    """The signs of dL_2/dW^V and dL_2/dW^M with W^T = lambda A, and what they lead to."""
    return Findings(
        (
            *signs(),
            Test(
                "exhaustive",
                "(d) W^V: the nodes that (c) raises reach the target",
                lambda given: every(raised(TARGET, given).linked),
                Lines(),
                mutants={"W^T = lambda A^T": Lines(transposed), "edges to the end token": Lines(with_end)},
            ),
            Test(
                "exhaustive",
                "(c) W^V: nodes that no line to the target showed as the next token, and that are raised",
                lambda given: at_least([int(np.sum(~raised(TARGET, given).next))], 1),
                Lines(),
                mutants={"W^T holds the edges of the lines": Lines(seen_alone=True)},
            ),
            Test(
                "exhaustive",
                "the price, W^M: nodes without an edge from the current token that are raised",
                lambda given: at_least([int(np.sum(~raised(CURRENT, given).linked))], 1),
                Lines(),
                mutants={"W^T holds the edges of the lines": Lines(seen_alone=True)},
            ),
        ),
        (agreement(2, ("content", "value")),),
        "Edges 0 -> 1, 1 -> 2, 2 -> 3, 4 -> 2, seen: the path 0 1 2 3. Node 4 was never on a path to 3, so the "
        "next-token loss lowers W^V[3, 4] at all weights; the second step raises it, for 4 leads to 2, and 2 came two "
        "positions ahead on the way to 3.",
    )


def signs() -> tuple[Test, ...]:
    """(a), (b) and (c) of W^V and its closed form; (c) of W^M."""
    right, squared_graph = Gradient("V"), {"W^T = lambda A^2": Gradient("V", squared)}
    wrong = {"W^T = lambda A^T": Gradient("V", transposed), "the next-token loss": Gradient("V", step=1)}
    sign = {"the other sign": Gradient("V", sign=-1)}
    end = {"edges to the end token": Gradient("V", with_end)}
    of_content = {
        "W^T = lambda A^T": Gradient("M", transposed),
        "W^T = lambda A^2": Gradient("M", squared),
        "the other sign": Gradient("M", sign=-1),
    }
    of_value = {name: each._replace(matrix="V") for name, each in of_content.items()}
    where = "two positions ahead"
    return (
        Test("symbolic", "(a) W^V: entries of nodes without a successor", zero, right, mutants=wrong | end),
        Test("symbolic", f"(b) W^V: sign where no successor was seen {where}", positive, right, mutants=wrong | sign),
        Test("symbolic", "(c) W^V: sign of the limit where a successor was", limit, right, mutants=of_value),
        Test("symbolic", "W^V: the closed form", closed, right, mutants=squared_graph),
        Test("symbolic", "(c) W^M: sign of the limit where a successor was", limit, Gradient("M"), mutants=of_content),
    )


def zero(given: Gradient) -> Outcome:
    """(a) Cases with an edge to the node tell A from its transpose."""
    cases = [(edges, k) for edges in graphs(SMALL) for k in range(SMALL) if not edges[k].any()]
    return every(
        [entry(given, edges, k) == 0 for edges, k in cases],
        nontrivial=[edges[:, k].any() for edges, k in cases],
    )


def positive(given: Gradient) -> Outcome:
    """(b) One context at least occurs, and ends there; the first successor's exponentials are inverted."""

    def one(edges: Edges, k: int) -> Expression:
        to, found = np.flatnonzero(edges[k]), entry(given, edges, k)
        counted = exact.table(given.contexts, SMALL + 1)
        found = found.xreplace({counted[c][b]: sympy.Integer(0) for c in given.contexts for b in to})
        occurs = counted[given.contexts[0]][SMALL]
        before = np.flatnonzero(edges[:, to[0]])
        powers = {_power(m, c[n], a) for c in given.contexts for n, m in enumerate("MV") for a in before}
        return exact.inverted(found.xreplace({occurs: 1 + occurs}), powers)

    return nonnegative([one(edges, k) for edges, k in leading()], strictly=True)


def limit(given: Gradient) -> Outcome:
    """(c) A successor came two positions ahead; k itself was never seen next. The end token keeps its logit 0."""

    def one(edges: Edges, k: int) -> Expression:
        counted, first = exact.table(given.contexts, SMALL + 1), _next_counts(given.contexts)
        seen = counted[given.contexts[0]][np.flatnonzero(edges[k])[0]]
        never = {first[c][k]: sympy.Integer(0) for c in given.contexts}
        found = entry(given, edges, k).xreplace({seen: 1 + seen} | never)
        own = {_power(given.matrix, 0, k), exponential(weight(given.matrix, 0, k))}
        return -found.xreplace({each: sympy.Integer(0) for each in own})

    return nonnegative([one(edges, k) for edges, k in leading()], strictly=True)


def closed(given: Gradient) -> Outcome:
    """The entry is the sum of N_c p_2(S_k | c) - N_c,S_k over the row's contexts, for lambda = 1 as a factor."""

    def formula(edges: Edges, k: int) -> Expression:
        total, matrix = sympy.Integer(0), of_graph(edges)
        for c, numbers in exact.table(given.contexts, SMALL + 1).items():
            odds = [
                sympy.Mul(*(_power(m, c[n], a) for a in np.flatnonzero(column) for n, m in enumerate("MV")))
                for column in matrix.T
            ]
            to = np.flatnonzero(edges[k])
            total += sum(numbers) * sum(odds[b] for b in to) / sum(odds) - sum(numbers[b] for b in to)
        return total

    return same([(entry(given, edges, k), formula(edges, k)) for edges, k in leading()])


@cache
def graphs(nodes: int) -> tuple[Edges, ...]:
    """Every DAG whose edges go from smaller to larger nodes."""
    possible = list(combinations(range(nodes), 2))
    return tuple(
        adjacency(graph_from_edges(nodes, [edge for edge, kept in zip(possible, chosen, strict=True) if kept]))
        for chosen in product((False, True), repeat=len(possible))
    )


def leading() -> list[tuple[Edges, int]]:
    """Graphs and nodes with a successor."""
    return [(edges, k) for edges in graphs(SMALL) for k in range(SMALL) if edges[k].any()]


LAMBDA = sympy.Symbol("lambda", positive=True)


def entry(given: Gradient, edges: Edges, k: int) -> Expression:
    """The derivative by entry k of row 0, divided by lambda."""
    contexts, tokens, matrix = given.contexts, SMALL + 1, given.held(edges)

    def logits(context: exact.Context) -> list[Expression]:
        x = exact.first_logits(context, tokens)
        if given.step == 1:
            return x
        return [sympy.expand(LAMBDA * sum((x[a] for a in np.flatnonzero(to)), sympy.Integer(0))) for to in matrix.T]

    counted = _next_counts(contexts) if given.step == 1 else exact.table(contexts, tokens)
    found = exact.derivative(exact.loss(counted, logits), weight(given.matrix, 0, k))
    return given.sign * found.xreplace({LAMBDA: sympy.Integer(1)})


def _power(matrix: str, row: int, column: int | np.integer) -> Expression:
    return exponential(LAMBDA * weight(matrix, row, int(column)))


def _next_counts(contexts: list[exact.Context]) -> dict[exact.Context, list[Expression]]:
    """What was seen next, of which the second step knows nothing."""
    return {
        c: [sympy.Symbol(f"next_{n}", nonnegative=True) for n in row]
        for c, row in exact.table(contexts, SMALL + 1).items()
    }


class Lines(NamedTuple):
    """What W^T holds: a matrix of the graph, or of the edges that the line itself shows."""

    held: Held = of_graph
    seen_alone: bool = False


class Raised(NamedTuple):
    """A row for each graph, line, token of the row, and node that (c) raises there.

    Args:
        linked: the target can be reached from the node; of W^M: there is an edge to it from the current token.
        next: the line shows the node next, in a context of the row.
    """

    linked: Bool[np.ndarray, " n"]
    next: Bool[np.ndarray, " n"]


@cache
def raised(position: int, given: Lines) -> Raised:
    """On every DAG of four nodes, each path of three nodes or more as the only line."""
    linked, after = [], []
    for edges, path in _paths():
        matrix = given.held(_edges_of(path) if given.seen_alone else edges)
        reach = reachability(nx.from_numpy_array(edges, create_using=nx.DiGraph))
        whole = [*path, NODES]
        rows = [(path[-1], range(len(path)))] if position == TARGET else [(t, [n]) for n, t in enumerate(path)]
        for row, starts in rows:
            seen, following = ({whole[n + s] for n in starts if n + s < len(whole)} for s in (2, 1))
            for k in range(NODES):
                if k != row and any(matrix[k, b] for b in seen):
                    linked.append(reach[k, row] if position == TARGET else edges[row, k])
                    after.append(k in following)
    return Raised(np.array(linked, bool), np.array(after, bool))


def _paths() -> Iterator[tuple[Edges, list[int]]]:
    for edges in graphs(NODES):
        graph = nx.from_numpy_array(edges, create_using=nx.DiGraph)
        for s, t in combinations(range(NODES), 2):
            yield from ((edges, path) for path in nx.all_simple_paths(graph, s, t) if len(path) > 2)


def _edges_of(path: list[int]) -> Edges:
    found = np.zeros((NODES, NODES), bool)
    found[path[:-1], path[1:]] = True
    return found
