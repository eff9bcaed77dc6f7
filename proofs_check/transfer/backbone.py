"""The gradient of the second step's loss in the backbone when the transfer matrix is the adjacency matrix.

With W^T = lambda A, A the adjacency of nodes (the end token has neither row nor column), and S(k) the successors of k,

    dL_2/dW^V[j, k] = lambda sum over contexts c with target j of  N[c] p_2(S(k) | c) - N[c, S(k)]

so it does not matter whether k came next, but whether a successor of k came two positions ahead. As W^V[j, k] tends to
minus infinity the logits of all of S(k) do, and that of the end token stays at 0, so the gradient tends to
-lambda N[j, S(k)]. The same holds for W^M[i, k], with the current token in place of the target.

The signs are proved in symbols on every DAG of three nodes; the nodes whose entries gradient descent increases are
listed on every DAG of four.
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
from proofs_check.ledger import Findings, Outcome, Test, at_least, every, nonnegative, same
from proofs_check.transfer import exact
from proofs_check.transfer.exact import CONTEXTS, CURRENT, TARGET, Expression, exponential, weight
from proofs_check.transfer.library import agreement

SMALL, NODES = 3, 4
"""Number of nodes of the graphs of the proofs in symbols, and of those on which lines are listed."""
LAMBDA = sympy.Symbol("lambda", positive=True)
Edges = Bool[np.ndarray, "N N"]
Transfer = Callable[[Edges], Bool[np.ndarray, "N V"]]
"""Returns the nonzero entries of W^T for a graph: rows of nodes, columns of nodes and the end token."""


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
        transfer: the nonzero entries of W^T.
        sign: sign of the gradient.
        step: the step whose loss is differentiated.
    """

    matrix: str
    transfer: Transfer = of_graph
    sign: int = 1
    step: int = 2

    @property
    def contexts(self) -> list[exact.Context]:
        return [c for c in CONTEXTS if c[CURRENT if self.matrix == "M" else TARGET] == 0]


class Lines(NamedTuple):
    """The nonzero entries of W^T, and whether they are those of the edges of the training line alone."""

    transfer: Transfer = of_graph
    line_alone: bool = False


def backbone_signs() -> Findings:
    """The signs of dL_2/dW^V and dL_2/dW^M with W^T = lambda A, and their consequences."""

    def all_reach(lines: Lines) -> Outcome:
        return every(increased(TARGET, lines).linked)

    def never_next(lines: Lines) -> Outcome:
        return at_least([int(np.sum(~increased(TARGET, lines).next))], 1)

    def unlinked(lines: Lines) -> Outcome:
        return at_least([int(np.sum(~increased(CURRENT, lines).linked))], 1)

    wrong_graph = {"W^T = lambda A^T": Lines(transposed), "edges to the end token": Lines(with_end)}
    line = {"W^T holds the edges of the lines": Lines(line_alone=True)}
    reached = "(d) W^V: the nodes that (c) increases reach the target"
    unseen = "(c) W^V: nodes that no line to the target had as the next token, and that are increased"
    price = "the price, W^M: nodes without an edge from the current token that are increased"
    return Findings(
        (
            *signs(),
            Test("exhaustive", reached, all_reach, Lines(), mutants=wrong_graph),
            Test("exhaustive", unseen, never_next, Lines(), mutants=line),
            Test("exhaustive", price, unlinked, Lines(), mutants=line),
        ),
        (agreement(2, ("content", "value")),),
        "Edges 0 -> 1, 1 -> 2, 2 -> 3, 4 -> 2, and one line, the path 0 1 2 3. Node 4 was never on a path to 3, so the "
        "next-token loss decreases W^V[3, 4] at all weights; the second step increases it, because 4 leads to 2, and 2 "
        "came two positions ahead on the way to 3.",
    )


