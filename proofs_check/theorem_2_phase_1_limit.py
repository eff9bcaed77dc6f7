"""Theorem 2, Phase I, the limit: w(1) - w(k) -> infinity for every other offset, so S1[t] -> e_{t-1}.

"The gap grows throughout" is not enough: what grows may converge. These bounds are. By symmetry (see
``theorem_2_phase_1``) the even offsets share one weight w_e along the flow, and the odd ones and offset 0 another,
w_o. With p, e, o for their attention, x = p/e = exp(alpha) and alpha = w(1) - w_e, beta = w(1) - w_o,

    alpha' = -e (x - 1) + (x - 1/4)/(x + 1),  e in (0, 1/(x + 4))
    beta'  = p (1 - p - e)/(p + e) + o

alpha' is affine in e, and at both ends at least 3/(8x) for x >= 1. So alpha' >= (3/8) exp(-alpha) from alpha = 0 on,
and alpha >= log(1 + 3t/8). And beta' >= o >= exp(-beta)/10, as w(1) is the largest of ten weights, so
beta >= log(1 + t/10). Every row of S1 reads the same w, hence 1 - S1[t, t-1] <= 4/(1 + 3t/8) + 5/(1 + t/10), t being
the time on the right.

The rates. As p -> 1, let e = C/t and o = D/t. Then alpha' = (15/4) e + 5 o and beta' = 3 e + 6 o, and both gaps grow
like log t: (15/4) C + 5 D = 1 and 3 C + 6 D = 1, so C = 2/15 and D = 1/10. L2 = -log(p + e) = (3 C + 5 D)/t = (9/10)/t.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import sympy

from proofs_check import setting
from proofs_check.evidence import Control, Evidence, Findings, at_least, at_most, decided
from proofs_check.theorem_2_exact import SELF, Context
from proofs_check.theorem_2_flows import Path, agrees, changed, has_slope, phase_1, phase_1_twin
from proofs_check.theorem_2_phase_1_gap import coefficients

T = setting.T
RATE = 1e-4
"""How near a fitted slope must be to the stated one."""
CONSTANT = 1e-6
ROUNDING = 1e-8
THREE_EIGHTHS = Fraction(3, 8)
UNTIL = 1e6
"""Where changed flows stop: their losses do not all tend to 0, so rounding would be magnified."""
ASCENT = 100.0
"""Uphill weights grow like t, and soon leave float64."""


def limit() -> Findings:
    """w(1) - w(k) -> infinity for every k != 1, and S1[t] -> e_{t-1} for every t >= 2."""
    path = phase_1()
    return Findings(
        (
            _bounds_proved(),
            decided("symbolic", "beta' - o = p (1 - p - e)/(p + e) >= 0", _beta_excess(), 1),
            at_least(
                "simulated", "least alpha - log(1 + 3t/8), even k", _over(path, range(2, T, 2), 3 / 8), -ROUNDING, 8
            ),
            at_least(
                "simulated",
                "least beta - log(1 + t/10), odd k and 0",
                _over(path, (0, 3, 5, 7, 9), 1 / 10),
                -ROUNDING,
                8,
            ),
            _gaps(path),
            _rows(path, every=True),
            _constant("t s_k / s_1, even k", path, 2 / 15, lambda w: np.exp(w[2:T:2] - w[1])),
            _constant("t s_k / s_1, odd k and 0", path, 1 / 10, lambda w: np.exp(w[[0, 3, 5, 7, 9]] - w[1])),
            at_most("simulated", "|t L2 - 9/10| at the end", abs(path.times[-1] * path.loss[-1] - 0.9), CONSTANT, 1),
            at_most(
                "simulated",
                "max |sum of w(k)|, conserved",
                np.max(np.abs(path.theta.sum(axis=1))),
                ROUNDING,
                len(path.times),
            ),
            agrees("w", path, phase_1_twin, until=UNTIL),
        ),
        (
            Control("a free W1^(1), whose rows t < T do not move", _rows(path, every=False)),
            Control("ascent in place of descent", _gaps(_changed(lambda w: -phase_1_twin(w), ASCENT))),
            Control("u_end never at T - 1", _gaps(_changed(lambda w: phase_1_twin(w, lambda c: c.only_end)))),
            Control("u_end at T - 2 in place of T - 1", _gaps(_changed(lambda w: phase_1_twin(w, _one_earlier)))),
            Control(
                "u_end at odd positions: the constant 2/15",
                _constant(
                    "t s_k / s_1, even k",
                    _changed(lambda w: phase_1_twin(w, _at_sources)),
                    2 / 15,
                    lambda w: np.exp(w[2:T:2] - w[1]),
                ),
            ),
            Control("alpha' >= (1/2) exp(-alpha)", _bounds_proved(Fraction(1, 2))),
        ),
        f"At t = 1e6: w(1) = {_at(path, 1):.4f}, w(2) = {_at(path, 2):.4f}, w(3) = {_at(path, 3):.4f}. Both gaps grow "
        "like log t, S1[T, T-1] = 1 - (31/30)/t + ..., L2 = (9/10)/t.",
    )


def _bounds_proved(rate: Fraction = THREE_EIGHTHS) -> Evidence:
    """alpha' - rate/x >= 0 for x = 1 + y at both ends of e, as polynomials in y without a negative coefficient."""
    y = sympy.Symbol("y", nonnegative=True)
    x, bound = 1 + y, sympy.Rational(rate.numerator, rate.denominator)
    ends = [-e * (x - 1) + (x - sympy.Rational(1, 4)) / (x + 1) - bound / x for e in (0, 1 / (x + 4))]
    holds = all(value >= 0 for end in ends for value in coefficients(end, y).values())
    text = f"alpha' >= ({rate}) exp(-alpha) for all alpha >= 0, hence alpha -> infinity"
    return at_least("symbolic", text, float(holds), 1.0, 1, spans=True)


