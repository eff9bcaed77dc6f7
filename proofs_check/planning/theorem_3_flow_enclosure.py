"""The flow of Theorem 3 with Layer 2 at zero, enclosed in balls from w = 0 up to a time.

A piece is a polynomial y of degree n in each w(k), about its own start. Its defect d is at most the sum of the Taylor
coefficients of y' - F(y): up to order n - 1 at the start, of order n over the whole piece. The error
e = max_k |w(k) - y_k| has e' <= m e + d as long as e <= TUBE, where m bounds the logarithmic norm
J_aa + sum_{b != a} |J_ab| of the Jacobian within TUBE of y. So e grows on a piece of length h to at most
exp(int max(m, 0)) (e + h d), and by the jump to the next piece. Whether it stays below TUBE is left to a test.
"""

from functools import cache, reduce
from typing import Any, NamedTuple

from flint import arb, arb_series, ctx

from circuits import checks
from proofs_check.methods.ball import series_length_restored
from proofs_check.methods.star import T
from proofs_check.planning.theorem_3_flow_field import Goals, Row, Shares, field, goals, jacobian

TUBE = 1e-3
DEGREE, PARTS = 8, 8
"""Degree of a piece, and number of subintervals over which the Jacobian is enclosed."""
DEFECT = 1e-8
"""What a piece may add to the error. Pieces are as long as this allows."""
SHORTEST = 1e-3


class Piece(NamedTuple):
    """A piece: its start and end, the error at its end, and w there."""

    start: float
    end: float
    error: arb
    w: list[arb]


@cache
def path(shares: Shares, end: int) -> tuple[Piece, ...]:
    """Return the flow from w = 0 to the time ``end``, in pieces."""
    targets = goals(shares)
    w, error, t, length, pieces = [arb(0)] * T, arb(0), 0.0, 1.0, []
    with series_length_restored():
        while t < end:
            y = _polynomial(w, targets)
            length = min(1.5 * length, end - t)
            while not (defect := _defect(y, length, targets)) * length < DEFECT:
                length *= 0.75
                checks.require(length > SHORTEST, "step", f"must stay above {SHORTEST} to limit the defect", length)
            ends = [_value(coefficients, arb(length)) for coefficients in y]
            w = [each.mid() for each in ends]
            jump = _largest([a - b for a, b in zip(ends, w, strict=True)])
            error = (_growth(y, length, targets).exp() * (error + length * defect) + jump).upper()
            pieces.append(Piece(t, t + length, error, [each + arb(0, error) for each in w]))
            t += length
    return tuple(pieces)


def velocity(w: Row, targets: Goals) -> Row:
    """Return w' at w."""
    return field([each.exp() for each in w], targets)


def _polynomial(w: list[arb], targets: Goals) -> list[list[arb]]:
    """Return coefficients of the solution through w by Picard iteration, rounded; the defect contains the rounding."""
    y = [[each] for each in w]
    for order in range(1, DEGREE + 1):
        ctx.cap = order
        slopes = velocity([arb_series(each) for each in y], targets)
        y = [[*each, (slope[order - 1] / order).mid()] for each, slope in zip(y, slopes, strict=True)]
    return y


def _value(coefficients: list[arb], s: Any) -> Any:
    value = coefficients[-1] + 0 * s
    for coefficient in reversed(coefficients[:-1]):
        value = value * s + coefficient
    return value


def _defect(y: list[list[arb]], length: float, targets: Goals) -> arb:
    bounds = [arb(0)] * T
    for center, orders in ((arb(0), range(DEGREE)), (arb(length / 2, length / 2), (DEGREE,))):
        ctx.cap = DEGREE + 2  # one order is lost to the derivative
        near = [_value(coefficients, arb_series([center, 1])) for coefficients in y]
        slopes = [each.derivative() for each in near]
        ctx.cap = DEGREE + 1
        missed = [a - b for a, b in zip(slopes, velocity(near, targets), strict=True)]
        bounds = [a + sum(abs(b[i]) * arb(length) ** i for i in orders) for a, b in zip(bounds, missed, strict=True)]
    return _largest(bounds)


def _growth(y: list[list[arb]], length: float, targets: Goals) -> arb:
    """Return the integral over the piece of the bound on the logarithmic norm, where it is positive."""
    integral, step = arb(0), length / PARTS
    for part in range(PARTS):
        times = arb((part + 0.5) * step, step / 2 * (1 + 1e-9))  # slightly wider, because the center is rounded
        j = jacobian([(_value(each, times) + arb(0, TUBE)).exp() for each in y], targets)
        sums = [j[a][a] + sum(abs(j[max(a, b)][min(a, b)]) for b in range(T) if b != a) for a in range(T)]
        integral += step * reduce(arb.max, sums).max(arb(0))
    return integral


def _largest(values: list[arb]) -> arb:
    return reduce(arb.max, map(abs, values), arb(0)).upper()
