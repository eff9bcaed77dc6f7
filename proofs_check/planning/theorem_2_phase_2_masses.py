"""Theorem 2, Phase II: the pulls on the logits as polynomials in the masses, and what steps 2 to 5 claim of them.

The notation is that of ``theorem_2_phase_2_proof``. Each generator of inequalities yields polynomials that are claimed
not to be negative for any masses.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import sympy

from proofs_check.methods.star import T
from proofs_check.planning.theorem_2_phase_2_start import Kind, kinds

ENDS = (1, 3, 5, 7)
"""The positions of t_end, 2, 4, 6, 8, counted from 0."""
_, *_SYMBOLS = sympy.ring(f"A B s1:{T + 1} y1:3", sympy.QQ)
BASES, MASSES, MORE = _SYMBOLS[:2], _SYMBOLS[2 : 2 + T], _SYMBOLS[2 + T :]
"""e^a and e^b; the s_j or v_j; the excess of one mass over another. Elements of a polynomial ring."""
Polynomial = Any


def pull(kind: Kind, weights: Sequence[Polynomial] = MASSES) -> list[Polynomial]:
    """Return Z F g_j of weights v, or f g_j of masses s, made homogeneous: v_j M at a hit, -v_j F at a miss."""
    hit, missed = split(kind, weights)
    return [v * (missed if is_hit else -hit) for v, is_hit in zip(weights, kind.hits, strict=True)]


def split(kind: Kind, weights: Sequence[Polynomial] = MASSES) -> tuple[Polynomial, Polynomial]:
    """F and M."""
    hit = total(weights, kind.hits)
    return hit, sum(weights) - hit


def dot(pulls: Sequence[Polynomial], logits: Sequence[Fraction | int]) -> Polynomial:
    """sum_j g_j l_j."""
    return sum(g * sympy.QQ(*Fraction(x).as_integer_ratio()) for g, x in zip(pulls, logits, strict=True))


def shares(multiple: int) -> Iterator[Polynomial]:
    """Step 2: s_1 + .. + s_T + 2 Q less the three f, for each t_end."""
    for end in ENDS:
        yield sum(MASSES) + multiple * total(MASSES, _always(end)) - sum(split(kind)[0] for kind in _with(end))


def descent(push: Sequence[int]) -> Iterator[Polynomial]:
    """Step 3: f (sum_j g_j l_j(w) - (1 - f)/6) less a multiple >= 0 of (1 - f)(Q - 1/6), made homogeneous."""
    for kind in kinds():
        (hit, missed), logits, always = split(kind), kind.logits(push), _always(kind.end)
        spare = total(MASSES, always) - sum(MASSES) / 6
        weight = max(0, min(logits[j] for j in range(T) if always[j]))
        yield dot(pull(kind), logits) - hit * missed / 6 - weight * missed * spare


def crowded(ends: Sequence[int]) -> Iterator[Polynomial]:
    """Step 4: s_1 + .. + s_T less the three f, where the others of r_4, r_6, r_8 have masses q + y."""
    for end in ends:
        others = [j for j in ends if j != end]
        masses = list(MASSES)
        for j, more in zip(others, MORE, strict=False):
            masses[j] = MASSES[end] + more
        yield sum(masses) - sum(split(kind, masses)[0] for kind in _with(end))


def overtaking(first: int, second: int = 1) -> Iterator[Polynomial]:
    """Step 5: Z F (g_2 - g_1) where v_2 = v_1 + y if t_end = 2, and v_1 = v_2 + y elsewhere."""
    for kind in kinds():
        low, high = (first, second) if kind.end == second else (second, first)
        weights = list(MASSES)
        weights[high] = MASSES[low] + MORE[0]
        on_logits = pull(kind, weights)
        yield on_logits[second] - on_logits[first]


def _with(end: int) -> list[Kind]:
    return [kind for kind in kinds() if kind.end == end]


def _always(end: int) -> list[bool]:
    """Return the positions of Q, which are hits on all kinds with this t_end."""
    return [all(kind.hits[j] for kind in _with(end)) for j in range(T)]


def total(values: Iterable[Polynomial], chosen: Sequence[bool]) -> Polynomial:
    """Return the sum of the chosen values."""
    return sum(value for value, is_chosen in zip(values, chosen, strict=True) if is_chosen)
