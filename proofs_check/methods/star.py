"""The paper's setting: the 2-path 3-node star graph with N = T = 10, its 24 edge orders, and the literal losses.

Corollary 1's weights treat all labels alike and Theorem 1 is about positions, so one labeling stands for all: u_star =
0, v = 1, u_end = 2, and the other path has the labels 3 and 4. Positions count from 0 here, the paper's T - 1 is
``SELF``.

Both phases of Theorem 2 train one row of attention s = softmax(l): S1[T] in Phase I, S2[T] in Phase II. The loss is
-log f, where f is the sum of s_j over the positions j that hold the answer, and

    -d(-log f)/dl_j = s_j (hit_j / f - 1)

is the ``pull`` on the logit of position j. In Phase I the answers are the positions of u_end. In Phase II Layer 1
passes on the previous label, (S1 Z)_j = z_{j-1}, and position 0 attends to itself, so the answers are the positions
after v, and position 0 if v is there.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from itertools import chain, permutations
from random import Random
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from circuits.disentangled import literal
from circuits.disentangled.weights import Weights
from circuits.tasks.star.graph import StarGraph

SPEC: Final = StarGraph(paths=2, nodes=3, labels=10)
N, T = SPEC.labels, SPEC.sequence_length
EDGES: Final = ((0, 1), (1, 2), (0, 3), (3, 4))
SELF: Final = T - 2
"""The position of u_end after the edges: the paper's position T - 1 = 9."""
EXAMPLE: Final = (3, 7, 6, 0, 7, 2, 3, 6, 0, 3)
"""Figure 3's sequence: edges 3>7, 6>0, 7>2, 3>6, then u_end = 0 and u_star = 3. The path is 3, 6, 0."""
EXAMPLE_PATH: Final = (3, 6, 0)
DRAWS: Final = 4
"""Labelings and weights drawn for each of the 24 edge orders."""

Tokens = tuple[int, ...]
"""A context: the edges, u_end at T - 2, and at T - 1 u_star, or v once it has been predicted."""
Row = list[Fraction]
UNIFORM: Final[Row] = [Fraction(1, T)] * T


def edge_orders() -> list[Tokens]:
    """Return the contexts Z of all edge orders."""
    return [(*chain.from_iterable(edges), 2, 0) for edges in permutations(EDGES)]


def goal(tokens: Tokens) -> int:
    """Return the label u_end."""
    return tokens[-2]


def goal_position(tokens: Tokens) -> int:
    """Return t_end, the position of u_end in its edge."""
    return tokens.index(goal(tokens))


def next_label(tokens: Tokens) -> int:
    """Return the label v, which comes before u_end in its edge."""
    return tokens[goal_position(tokens) - 1]


def replayed(tokens: Tokens) -> Tokens:
    """Return Z', the context whose last token is v."""
    return (*tokens[:-1], next_label(tokens))


def positions(tokens: Tokens, label: int) -> list[bool]:
    """Return for each position whether it holds the label."""
    return [token == label for token in tokens]


class Context(NamedTuple):
    """One edge order: its tokens, the labels v and u_end, and t_end, the position of u_end in its edge."""

    tokens: Tokens
    v: int
    end: int
    at_end: int

    @property
    def holds_end(self) -> list[bool]:
        """The positions of u_end: t_end and ``SELF``."""
        return positions(self.tokens, self.end)

    @property
    def reads_v(self) -> list[bool]:
        """The positions whose Layer-1 output is e_v when every position attends to its predecessor."""
        return positions((self.tokens[0], *self.tokens[:-1]), self.v)

    @property
    def only_end(self) -> list[bool]:
        """The only position that the proof of Phase II considers: t_end."""
        return [j == self.at_end for j in range(T)]

    @property
    def distractors(self) -> list[int]:
        """Positions whose label is not u_end."""
        return [j for j in range(T) if self.tokens[j] != self.end]


@cache
def contexts() -> tuple[Context, ...]:
    """Return the 24 edge orders."""
    return tuple(Context(tokens, next_label(tokens), goal(tokens), goal_position(tokens)) for tokens in edge_orders())


def describe_edges(context: Context) -> str:
    """Return the edges of a context, then u_end and u_star, as text."""
    pairs = [f"{context.tokens[t]}>{context.tokens[t + 1]}" for t in range(0, SELF, 2)]
    return ", ".join([*pairs, *(str(label) for label in context.tokens[SELF:])])


def pull(s: Sequence[Fraction], hit: Sequence[bool]) -> Row:
    """Return minus the derivative of -log f in each logit."""
    f = sum((mass for mass, is_hit in zip(s, hit, strict=True) if is_hit), Fraction(0))
    return [mass * (is_hit / f - 1) for mass, is_hit in zip(s, hit, strict=True)]


def mean_row(rows: Iterable[Sequence[Fraction]]) -> Row:
    """Return the mean of rows, entry by entry."""
    columns = list(zip(*rows, strict=True))
    return [sum(column, Fraction(0)) / len(column) for column in columns]


def random_rows(number: int, seed: int = 0) -> list[Row]:
    """Return random rational attention, positive at every position."""
    random = Random(seed)
    return [random_row(random, T) for _ in range(number)]


def random_row(random: Random, support: int) -> Row:
    """Return random rational attention, positive at the first ``support`` positions and 0 at the others."""
    parts = [random.randint(1, 9) for _ in range(support)]
    return [Fraction(part, sum(parts)) for part in parts] + [Fraction(0)] * (T - support)


@cache
def prompts() -> tuple[Array, Array, Array]:
    """Return (tokens, y1, y2) of the 24 edge orders as arrays, independently of the library's own enumeration."""
    with jax.ensure_compile_time_eval():  # a caller under jit must not leave its tracers in the cache
        labels = zip(*((c.tokens, c.v, c.end) for c in contexts()), strict=True)
        tokens, y1, y2 = (jnp.asarray(values, jnp.int32) for values in labels)
        return tokens, y1, y2


def literal_loss(weights: Weights, tokens: Array, target: Array, layer: int = 2) -> Array:
    """Return -log of the target's entry in the output of the head on Layer 1 or 2, by Definitions 1 and 2."""
    return -jnp.log(literal.forward(weights, tokens).outputs[layer - 1][target])


def shallow_literal_loss(weights: Weights, tokens: Array, target: Array) -> Array:
    """Return the loss of the shallow head, which reads Layer 1."""
    return literal_loss(weights, tokens, target, layer=1)
