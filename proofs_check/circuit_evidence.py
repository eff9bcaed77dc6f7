"""The kinds of evidence that Corollaries 1 and 2 share: certified, fitted, and exhaustive."""

from collections.abc import Callable

import numpy as np
from flint import arb
from jax import Array

from proofs_check import ball, setting
from proofs_check.circuit_sweep import EXHAUSTIVE_GAMMA, EXPONENT_TOLERANCE, GAMMAS, exhaustive, exponent, sweep
from proofs_check.evidence import Evidence, Of, at_most, ball_at_most

Quantity = Callable[..., arb]
"""(range of gamma, tokens, v, u_end) -> ball."""
ORDERS = 24
CASES = len(ball.SPANS) * ORDERS
"""Pieces of the range of gamma, times edge orders."""
CONSTANT = float(setting.T**2)
"""The constant of e^-gamma that the proof gives its losses: O(T^2 e^-gamma)."""
FROM = 20.0
"""Where a claim about all large gamma is put to the test."""
SLACK = 1e-9
"""Relative rounding of float64 that a certified range is widened by, when float64 values are held against it."""


def small(name: str, certified: Quantity, swept: Array, of: Of = "printed") -> tuple[Evidence, Evidence]:
    """A quantity is O(e^-gamma): proved with a constant for every gamma >= 5, and its exponent fitted."""
    quantity = f"e^gamma {name}, every gamma >= 5"
    return ball_at_most(quantity, ball.hull(certified), CONSTANT, CASES, of=of, spans=True), decays(name, swept, of)


def decays(name: str, swept: Array, of: Of = "printed") -> Evidence:
    """The exponent of e^gamma, fitted over gamma from 5 to 500, is -1."""
    fitted = exponent(swept)
    return at_most(
        "simulated",
        f"|fitted exponent of {name} + 1|",
        abs(fitted + 1),
        EXPONENT_TOLERANCE,
        len(GAMMAS) * ORDERS,
        of=of,
        detail=f"exponent {fitted:.5f}",
        spans=True,
    )


def at_gamma(gamma: float | int, quantity: Quantity) -> arb:
    """The quantity at one gamma, over all edge orders."""
    return ball.hull(quantity, ((gamma, gamma),))


def not_squared(name: str, certified: Quantity) -> Evidence:
    """A mutant: the same quantity is O(e^-2 gamma)."""
    return ball_at_most(
        f"e^(2 gamma) {name}, at gamma = 20", at_gamma(FROM, certified) * arb(FROM).exp(), CONSTANT, ORDERS
    )


def everywhere(
    name: str,
    field: str,
    certified: Quantity,
    scale: float = float(np.exp(EXHAUSTIVE_GAMMA)),
    shift: float = 0.0,
    of: Of = "printed",
) -> Evidence:
    """The float64 library on every one of the 725,760 sequences, at one gamma, inside the certified range."""
    least, greatest, count = exhaustive()
    low, high = (scale * float(getattr(end, field)) + shift for end in (least, greatest))
    proved = at_gamma(EXHAUSTIVE_GAMMA, certified)
    beyond = [_beyond(low, proved), _beyond(high, proved)]
    # The hull over edge orders is wide; order by order the library must meet its own ball.
    assert GAMMAS[0] == EXHAUSTIVE_GAMMA
    each = scale * np.asarray(getattr(sweep(), field))[0] + shift
    box = ball.at(EXHAUSTIVE_GAMMA)
    beyond += [_beyond(value, certified(box, *case)) for value, case in zip(each, ball.edge_orders(), strict=True)]
    detail = f"[{low:.9g}, {high:.9g}] in [{float(proved.lower()):.9g}, {float(proved.upper()):.9g}]"
    return at_most(
        "exhaustive",
        f"{name} beyond its certified range, of every sequence, at gamma = {EXHAUSTIVE_GAMMA:g}",
        float(np.max(beyond)),
        SLACK * max(1.0, abs(high)),
        count,
        of=of,
        detail=detail,
    )


def _beyond(value: float, proved: arb) -> float:
    """How far a value lies outside a ball; negative inside."""
    return float(np.max([float(proved.lower()) - value, value - float(proved.upper())]))
