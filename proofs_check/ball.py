"""Corollary 1's circuit in ball arithmetic: bounds proved for every gamma >= 5 at once.

Everything about the circuit is a function of x = e^-gamma and u = gamma e^-gamma. Over gamma >= 5 these lie in
small boxes, and a computation with ``arb`` balls encloses every value that a quantity takes there. To bound a
quantity of order e^-gamma, a factor x is taken out by hand before any ball is subtracted from another:

    S1[t, t-1] = p_t,  S1[t, j] = x p_t,                 p_t = 1 / (1 + t x), t from 0       (Eq. 8)
    S2[T, j] = x E_j q for j != t_end,  S2[T, t_end] = q,  q = 1 / (1 + x sum E)
    E_j = exp(u p (9 + n_j - n_end))                     p = p_T, n_j = other places of j's label, T-1 left out

The exponent is the Layer-2 logit of j minus that of t_end, plus gamma. Rows of logit gradients sum to zero, so
the one entry that is a difference of numbers near 1 is minus the sum of the others.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

from flint import arb

from circuits.disentangled.circuit import context_positions
from proofs_check import setting

T = setting.T
SPANS = (
    *((5 + k / 16, 5 + (k + 1) / 16) for k in range(80)),
    *((10 + k / 2, 10 + (k + 1) / 2) for k in range(20)),
    (20, None),
)
"""Gamma from 5 to infinity, in pieces over which balls stay narrow."""
ZERO, ONE = arb(0), arb(1)


class Range(NamedTuple):
    """x = e^-gamma and u = gamma e^-gamma over a range of gamma."""

    x: arb
    u: arb


class Gradient(NamedTuple):
    """All four blocks, flattened: enough for its norm."""

    entries: list[arb]

    @property
    def norm(self) -> arb:
        return sum((entry * entry for entry in self.entries), ZERO).sqrt()


class Near(NamedTuple):
    """A head that finds its target: loss = x * ``loss``, gradient = x * ``gradient``."""

    loss: arb
    gradient: Gradient


class Far(NamedTuple):
    """A head that misses it: loss = gamma - log ``found``, with gradient ``gradient``."""

    found: arb
    gradient: Gradient


def over(low: float, high: float | None = None) -> Range:
    """Gamma in [low, high], low >= 1; without ``high``, up to infinity. Both x and u fall in gamma."""
    start = arb(low)
    x, u = (-start).exp(), start * (-start).exp()
    if high is None:
        return Range(x.union(ZERO), u.union(ZERO))
    end = arb(high)
    return Range(x.union((-end).exp()), u.union(end * (-end).exp()))


def at(gamma: float) -> Range:
    return over(gamma, gamma)


def hull(quantity: Callable[[Range, Sequence[int], int, int], arb], spans: Sequence[tuple] = SPANS) -> arb:
    """The quantity of (range, tokens, v, u_end) over all spans of gamma and all 24 edge orders, as one ball."""
    cases = list(zip(*(array.tolist() for array in setting.orders()), strict=True))
    return reduce(arb.union, (quantity(over(*span), *case) for span in spans for case in cases))


def layer_1_deviation(box: Range) -> arb:
    """The largest (1 - S1[t, t-1]) / x over all rows t >= 1: t p_t."""
    deviation = ZERO
    for t in range(1, T):
        deviation = deviation.max(t * _predecessor(box, t))
    return deviation


def layer_2_deviation(box: Range, tokens: Sequence[int], end: int) -> arb:
    """(1 - S2[T, t_end]) / x."""
    q, others = _layer_2(box, tokens, end)
    return q * sum(others, ZERO)


def shallow(box: Range, tokens: Sequence[int], end: int) -> Near:
    """L2: f2 . e = 1 - 8 x p, for u_end stands at T - 1 and at t_end."""
    p, at_end = _predecessor(box, T - 1), context_positions(tokens, end)[1]
    missed = 8 * p
    found = 1 - box.x * missed
    row = [p * (-box.x * missed / found if j == at_end else ONE) for j in range(T)]
    row[T - 2] = -sum((entry for j, entry in enumerate(row) if j != T - 2), ZERO)
    return Near(missed / found.union(ONE), _layer_1_gradient(tokens, {T - 1: row}))


def deep(box: Range, tokens: Sequence[int], end: int, target: int) -> Near | Far:
    """L1 for a target: ``Near`` if the target stands before u_end in its edge, ``Far`` if not."""
    x = box.x
    at_v, at_end = context_positions(tokens, end)
    near = tokens[at_v] == target
    hit = [token == target for token in tokens]
    q, factors = _layer_2(box, tokens, end)
    others = [j for j in range(T) if j != at_end]
    reach = [_mass(box, j, hit) for j in range(T)]
    p_end = _predecessor(box, at_end)
    beside = [k for k in range(at_end + 1) if k != at_v]
    if near:
        missed = q * p_end * sum(not hit[k] for k in beside)
        missed += q * sum((factors[j] * _mass(box, j, [not h for h in hit]) for j in others), ZERO)
        found = 1 - x * missed
    else:
        found = q * p_end * sum(hit[k] for k in beside)
        found += q * sum((factors[j] * reach[j] for j in others), ZERO)
    weight = q / found  # S2[T, t_end] / f1 . e, times x if far; then every entry below is over x if near
    signal = [q * factors[j] * (ONE if near else x) - weight * factors[j] * reach[j] for j in range(T)]
    signal[at_end] = -sum((signal[j] for j in others), ZERO)
    rows = {}
    for j in range(T):
        main = max(j - 1, 0)
        scale = weight * (ONE if j == at_end else factors[j])
        bare = j == at_end  # one factor x is taken out of S1's side entries here, out of S2 elsewhere
        row = [
            scale * _entry(box, j, k, bare) * (reach[j] - hit[k]) if k <= j and k != main else ZERO for k in range(T)
        ]
        row[main] = -sum(row, ZERO)
        rows[j] = row
    query = _query_path(box, tokens, signal)
    rows[T - 1] = [a + b for a, b in zip(rows[T - 1], query, strict=True)]
    gradient = Gradient(_layer_1_gradient(tokens, rows).entries + _layer_2_gradient(box, tokens, signal).entries)
    return Near(missed / found.union(ONE), gradient) if near else Far(found, gradient)


def near(box: Range, tokens: Sequence[int], end: int, target: int) -> Near:
    """``deep`` for a target that the head finds."""
    found = deep(box, tokens, end, target)
    assert isinstance(found, Near)
    return found


def far(box: Range, tokens: Sequence[int], end: int, target: int) -> Far:
    """``deep`` for a target that the head misses."""
    found = deep(box, tokens, end, target)
    assert isinstance(found, Far)
    return found


def _predecessor(box: Range, t: int) -> arb:
    return 1 / (1 + t * box.x)


def _entry(box: Range, t: int, j: int, bare: bool) -> arb:
    """S1[t, j]; ``bare`` leaves out the factor x of a side entry."""
    p = _predecessor(box, t)
    return p if j == max(t - 1, 0) or bare else box.x * p


def _mass(box: Range, t: int, where: Sequence[bool]) -> arb:
    """The attention of row t of S1 on the given positions. Row 0 sees itself alone."""
    main = max(t - 1, 0)
    beside = sum(where[k] for k in range(t + 1) if k != main)
    return _predecessor(box, t) * (int(where[main]) + box.x * beside)


def _layer_2(box: Range, tokens: Sequence[int], end: int) -> tuple[arb, list[arb]]:
    """q and the E_j; E at t_end stands at 0, it has no part in sums over the others."""
    _, at_end = context_positions(tokens, end)
    p = _predecessor(box, T - 1)
    places = [sum(token == other for k, other in enumerate(tokens) if k != T - 2) for token in tokens]
    factors = [ZERO if j == at_end else (box.u * p * (9 + places[j] - places[at_end])).exp() for j in range(T)]
    return 1 / (1 + box.x * sum(factors, ZERO)), factors


def _query_path(box: Range, tokens: Sequence[int], signal: Sequence[arb]) -> list[arb]:
    """J(S1[T]) A2 r, with gamma x = u: A2 = gamma ([g_i = g_j] - [i = j = T-1])."""
    pulled = [sum((r for token, r in zip(tokens, signal, strict=True) if token == tokens[i]), ZERO) for i in range(T)]
    pulled[T - 2] -= signal[T - 2]
    p = _predecessor(box, T - 1)
    mean = p * (pulled[T - 2] + box.x * sum((pulled[i] for i in range(T) if i != T - 2), ZERO))
    row = [box.u * p * (value - mean) for value in pulled]
    row[T - 2] = -sum((entry for i, entry in enumerate(row) if i != T - 2), ZERO)
    return row


def _layer_1_gradient(tokens: Sequence[int], rows: dict[int, list[arb]]) -> Gradient:
    by_label: dict[tuple[int, int], arb] = {}
    for t, row in rows.items():
        for j, entry in enumerate(row):
            key = tokens[t], tokens[j]
            by_label[key] = by_label.get(key, ZERO) + entry
    padding = [ZERO] * (T * T + setting.N**2 - T * len(rows) - len(by_label))
    return Gradient([entry for row in rows.values() for entry in row] + list(by_label.values()) + padding)


def _layer_2_gradient(box: Range, tokens: Sequence[int], signal: Sequence[arb]) -> Gradient:
    query = [_entry(box, T - 1, i, bare=False) for i in range(T)]
    labels = sorted(set(tokens))
    by_label = [
        [sum((v for token, v in zip(tokens, values, strict=True) if token == label), ZERO) for label in labels]
        for values in (query, signal)
    ]
    return Gradient([a * b for a in query for b in signal] + [a * b for a in by_label[0] for b in by_label[1]])
