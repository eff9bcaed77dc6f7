"""The gradients as functions of the attention, in rational arithmetic.

Theorem 1 speaks of attention that is exactly one-hot, which no finite weights give. So here S1, the last row of
S2 and A2 are the variables, and the chain rule is written out in sums over indices: nothing is shared with the
library's gradients, and nothing is rounded.
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
    by_s2 = [-reach[j] / output for j in span]
    logits_2 = _through_softmax(s2, by_s2)
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


def vanishes(gradients: Gradients | None, rows: Sequence[int] | None = None) -> bool:
    """Whether every entry is exactly 0, in the given rows of Layer 1 or everywhere. False if there is none."""
    if gradients is None:
        return False
    if rows is not None:
        return not any(entry for row in rows for entry in gradients.logits_1[row])
    return not any(gradients.logits_2) and not any(entry for row in gradients.logits_1 for entry in row)


def one_hot(length: int, at: int) -> Row:
    return [Fraction(i == at) for i in range(length)]


def random_attention(random: Random, length: int) -> Attention:
    """Random rational attention and scores; S1 is causal."""
    return Attention(
        [_random_row(random, visible=t + 1, length=length) for t in range(length)],
        _random_row(random, visible=length, length=length),
        [[Fraction(random.randint(-9, 9), random.randint(1, 9)) for _ in range(length)] for _ in range(length)],
    )


def replaced(attention: Attention, s1_rows: dict[int, Row] | None = None, s2: Row | None = None) -> Attention:
    """The same attention with some rows of S1, or S2[T], put in their place."""
    s1 = [(s1_rows or {}).get(t, row) for t, row in enumerate(attention.s1)]
    return Attention(s1, attention.s2 if s2 is None else s2, attention.a2)


def _random_row(random: Random, visible: int, length: int) -> Row:
    parts = [random.randint(1, 9) for _ in range(visible)]
    return [Fraction(part, sum(parts)) for part in parts] + [Fraction(0)] * (length - visible)


def _through_softmax(s: Row, upstream: Row) -> Row:
    """sum_i upstream[i] ds[i]/dlogit[k], with ds[i]/dlogit[k] = s[i] (delta_ik - s[k])."""
    span = range(len(s))
    moved = [i for i in span if upstream[i] and s[i]]
    return [sum((upstream[i] * s[i] * ((i == k) - s[k]) for i in moved), Fraction(0)) for k in span]