def signs() -> tuple[Test, ...]:
    """Test (a), (b) and (c) of W^V and its closed form, and (c) of W^M."""
    value, content = Gradient("V"), Gradient("M")
    wrong = {"W^T = lambda A^T": value._replace(transfer=transposed), "the next-token loss": value._replace(step=1)}
    sign, end = (
        {"the other sign": value._replace(sign=-1)},
        {"edges to the end token": value._replace(transfer=with_end)},
    )
    of_content = {
        "W^T = lambda A^T": content._replace(transfer=transposed),
        "W^T = lambda A^2": content._replace(transfer=squared),
        "the other sign": content._replace(sign=-1),
    }
    of_value = {name: each._replace(matrix="V") for name, each in of_content.items()}
    square, where = {"W^T = lambda A^2": value._replace(transfer=squared)}, "two positions ahead"
    return (
        Test("symbolic", "(a) W^V: entries of nodes without a successor", zero, value, mutants=wrong | end),
        Test("symbolic", f"(b) W^V: sign where no successor came {where}", positive, value, mutants=wrong | sign),
        Test("symbolic", "(c) W^V: sign of the limit where a successor came", limit, value, mutants=of_value),
        Test("symbolic", "W^V: the closed form", closed, value, mutants=square),
        Test("symbolic", "(c) W^M: sign of the limit where a successor came", limit, content, mutants=of_content),
    )


def zero(gradient: Gradient) -> Outcome:
    """(a) Cases with an edge to the node distinguish A from its transpose."""
    cases = [(edges, k) for edges in graphs(SMALL) for k in range(SMALL) if not edges[k].any()]
    entries = [entry(gradient, edges, k) == 0 for edges, k in cases]
    return every(entries, nontrivial=[edges[:, k].any() for edges, k in cases])


def positive(gradient: Gradient) -> Outcome:
    """(b) At least one context occurs, and ends there; the first successor's exponentials are inverted."""
    counted = exact.table(gradient.contexts, SMALL + 1)
    occurs = counted[gradient.contexts[0]][SMALL]

    def value(edges: Edges, k: int) -> Expression:
        to = np.flatnonzero(edges[k])
        none = {counted[c][b]: sympy.Integer(0) for c in gradient.contexts for b in to}
        before = np.flatnonzero(edges[:, to[0]])
        powers = {_power(m, c[n], a) for c in gradient.contexts for n, m in enumerate("MV") for a in before}
        return exact.inverted(entry(gradient, edges, k).xreplace(none).xreplace({occurs: 1 + occurs}), powers)

    return nonnegative([value(edges, k) for edges, k in leading()], strictly=True)


def limit(gradient: Gradient) -> Outcome:
    """(c) A successor came two positions ahead; k itself never came next. The end token keeps its logit 0."""
    counted, first = exact.table(gradient.contexts, SMALL + 1), _next_counts(gradient.contexts)

    def value(edges: Edges, k: int) -> Expression:
        number = counted[gradient.contexts[0]][np.flatnonzero(edges[k])[0]]
        never = {first[c][k]: sympy.Integer(0) for c in gradient.contexts}
        own = {_power(gradient.matrix, 0, k), exponential(weight(gradient.matrix, 0, k))}
        derivative = entry(gradient, edges, k).xreplace({number: 1 + number} | never)
        return -derivative.xreplace({each: sympy.Integer(0) for each in own})

    return nonnegative([value(edges, k) for edges, k in leading()], strictly=True)


def closed(gradient: Gradient) -> Outcome:
    """The entry is the sum of N_c p_2(S_k | c) - N_c,S_k over the row's contexts, for lambda = 1 as a factor."""

    def formula(edges: Edges, k: int) -> Expression:
        total, to = sympy.Integer(0), np.flatnonzero(edges[k])
        for c, numbers in exact.table(gradient.contexts, SMALL + 1).items():
            odds = [
                sympy.Mul(*(_power(m, c[n], a) for a in np.flatnonzero(column) for n, m in enumerate("MV")))
                for column in of_graph(edges).T
            ]
            total += sum(numbers) * sum(odds[b] for b in to) / sum(odds) - sum(numbers[b] for b in to)
        return total

    return same([(entry(gradient, edges, k), formula(edges, k)) for edges, k in leading()])


