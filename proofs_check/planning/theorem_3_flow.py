"""Theorem 3 beyond w = 0: where the gradient flow of the next-token losses takes Layer 1.

"The pure NTP deep loss" can be the next-token part of Eq. 3, (1/2)(L1a + L1b), or L1a, which the proof differentiates.
The same question is asked of both. At first both increase S1[T, T-1]. In the end, with Layer 2 at zero as in the
theorem, (1/2)(L1a + L1b) takes it to 1 (``theorem_3_flow_proof``) and L1a to 0 (``theorem_3_flow_offset_2``).
"""

from fractions import Fraction
from functools import cache
from typing import NamedTuple

from proofs_check.ledger import Findings, Outcome, Test, at_most
from proofs_check.methods.star import T
from proofs_check.planning import theorem_3_flow_gradient as gradient
from proofs_check.planning import theorem_3_flow_offset_2 as offset_2
from proofs_check.planning import theorem_3_flow_proof as proof
from proofs_check.planning.theorem_3_flow_field import Shares


class Offset(NamedTuple):
    """An offset k of the query's attention S1[T, T-k], and the loss."""

    shares: Shares
    offset: int = 1


def flow() -> Findings:
    """S1[T, T-1] never rises above its first value 1/T? It does at once, for either loss."""
    first = {name: rate(Offset(shares)) for name, shares in gradient.LOSSES.items()}

    def falls(variant: Offset) -> Outcome:
        return at_most([rate(variant)], 0)

    def start(name: str, shares: Shares) -> Test:
        accepted = {"offset T - 1": Offset(shares, T - 1)}
        quantity = f"{name}: dS1[T, T-1]/dt at t = 0, Layer 2 at zero or moving"
        return Test("exact", quantity, falls, printed=Offset(shares), accepted=accepted)

    return Findings(
        (
            *(start(name, shares) for name, shares in gradient.LOSSES.items()),
            gradient.step(),
            *proof.steps(),
            proof.limit(),
            *offset_2.steps(),
            offset_2.limit(),
        ),
        (gradient.jacobian_differentiates_the_field(), gradient.library_has_the_field()),
        "At t = 0 dS1[T, T-1]/dt is "
        f"{' and '.join(f'{float(value):.5f} for {name}' for name, value in first.items())}. With Layer 2 at zero, "
        f"(L1a + L1b)/2 has exp(w(1) - w(k)) >= 40 at t = {proof.END} for every k != 1, and from then on it grows at "
        "least like t/100: S1[T, T-1] -> 1. Under L1a S1[T, T-2] -> 1 instead, and S1[T, T-1] tends to 1 from no "
        "weights.",
    )


@cache
def rate(variant: Offset) -> Fraction:
    """Return the derivative of S1[T, T-k] at w = 0. At zero weights Layer 2 is uniform whether it moves or not."""
    w = gradient.minus_gradient([Fraction(1)] * T, variant.shares)
    return (w[variant.offset] - sum(w, Fraction(0)) / T) / T
