"""The gradients as functions of the attention, in rational arithmetic.

Theorem 1 speaks of attention that is exactly one-hot, which no finite weights give. So here S1, the last row of
S2 and A2 are the variables, and the chain rule is written out in sums over indices: nothing is shared with the
library's gradients, and nothing is rounded. Floats may be put in for a comparison with them.
"""

from collections.abc import Sequence
from fractions import Fraction
from random import Random
from typing import NamedTuple

Row = list[Fraction]
Matrix = list[Row]


class Attention(NamedTuple):
    """S1 (T x T, causal), S2[T], and the Layer-2 scores A2."""

    s1: Matrix
    s2: Row
    a2: Matrix


class Gradients(NamedTuple):
    """The derivatives of a loss in the logits of Layer 1 (T x T) and of the last row of Layer 2.

    The gradients of all four weight matrices are sums of these: dL/dW1^(1) = ``logits_1``,
    dL/dW0^(1) = Z^T logits_1 Z, and Layer 2's are outer products of S1[T] (or S1[T] Z) with ``logits_2``.
    """

    logits_1: Matrix
    logits_2: Row


def deep(attention: Attention, hit: Sequence[bool]) -> Gradients | None:
    """Of L1 = -log sum_j S2[j] sum_k S1[j, k] hit[k]. None where that sum is 0: the loss is infinite there."""
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
    """Of L2 = -log sum_k S1[T, k] hit[k]. None where the sum is 0."""
    last = attention.s1[-1]
    span = range(len(last))
    output = sum((last[k] for k in span if hit[k]), Fraction(0))
    if output == 0:
        return None
    row = _through_softmax(last, [-Fraction(hit[k]) / output for k in span])
    zero = [Fraction(0)] * len(last)
    return Gradients([*([zero] * (len(last) - 1)), row], zero)


def combined(weighted: Sequence[tuple[Fraction, Gradients | None]]) -> Gradients | None:
    """The weighted sum of gradients; None if one of them does not exist."""
    parts = [(weight, part) for weight, part in weighted if part is not None]
    if len(parts) < len(weighted):
        return None

    def add(*rows: Row) -> Row:
        weights = [weight for weight, _ in parts]
        columns = zip(*rows, strict=True)
        return [sum((w * x for w, x in zip(weights, column, strict=True)), Fraction(0)) for column in columns]

    layer_1 = zip(*(part.logits_1 for _, part in parts), strict=True)
    return Gradients([add(*rows) for rows in layer_1], add(*(part.logits_2 for _, part in parts)))


def size(gradients: Gradients, rows: Sequence[int] | None = None) -> Fraction:
    """The sum of the absolute values of the gradient in W1^(1) and W1^(2); or in some rows of W1^(1) alone.

    S1[T] sums to 1, so that sum over W1^(2) is the sum over the logits of Layer 2.
    """
    if rows is not None:
        return sum((abs(entry) for row in rows for entry in gradients.logits_1[row]), Fraction(0))
    return sum((abs(entry) for row in (*gradients.logits_1, gradients.logits_2) for entry in row), Fraction(0))


def one_hot(length: int, at: int) -> Row:
    return [Fraction(i == at) for i in range(length)]


def mixed(row: Row, other: Row, share: Fraction) -> Row:
    """``row`` with ``share`` of its weight moved to ``other``."""
    return [(1 - share) * a + share * b for a, b in zip(row, other, strict=True)]


def random_attention(random: Random, length: int) -> Attention:
    """Random rational attention and scores; S1 is causal."""
    return Attention(
        [_random_row(random, visible=t + 1, length=length) for t in range(length)],
        _random_row(random, visible=length, length=length),
        [[Fraction(random.randint(-9, 9), random.randint(1, 9)) for _ in range(length)] for _ in range(length)],
    )


def _random_row(random: Random, visible: int, length: int) -> Row:
    parts = [random.randint(1, 9) for _ in range(visible)]
    return [Fraction(part, sum(parts)) for part in parts] + [Fraction(0)] * (length - visible)


def _through_softmax(s: Row, upstream: Row) -> Row:
    """sum_i upstream[i] ds[i]/dlogit[k], with ds[i]/dlogit[k] = s[i] (delta_ik - s[k])."""
    mean = sum((g * a for g, a in zip(upstream, s, strict=True) if a), Fraction(0))
    return [a * (g - mean) if a else Fraction(0) for g, a in zip(upstream, s, strict=True)]
