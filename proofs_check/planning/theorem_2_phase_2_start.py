"""Theorem 2, Phase II: an enclosure of the flow at t = 80, where the proof of its limits begins.

The flow theta = (a, b, r) from zero is theta' = F(theta) = -grad L1a in the inner product

    <theta, theta'> = 10 a a' + 90 b b' + r . r'                    ``METRIC``

the Frobenius product of the weights that (a, b, r) represent. F comes from the pulls on the 24 edge orders.

1. *It has a one-sided Lipschitz constant.* The Hessian of -log f in the logits is Cov - Cov_hits, the covariances under
   the attention and under its part on the hits. So for any direction d, as s_h s_k <= 1/4 for two parts of a whole,

       -Hess(d, d) <= E[sum over pairs of hits of (l_h(d) - l_k(d))^2 / 4] <= rate |d|^2              ``pivots``

   where the last step states that a matrix of rationals is positive definite, which its pivots show.
2. *A polynomial nearly solves it.* On [t, t + h] let y be a polynomial with coefficients of 64 bits. The Taylor
   coefficients of F(y) at t, and for the remainder its last one over the whole step, both in ball arithmetic, bound
   |y' - F(y)| <= defect.
3. *Hence the flow stays near it* (Gronwall): if e bounds |y - theta| at t, it is at most
   e exp(rate h) + defect (exp(rate h) - 1)/rate at t + h.                                              ``enclosure``
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import flint
from flint import arb, arb_poly, arb_series

from proofs_check.ledger.certified import to_ball
from proofs_check.methods.ball import series_length_restored
from proofs_check.methods.star import Context, N, T, contexts

METRIC = (N, N * (N - 1), *[1] * T)
"""Number of entries of the weights that a, b and each entry of row T - 1 of W1^(2) represent."""
RATE = Fraction(21, 100)
"""The one-sided Lipschitz constant of the flow."""
UNTIL = 80
"""A time at which the loss has fallen below 1/5."""
STEP, DEGREE, BITS = 2, 20, 64


class Kind(NamedTuple):
    """What matters of an edge order: t_end, the positions of u_end, those where v is read. Two orders have the same."""

    end: int
    matches: tuple[bool, ...]
    hits: tuple[bool, ...]

    def logits(self, direction: Sequence[Any]) -> list[Any]:
        """Return the logits of S2[T] at (a, b, r), which are linear in it."""
        a, b, *row = direction
        return [(a if match else b) + own for match, own in zip(self.matches, row, strict=True)]

    def gap(self, h: int, k: int) -> list[int]:
        """Return the coefficients of l_h - l_k in (a, b, r)."""
        match = self.matches[h] - self.matches[k]
        return [match, -match, *((j == h) - (j == k) for j in range(T))]


class Step(NamedTuple):
    """A step of the integration: its end, the polynomial's value there, and the distance of the flow."""

    time: int
    value: list[arb]
    distance: arb


def kind_of(context: Context) -> Kind:
    return Kind(context.at_end, tuple(context.holds_end), tuple(context.reads_v))


@cache
def kinds() -> tuple[Kind, ...]:
    """Return the kinds of the 24 edge orders. All have as many orders, so the mean over kinds is that over orders."""
    return tuple(dict.fromkeys(map(kind_of, contexts())))


def pivots(rate: Fraction = RATE) -> list[Fraction]:
    """Return the pivots of rate |d|^2 - E[sum over pairs of hits of (l_h(d) - l_k(d))^2 / 4], all > 0 by claim."""
    size = len(METRIC)
    matrix = [[rate * METRIC[i] if i == j else Fraction(0) for j in range(size)] for i in range(size)]
    for kind in kinds():
        for h, k in combinations([j for j in range(T) if kind.hits[j]], 2):
            entries = [(i, x) for i, x in enumerate(kind.gap(h, k)) if x]
            for i, x in entries:
                for j, y in entries:
                    matrix[i][j] -= Fraction(x * y, 4 * len(kinds()))
    return _eliminated(matrix)


@cache
def enclosure() -> tuple[Step, ...]:
    """Return the steps from 0 to ``UNTIL``. At the end of each, the flow is within ``distance`` of ``value``."""
    steps = [Step(0, [arb(0)] * len(METRIC), arb(0))]
    with series_length_restored(), flint.ctx.workprec(BITS):
        while steps[-1].time < UNTIL:
            steps.append(_step(steps[-1]))
    return tuple(steps)


