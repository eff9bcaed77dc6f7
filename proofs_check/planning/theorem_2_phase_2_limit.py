"""Theorem 2, Phase II, the limits: the flow of the mean of L1a over all graphs, from zero, Layer 1 the predecessor.

All five rest on ``theorem_2_phase_2_proof``; where a rate is needed, on ``theorem_2_phase_2_direction`` as well:

    theta/log t -> theta*:     a, b, r_9, r_even ~ (9/10, -1/10, -4/5, 1/5) log t
"""

from dataclasses import replace
from fractions import Fraction

import jax
import numpy as np
import sympy

from circuits.disentangled.circuit import circuit
from circuits.disentangled.weights import zeros
from circuits.flow.coordinates import coordinates, free, orbits
from circuits.flow.fields import PLAN, gradient_flow
from proofs_check.ledger import CrossCheck, Findings, Outcome, Test, every, same
from proofs_check.methods import star
from proofs_check.methods.star import SELF, UNIFORM, N, T, contexts, mean_row, pull
from proofs_check.methods.twins import twins_agree
from proofs_check.planning import theorem_2_phase_2_direction as direction
from proofs_check.planning import theorem_2_phase_2_proof as proof
from proofs_check.planning.theorem_2_phase_2_start import kinds, velocity

SATURATED = 800.0
"""Logit of the predecessor at which float64 attention to it is exactly 1: e^-800 is 0."""
_A, _B = sympy.symbols("exp_a exp_b", positive=True)


def diagonal() -> Findings:
    """The diagonal of W0^(2) -> +infinity: a = (9/10)(a - b), and exp(b - a) falls below any level."""
    return Findings(proof.steps("printed"), (_library_agrees(),), "The rate is a = (9/10) log t + o(log t).")


def off_diagonal() -> Findings:
    """The off-diagonal entries of W0^(2) converge to finite negative values."""

    def acts_as(multiple: sympy.Expr) -> Outcome:
        """Compare S2[T, j] : S2[T, T-1] with W0^(2) = a I + b (1 1^T - I) and with a multiple of I, in exponentials."""
        on, off = sympy.symbols("A B", positive=True)
        v = sympy.symbols(f"v1:{T + 1}", positive=True)
        scale = multiple.subs({_A: on, _B: off})
        pairs = []
        for matches in {kind.matches for kind in kinds()}:
            ours = [(on if match else off) * x for match, x in zip(matches, v, strict=True)]
            theirs = [(scale if match else 1) * x for match, x in zip(matches, v, strict=True)]
            pairs += [(x * theirs[SELF], y * ours[SELF]) for x, y in zip(ours, theirs, strict=True)]
        return same(pairs)

    *steps, falls = proof.steps("amended", "intended")
    assert falls.quantity == proof.FALLS
    name = "S2[T] with W0^(2) is that with a multiple of I, exp of the multiple being exp(a - b)"
    wrong = {"the multiple a": _A, "the multiple a + b": _A * _B, "the multiple 2 (a - b)": (_A / _B) ** 2}
    return Findings(
        (
            *steps,
            replace(falls, printed={"sign": -1}),  # stays above some level
            Test("symbolic", name, acts_as, intended=_A / _B, mutants=wrong),
        ),
        (),
        "10 a + 90 b is conserved, so b = -a/9 for all time, and b = -(1/10) log t + o(log t). The print's own "
        "velocity of column u_end, delta - Z^T s, sums to 0 as well.",
    )


def self_mask() -> Findings:
    """(W1^(2))_{T-1,T-1} -> -infinity: r_9 / log t -> -4/5."""
    return Findings(
        (*proof.steps("printed"), *direction.steps("printed")),
        (),
        f"r_9 = -(4/5) log t + o(log t). It rises first: its velocity at zero is {row_at_zero()[SELF]}, as v is read "
        "at 9 in a quarter of the graphs.",
    )


def other_positions() -> Findings:
    """All other entries of W1^(2) remain at 0."""
    others = [j for j in range(T) if j != SELF]

    def rest_at_zero(combinations: list[list[int]]) -> Outcome:
        """Return whether combinations of the entries of row T - 1 have no velocity at zero weights."""
        return every([sum(x * y for x, y in zip(each, row_at_zero(), strict=True)) == 0 for each in combinations])

    single = [[int(i == j) for i in range(T)] for j in others]
    name = "entries of row T - 1 with no velocity at zero weights"
    return Findings(
        (
            Test("exact", name, rest_at_zero, printed=single, accepted={"their sum": [[1] * T]}),
            *proof.steps("amended", "intended"),
            *direction.steps("amended", intended=direction.MASK_ALONE),
            direction.converge("amended"),
        ),
        (),
        f"At zero weights row 9 of W1^(2) has velocities {', '.join(str(row_at_zero()[j]) for j in others)} at "
        "positions 1 to 8 and 10, counted from 1. In the end its even entries are (1/5) log t + o(log t), and those "
        "at odd positions and at 10 converge.",
    )


def attention_limit() -> Findings:
    """S2[T] -> e_{t_end} on each of the 24 edge orders: 1 - S2[T, t_end] falls below any level."""
    return Findings(proof.steps("printed"), (), "L1a = (49/5 + o(1))/t, and 1 - S2[T, t_end] <= 18 L1a.")


def row_at_zero() -> list[Fraction]:
    """Return r' at zero weights."""
    return mean_row(pull(UNIFORM, context.reads_v) for context in contexts())


def _library_agrees() -> CrossCheck:
    """Compare the library's velocity, which its solver follows, with the field of the enclosure."""
    row = np.zeros((T, T), bool)
    row[SELF] = True
    first, second = circuit(SATURATED, N, T)[0], zeros(2, N, T)[1]
    space = coordinates(star.SPEC, content_2=orbits(N), position_2=free(row), at=(first, second))
    points = np.random.default_rng(0).normal(size=(4, 2 + T))
    points[0] = 0
    field = jax.jit(gradient_flow(space, PLAN, star.SPEC))
    ours = np.array([field(point) for point in points])
    enclosed = np.array([[float(x) for x in velocity(point.tolist())] for point in points])
    mutants = {
        "a and b swapped": ours[:, [1, 0, *range(2, 2 + T)]],
        "position 3 for 2": ours[:, [0, 1, 2, 4, 3, *range(5, 2 + T)]],
    }
    return twins_agree("library's gradient_flow of L1a in (a, b, r)", ours, enclosed, mutants)
