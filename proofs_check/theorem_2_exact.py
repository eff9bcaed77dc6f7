"""The contexts of Theorem 2 and what its losses do to a row of attention, in rational arithmetic.

Both phases train one row of attention s = softmax(l): S1[T] in Phase I, S2[T] in Phase II. The loss is
-log f with f = sum of s_j over the positions j that hold the answer, and

    -d(-log f)/dl_j = s_j (hit_j / f - 1)

is the ``pull`` on the logit of position j. In Phase I the answers are the positions of u_end. In Phase II Layer 1
hands on the label before, (S1 Z)_j = z_{j-1}, and position 1 sees itself, so the answers are the positions after v,
and position 1 if v stands there.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from random import Random
from typing import NamedTuple

from proofs_check import evidence, exact, setting
from proofs_check.evidence import Evidence, Of
from proofs_check.exact import Row

T = setting.T
SELF = T - 2
"""Where the prompt's u_end stands, counted from 0: the paper's position T - 1 = 9."""
UNIFORM: Row = [Fraction(1, T)] * T


class Context(NamedTuple):
    """One edge order: tokens, the targets v and u_end, and t_end, counted from 0, where u_end stands in the edges."""

    tokens: tuple[int, ...]
    v: int
    end: int
    at_end: int

    @property
    def holds_end(self) -> list[bool]:
        return [token == self.end for token in self.tokens]

    @property
    def reads_v(self) -> list[bool]:
        """The positions whose Layer-1 output is e_v when every position attends to its predecessor."""
        return [token == self.v for token in (self.tokens[0], *self.tokens[:-1])]

    @property
    def only_end(self) -> list[bool]:
        """The one position that the proof of Phase II has: t_end."""
        return [j == self.at_end for j in range(T)]

    @property
    def distractors(self) -> list[int]:
        """Positions whose label is not u_end."""
        return [j for j in range(T) if self.tokens[j] != self.end]


@cache
def contexts() -> tuple[Context, ...]:
    """The 24 edge orders, with canonical labels."""
    tokens, v, end = (array.tolist() for array in setting.orders())
    return tuple(Context(tuple(row), y1, y2, row[:SELF].index(y2)) for row, y1, y2 in zip(tokens, v, end, strict=True))


def edges(context: Context) -> str:
    """As text: its edges, then u_end and u_star."""
    pairs = [f"{context.tokens[t]}>{context.tokens[t + 1]}" for t in range(0, SELF, 2)]
    return ", ".join([*pairs, *(str(label) for label in context.tokens[SELF:])])


def pull(s: Sequence[Fraction], hit: Sequence[bool]) -> Row:
    """Minus the derivative of -log f in each logit."""
    found = sum((mass for mass, is_hit in zip(s, hit, strict=True) if is_hit), Fraction(0))
    return [mass * (is_hit / found - 1) for mass, is_hit in zip(s, hit, strict=True)]


def logit_velocity(context: Context, on_logits: Row) -> Row:
    """How fast the logits of S2[T] move on one graph.

    The query is u_end, read at T - 1, so l_j = W0[u_end, z_j] + W1[T-1, j]: a pull on position i moves the content
    entry of its label, which all positions with that label share, and its own position entry.
    """
    same = [
        [g for g, other in zip(on_logits, context.tokens, strict=True) if other == token] for token in context.tokens
    ]
    return [sum(shared, own) for shared, own in zip(same, on_logits, strict=True)]


def mean(rows: Iterable[Sequence[Fraction]]) -> Row:
    """Entry by entry."""
    listed = list(rows)
    return [sum(column, Fraction(0)) / len(listed) for column in zip(*listed, strict=True)]


def distance(ours: Sequence[Fraction], truth: Sequence[Fraction]) -> Fraction:
    """The largest difference of two entries."""
    return max(abs(a - b) for a, b in zip(ours, truth, strict=True))


def vertices() -> list[Row]:
    """All attention on one position. What is linear in s and not negative here is not negative for any s."""
    return [exact.one_hot(T, j) for j in range(T)]


def random_rows(number: int, seed: int = 0) -> list[Row]:
    """Random rational attention."""
    random = Random(seed)
    return [exact.random_attention(random, T).s2 for _ in range(number)]


def at_most(quantity: str, value: Fraction | int, bound: int, cases: int, *, of: Of = "printed") -> Evidence:
    """Evidence from a fraction; a float64 keeps its sign, and 0 only for 0."""
    return evidence.at_most("exact", quantity, float(value), bound, cases, of=of)


def at_least(quantity: str, value: Fraction | int, bound: int, cases: int, *, of: Of = "printed") -> Evidence:
    """The same for a lower bound."""
    return evidence.at_least("exact", quantity, float(value), bound, cases, of=of)
