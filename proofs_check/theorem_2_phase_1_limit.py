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

from fractions import Fraction
from typing import Any

import numpy as np
import sympy

from proofs_check import setting
from proofs_check.evidence import Control, Evidence, Findings, at_least, at_most, decided
from proofs_check.theorem_2_exact import SELF, Context
from proofs_check.theorem_2_flows import Mutant, Path, agrees, grows, has_slope, phase_1, phase_1_twin
from proofs_check.theorem_2_phase_1 import parity_field
from proofs_check.theorem_2_phase_1_gap import coefficients

T = setting.T
EVEN, ODD = [2, 4, 6, 8], [0, 3, 5, 7, 9]
"""Offsets of one weight each along the flow; offset 0 goes with the odd ones."""
OTHERS = sorted(EVEN + ODD)
RATE = 1e-4
"""How near a fitted slope must be to the stated one."""
CONSTANT = 1e-6
ROUNDING = 1e-8
THREE_EIGHTHS = Fraction(3, 8)
EARLY_RATE, EARLY_CONSTANT = 0.05, 1e-3
"""The same where changed flows stop. The true flow is within 5e-3 and 3e-6 there."""
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
            decided(
                "symbolic", "of the field by parity, alpha' and beta' are as stated at the top", _gap_velocities(), 1
            ),
            _over("least alpha - log(1 + 3t/8), even k", path, EVEN, 3 / 8),
            _over("least beta - log(1 + t/10), odd k and 0", path, ODD, 1 / 10),
            _grows(path),
            _gaps(path),
            _rows(path, every=True),
            _constant("even k", path, EVEN, 2 / 15),
            _constant("odd k and 0", path, ODD, 1 / 10),
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
            Control("alpha' >= (1/2) exp(-alpha)", _bounds_proved(Fraction(1, 2))),
            *(mutant.control(T) for mutant in MUTANTS),
        ),
        f"At t = 1e6: w(1) = {_at(path, 1):.4f}, w(2) = {_at(path, 2):.4f}, w(3) = {_at(path, 3):.4f}. Both gaps grow "
        "like log t, S1[T, T-1] = 1 - (31/30)/t + ..., L2 = (9/10)/t.",
    )


def _bounds_proved(rate: Fraction = THREE_EIGHTHS) -> Evidence:
    """alpha' - rate/x >= 0 for x = 1 + y at both ends of e, as polynomials in y without a negative coefficient."""
    y = sympy.Symbol("y", nonnegative=True)
    x, bound = 1 + y, sympy.Rational(rate.numerator, rate.denominator)
    ends = [_alpha_velocity(x, e) - bound / x for e in (0, 1 / (x + 4))]
    holds = all(value >= 0 for end in ends for value in coefficients(end, y).values())
    text = f"alpha' >= ({rate}) exp(-alpha) for all alpha >= 0, hence alpha -> infinity"
    return at_least("symbolic", text, float(holds), 1.0, 1, spans=True)


def _alpha_velocity(x: Any, e: Any) -> Any:
    """alpha' as stated at the top of this file."""
    return -e * (x - 1) + (x - sympy.Rational(1, 4)) / (x + 1)


def _gap_velocities() -> bool:
    """Whether w(1)' - w(k)' of ``parity_field`` is alpha' at every even k, and beta' at every odd k and 0."""
    p, e, o = sympy.symbols("p e o", positive=True)
    attention: list[Any] = [p if k == 1 else e if k in EVEN else o for k in range(T)]
    w = parity_field(attention)
    beta = p * (1 - p - e) / (p + e) + o
    stated = [*((k, _alpha_velocity(p / e, e)) for k in EVEN), *((k, beta) for k in ODD)]
    return all(sympy.simplify(w[1] - w[k] - velocity) == 0 for k, velocity in stated)


def _over(name: str, path: Path, offsets: list[int], rate: float) -> Evidence:
    gaps = path.theta[:, [1]] - path.theta[:, offsets]
    least = float(np.min(gaps - np.log1p(rate * path.times)[:, None]))
    return at_least("simulated", name, least, -ROUNDING, len(offsets))


def _to_others(path: Path) -> np.ndarray:
    return path.theta[:, [1]] - path.theta[:, OTHERS]


def _gaps(path: Path, tolerance: float = RATE) -> Evidence:
    return has_slope("w(1) - w(k)", path, _to_others(path), 1.0, tolerance)


def _grows(path: Path) -> Evidence:
    return grows("w(1) - w(k), k != 1", path, _to_others(path))


def _rows(path: Path, every: bool) -> Evidence:
    """log(1 - S1[t, t-1]) for t = 2..T, from the misses; of a free W1^(1) only row T moves."""
    weights = np.exp(path.theta - path.theta[:, [1]])
    weights[:, 1] = 0
    visible = np.cumsum(weights, axis=1)[:, 1:]
    misses = visible / (1 + visible)
    if not every:
        misses[:, :-1] = 1 - 1 / np.arange(2, T)
    return has_slope("log(1 - S1[t, t-1])", path, np.log(misses), -1.0, RATE)


def _constant(which: str, path: Path, offsets: list[int], stated: float, tolerance: float = CONSTANT) -> Evidence:
    found = path.times[-1] * np.exp(path.theta[-1, offsets] - path.theta[-1, 1])
    text = f"max |t s_k / s_1 - {stated:.6g}|, {which}, at t = {path.times[-1]:.0e}"
    return at_most("simulated", text, float(np.max(np.abs(found - stated))), tolerance, len(found))


def _one_earlier(context: Context) -> list[bool]:
    return [j in (SELF - 1, context.at_end) for j in range(T)]


def _at_sources(context: Context) -> list[bool]:
    return [j in (SELF, context.at_end - 1) for j in range(T)]


def _at(path: Path, offset: int) -> float:
    return float(path.theta[np.argmin(np.abs(path.times - 1e6)), offset])


def _has_gaps(path: Path) -> Evidence:
    return _gaps(path, EARLY_RATE)


def _has_constant(path: Path) -> Evidence:
    return _constant("even k", path, EVEN, 2 / 15, EARLY_CONSTANT)


MUTANTS = (
    Mutant("ascent in place of descent", lambda w: -phase_1_twin(w), ASCENT, _grows),
    Mutant("u_end never at T - 1", lambda w: phase_1_twin(w, lambda c: c.only_end), UNTIL, _has_gaps),
    Mutant("u_end at T - 2 in place of T - 1", lambda w: phase_1_twin(w, _one_earlier), UNTIL, _has_gaps),
    Mutant("u_end at odd positions: the constant", lambda w: phase_1_twin(w, _at_sources), UNTIL, _has_constant),
)
"""Changed flows, each with a test that the true flow passes at the same time."""
