"""The ledger: every claim of the theory, decided by machine. For claims of your own, start here."""

from proofs_check.evidence import (
    Control,
    Evidence,
    Findings,
    at_least,
    at_most,
    ball_at_least,
    ball_at_most,
    decided,
    identity,
)
from proofs_check.registry import Claim

__all__ = [
    "Claim",
    "Control",
    "Evidence",
    "Findings",
    "at_least",
    "at_most",
    "ball_at_least",
    "ball_at_most",
    "decided",
    "identity",
]
