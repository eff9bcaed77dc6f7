"""The gradients as functions of the attention, in rational arithmetic, and Theorem 1's conditions on the attention.

Theorem 1 is about attention that is exactly one-hot, which no finite weights give. So the variables here are S1, the
last row of S2 and the scores A2, and the chain rule is written out in sums over indices: nothing is shared with the
library's gradients, and nothing is rounded. Floats may be passed for a comparison with them.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from random import Random
from typing import Final, NamedTuple

from proofs_check.methods.star import (
    Row,
    T,
    Tokens,
    edge_orders,
    goal,
    goal_position,
    next_label,
    positions,
    random_row,
    replayed,
)

Matrix = list[Row]


class Attention(NamedTuple):
    """S1 (T x T, causal), S2[T], and the Layer-2 scores A2."""

    s1: Matrix
    s2: Row
    a2: Matrix


class Gradients(NamedTuple):
    """The derivatives of a loss in the logits of Layer 1 (T x T) and of the last row of Layer 2.

    The gradients of all four weight matrices are sums of these: dL/dW1^(1) = ``logits_1``, dL/dW0^(1) = Z^T logits_1 Z,
    and Layer 2's are outer products of S1[T] (or S1[T] Z) with ``logits_2``.
    """

    logits_1: Matrix
    logits_2: Row


class Parts(NamedTuple):
    """Weights of the three losses in a sum."""

    plan: Fraction = Fraction(0)
    replay: Fraction = Fraction(0)
    goal: Fraction = Fraction(0)


Arrange = Callable[[Tokens, Attention], Attention]
"""Imposes conditions on random attention."""
L1A, L1B, L2 = Parts(plan=Fraction(1)), Parts(replay=Fraction(1)), Parts(goal=Fraction(1))
EQ_3: Final = Parts(Fraction(1, 4), Fraction(1, 4), Fraction(1, 2))
WITHOUT_L1B: Final = EQ_3._replace(replay=Fraction(0))
DISTANCES: Final = (Fraction(1, 10**2), Fraction(1, 10**6))
"""Shares of each constrained row that are moved elsewhere, to approach the conditions."""


def deep(attention: Attention, hit: Sequence[bool]) -> Gradients | None:
    """Differentiate L1 = -log sum_j S2[j] sum_k S1[j, k] hit[k]. None if that sum is 0, where the loss is infinite."""
    s1, s2, a2 = attention
    span = range(len(s2))
    reach = [sum((s1[j][k] for k in span if hit[k]), Fraction(0)) for j in span]
    output = sum((s2[j] * reach[j] for j in span), Fraction(0))
    if output == 0:
        return None
    logits_2 = _through_softmax(s2, [-reach[j] / output for j in span])
    by_s1 = [[-s2[j] * hit[k] / output for k in span] for j in span]
    for k in span:
        by_s1[-1][k] += sum(a2[k][i] * logits_2[i] for i in span)
    return Gradients([_through_softmax(s1[j], by_s1[j]) for j in span], logits_2)


def shallow(attention: Attention, hit: Sequence[bool]) -> Gradients | None:
    """Differentiate L2 = -log sum_k S1[T, k] hit[k]. None if that sum is 0."""
    last = attention.s1[-1]
    output = sum((mass for mass, is_hit in zip(last, hit, strict=True) if is_hit), Fraction(0))
    if output == 0:
        return None
    row = _through_softmax(last, [-Fraction(is_hit) / output for is_hit in hit])
    zero = [Fraction(0)] * len(last)
    return Gradients([*([zero] * (len(last) - 1)), row], zero)


def gradient(tokens: Tokens, attention: Attention, parts: Parts) -> Gradients | None:
    """Differentiate a sum of the losses where Z and Z' have the same attention. None if one of them is infinite."""
    losses = (
        (deep, positions(tokens, next_label(tokens))),
        (deep, positions(replayed(tokens), goal(tokens))),
        (shallow, positions(tokens, goal(tokens))),
    )
    weighted = [(w, loss(attention, hit)) for w, (loss, hit) in zip(parts, losses, strict=True) if w]
    existing = [(weight, part) for weight, part in weighted if part is not None]
    if len(existing) < len(weighted):
        return None

    def total(*rows: Row) -> Row:
        columns = zip(*rows, strict=True)
        weights = [weight for weight, _ in existing]
        return [sum((w * x for w, x in zip(weights, column, strict=True)), Fraction(0)) for column in columns]

    layer_1 = zip(*(part.logits_1 for _, part in existing), strict=True)
    return Gradients([total(*rows) for rows in layer_1], total(*(part.logits_2 for _, part in existing)))


