"""The ledger: every claim of the theory, decided by machine.

For claims of your own: a ``Claim`` names a check, a check returns ``Findings``, and findings hold ``Test`` objects. The
kinds of evidence are listed in ``KINDS``, the rule of verdicts stands in ``proofs_check.ledger.verdict``.
"""

from proofs_check.ledger.certified import Cell, balls_at_least, balls_at_most, nonnegative, same
from proofs_check.ledger.claim import Claim
from proofs_check.ledger.evidence import KINDS, CrossCheck, Findings, Test
from proofs_check.ledger.outcome import Outcome, at_least, at_most, equal, every
from proofs_check.ledger.statistics import Counts, Intervals, Mean, Plan

__all__ = [
    "KINDS",
    "Cell",
    "Claim",
    "Counts",
    "CrossCheck",
    "Findings",
    "Intervals",
    "Mean",
    "Outcome",
    "Plan",
    "Test",
    "at_least",
    "at_most",
    "balls_at_least",
    "balls_at_most",
    "equal",
    "every",
    "nonnegative",
    "same",
]
