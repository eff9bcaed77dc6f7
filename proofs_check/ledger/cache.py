"""A cache of results, whose key covers the code, the data and the versions of packages.

A change in any file of the packages, or in a claim's own file, makes a new key.
"""

import functools
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import jax

from circuits.files import write_text
from proofs_check.ledger.claim import Claim
from proofs_check.ledger.record import from_record, to_record, versions
from proofs_check.ledger.reference import Reference
from proofs_check.ledger.run import Result

ROOT = Path(__file__).parents[2]
"""The folder that holds the packages and the shipped checkpoints."""
SOURCES = ("circuits", "proofs_check", "checkpoints")


def folder() -> Path:
    """Return the cache folder: $CIRCUITS_CACHE, or reverse-circuits in the user's cache folder."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("CIRCUITS_CACHE") or base / "reverse-circuits") / "ledger"


def load(claim: Claim) -> Result | None:
    """Return the cached result of a claim, or None if there is none that can be read."""
    if not _is_covered(claim):
        return None
    try:
        return from_record(claim, json.loads(_file(claim).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def store(result: Result) -> None:
    """Cache a result, unless it is an error or the folder cannot be written."""
    if result.verdict == "error" or result.reused or not _is_covered(result.claim):
        return
    file = _file(result.claim)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(to_record(result), ensure_ascii=False))
    except OSError:
        return


@functools.cache
def code_checksum() -> str:
    """Return a checksum of every source and data file of the packages."""
    files = (path for name in SOURCES for path in (ROOT / name).rglob("*") if path.is_file())
    return _checksum(path for path in files if "__pycache__" not in path.parts)


def _is_covered(claim: Claim) -> bool:
    """Return whether the key covers the check's code, in the packages or in Python files next to the registry."""
    if isinstance(claim.check, Reference):
        module = claim.check.text.partition(":")[0]
        return module.endswith(".py") or module.split(".")[0] in SOURCES
    return Path(claim.registry).is_file()


def _file(claim: Claim) -> Path:
    fields = {name: value for name, value in vars(claim).items() if name not in ("check", "registry")}
    check = claim.check.text if isinstance(claim.check, Reference) else getattr(claim.check, "__qualname__", "")
    own = Path(claim.registry).parent if claim.registry and ROOT not in Path(claim.registry).resolve().parents else None
    parts = [repr(sorted(fields.items())), str(check), repr(versions()), jax.default_backend(), code_checksum()]
    parts.append(_checksum(own.glob("*.py")) if own else "")
    return folder() / f"{claim.id}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:32]}.json"


def _checksum(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.as_posix()}:{path.stat().st_size}:".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
