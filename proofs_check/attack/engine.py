"""The attacks' interface to the ledger: its claims, and the outcome of deciding one."""

import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import jax

from proofs_check.ledger import decide, registry
from proofs_check.ledger.claim import Claim
from proofs_check.verification import own_claims

Outcome = Literal["green", "detected", "crash"]
_PACKAGE = Path(__file__).parents[1]


class Target(NamedTuple):
    """The code under attack.

    registries  files with the claims; this package's own by default
    package     the library that the claims are about
    formulas    folders of the library whose source is mutated
    also        folders in which only lines that a claim runs are mutated
    """

    registries: tuple[str, ...] = ()
    package: str = "circuits"
    formulas: tuple[str, ...] = ("disentangled", "flow", "one_layer")
    also: tuple[str, ...] = ("probes",)


def claims(target: Target, only: Iterable[str] = ()) -> dict[str, Claim]:
    """Return the claims by id, filtered by glob patterns. Raises ValueError for a pattern that matches none."""
    available = [c for file in target.registries for c in registry.load(file)] if target.registries else own_claims()
    return {claim.id: claim for claim in registry.select(available, only)}


def load(target: Target, names: Iterable[str]) -> list[Claim]:
    """Return claims with their checks imported, in float64 as ``circuits verify`` decides them."""
    jax.config.update("jax_enable_x64", True)
    by_id = claims(target)
    loaded = [by_id[name] for name in names]
    registry.check_imports(loaded)
    return loaded


def outcome(claim: Claim) -> Outcome:
    """Decide the claim: green if the verdict is the recorded one and every control came out as expected.

    An error is a crash unless the check ran to its end, in which case a cross-check failed.
    """
    result = decide(claim)
    if result.agrees:
        return "green"
    return "crash" if result.verdict == "error" and not result.evidence else "detected"


def root(target: Target) -> Path:
    """Return the folder of the library."""
    spec = find_spec(target.package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def code_checksum(target: Target) -> str:
    """Return a checksum of everything that outcomes depend on: library, checks, registries and the attacks."""
    digest = hashlib.sha256()
    ours = [file for kind in ("*.py", "claims*.yaml") for file in _PACKAGE.rglob(kind)]
    for file in sorted({*root(target).rglob("*.py"), *ours, *map(Path, target.registries)}):
        digest.update(file.read_bytes())
    return digest.hexdigest()
