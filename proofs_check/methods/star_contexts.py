"""The 24 contexts of Theorem 2, and what its losses do to one row of attention, in rational arithmetic or symbols.

Both phases train one row of attention s = softmax(l): S1[T] in Phase I, S2[T] in Phase II. The loss is -log f, where f
is the sum of s_j over the positions j that hold the answer, and

    -d(-log f)/dl_j = s_j (hit_j / f - 1)

is the ``pull`` on the logit of position j. In Phase I the answers are the positions of u_end. In Phase II Layer 1
hands on the previous label, (S1 Z)_j = z_{j-1}, and position 1 sees itself, so the answers are the positions after v,
and position 1 if v stands there.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from random import Random
from typing import NamedTuple

from proofs_check.methods.edge_orders import T, Tokens, edge_orders, goal, goal_position, next_label
from proofs_check.methods.exact import Row

SELF = T - 2
"""Where the prompt's u_end stands, counted from 0: the paper's position T - 1 = 9."""
UNIFORM: Row = [Fraction(1, T)] * T


class Context(NamedTuple):
    """One edge order: tokens, the labels v and u_end, and t_end, counted from 0, where u_end stands in its edge."""

    tokens: Tokens
    v: int
    end: int
    at_end: int

    @property
    def holds_end(self) -> list[bool]:
        """The positions of u_end: t_end and T - 1."""
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
    """The 24 edge orders: u_star = 0, v = 1, u_end = 2."""
    return tuple(Context(tokens, next_label(tokens), goal(tokens), goal_position(tokens)) for tokens in edge_orders())


def edges(context: Context) -> str:
    """As text: its edges, then u_end and u_star."""
    pairs = [f"{context.tokens[t]}>{context.tokens[t + 1]}" for t in range(0, SELF, 2)]
    return ", ".join([*pairs, *(str(label) for label in context.tokens[SELF:])])


def pull(s: Sequence[Fraction], hit: Sequence[bool]) -> Row:
    """Minus the derivative of -log f in each logit."""
    found = sum((mass for mass, is_hit in zip(s, hit, strict=True) if is_hit), Fraction(0))
    return [mass * (is_hit / found - 1) for mass, is_hit in zip(s, hit, strict=True)]


def mean(rows: Iterable[Sequence[Fraction]]) -> Row:
    """Entry by entry."""
    listed = list(rows)
    return [sum(column, Fraction(0)) / len(listed) for column in zip(*listed, strict=True)]


def random_rows(number: int, seed: int = 0) -> list[Row]:
    """Random rational attention, positive at every position."""
    random = Random(seed)
    parts = [[random.randint(1, 9) for _ in range(T)] for _ in range(number)]
    return [[Fraction(part, sum(row)) for part in row] for row in parts]
