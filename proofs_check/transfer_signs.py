"""Which way gradients of the one-layer model point: entries of W^M and W^V under the next-token loss, and of W^T.

Our statement of the theorems of arXiv:2405.09220 and arXiv:2509.23186, which speak of the simplified model: one layer,
one-hot embeddings, attention fixed on the target. Signs of single entries are decided by exact arithmetic, on every
data set that is small enough to list, and the library's gradient is held against it.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from flint import arb

from proofs_check import transfer_exact as exact
from proofs_check.evidence import Control, Evidence, Findings, at_most, ball_at_least
from proofs_check.transfer_exact import Table, Weights
from proofs_check.transfer_library import agrees, first_random, transfer_random

TOKENS = 3
MOST = 1
"""Of each token in each context, in the data sets that are listed: signs depend on which tokens came, not how often."""
DRAWS = 3
"""Random weights for each data set."""
CONTEXTS = {0: ((0, 0), (0, 1)), 1: ((0, 1), (1, 1))}
"""For W^M a current token with two targets, for W^V a target with two current tokens. Row 2 has none."""
BOX = 50
"""Weights of the ball arithmetic are anywhere in [-50, 50]."""


class Entry(NamedTuple):
    """One entry of a matrix, at some weights."""

    occurs: bool
    """Its row's token occurs."""
    followed: bool
    """Its row's token is followed by its column's."""
    gradient: Fraction
    limit: Fraction
    """The gradient as this entry alone tends to minus infinity."""


Sign = Callable[[Entry], bool]


def never_occurs(entry: Entry) -> bool:
    """(a) A token that never occurs: its row has gradient 0."""
    return entry.occurs or entry.gradient == 0


def never_followed(entry: Entry) -> bool:
    """(b) It occurs but is never followed by the column's token: the gradient is positive."""
    return not entry.occurs or entry.followed or entry.gradient > 0


def followed(entry: Entry) -> bool:
    """(c) It is followed: the gradient tends to a negative number."""
    return not entry.followed or entry.limit < 0


SIGNS: dict[str, Sign] = {"(a)": never_occurs, "(b)": never_followed, "(c)": followed}


def next_token_signs() -> Findings:
    """ALPINE: the signs of the next-token gradient in W^M and in W^V, for any values of all other weights."""
    entries = {name: list(_first_entries(axis)) for name, axis in (("W^M", 0), ("W^V", 1))}
    return Findings(
        (
            *(holds(f"{name} {part}", sign, found) for name, found in entries.items() for part, sign in SIGNS.items()),
            _softmax_is_positive(),
            agrees(first_random, "dL_1/dW^M and dL_1/dW^V"),
        ),
        (
            *(Control(name, holds(name, sign, entries["W^M"])) for name, sign in MUTANTS.items()),
            Control("the target's counts put to the test of W^M", holds("W^M", never_followed, _swapped())),
        ),
        _first_example(),
    )


def transfer_signs() -> Findings:
    """The same signs for W^T, where the logits of step 1 are one-hot at the next token; without that they fail."""
    entries = list(_transfer_entries())
    general = list(_general_entries())
    return Findings(
        (
            *(holds(f"W^T {part}", sign, entries) for part, sign in SIGNS.items()),
            agrees(transfer_random, "dL_2/dW^T"),
        ),
        (
            *(Control(name, holds(name, sign, entries)) for name, sign in MUTANTS.items()),
            *(
                Control(f"{part} for any logits of step 1", holds(f"W^T {part}, any x_1", sign, general))
                for part, sign in SIGNS.items()
            ),
            Control("one-hot with a negative number", holds("W^T, c < 0", never_followed, _transfer_entries(-1))),
        ),
        _transfer_example(),
    )


MUTANTS: dict[str, Sign] = {
    "(b) with the other sign": lambda e: not e.occurs or e.followed or e.gradient < 0,
    "(b) for tokens that follow too": lambda e: not e.occurs or e.gradient > 0,
    "(c) at any weights, not in the limit": lambda e: not e.followed or e.gradient < 0,
    "(c) for tokens that never follow": lambda e: not e.occurs or e.limit < 0,
    "(a) for every row": lambda e: e.gradient == 0,
}


def holds(name: str, sign: Sign, entries: Iterable[Entry]) -> Evidence:
    """No entry violates a sign. That of (c) is of a limit."""
    right, spans = [sign(entry) for entry in entries], sign is followed
    return at_most("exhaustive", f"{name}: entries that violate it", right.count(False), 0, len(right), spans=spans)


def _entries(rows: int, table: Table, gradient: Callable[[int, int], Sequence[Fraction]], axis: int) -> list[Entry]:
    """``gradient(r, b)`` is row r with entry (r, b) at minus infinity, or with b = -1 as it is."""
    seen, none = exact.numbers(table, axis), [0] * TOKENS
    found = []
    for r in range(rows):
        number, here = seen.get(r, none), gradient(r, -1)
        for b in range(TOKENS):
            limit = gradient(r, b)[b]
            found.append(Entry(any(number), number[b] > 0, here[b], limit))
    return found


def _first_entries(axis: int) -> Iterable[Entry]:
    """Every entry of W^M (axis 0) or W^V (axis 1), on every data set and at random weights."""
    for place, table in enumerate(exact.tables(CONTEXTS[axis], TOKENS, MOST)):
        for draw in range(DRAWS):
            weights = _weights((place, draw))

            def gradient(r: int, b: int, table: Table = table, weights: Weights = weights) -> Sequence[Fraction]:
                moved = weights
                if b >= 0:
                    moved = weights._replace(**{FIELD[axis]: exact.with_limit(weights[axis], r, b)})
                found = exact.summed(exact.residuals(table, exact.first_odds(moved)), axis)
                return found.get(r, [Fraction(0)] * TOKENS)

            yield from _entries(TOKENS, table, gradient, axis)