@cache
def graphs(nodes: int) -> tuple[Edges, ...]:
    """Return every DAG whose edges go from smaller to larger nodes."""
    possible = list(combinations(range(nodes), 2))
    return tuple(
        adjacency(graph_from_edges(nodes, [edge for edge, kept in zip(possible, chosen, strict=True) if kept]))
        for chosen in product((False, True), repeat=len(possible))
    )


def leading() -> list[tuple[Edges, int]]:
    """Return graphs and nodes with a successor."""
    return [(edges, k) for edges in graphs(SMALL) for k in range(SMALL) if edges[k].any()]


def entry(gradient: Gradient, edges: Edges, k: int) -> Expression:
    """Return the derivative by entry k of row 0, divided by lambda."""
    contexts, tokens, matrix = gradient.contexts, SMALL + 1, gradient.transfer(edges)

    def logits(context: exact.Context) -> list[Expression]:
        x = exact.first_logits(context, tokens)
        if gradient.step == 1:
            return x
        return [sympy.expand(LAMBDA * sum((x[a] for a in np.flatnonzero(to)), sympy.Integer(0))) for to in matrix.T]

    counted = _next_counts(contexts) if gradient.step == 1 else exact.table(contexts, tokens)
    derivative = exact.derivative(exact.loss(counted, logits), weight(gradient.matrix, 0, k))
    return gradient.sign * derivative.xreplace({LAMBDA: sympy.Integer(1)})


def _power(matrix: str, row: int, column: int | np.integer) -> Expression:
    return exponential(LAMBDA * weight(matrix, row, int(column)))


def _next_counts(contexts: list[exact.Context]) -> dict[exact.Context, list[Expression]]:
    """Return symbols for the counts of the next token, which do not enter the second step."""
    return {
        c: [sympy.Symbol(f"next_{n}", nonnegative=True) for n in row]
        for c, row in exact.table(contexts, SMALL + 1).items()
    }


class Increased(NamedTuple):
    """One entry for each graph, training line, row of the matrix, and node whose entry increases by (c).

    Args:
        linked: the target can be reached from the node; for W^M: there is an edge to it from the current token.
        next: the node comes next in the line, in a context of the row.
    """

    linked: Bool[np.ndarray, " n"]
    next: Bool[np.ndarray, " n"]


@cache
def increased(position: int, lines: Lines) -> Increased:
    """Return the increased entries on every DAG of four nodes, with each path of three or more nodes as a line."""
    linked, after = [], []
    for edges, path in _paths():
        matrix = lines.transfer(_edges_of(path) if lines.line_alone else edges)
        reach = reachability(nx.from_numpy_array(edges, create_using=nx.DiGraph))
        whole = [*path, NODES]
        rows = [(path[-1], range(len(path)))] if position == TARGET else [(t, [n]) for n, t in enumerate(path)]
        for row, starts in rows:
            second, following = ({whole[n + s] for n in starts if n + s < len(whole)} for s in (2, 1))
            for k in range(NODES):
                if k != row and any(matrix[k, b] for b in second):
                    linked.append(reach[k, row] if position == TARGET else edges[row, k])
                    after.append(k in following)
    return Increased(np.array(linked, bool), np.array(after, bool))


def _paths() -> Iterator[tuple[Edges, list[int]]]:
    for edges in graphs(NODES):
        graph = nx.from_numpy_array(edges, create_using=nx.DiGraph)
        for s, t in combinations(range(NODES), 2):
            yield from ((edges, path) for path in nx.all_simple_paths(graph, s, t) if len(path) > 2)


def _edges_of(path: list[int]) -> Edges:
    edges = np.zeros((NODES, NODES), bool)
    edges[path[:-1], path[1:]] = True
    return edges
