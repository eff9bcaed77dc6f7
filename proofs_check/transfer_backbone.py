"""What the second step's loss teaches the backbone when the transfer matrix holds the adjacency matrix.

With W^T = lambda A, A the adjacency of nodes (the end token has neither row nor column), and S(k) the successors of k,

    dL_2/dW^V[j, k] = lambda sum over contexts c with target j of  N[c] p_2(S(k) | c) - N[c, S(k)]

so what counts is not whether k was seen next, but whether a successor of k was seen two places on. As W^V[j, k] tends
to minus infinity the logits of all of S(k) do, and the gradient tends to -lambda N[j, S(k)]; k itself is not in S(k),
so not all logits do. The same holds of W^M[i, k], with the current token in place of the target.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations, product
from typing import NamedTuple

import networkx as nx
import numpy as np

from circuits.tasks.graphs import adjacency, graph_of, reachability
from proofs_check import transfer_exact as exact
from proofs_check.evidence import Control, Evidence, Findings, at_least, at_most
from proofs_check.transfer_backbone_examples import example, random_graph
from proofs_check.transfer_exact import Weights
from proofs_check.transfer_second_step import CURRENT, TARGET, library, matrix_of, second_rows, tables

NODES = 4
"""Of the graphs that are listed, all DAGs in the order of the nodes; the end token is one more."""


class Entry(NamedTuple):
    """One entry of W^V (or W^M) whose target (or current token) has a second step, on a data set at some weights."""

    leads: bool
    """The column's token has a successor."""
    continued: bool
    """A successor of it was seen two places on."""
    next: bool
    """It was seen next."""
    reaches: bool
    """The target can be reached from it (of W^M: there is an edge to it)."""
    gradient: Fraction
    limit: Fraction
    first: Fraction
    """The gradient of the next-token loss at the same weights."""


Sign = Callable[[Entry], bool]


def backbone_signs() -> Findings:
    """The signs of dL_2/dW^V with W^T = lambda A, and what they cost in W^M."""
    value, content = entries(TARGET), entries(CURRENT)
    return Findings(
        (
            right("W^V (a)", value, lambda e: e.leads or e.gradient == 0),
            right("W^V (b)", value, lambda e: not e.leads or e.continued or e.gradient > 0),
            right("W^V (c)", value, lambda e: not e.continued or e.limit < 0, spans=True),
            right("W^V (d): what (c) raises reaches the target", value, lambda e: not e.continued or e.reaches),
            right("next-token loss, unseen", value, lambda e: e.next or e.first > 0),
            exists("W^V: raised by (c), lowered by the next-token loss", value, lambda e: e.continued and not e.next),
            exists("W^M: raised by (c) without an edge", content, lambda e: e.continued and not e.reaches),
            library(),
            random_graph(),
        ),
        (
            Control("(b) where a successor was seen", right("b", value, lambda e: not e.leads or e.gradient > 0)),
            Control("(c) at any weights", right("c", value, lambda e: not e.continued or e.gradient < 0)),
            Control("(b) by what was seen next", right("b", value, lambda e: not e.leads or e.next or e.gradient > 0)),
            Control("(d) of W^M", right("d", content, lambda e: not e.continued or e.reaches)),
            Control(
                "W^T = lambda A^T", right("c", entries(TARGET, "transposed"), lambda e: not e.continued or e.limit < 0)
            ),
            Control(
                "an edge from every node to the end token",
                right("d", entries(TARGET, "end"), lambda e: e.reaches or e.limit >= 0),
            ),
        ),
        example(),
    )


def right(name: str, found: Sequence[Entry], sign: Sign, spans: bool = False) -> Evidence:
    """No entry violates a sign."""
    wrong = sum(not sign(entry) for entry in found)
    return at_most("exhaustive", f"{name}: entries that violate it", wrong, 0, len(found), spans=spans)


def exists(name: str, found: Sequence[Entry], case: Sign) -> Evidence:
    """Some entry is a case of it: nothing is claimed of the empty set."""
    return at_least("exhaustive", f"{name}: entries", sum(case(entry) for entry in found), 1, len(found))


@cache
def entries(axis: int, variant: str = "") -> tuple[Entry, ...]:
    """Every entry between nodes, on every DAG of four nodes and each of its paths and pairs of paths as lines."""
    possible = list(combinations(range(NODES), 2))
    found: list[Entry] = []
    for chosen in product((False, True), repeat=len(possible)):
        graph = graph_of(NODES, [edge for edge, kept in zip(possible, chosen, strict=True) if kept])
        paths = [p for s, t in possible for p in nx.all_simple_paths(graph, s, t) if len(p) > 2]
        for lines in (*combinations(paths, 1), *combinations(paths, 2)):
            found += _entries(graph, lines, axis, variant, len(found))
    return tuple(found)


def _entries(graph: nx.DiGraph, lines: Sequence[Sequence[int]], axis: int, variant: str, seed: int) -> Iterable[Entry]:
    edges, reach, tokens = adjacency(graph), reachability(graph), NODES + 1
    matrix = matrix_of(edges, tokens, variant)
    first, second = tables(lines, tokens, NODES)
    weights = Weights(*(exact.drawn(tokens, tokens, (name, seed)) for name in ("content", "value")))
    one = exact.summed(exact.residuals(first, exact.first_odds(weights)), axis)
    after, seen = exact.numbers(first, axis), exact.numbers(second, axis)
    here = second_rows(second, weights, matrix, axis)
    for row, k in product(seen, range(NODES)):
        if k == row:
            continue
        to = np.flatnonzero(edges[k])
        moved = weights._replace(**{("content", "value")[axis]: exact.with_limit(weights[axis], row, k)})
        limit = second_rows(second, moved, matrix, axis)[row][k]
        reaches = bool(reach[k, row]) if axis == TARGET else bool(edges[row, k])
        yield Entry(
            len(to) > 0,
            any(seen[row][b] for b in to),
            after[row][k] > 0,
            reaches,
            here[row][k],
            limit,
            one[row][k],
        )