FIELD = ("content", "value")


def _weights(seed: tuple[int, ...]) -> Weights:
    return Weights(exact.drawn(TOKENS, TOKENS, ("content", seed)), exact.drawn(TOKENS, TOKENS, ("value", seed)))


def _swapped() -> list[Entry]:
    """W^M's gradient beside what the target is followed by."""
    table = {(0, 1): (1, 0, 1), (1, 0): (0, 1, 0)}
    found = exact.summed(exact.residuals(table, exact.first_odds(_weights((0,)))), 0)
    by_target = exact.numbers(table, 1)
    return [Entry(True, by_target[r][b] > 0, found[r][b], found[r][b]) for r in found for b in range(TOKENS)]


def _transfer_entries(size: int = 1) -> Iterable[Entry]:
    """Every entry of W^T on every data set: x_1 = c e_u with c = 1, 2 (or minus that) for the next token u."""
    contexts = ((0,), (1,))
    for place, table in enumerate(exact.tables(contexts, TOKENS, MOST)):
        for draw in range(DRAWS):
            scale = size * (1 + draw % 2)
            matrix = exact.drawn(TOKENS, TOKENS, ("transfer", place, draw))
            first = {context: [scale * (context[0] == a) for a in range(TOKENS)] for context in contexts}
            yield from _of_transfer(table, first, matrix)


def _general_entries() -> Iterable[Entry]:
    """The same with logits of step 1 anywhere between -2 and 2."""
    contexts, random = ((0,), (1,)), np.random.default_rng(0)
    for place, table in enumerate(exact.tables(contexts, TOKENS, MOST)):
        matrix = exact.drawn(TOKENS, TOKENS, ("general", place))
        first = {context: [int(x) for x in random.integers(-2, 3, TOKENS)] for context in contexts}
        yield from _of_transfer(table, first, matrix)


def _of_transfer(table: Table, first: dict[exact.Context, list[int]], matrix: list[list[Fraction]]) -> Iterable[Entry]:
    """dL_2/dW^T[a, b] = sum_c x_1[c, a] R[c, b], with exp(W^T) given and x_1 of integers.

    A weight at minus infinity times a negative logit is plus infinity; there the limit is that at exp(W^T) = 1e-30.
    """
    seen = exact.numbers(table, 0)
    for a in range(TOKENS):
        number = seen.get(a, [0] * TOKENS)
        here = _transfer_row(table, first, matrix, a)
        for b in range(TOKENS):
            moved = exact.with_limit(matrix, a, b)
            if any(logits[a] < 0 for logits in first.values()):
                moved[a][b] = Fraction(1, 10**30)
            limit = _transfer_row(table, first, moved, a)[b]
            yield Entry(any(number), number[b] > 0, here[b], limit)


def _transfer_row(
    table: Table, first: dict[exact.Context, list[int]], matrix: list[list[Fraction]], a: int
) -> list[Fraction]:
    """Row a of dL_2/dW^T."""

    def odds(context: exact.Context) -> list[Fraction]:
        parts = [Fraction(1)] * TOKENS
        for logit, row in zip(first[context], matrix, strict=True):
            parts = [part * (weight**logit if logit else 1) for part, weight in zip(parts, row, strict=True)]
        return parts

    found = exact.residuals(table, odds)
    return [sum((first[c][a] * row[b] for c, row in found.items()), Fraction(0)) for b in range(TOKENS)]


def _softmax_is_positive() -> Evidence:
    """(b) for all weights at once: p(k) = 1 / (1 + sum exp(x_b - x_k)), and logits differ by at most 4 BOX."""
    least = 1 / (1 + (TOKENS - 1) * arb(4 * BOX).exp())
    quantity = f"least probability of one of {TOKENS} tokens, all weights in [-{BOX}, {BOX}]"
    return ball_at_least(quantity, least, 1e-100, 1, detail="so N p > 0 wherever the row's token occurs")


def _first_example() -> str:
    table = {(0, 0): (0, 1, 0), (0, 1): (0, 1, 2)}
    even = Weights([[Fraction(1)] * TOKENS] * TOKENS, [[Fraction(1)] * TOKENS] * TOKENS)
    row = exact.summed(exact.residuals(table, exact.first_odds(even)), 0)[0]
    return (
        f"The current token 0 came before token 1 twice and before 2 twice, over two targets, never before 0. At zero "
        f"weights its row of the gradient is {', '.join(map(str, row))}; the first is positive at all weights, the "
        f"others tend to -2 as their own weight tends to minus infinity."
    )


def _transfer_example() -> str:
    first, table = {(0,): [1, -1, 0]}, {(0,): (0, 1, 0)}
    even = [[Fraction(1)] * TOKENS] * TOKENS
    rows = [_transfer_row(table, first, even, a) for a in range(TOKENS)]
    return (
        f"Where the logits of step 1 are not one-hot: one context, next token 0, then token 1, x_1 = (1, -1, 0). At "
        f"W^T = 0 row 1 of the gradient is {', '.join(map(str, rows[1]))} though token 1 was never the next token: (a) "
        f"would have 0. In general dL_2/dW^T[a, b] = sum of x_1[a] (p_2(b) - [b]) over contexts, so its sign is "
        f"that of x_1[a] times what counts decide."
    )
