"""Theorem 3, second half of its proof: from mu to the losses L1a = -log mu and (1/2)(L1a + L1b), at w = 0.

The print divides E[dmu/dw(k)] by one number mu0. But at w = 0 mu is no constant: it depends on the edge order, from
1417/12600 = 0.112 where v is listed last to 5071/12600 = 0.402 where it is listed first. What is true is

    E[dL1a/dw(k)] = -E[(1/mu) dmu/dw(k)] = -E[1/mu] E[dmu/dw(k)] - Cov(1/mu, dmu/dw(k))

and the covariance turns the signs. Take k = 1. Where v is listed late, few rows see it, mu is small, and rows that
look one back gain: dmu/dw(1) > 0 on each of the 12 orders with mu < 0.21, by 0.0066 in the mean. Where it is listed
early every later row sees it already, mu is large, and they lose: by 0.0100 in the mean of the 12 orders with
mu > 0.24. So E[dmu/dw(1)] = -0.0017. But 1/mu makes the late ones count more, and E[(1/mu) dmu/dw(1)] = +0.0078:
gradient descent raises w(1). Every number here is a sum of 24 fractions, so this is a proof.

It does not rest on v standing twice: with v once, as the proof has it, E[dL1a/dw(1)] would be -0.042.

A loss stands as the objective that gradient descent climbs: minus the loss. Climbing mu itself moves w as the print
says, so each test must accept it in place of the loss.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np

from circuits.flow import fields
from circuits.flow.coordinates import coordinates, toeplitz
from proofs_check.ledger.evidence import CrossCheck, Findings, Test
from proofs_check.ledger.outcome import Outcome, at_least, at_most, equal
from proofs_check.methods import cases, star
from proofs_check.methods.star import T
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
"""The proof's own v: it stands once, equally likely at each position of the context."""
ACCEPTED: Final = {"mu itself": MU}


def log_step() -> Findings:
    """E[dL1a/dw(k)] = -(1/mu0) E[dmu/dw(k)] for some mu0 > 0, or at least the same signs?"""

    def weighted(slope: Callable[[Fraction], Fraction], shift: int = 0) -> list[Fraction]:
        """E[slope(mu) dmu/dw(k)] by Eq. 13."""
        return [mean([slope(probability(hit)) * eq_13(hit, k + shift) for hit in V_ON_Z]) for k in OFFSETS]

    def proportional(stated: Sequence[Fraction]) -> Outcome:
        """-E[dL1a/dw(k)] against the nearest multiple, for no other mu0 > 0 serves if that one does not."""
        true = ascent(L1A)[1:]
        product = sum(a * b for a, b in zip(true, stated, strict=True))
        multiple = max(product / sum(x * x for x in stated), Fraction(0))
        expected = [multiple * x for x in stated]
        return equal([np.array(true, object)], [np.array(expected, object)], nontrivial=[True])

    def signs(name: str, hits: tuple[Indicator, ...]) -> Test:
        return Test(
            "exact",
            f"-E[dL1a/dw(k)] has the signs of Eqs. 14 and 15, k >= 1, {name}",
            printed_signs,
            intended=L1A._replace(hits=hits),
            accepted={"mu itself": MU._replace(hits=hits)},
        )

    mus = [probability(hit) for hit in V_ON_Z]
    return Findings(
        (
            Test(
                "exact",
                "-E[dL1a/dw(k)], k >= 1, less the nearest positive multiple of what is stated",
                proportional,
                printed=weighted(MU.slope),
                amended=weighted(L1A.slope),
                mutants={
                    "E[mu dmu/dw(k)]": weighted(lambda mu: mu),
                    "E[(1/mu^2) dmu/dw(k)]": weighted(lambda mu: 1 / mu**2),
                    "-E[(1/mu) dmu/dw(k)]": weighted(lambda mu: -1 / mu),
                    "E[(1/mu) dmu/dw(k + 1)]": weighted(L1A.slope, shift=1),
                },
            ),
            signs("on all edge orders", V_ON_Z),
            signs("with v once, as the proof has it", ONCE),
        ),
        (_literal_agrees(),),
        f"At w = 0 mu runs from {min(mus)} to {max(mus)} over the 24 edge orders. At k = 1 E[dL1a/dw(k)] is "
        f"{float(-ascent(L1A)[1]):+.5f}, and with v once {float(-ascent(L1A._replace(hits=ONCE))[1]):+.5f}.",
    )


def predecessor() -> Findings:
    """E[dL1a/dw(1)] > 0? It is negative: gradient descent raises w(1)."""
    return Findings((_lowers_predecessor("L1a", L1A), _repels("L1a", L1A)), (_literal_agrees(),), _two_orders())


def context() -> Findings:
    """E[dL1a/dw(k)] < 0 for every k >= 2? So at k = 2 and 3, not beyond."""
    return Findings((_raises_context("L1a", L1A), _diffuses("L1a", L1A)), (_literal_agrees(),), _listed("L1a", L1A))


