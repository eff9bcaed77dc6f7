"""The flow of Theorem 3 with Layer 2 at zero: its field and Jacobian, for fractions, symbols, balls and their series.

Rows and positions count from 0 here. With x_k = exp(w(k)) up to a common factor and V_r = x_0 + .. + x_r, row r
of S1 pays s_rk = x_k / V_r at offset k, which is position r - k. Layer 2 is uniform, so T f1 = M = sum of c_j over the
target's positions j, where c_j = sum_r s_{r, r-j} is the attention that position j receives. The flow is w' = -grad L
with L = E[-log M], and

    w(k)' = x_k G_k,   G_k = sum_i x_i E_ki,   E_ki = sum_{r >= max(i, k)} (lam_{r-k} - lam_{r-i}) / V_r^2

where lam_j = E[u_j / M] and u is the indicator of the target. Every difference in it is between two lam, which keeps
balls narrow where one offset dominates. E_ki = -E_ik, so sum_k x_k G_k = 0. Both parts of
dM/dw(k) = sum_r s_rk u_{r-k} - sum_r s_rk (sum_i s_ri u_{r-i}) are at most M, so -1 <= w(k)' <= 1, and the flow exists
for all t >= 0.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache, reduce
from operator import add
from typing import Any

from proofs_check.methods.star import T, edge_orders, goal, next_label, positions, replayed

Shares = tuple[Fraction, Fraction]
"""Weights of L1a and L1b in the loss."""
NEXT_TOKEN: Shares = (Fraction(1, 2), Fraction(1, 2))
PLAN: Shares = (Fraction(1), Fraction(0))
Goals = tuple[tuple[Fraction, tuple[int, ...]], ...]
"""Weights and target positions of the terms -log M of a loss."""
Row = list[Any]
"""Fractions, symbols, balls or their series."""


@cache
def goals(shares: Shares) -> Goals:
    """Return the loss with these shares: L1a has the target v in Z, L1b u_end in Z'. Equal positions are combined."""
    weights: dict[tuple[int, ...], Fraction] = {}
    for z in edge_orders():
        hits = positions(z, next_label(z)), positions(replayed(z), goal(z))
        for share, hit in zip(shares, hits, strict=True):
            where = tuple(j for j in range(T) if hit[j])
            weights[where] = weights.get(where, Fraction(0)) + share / len(edge_orders())
    return tuple((weight, where) for where, weight in weights.items() if weight)


def total(values: Sequence[Any]) -> Any:
    """Return a sum without starting from the integer 0, which a series of balls does not accept everywhere."""
    return reduce(add, values)


def attention(x: Row) -> list[Row]:
    """Return s_rk for k = 0 .. r. Row 0 attends to itself alone for any x_0."""
    return [[0 * x[0] + 1], *(attend(x[: r + 1]) for r in range(1, T))]


def attend(x: Row) -> Row:
    """Return x over its sum."""
    inverse = 1 / total(x)
    return [each * inverse for each in x]


def received(s: list[Row]) -> Row:
    """Return c_j."""
    return [total([s[r][r - j] for r in range(j, T)]) for j in range(T)]


def lam(s: list[Row], targets: Goals) -> Row:
    """Return lam_j = E[u_j / M]."""
    c = received(s)
    means = [0 * c[0] for _ in range(T)]
    for weight, where in targets:
        share = weight.numerator / (weight.denominator * total([c[j] for j in where]))
        for j in where:
            means[j] = means[j] + share
    return means


def pulls(x: Row, lams: Row, first: int = 1) -> Row:
    """Return G_k, from rows r >= first."""
    squares = [inverse * inverse for inverse in (1 / total(x[: r + 1]) for r in range(T))]
    g = [0 * x[0] for _ in range(T)]
    for k in range(T):
        for i in range(k):
            e = total([squares[r] * (lams[r - k] - lams[r - i]) for r in range(max(k, first), T)])
            g[k] = g[k] + x[i] * e
            g[i] = g[i] - x[k] * e
    return g


def field(x: Row, targets: Goals) -> Row:
    """Return w(k)' = x_k G_k."""
    return [a * g for a, g in zip(x, pulls(x, lam(attention(x), targets)), strict=True)]


def row_hessian(s: Row, values: Row) -> list[Row]:
    """Return the second derivatives of sum_i s_i values_i in w(a), w(b): the lower triangle."""
    span = range(len(s))
    above = [total([s[i] * (values[k] - values[i]) for i in span if i != k]) for k in span]
    rest = [total([s[i] for i in span if i != k]) for k in span]
    return [
        [-s[a] * s[b] * (above[a] + above[b]) for b in range(a)] + [s[a] * above[a] * (rest[a] - s[a])] for a in span
    ]


def jacobian(x: Row, targets: Goals) -> list[Row]:
    """Return dw(a)'/dw(b) = sum_r of second derivatives of row r - E[(dM/dw(a)) (dM/dw(b)) / M^2]; lower triangle."""
    s, zero = attention(x), 0 * x[0]
    lams, c = lam(s, targets), received(s)
    derivatives = [[zero] * (a + 1) for a in range(T)]
    slopes = [[zero] * T for _ in range(T)]  # dc_j/dw(k)
    for r in range(1, T):
        for a, entries in enumerate(row_hessian(s[r], lams[r::-1])):
            for b, entry in enumerate(entries):
                derivatives[a][b] += entry
        for k in range(r + 1):
            others = total([s[r][j] for j in range(r + 1) if j != k])
            for i in range(r + 1):
                slopes[r - i][k] += s[r][i] * (others if i == k else -s[r][k])
    for weight, where in targets:
        mass = total([c[j] for j in where])
        share = weight.numerator / (weight.denominator * mass * mass)
        slope = [total([slopes[j][k] for j in where]) for k in range(T)]
        for a in range(T):
            for b in range(a + 1):
                derivatives[a][b] -= share * slope[a] * slope[b]
    return derivatives
