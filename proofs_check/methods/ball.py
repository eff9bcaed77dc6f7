"""Corollary 1's circuit in ball arithmetic: bounds proved for every gamma >= 5 at once.

Everything about the circuit is a function of x = e^-gamma and u = gamma e^-gamma. Over gamma >= 5 these are in small
boxes, and a computation with ``arb`` balls encloses every value that a quantity takes there. To bound a quantity of
order e^-gamma, a factor x is taken out by hand before any ball is subtracted from another:

    S1[t, t-1] = p_t,  S1[t, j] = x p_t,                 p_t = 1 / (1 + t x), t from 0       (Eq. 8)
    S2[T, j] = x E_j q for j != t_end,  S2[T, t_end] = q,  q = 1 / (1 + x sum E)
    E_j = exp(u p (9 + n_j - n_end))                     p = p_T, n_j = positions of j's label except T-1

The exponent is the Layer-2 logit of j minus that of t_end, plus gamma.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
from flint import arb, ctx

from proofs_check.ledger import Cell
from proofs_check.methods.star import T, Tokens, edge_orders, goal, goal_position, next_label, positions, replayed

Spans = tuple[tuple[float, float | None], ...]
FROM_5: Final[Spans] = ((5.0, 6.0), (6.0, 8.0), (8.0, 20.0), (20.0, None))
FROM_20: Final[Spans] = ((20.0, 40.0), (40.0, None))
AT_20: Final[Spans] = ((20.0, 20.0),)
"""One gamma, for wrong variants, from which no factor x can be taken out and which have no bound at infinity."""
ZERO, ONE = arb(0), arb(1)


class Range(NamedTuple):
    """x = e^-gamma and u = gamma e^-gamma over a range of gamma."""

    x: arb
    u: arb


class Layer2(NamedTuple):
    """Multiples of gamma in Layer 2: W0 = ``match`` gamma I, W1[T-1, T-1] = -``mask`` gamma. The circuit has 1 and 1.

    Other values are wrong circuits, which can be evaluated over a bounded range of gamma only.
    """

    match: float = 1.0
    mask: float = 1.0


Quantity = Callable[[Range, Any], arb]
"""A function of a range of gamma and a case: usually a context, sometimes a row of S1 or all contexts."""
Block = np.ndarray
"""A matrix of balls."""
CIRCUIT: Final = Layer2()


@contextmanager
def series_length_restored() -> Iterator[None]:
    """Restore the length of power series, which python-flint stores in a global."""
    cap = ctx.cap
    try:
        yield
    finally:
        ctx.cap = cap


def over(low: float, high: float | None = None) -> Range:
    """Return the range of gamma in [low, high], low >= 1, or to infinity. Both x and u decrease in gamma."""
    start = arb(low)
    x, u = (-start).exp(), start * (-start).exp()
    if high is None:
        return Range(x.union(ZERO), u.union(ZERO))
    end = arb(high)
    return Range(x.union((-end).exp()), u.union(end * (-end).exp()))


def cells(quantity: Quantity, spans: Spans, cases: Iterable[Any] | None = None) -> list[Cell]:
    """Evaluate the quantity over each span of gamma, for each case; by default for each context Z."""
    listed = list(edge_orders() if cases is None else cases)
    return [Cell(low, high, quantity(over(low, high), case)) for low, high in spans for case in listed]


def halved(quantity: Quantity) -> Quantity:
    """Return the quantity, still divided by e^-gamma, with all weights half as large."""

    def at_half(box: Range, case: Any) -> arb:
        x = box.x.sqrt()
        return quantity(Range(x, box.u / (2 * x)), case) / x

    return at_half


def layer_1_miss(box: Range, t: int) -> arb:
    """(1 - S1[t, t-1]) / x, t from 0."""
    return t * sharp(box, t)


def layer_2_miss(box: Range, tokens: Tokens, layer_2: Layer2 = CIRCUIT) -> arb:
    """(1 - S2[T, t_end]) / x."""
    q, factors = layer_2_factors(box, tokens, layer_2)
    return q * sum(factors, ZERO)


def next_miss(box: Range, tokens: Tokens, layer_2: Layer2 = CIRCUIT) -> arb:
    """(1 - f1 . e_v) / x."""
    return _reached(box, tokens, [not hit for hit in positions(tokens, next_label(tokens))], layer_2)


def goal_output(box: Range, tokens: Tokens) -> arb:
    """f1 . e_{u_end} / x. The deep head predicts v, so the probability of any other label is of order x."""
    return _reached(box, tokens, positions(tokens, goal(tokens)), CIRCUIT)


def shallow_miss(box: Range, tokens: Tokens) -> arb:
    """(1 - f2 . e_{u_end}) / x = 8 p, because u_end is at T - 1 and at t_end."""
    return (T - 2) * sharp(box, T - 1)


def plan_loss(box: Range, tokens: Tokens, layer_2: Layer2 = CIRCUIT) -> arb:
    """L1a / x."""
    return _surprisal(box, next_miss(box, tokens, layer_2))


def replay_excess(box: Range, tokens: Tokens) -> arb:
    """L1b - gamma."""
    return -goal_output(box, replayed(tokens)).log()


def goal_loss(box: Range, tokens: Tokens) -> arb:
    """L2 / x."""
    return _surprisal(box, shallow_miss(box, tokens))


def attention(box: Range, tokens: Tokens) -> tuple[Block, Block]:
    """Return (S1, S2[T] as one row), with the factor x taken out of the entries off the circuit."""
    layer_1 = [[entry(box, t, j, ONE) if j <= t else ZERO for j in range(T)] for t in range(T)]
    q, factors = layer_2_factors(box, tokens)
    row = [q * (ONE if j == goal_position(tokens) else factor) for j, factor in enumerate(factors)]
    return np.array(layer_1, object), np.array([row], object)


def layer_2_factors(box: Range, tokens: Tokens, layer_2: Layer2 = CIRCUIT) -> tuple[arb, list[arb]]:
    """Return q and the E_j, with 0 at t_end, which is left out of the sums over the other positions."""
    p, at_end = sharp(box, T - 1), goal_position(tokens)
    others = [sum(token == other for k, other in enumerate(tokens) if k != T - 2) for token in tokens]
    factors = []
    for j in range(T):
        strength = layer_2.mask if j == T - 2 else layer_2.match
        factor = (strength * box.u * p * (9 + others[j] - others[at_end])).exp()
        excess = ONE if strength == 1 else box.x ** arb(strength - 1)
        factors.append(ZERO if j == at_end else factor * excess)
    return 1 / (1 + box.x * sum(factors, ZERO)), factors


def sharp(box: Range, t: int) -> arb:
    """p_t = S1[t, t-1]."""
    return 1 / (1 + t * box.x)


def entry(box: Range, t: int, j: int, x: arb) -> arb:
    """S1[t, j], with ``x`` as the factor of an entry off the circuit."""
    return sharp(box, t) * (ONE if j == max(t - 1, 0) else x)


def mass(box: Range, t: int, where: Sequence[bool]) -> arb:
    """The attention of row t of S1 to the given positions. Row 0 attends to itself alone."""
    main = max(t - 1, 0)
    others = sum(where[k] for k in range(t + 1) if k != main)
    return sharp(box, t) * (int(where[main]) + box.x * others)


def _surprisal(box: Range, missed: arb) -> arb:
    """-log(1 - x y) / x with y = ``missed``. Over a range of x it is between y and y / (1 - x y)."""
    if box.x.rel_accuracy_bits() > 30:
        return -(-box.x * missed).log1p() / box.x
    return missed / (1 - box.x * missed).union(ONE)


def _reached(box: Range, tokens: Tokens, where: Sequence[bool], layer_2: Layer2) -> arb:
    """(f1 on these positions) / x, where t_v, to which the deep head attends, is not one of them."""
    at_end = goal_position(tokens)
    assert not where[at_end - 1]
    q, factors = layer_2_factors(box, tokens, layer_2)
    own_row = q * sharp(box, at_end) * sum(where[: at_end + 1])
    return own_row + q * sum((factors[j] * mass(box, j, where) for j in range(T)), ZERO)