def _beta_excess() -> bool:
    p, e, o = sympy.symbols("p e o", positive=True)
    beta = (-p + p / (p + e)) - (-o)
    return sympy.simplify(beta - o - p * (1 - p - e) / (p + e)) == 0


def _over(path: Path, offsets: range | tuple[int, ...], rate: float) -> float:
    gaps = path.theta[:, [1]] - path.theta[:, list(offsets)]
    return float(np.min(gaps - np.log1p(rate * path.times)[:, None]))


def _gaps(path: Path) -> Evidence:
    others = [0, *range(2, T)]
    return has_slope("w(1) - w(k)", path, path.theta[:, [1]] - path.theta[:, others], 1.0, RATE)


def _rows(path: Path, every: bool) -> Evidence:
    """log(1 - S1[t, t-1]) for t = 2..T, from the misses; of a free W1^(1) only row T moves."""
    weights = np.exp(path.theta - path.theta[:, [1]])
    weights[:, 1] = 0
    visible = np.cumsum(weights, axis=1)[:, 1:]
    misses = visible / (1 + visible)
    if not every:
        misses[:, :-1] = 1 - 1 / np.arange(2, T)
    return has_slope("log(1 - S1[t, t-1])", path, np.log(misses), -1.0, RATE)


def _constant(name: str, path: Path, stated: float, ratio: Callable[[np.ndarray], np.ndarray]) -> Evidence:
    found = path.times[-1] * ratio(path.theta[-1])
    text = f"max |{name} - {stated:.6g}| at the end"
    return at_most("simulated", text, float(np.max(np.abs(found - stated))), CONSTANT, len(found))


def _changed(velocity: Callable[[np.ndarray], np.ndarray], until: float = UNTIL) -> Path:
    return changed(velocity, T, until)


def _one_earlier(context: Context) -> list[bool]:
    return [j in (SELF - 1, context.at_end) for j in range(T)]


def _at_sources(context: Context) -> list[bool]:
    return [j in (SELF, context.at_end - 1) for j in range(T)]


def _at(path: Path, offset: int) -> float:
    return float(path.theta[np.argmin(np.abs(path.times - 1e6)), offset])
