"""Corollary 1's circuit in ball arithmetic: bounds proved for every gamma >= 5 at once.

Everything about the circuit is a function of x = e^-gamma and u = gamma e^-gamma. Over gamma >= 5 these lie in
small boxes, and a computation with ``arb`` balls encloses every value that a quantity takes there. To bound a
quantity of order e^-gamma, a factor x is taken out by hand before any ball is subtracted from another:

    S1[t, t-1] = p_t,  S1[t, j] = x p_t,                 p_t = 1 / (1 + t x), t from 0       (Eq. 8)
    S2[T, j] = x E_j q for j != t_end,  S2[T, t_end] = q,  q = 1 / (1 + x sum E)
    E_j = exp(u p (9 + n_j - n_end))                     p = p_T, n_j = places of j's label, T-1 left out

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
SPANS = (*((5 + k / 4, 5 + (k + 1) / 4) for k in range(20)), *((k, k + 1) for k in range(10, 20)), (20, None))
"""Gamma from 5 to infinity, in pieces over which balls stay narrow."""
FINE_SPANS = (*((5 + k / 16, 5 + (k + 1) / 16) for k in range(80)), *SPANS[20:])
"""The same in narrower pieces, for a bound that leaves little room."""
ZERO, ONE = arb(0), arb(1)


class Range(NamedTuple):
    """x = e^-gamma and u = gamma e^-gamma over a range of gamma."""

    x: arb
    u: arb


class Gradient(NamedTuple):
    """The entries of all blocks that can be other than zero: enough for the norm."""

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


def over(low: float | int, high: float | int | None = None) -> Range:
    """Gamma in [low, high], low >= 1; without ``high``, up to infinity. Both x and u fall in gamma."""
    start = arb(low)
    x, u = (-start).exp(), start * (-start).exp()
    if high is None:
        return Range(x.union(ZERO), u.union(ZERO))
    end = arb(high)
    return Range(x.union((-end).exp()), u.union(end * (-end).exp()))


def at(gamma: float | int) -> Range:
    return over(gamma, gamma)


def hull(quantity: Callable[[Range, Sequence[int], int, int], arb], spans: Sequence[tuple] = SPANS) -> arb:
    """The quantity of (range, tokens, v, u_end) over all spans of gamma and all 24 edge orders, as one ball."""
    return reduce(arb.union, (quantity(over(*span), *case) for span in spans for case in edge_orders()))


def edge_orders() -> list[tuple[list[int], int, int]]:
    """(tokens, v, u_end) of the 24 edge orders, as plain integers."""
    return list(zip(*(array.tolist() for array in setting.orders()), strict=True))


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
    return Near(missed / found.union(ONE), Gradient(_layer_1_gradient(tokens, {T - 1: _repaired(row, T - 2)})))


def near(box: Range, tokens: Sequence[int], end: int, target: int) -> Near:
    """L1 for the target that stands before u_end in its edge: f1 . e = 1 - x ``missed``."""
    missed = near_missed(box, tokens, end, target)
    found = 1 - box.x * missed
    hit = [token == target for token in tokens]
    return Near(missed / found.union(ONE), _deep_gradient(box, tokens, end, hit, found, scale=ONE))


def near_loss(box: Range, tokens: Sequence[int], end: int, target: int) -> arb:
    """The loss of ``near`` alone, over x: -log(1 - y) lies between y and y / (1 - y)."""
    missed = near_missed(box, tokens, end, target)
    return missed / (1 - box.x * missed).union(ONE)


def near_missed(box: Range, tokens: Sequence[int], end: int, target: int) -> arb:
    """(1 - f1 . e) / x for the target that stands before u_end."""
    at_v, at_end = context_positions(tokens, end)
    hit = [token == target for token in tokens]
    assert hit[at_v], "the head finds this target only if it stands before u_end"
    q, factors = _layer_2(box, tokens, end)
    beside = q * _predecessor(box, at_end) * sum(not hit[k] for k in range(at_end + 1) if k != at_v)
    return beside + q * sum((factors[j] * _mass(box, j, [not h for h in hit]) for j in range(T)), ZERO)


def far(box: Range, tokens: Sequence[int], end: int, target: int) -> Far:
    """L1 for any other target: f1 . e = x ``found``."""
    found = far_found(box, tokens, end, target)
    hit = [token == target for token in tokens]
    return Far(found, _deep_gradient(box, tokens, end, hit, found, scale=box.x))


def far_found(box: Range, tokens: Sequence[int], end: int, target: int) -> arb:
    """f1 . e / x for a target that does not stand before u_end."""
    at_v, at_end = context_positions(tokens, end)
    hit = [token == target for token in tokens]
    assert not hit[at_v], "the head finds the target that stands before u_end"
    q, factors = _layer_2(box, tokens, end)
    beside = q * _predecessor(box, at_end) * sum(hit[k] for k in range(at_end + 1) if k != at_v)
    return beside + q * sum((factors[j] * _mass(box, j, hit) for j in range(T)), ZERO)


def _deep_gradient(
    box: Range, tokens: Sequence[int], end: int, hit: Sequence[bool], found: arb, scale: arb
) -> Gradient:
    """Lemma 3 for the circuit, as a multiple of x / ``scale``, with f1 . e = ``scale`` * ``found``.

    S2[T, j] / f1 . e is then x E_j w / scale with w = q / found, and w / scale at t_end.
    """
    _, at_end = context_positions(tokens, end)
    q, factors = _layer_2(box, tokens, end)
    reach = [_mass(box, j, hit) for j in range(T)]
    w = q / found
    signal = _repaired([factors[j] * (q * scale - w * reach[j]) for j in range(T)], at_end)
    rows = {}
    for j in range(T):
        # At t_end the factor x is taken out of the side entries of S1, elsewhere out of S2.
        factor, bare = (ONE, True) if j == at_end else (factors[j], False)
        row = [w * factor * _entry(box, j, k, bare) * (reach[j] - hit[k]) for k in range(j + 1)]
        rows[j] = _repaired(row, max(j - 1, 0)) + [ZERO] * (T - 1 - j)
    query = _query_path(box, tokens, signal)
    rows[T - 1] = [a + b for a, b in zip(rows[T - 1], query, strict=True)]
    return Gradient(_layer_1_gradient(tokens, rows) + _layer_2_gradient(box, tokens, signal))


def _repaired(row: list[arb], main: int) -> list[arb]:
    """A row that sums to zero, with its main entry as minus the sum of the others."""
    others = sum((entry for k, entry in enumerate(row) if k != main), ZERO)
    return [-others if k == main else entry for k, entry in enumerate(row)]


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
    return _repaired([box.u * p * (value - mean) for value in pulled], T - 2)


def _layer_1_gradient(tokens: Sequence[int], rows: dict[int, list[arb]]) -> list[arb]:
    by_label: dict[tuple[int, int], arb] = {}
    for t, row in rows.items():
        for j, entry in enumerate(row):
            key = tokens[t], tokens[j]
            by_label[key] = by_label.get(key, ZERO) + entry
    return [entry for row in rows.values() for entry in row] + list(by_label.values())


def _layer_2_gradient(box: Range, tokens: Sequence[int], signal: Sequence[arb]) -> list[arb]:
    query = [_entry(box, T - 1, i, bare=False) for i in range(T)]
    labels = sorted(set(tokens))
    by_label = [
        [sum((v for token, v in zip(tokens, values, strict=True) if token == label), ZERO) for label in labels]
        for values in (query, signal)
    ]
    return [a * b for a in query for b in signal] + [a * b for a in by_label[0] for b in by_label[1]]
