"""Theorem 3, second half of its proof: from mu to the losses L1a = -log mu and (1/2)(L1a + L1b), at w = 0.

The print divides E[dmu/dw(k)] by one number mu0. But at w = 0 mu is not constant: it depends on the edge order, from
1417/12600 = 0.112 where v is listed last to 5071/12600 = 0.402 where it is listed first. What is true is

    E[dL1a/dw(k)] = -E[(1/mu) dmu/dw(k)] = -E[1/mu] E[dmu/dw(k)] - Cov(1/mu, dmu/dw(k))

and the covariance reverses the signs. Take k = 1. Where v is listed late, few rows see it, mu is small, and rows that
look one back gain: dmu/dw(1) > 0 on each of the 12 orders with mu < 0.21, by 0.0066 in the mean. Where it is listed
early every later row sees it already, mu is large, and they lose: by 0.0100 in the mean of the 12 orders with mu >
0.24. So E[dmu/dw(1)] = -0.0017. But 1/mu gives the late ones more weight, and E[(1/mu) dmu/dw(1)] = +0.0078: gradient
descent increases w(1). Every number here is a sum of 24 fractions, so this is a proof.

It does not depend on v occurring twice: with v once, as the proof has it, E[dL1a/dw(1)] would be -0.042.

A loss is represented by the objective that gradient descent climbs: minus the loss. Climbing mu itself moves w as the
print says, so each test must accept it in place of the loss.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from circuits.flow import fields
from circuits.flow.coordinates import coordinates, toeplitz
from proofs_check.ledger import CrossCheck, Findings, Outcome, Test, at_least, at_most, equal
from proofs_check.methods import cases, star
from proofs_check.methods.star import T
from proofs_check.methods.twins import twins_agree
from proofs_check.planning.theorem_3_objective import (
    END_ON_REPLAY,
    L1A,
    MU,
    NEXT_TOKEN,
    OFFSETS,
    V_ON_Z,
    Indicator,
    Objective,
    ascent,
    attention_velocity,
    mean,
    printed_signs,
    probability,
)

ONCE: Final = tuple(tuple(r == at for r in range(T)) for at in range(T - 2))
"""The proof's own v: it occurs once, equally likely at each position of the context."""
BOTH: Final = "(L1a + L1b)/2"


def log_step() -> Findings:
    """E[dL1a/dw(k)] = -(1/mu0) E[dmu/dw(k)] for some mu0 > 0, or at least the same signs?"""

    def weighted(slope: Callable[[Fraction], Fraction], shift: int = 0) -> list[Fraction]:
        """Return E[slope(mu) dmu/dw(k)] by Eq. 13."""
        return [mean([slope(probability(hit)) * eq_13(hit, k + shift) for hit in V_ON_Z]) for k in OFFSETS]

    def proportional(stated: Sequence[Fraction]) -> Outcome:
        """Compare -E[dL1a/dw(k)] with the nearest multiple; if that fails, no other mu0 > 0 works either."""
        true = ascent(L1A)[1:]
        product = sum(a * b for a, b in zip(true, stated, strict=True))
        multiple = max(product / sum(x * x for x in stated), Fraction(0))
        expected = [multiple * x for x in stated]
        return equal([np.array(true, object)], [np.array(expected, object)], nontrivial=[True])

    def signs(name: str, hits: tuple[Indicator, ...]) -> Test:
        quantity = f"-E[dL1a/dw(k)] has the signs of Eqs. 14 and 15, k >= 1, {name}"
        of_mu = {"mu itself": MU._replace(hits=hits)}
        return Test("exact", quantity, printed_signs, intended=L1A._replace(hits=hits), accepted=of_mu)

    mutants = {
        "E[mu dmu/dw(k)]": weighted(lambda mu: mu),
        "E[(1/mu^2) dmu/dw(k)]": weighted(lambda mu: 1 / mu**2),
        "-E[(1/mu) dmu/dw(k)]": weighted(lambda mu: -1 / mu),
        "E[(1/mu) dmu/dw(k + 1)]": weighted(L1A.slope, shift=1),
    }
    name = "-E[dL1a/dw(k)], k >= 1, less the nearest positive multiple of what is stated"
    stated: dict[str, Any] = {"printed": weighted(MU.slope), "amended": weighted(L1A.slope)}
    mus = [probability(hit) for hit in V_ON_Z]
    return Findings(
        (
            Test("exact", name, proportional, **stated, mutants=mutants),
            signs("on all edge orders", V_ON_Z),
            signs("with v once, as the proof has it", ONCE),
        ),
        (_literal_agrees(),),
        f"At w = 0 mu runs from {min(mus)} to {max(mus)} over the 24 edge orders. At k = 1 E[dL1a/dw(k)] is "
        f"{float(-ascent(L1A)[1]):+.5f}, and with v once {float(-ascent(L1A._replace(hits=ONCE))[1]):+.5f}.",
    )


def predecessor() -> Findings:
    """E[dL1a/dw(1)] > 0? It is negative: gradient descent increases w(1)."""
    return Findings(_at_predecessor("L1a", L1A), (_literal_agrees(),), _two_orders())


def context() -> Findings:
    """E[dL1a/dw(k)] < 0 for every k >= 2? Only at k = 2 and 3."""
    return Findings(_in_context("L1a", L1A), (_literal_agrees(),), _listed("L1a", L1A))


