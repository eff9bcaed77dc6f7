"""The one-layer model in rational arithmetic: residuals and gradients of its losses, for any data set and weights.

Weights are given by their exponentials, so that softmax is a fraction of products: W^M by exp(W^M[i, b]), and so on.
An exponential of 0 stands for a weight at minus infinity: what is computed with it is the limit, which no number of
finite weights shows. Losses are sums over contexts, without a divisor.

    R[c, b] = N[c] p(b | c) - N[c, b]        N[c, b]: how often token b came in context c, N[c] its sum over b

is the gradient in the logits. In the first step p(b | i, j) is in proportion to exp(W^M[i, b]) exp(W^V[j, b]), so

    dL_1/dW^M[i, b] = sum_j R[i, j, b],   dL_1/dW^V[j, b] = sum_i R[i, j, b].
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product
from math import prod
from random import Random
from typing import NamedTuple

Context = tuple[int, ...]
"""(i, j) of the first step; (u,) where the next token alone matters."""
Table = Mapping[Context, Sequence[int]]
"""N[c, b], a row for each context."""
Row = Sequence[Fraction]
Odds = Callable[[Context], Row]
"""Numbers in proportion to the probabilities of a context."""
Rows = dict[int, list[Fraction]]
"""A gradient, row by row."""


class Weights(NamedTuple):
    """exp(W^M) and exp(W^V)."""

    content: list[list[Fraction]]
    value: list[list[Fraction]]


def residuals(table: Table, odds: Odds) -> dict[Context, list[Fraction]]:
    """R. Raises ZeroDivisionError where all tokens of a context have weight minus infinity."""
    found = {}
    for context, numbers in table.items():
        parts, total = odds(context), sum(numbers)
        whole = sum(parts, Fraction(0))
        found[context] = [total * part / whole - number for part, number in zip(parts, numbers, strict=True)]
    return found


def first_odds(weights: Weights) -> Odds:
    """Of the first step."""
    return lambda c: [a * b for a, b in zip(weights.content[c[0]], weights.value[c[1]], strict=True)]


def summed(found: Mapping[Context, Row], axis: int) -> Rows:
    """R summed over the contexts that agree in one place: 0 for the current token, 1 for the target."""
    rows: Rows = {}
    for context, row in found.items():
        before = rows.get(context[axis], [Fraction(0)] * len(row))
        rows[context[axis]] = [a + b for a, b in zip(before, row, strict=True)]
    return rows


def numbers(table: Table, axis: int) -> dict[int, list[int]]:
    """N summed in the same way."""
    rows: dict[int, list[int]] = {}
    for context, row in table.items():
        before = rows.get(context[axis], [0] * len(row))
        rows[context[axis]] = [a + b for a, b in zip(before, row, strict=True)]
    return rows


def tables(contexts: Sequence[Context], tokens: int, most: int) -> Iterator[Table]:
    """Every data set on these contexts with at most ``most`` of each token, but for the empty one."""
    size = len(contexts) * tokens
    for flat in product(range(most + 1), repeat=size):
        if any(flat):
            yield {c: flat[n * tokens : (n + 1) * tokens] for n, c in enumerate(contexts)}


def drawn(rows: int, tokens: int, seed: Hashable) -> list[list[Fraction]]:
    """Random exponentials of weights, from 1/9 to 9."""
    random = Random(repr(seed))
    return [[Fraction(random.randint(1, 9), random.randint(1, 9)) for _ in range(tokens)] for _ in range(rows)]


def with_limit(rows: Sequence[Row], row: int, column: int) -> list[list[Fraction]]:
    """The same exponentials with one weight at minus infinity."""
    changed = [list(each) for each in rows]
    changed[row][column] = Fraction(0)
    return changed


def transferred_odds(first: Odds, matrix: Sequence[Sequence[int]]) -> Odds:
    """Of the second step with W^T of integers: x_2 = x_1 W^T, so exp x_2[b] = prod_a exp(x_1[a])^W^T[a, b]."""

    def odds(context: Context) -> Row:
        before = first(context)
        return [
            prod((part ** matrix[a][b] for a, part in enumerate(before) if matrix[a][b]), start=Fraction(1))
            for b in range(len(before))
        ]

    return odds


def through(found: Mapping[int, Row], matrix: Sequence[Sequence[int]]) -> Rows:
    """R (W^T)^T: from the gradient in the logits of the second step, summed or not, to that in the first's."""
    return {
        key: [sum((weight * part for weight, part in zip(to, row, strict=True)), Fraction(0)) for to in matrix]
        for key, row in found.items()
    }
