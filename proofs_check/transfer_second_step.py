"""The second step of the one-layer model with W^T = lambda A, exactly and by the library; see ``transfer_backbone``."""

from collections.abc import Iterable, Sequence
from itertools import combinations

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
from jaxtyping import Bool

from circuits.one_layer.counts import Counts, counts
from circuits.one_layer.losses import Objective, objective
from circuits.one_layer.parameters import Options, Parameters
from circuits.tasks.graphs import adjacency, random_dag
from circuits.tasks.walk_format import walk_format, walk_tokens
from proofs_check import transfer_exact as exact
from proofs_check.evidence import Evidence, identity
from proofs_check.setting import gap
from proofs_check.transfer_exact import Table, Weights

LAMBDA = 1
CURRENT, TARGET = 0, 1
"""Places of the current token and of the target in a context: of W^M and of W^V."""
Matrix = Sequence[Sequence[int]]


def matrix_of(edges: Bool[np.ndarray, "N N"], tokens: int, variant: str = "") -> Matrix:
    """lambda A, with rows and columns for the tokens that are no nodes; the end token comes after the nodes."""
    full, nodes = np.zeros((tokens, tokens), int), len(edges)
    full[:nodes, :nodes] = edges.T if variant == "transposed" else edges
    if variant == "end":
        full[:nodes, nodes] = 1
    return (LAMBDA * full).tolist()


def second_rows(second: Table, weights: Weights, matrix: Matrix, axis: int) -> exact.Rows:
    """dL_2/dW^V or dL_2/dW^M."""
    odds = exact.transferred_odds(exact.first_odds(weights), matrix)
    return exact.through(exact.summed(exact.residuals(second, odds), axis), matrix)


def table(lines: Sequence[Sequence[int]], ahead: int, tokens: int, end: int) -> dict[exact.Context, list[int]]:
    """N[i, j, b] of some paths, each followed by the end token."""
    found: dict[exact.Context, list[int]] = {}
    for path in lines:
        whole = [*path, end]
        for place in range(len(whole) - ahead):
            row = found.setdefault((whole[place], path[-1]), [0] * tokens)
            row[whole[place + ahead]] += 1
    return found


def tables(lines: Sequence[Sequence[int]], tokens: int, end: int) -> tuple[Table, Table]:
    """What was seen next, and two places on. The second is held against the library's counts by ``library``."""
    return table(lines, 1, tokens, end), table(lines, 2, tokens, end)


def library() -> Evidence:
    """The library's gradient of the second step, from lines, beside the formula in rational arithmetic."""
    gaps = []
    for seed in range(3):
        graph = random_dag(8, 0.5, seed)
        paths = [path for _, path in zip(range(6), _long_paths(graph), strict=False)]
        form = walk_format(graph)
        weights = Weights(*(exact.drawn(form.vocab_size, form.vocab_size, (name, seed)) for name in ("M", "V")))
        matrix = matrix_of(adjacency(graph), form.vocab_size)
        found = second_gradient(graph, paths, *(np.log(np.array(part, float)) for part in weights))
        _, second = tables(paths, form.vocab_size, form.end_token)
        for axis, ours in ((CURRENT, found.content), (TARGET, found.value)):
            for row, truth in second_rows(second, weights, matrix, axis).items():
                gaps.append(gap([ours[row]], [jnp.asarray([float(part) for part in truth])]))
    return identity("autodiff", "dL_2/dW^V and dL_2/dW^M: the library from lines, and exact", max(gaps), len(gaps))


def _long_paths(graph: nx.DiGraph) -> Iterable[list[int]]:
    for s, t in combinations(range(len(graph)), 2):
        yield from (path for path in nx.all_simple_paths(graph, s, t) if len(path) > 2)


def second_gradient(
    graph: nx.DiGraph, paths: Sequence[Sequence[int]], content: np.ndarray, value: np.ndarray
) -> Parameters:
    """The library's gradient of the summed loss of step 2, with W^T = lambda A."""
    form = walk_format(graph)
    lines = np.stack([walk_tokens(form, path) for path in paths])
    matrix = jnp.asarray(matrix_of(adjacency(graph), form.vocab_size), jnp.float64)[None]
    held = Parameters(jnp.asarray(content), jnp.asarray(value), matrix, jnp.ones(()))
    data = counts(lines, form.vocab_size, 2, form.pad_token, injection=False, room=64)
    found = _second_step(held, data).gradient
    return Parameters(*(leaf * data.divisor for leaf in found))


@jax.jit
def _second_step(parameters: Parameters, data: Counts) -> Objective:
    return objective(parameters, data, Options(), jnp.asarray([0.0, 1.0]))