def velocity(theta: Sequence[float]) -> list[arb]:
    """Return theta' at a point, as the enclosure has it."""
    with series_length_restored():
        return [series[0] for series in _field(_series([[arb(x)] for x in theta], 1))]


def loss_and_row(time: int) -> tuple[arb, list[arb]]:
    """Return L1a and r of the flow at the end of a step. An entry is off by at most distance/sqrt(its metric)."""
    step = enclosure()[time // STEP]
    error = arb(0, step.distance.upper())
    a, b, *row = (value + error / arb(size).sqrt() for value, size in zip(step.value, METRIC, strict=True))
    loss = arb(0)
    for kind in kinds():
        weights = [weight.exp() for weight in kind.logits([a, b, *row])]
        loss += _total(weights).log() - _total(w for w, hit in zip(weights, kind.hits, strict=True) if hit).log()
    return loss / len(kinds()), row


def _step(last: Step) -> Step:
    flow = [[value] for value in last.value]
    for k in range(DEGREE):
        for coefficients, speed in zip(flow, _field(_series(flow, k + 1)), strict=True):
            coefficients.append((speed[k] / (k + 1)).mid())
    whole_step = arb_poly([arb(0).union(arb(STEP)), 1])
    shifted = [list(arb_poly(coefficients)(whole_step)) for coefficients in flow]
    at_start = _field(_series(flow, DEGREE))
    throughout = _field(_series(shifted, DEGREE + 1))
    parts = []
    for coefficients, exact, ball in zip(flow, at_start, throughout, strict=True):
        residues = [abs((k + 1) * coefficients[k + 1] - exact[k]) * STEP**k for k in range(DEGREE)]
        parts.append(sum(residues, abs(ball[DEGREE]) * STEP**DEGREE))
    ends = [arb_poly(coefficients)(arb(STEP)) for coefficients in flow]
    value = [end.mid() for end in ends]
    growth = (to_ball(RATE) * STEP).exp()
    near = last.distance * growth + _norm(parts) * (growth - 1) * RATE.denominator / RATE.numerator
    rounded = _norm([end - middle for end, middle in zip(ends, value, strict=True)])
    return Step(last.time + STEP, value, (near + rounded).upper())


def _series(rows: Sequence[list[arb]], length: int) -> list[arb_series]:
    flint.ctx.cap = length
    return [arb_series(row[:length]) for row in rows]


def _field(theta: list[arb_series]) -> list[arb_series]:
    """Return (a, b, r)' as power series in time: the mean of the pulls on what each entry moves, over its metric."""
    a, b, *row = theta
    zero = arb_series([0])
    weights = {match: [(start + own).exp() for own in row] for match, start in ((True, a), (False, b))}
    rates = {match: [zero] * T for match in weights}
    for kind in kinds():
        present = [(weights[match][j], is_hit) for j, (match, is_hit) in enumerate(zip(*kind[1:], strict=True))]
        hit, missed = (sum((w for w, is_hit in present if is_hit == wanted), zero) for wanted in (True, False))
        on_miss = -1 / (hit + missed)
        on_hit = -on_miss * missed / hit
        for j, match in enumerate(kind.matches):
            rates[match][j] += on_hit if kind.hits[j] else on_miss
    pulls = {k: [w * g / len(kinds()) for w, g in zip(weights[k], rates[k], strict=True)] for k in weights}
    own = [on + off for on, off in zip(pulls[True], pulls[False], strict=True)]
    moved = [sum(pulls[True], zero), sum(pulls[False], zero), *own]
    return [speed / size for speed, size in zip(moved, METRIC, strict=True)]


def _norm(parts: list[arb]) -> arb:
    return _total(size * part.abs_upper() ** 2 for size, part in zip(METRIC, parts, strict=True)).sqrt().upper()


def _total(values: Iterable[arb]) -> arb:
    return sum(values, arb(0))


def _eliminated(matrix: list[list[Fraction]]) -> list[Fraction]:
    """Return the pivots of Gaussian elimination without exchanges, until one is not positive."""
    rows, eliminated = [list(row) for row in matrix], []
    for k in range(len(rows)):
        eliminated.append(rows[k][k])
        if rows[k][k] <= 0:
            break
        for below in rows[k + 1 :]:
            factor = below[k] / rows[k][k]
            below[:] = [x - factor * y if y else x for x, y in zip(below, rows[k], strict=True)]
    return eliminated