def size(gradients: Gradients, rows: Sequence[int] | None = None) -> Fraction:
    """Return the sum of absolute values of the gradient in W1^(1) and W1^(2), or in some rows of W1^(1) alone.

    S1[T] sums to 1, so the sum over W1^(2) is the sum over the logits of Layer 2.
    """
    chosen = (*gradients.logits_1, gradients.logits_2) if rows is None else [gradients.logits_1[row] for row in rows]
    return sum((abs(entry) for row in chosen for entry in row), Fraction(0))


def one_hot(length: int, at: int) -> Row:
    return [Fraction(i == at) for i in range(length)]


def random_attention(random: Random) -> Attention:
    """Return random rational attention, S1 causal, and scores."""
    s1, s2 = [random_row(random, t + 1) for t in range(T)], random_row(random, T)
    return Attention(s1, s2, [[Fraction(random.randint(-9, 9), random.randint(1, 9)) for _ in s2] for _ in s2])


@cache
def drawn() -> list[tuple[Tokens, Attention]]:
    """Pair each edge order with random attention and scores."""
    random = Random(0)
    return [(tokens, random_attention(random)) for tokens in edge_orders()]


def circuit(tokens: Tokens, attention: Attention) -> Attention:
    """Impose Conditions 1 and 2 exactly."""
    return near(Fraction(0))(tokens, attention)


def near(distance: Fraction) -> Arrange:
    """Impose the conditions, except for a share ``distance`` of each row that they constrain, which stays as drawn."""

    def mixed(at: int, row: Row) -> Row:
        return [(1 - distance) * a + distance * b for a, b in zip(one_hot(T, at), row, strict=True)]

    def arrange(tokens: Tokens, attention: Attention) -> Attention:
        at_end, s1 = goal_position(tokens), list(attention.s1)
        for row, attended in ((T - 1, T - 2), (at_end, at_end - 1)):
            s1[row] = mixed(attended, s1[row])
        return Attention(s1, mixed(at_end, attention.s2), attention.a2)

    return arrange


def without_condition_2(tokens: Tokens, attention: Attention) -> Attention:
    return circuit(tokens, attention)._replace(s2=attention.s2)


def without_condition_1(tokens: Tokens, attention: Attention) -> Attention:
    imposed, at_end = circuit(tokens, attention), goal_position(tokens)
    return imposed._replace(s1=[attention.s1[t] if t == at_end else row for t, row in enumerate(imposed.s1)])


def split_layer_2(tokens: Tokens, attention: Attention) -> Attention:
    halves = [Fraction(t in (goal_position(tokens), T - 2), 2) for t in range(T)]
    return circuit(tokens, attention)._replace(s2=halves)


def split_query(tokens: Tokens, attention: Attention) -> Attention:
    imposed = circuit(tokens, attention)
    return imposed._replace(s1=[*imposed.s1[:-1], [Fraction(t >= T - 2, 2) for t in range(T)]])


def _through_softmax(s: Row, upstream: Row) -> Row:
    """Return sum_i upstream[i] ds[i]/dlogit[k], with ds[i]/dlogit[k] = s[i] (delta_ik - s[k])."""
    mean = sum((g * a for g, a in zip(upstream, s, strict=True) if a), Fraction(0))
    return [a * (g - mean) if a else Fraction(0) for g, a in zip(upstream, s, strict=True)]