def next_token_loss() -> Findings:
    """Both signs for (1/2)(L1a + L1b). Wrong at k = 1, and right at no k >= 2 except 2."""
    (lowers, repels), (raises, diffuses) = _at_predecessor(BOTH, NEXT_TOKEN), _in_context(BOTH, NEXT_TOKEN)
    return Findings(
        (lowers, raises, repels, diffuses),
        (_literal_agrees(), _flow_agrees()),
        f"{_listed(BOTH, NEXT_TOKEN)} L1b is the larger part: its target u_end is at T - 1, one back from row T.",
    )


def eq_13(hit: Indicator, k: int) -> Fraction:
    """Return dmu/dw(k), k >= 1, as Eq. 13 has it: rows r > k alone."""
    rows = [(Fraction(hit[r - k - 1]) - mean(hit[:r])) / r for r in range(k + 1, T + 1)]
    return sum(rows, Fraction(0)) / T


def _at_predecessor(name: str, objective: Objective) -> tuple[Test, Test]:
    """The printed sign at k = 1, and the intent: that descent takes attention away from the predecessor."""
    attention = f"dS1[T, T-1]/dt at w = 0 under gradient descent of {name}"

    def repels(climbed: Objective) -> Outcome:
        return at_most([attention_velocity(climbed, [1])], 0)

    slope = f"mean derivative of {name} in w(1)"
    accepted = {"mu itself": MU}
    return (
        Test("exact", slope, lambda climbed: at_least([-ascent(climbed)[1]], 0), objective, accepted=accepted),
        Test("exact", attention, repels, intended=objective, accepted=accepted),
    )


def _in_context(name: str, objective: Objective) -> tuple[Test, Test]:
    """The printed sign at k >= 2, and the intent: that descent moves attention to the context."""
    attention = f"d/dt of S1[T, 1] + .. + S1[T, T-2] at w = 0 under gradient descent of {name}"

    def raises(climbed: Objective) -> Outcome:
        return at_most([-slope for slope in ascent(climbed)[2:]], 0)

    def diffuses(climbed: Objective) -> Outcome:
        return at_least([attention_velocity(climbed, range(2, T))], 0)

    accepted = {"mu itself": MU}
    return (
        Test("exact", f"mean derivative of {name} in w(k), k >= 2", raises, printed=objective, accepted=accepted),
        Test("exact", attention, diffuses, intended=objective, accepted=accepted),
    )


def _literal_agrees() -> CrossCheck:
    """Compare with the derivatives of L1a and L1b in w by autodiff of Definitions 1 and 2 at zero weights."""
    # w(k) is in all entries of one diagonal.
    ours = np.array([[np.trace(matrix, offset=-k) for k in range(T)] for matrix in _literal()])
    exact = np.array([ascent(L1A._replace(hits=hits)) for hits in (V_ON_Z, END_ON_REPLAY)], float)
    mutants = {"offsets reversed": ours[:, ::-1], "Z and Z' swapped": ours[::-1]}
    return twins_agree("literal model by autodiff = chain rule in fractions", ours, exact, mutants)


@cache
def _literal() -> list[np.ndarray]:
    """Return minus the mean of dL1a/dW1^(1), and of dL1b/dW1^(1)."""
    tokens, y1, y2 = cases.prompts()
    zero = jax.tree.map(np.zeros_like, cases.weights())
    runs = [cases.evaluate(zero, cases.Prompt(*prompt)) for prompt in ((tokens, y1), (cases.replayed(), y2))]
    return [np.mean([-case.literal.deep[0].position for case in run], axis=0) for run in runs]


def _flow_agrees() -> CrossCheck:
    """Compare with the library's gradient flow of the next-token loss with Toeplitz W1^(1), at zero weights."""
    flow = fields.gradient_flow(coordinates(star.SPEC, position_1=toeplitz(T)), fields.NEXT_TOKEN, star.SPEC)
    # Compiling takes longer than running, and half as long without optimisation.
    ours = np.asarray(jax.jit(flow, compiler_options={"xla_backend_optimization_level": 0})(jnp.zeros(T)))
    exact = np.array(ascent(NEXT_TOKEN), float)
    mutants = {"offsets reversed": ours[::-1]}
    return twins_agree("library's gradient_flow = chain rule in fractions", ours, exact, mutants)


def _two_orders() -> str:
    orders = sorted((probability(hit), eq_13(hit, 1)) for hit in V_ON_Z)
    (late, up), (early, down) = orders[0], min(orders, key=lambda case: case[1])
    return (
        f"E[dL1a/dw(1)] = {-ascent(L1A)[1]}. Where both edges of v are listed last, mu = {float(late):.3f} and "
        f"dL1a/dw(1) = {float(-up / late):+.4f}; where they are listed first, (start, v) before (v, u_end), mu = "
        f"{float(early):.3f} and dL1a/dw(1) = {float(-down / early):+.4f}: the larger change of mu, but the smaller "
        "of -log mu."
    )


def _listed(name: str, objective: Objective) -> str:
    values = ", ".join(f"{float(-value):+.5f}" for value in ascent(objective))
    return f"Mean derivative of {name} in w(k) for k = 0 to {T - 1}: {values}."
