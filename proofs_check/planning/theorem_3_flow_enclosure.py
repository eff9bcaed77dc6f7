"""The flow of Theorem 3 with Layer 2 at zero, enclosed in balls from w = 0 up to a time.

A piece is a polynomial y of degree n in each w(k), about its own start. Its defect d is at most the sum of the Taylor
coefficients of y' - F(y): up to order n - 1 at the start, of order n over the whole piece. The error
e = max_k |w(k) - y_k| has e' <= m e + d as long as e <= TUBE, where m bounds the logarithmic norm
J_aa + sum_{b != a} |J_ab| of the Jacobian within TUBE of y. So e grows on a piece of length h to at most
exp(int max(m, 0)) (e + h d), and by the jump to the next piece. That it stays below TUBE is left for a test to judge.
"""

from functools import cache
from typing import Any, NamedTuple

from flint import arb, arb_series, ctx

from circuits import checks
from proofs_check.methods.star import T
from proofs_check.planning.theorem_3_flow_field import Goals, Row, Shares, field, goals, jacobian

TUBE = 1e-3
DEGREE, PARTS = 8, 8
"""Of a piece: its degree, and the subintervals over which the Jacobian is enclosed."""
DEFECT = 1e-8
"""What a piece may add to the error. Steps are as long as this allows."""
SHORTEST = 1e-3


class Piece(NamedTuple):
    """Where a piece starts and ends, the error at its end, and w there."""

    start: float
    end: float
    error: arb
    w: list[arb]


@cache
def path(shares: Shares, end: int) -> tuple[Piece, ...]:
    """The flow from w = 0 to the time ``end``, in pieces."""
    cap, of = ctx.cap, goals(shares)
    try:
        w, error, t, length, found = [arb(0)] * T, arb(0), 0.0, 1.0, []
        while t < end:
            y = _polynomial(w, of)
            length = min(1.5 * length, end - t)
            while not (defect := _defect(y, length, of)) * length < DEFECT:
                length *= 0.75
                checks.require(length > SHORTEST, "step", f"must stay above {SHORTEST} to keep the defect down", length)
            there = [_value(coefficients, arb(length)) for coefficients in y]
            w = [each.mid() for each in there]
            jump = _largest([a - b for a, b in zip(there, w, strict=True)])
            error = (_growth(y, length, of).exp() * (error + length * defect) + jump).upper()
            found.append(Piece(t, t + length, error, [each + arb(0, error) for each in w]))
            t += length
        return tuple(found)
    finally:
        ctx.cap = cap


def velocity(w: Row, of: Goals) -> Row:
    """w' at w."""
    return field([each.exp() for each in w], of)


def _polynomial(w: list[arb], of: Goals) -> list[list[arb]]:
    """Coefficients of the solution through w by Picard's iteration, rounded: what they miss is in the defect."""
    y = [[each] for each in w]
    for order in range(1, DEGREE + 1):
        ctx.cap = order
        slopes = velocity([arb_series(each) for each in y], of)
        y = [[*each, (slope[order - 1] / order).mid()] for each, slope in zip(y, slopes, strict=True)]
    return y


def _value(coefficients: list[arb], s: Any) -> Any:
    found = coefficients[-1] + 0 * s
    for coefficient in reversed(coefficients[:-1]):
        found = found * s + coefficient
    return found


def _defect(y: list[list[arb]], length: float, of: Goals) -> arb:
    bounds = [arb(0)] * T
    for center, orders in ((arb(0), range(DEGREE)), (arb(length / 2, length / 2), (DEGREE,))):
        ctx.cap = DEGREE + 2  # one order is lost to the derivative
        near = [_value(coefficients, arb_series([center, 1])) for coefficients in y]
        slopes = [each.derivative() for each in near]
        ctx.cap = DEGREE + 1
        missed = [a - b for a, b in zip(slopes, velocity(near, of), strict=True)]
        bounds = [a + sum(abs(b[i]) * arb(length) ** i for i in orders) for a, b in zip(bounds, missed, strict=True)]
    return _largest(bounds)


def _growth(y: list[list[arb]], length: float, of: Goals) -> arb:
    """The integral over the piece of the bound on the logarithmic norm, where positive."""
    found, step = arb(0), length / PARTS
    for part in range(PARTS):
        times = arb((part + 0.5) * step, step / 2 * (1 + 1e-9))  # a little wider, for the center is rounded
        j = jacobian([(_value(each, times) + arb(0, TUBE)).exp() for each in y], of)
        sums = [j[a][a] + sum(abs(j[max(a, b)][min(a, b)]) for b in range(T) if b != a) for a in range(T)]
        norm = sums[0]
        for each in sums[1:]:
            norm = norm.max(each)
        found += step * norm.max(arb(0))
    return found


def _largest(values: list[arb]) -> arb:
    found = arb(0)
    for value in values:
        found = found.max(abs(value))
    return found.upper()