def next_token_loss() -> Findings:
    """Both signs for (1/2)(L1a + L1b). Wrong at k = 1, and right at no k >= 2 but 2."""
    name = "(L1a + L1b)/2"
    tests = [make(name, NEXT_TOKEN) for make in (_lowers_predecessor, _raises_context, _repels, _diffuses)]
    return Findings(
        tuple(tests),
        (_literal_agrees(), _flow_agrees()),
        f"{_listed(name, NEXT_TOKEN)} L1b is the greater part: its target u_end stands at T - 1, where row T finds it "
        "one back.",
    )


def eq_13(hit: Indicator, k: int) -> Fraction:
    """dmu/dw(k), k >= 1, as Eq. 13 has it: rows r > k alone."""
    rows = [(Fraction(hit[r - k - 1]) - mean(hit[:r])) / r for r in range(k + 1, T + 1)]
    return sum(rows, Fraction(0)) / T


def _lowers_predecessor(name: str, objective: Objective) -> Test:
    return Test(
        "exact",
        f"mean derivative of {name} in w(1)",
        lambda climbed: at_least([-ascent(climbed)[1]], 0),
        printed=objective,
        accepted=ACCEPTED,
    )


def _raises_context(name: str, objective: Objective) -> Test:
    return Test(
        "exact",
        f"mean derivative of {name} in w(k), k >= 2",
        lambda climbed: at_most([-slope for slope in ascent(climbed)[2:]], 0),
        printed=objective,
        accepted=ACCEPTED,
    )


def _repels(name: str, objective: Objective) -> Test:
    return Test(
        "exact",
        f"dS1[T, T-1]/dt at w = 0 under gradient descent of {name}",
        lambda climbed: at_most([attention_velocity(climbed, [1])], 0),
        intended=objective,
        accepted=ACCEPTED,
    )


def _diffuses(name: str, objective: Objective) -> Test:
    return Test(
        "exact",
        f"d/dt of S1[T, 1] + .. + S1[T, T-2] at w = 0 under gradient descent of {name}",
        lambda climbed: at_least([attention_velocity(climbed, range(2, T))], 0),
        intended=objective,
        accepted=ACCEPTED,
    )


def _literal_agrees() -> CrossCheck:
    """The derivatives of L1a and L1b in w by autodiff of Definitions 1 and 2 at zero weights."""
    found = np.stack([_diagonal_sums(case) for case in _literal()])
    exact = np.array([ascent(L1A._replace(hits=hits)) for hits in (V_ON_Z, END_ON_REPLAY)], float)
    return CrossCheck(
        "literal model by autodiff = chain rule in fractions",
        lambda ours: equal(ours, exact),
        found,
        {
            "zero": 0 * found,
            "negated": -found,
            "offsets reversed": found[:, ::-1],
            "Z and Z' swapped": found[::-1],
        },
    )


@cache
def _literal() -> tuple[np.ndarray, np.ndarray]:
    """Minus the mean of dL1a/dW1^(1), and of dL1b/dW1^(1)."""
    tokens, y1, y2 = cases.prompts()
    nothing = jax.tree.map(np.zeros_like, cases.weights())
    replay = np.concatenate([tokens[:, :-1], y1[:, None]], axis=1)
    plan, second = (cases.evaluate(nothing, cases.Prompt(*prompt)) for prompt in ((tokens, y1), (replay, y2)))
    means = [np.mean([-case.literal.deep[0].position for case in each], axis=0) for each in (plan, second)]
    return means[0], means[1]


def _diagonal_sums(matrix: np.ndarray) -> np.ndarray:
    """w(k) stands in all entries of one diagonal."""
    return np.array([np.trace(matrix, offset=-k) for k in range(T)])


def _flow_agrees() -> CrossCheck:
    """The library's gradient flow of the next-token loss with Toeplitz W1^(1), at zero weights."""
    flow = fields.gradient_flow(coordinates(star.SPEC, position_1=toeplitz(T)), fields.NEXT_TOKEN, star.SPEC)
    # Compiling takes longer than running, and half as long without optimisation.
    found = np.asarray(jax.jit(flow, compiler_options={"xla_backend_optimization_level": 0})(jnp.zeros(T)))
    return CrossCheck(
        "library's gradient_flow = chain rule in fractions",
        lambda ours: equal(ours, np.array(ascent(NEXT_TOKEN), float)),
        found,
        {"zero": 0 * found, "negated": -found, "offsets reversed": found[::-1]},
    )


def _two_orders() -> str:
    found = sorted((probability(hit), eq_13(hit, 1)) for hit in V_ON_Z)
    (late, up), (early, down) = found[0], min(found, key=lambda case: case[1])
    return (
        f"E[dL1a/dw(1)] = {-ascent(L1A)[1]}. Where both edges of v are listed last, mu = {float(late):.3f} and "
        f"dL1a/dw(1) = {float(-up / late):+.4f}; where they are listed first, (start, v) before (v, u_end), mu = "
        f"{float(early):.3f} and dL1a/dw(1) = {float(-down / early):+.4f}: the larger change of mu, but the smaller "
        "of -log mu."
    )


def _listed(name: str, objective: Objective) -> str:
    values = ", ".join(f"{float(-value):+.5f}" for value in ascent(objective))
    return f"Mean derivative of {name} in w(k) for k = 0 to {T - 1}: {values}."
