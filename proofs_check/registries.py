"""The claims of this package."""

from pathlib import Path

from proofs_check.ledger.claim import Claim
from proofs_check.ledger.registry import load, unique

OWN = tuple(Path(__file__).parent / package / "claims.yaml" for package in ("planning", "transfer", "sources"))
"""A registry for each source, or group of sources."""


def own() -> tuple[Claim, ...]:
    """All of them, in the order of their registries. No check is imported."""
    return unique(claim for path in OWN for claim in load(path))
