"""Results kept by content: what was decided by the same code, on the same data, with the same packages, is not decided
again. A change in any file of the packages, or in a claim's own file, makes a new key.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import jax

from circuits.files import write_text
from proofs_check.ledger.claim import Claim
from proofs_check.ledger.record import record, restored, versions
from proofs_check.ledger.reference import Reference
from proofs_check.ledger.run import Result

ROOT = Path(__file__).parents[2]
"""The folder that holds the packages and the shipped checkpoints."""
SOURCES = ("circuits", "proofs_check", "checkpoints")


def folder() -> Path:
    """Where results are kept: $CIRCUITS_CACHE, or reverse-circuits in the user's cache folder."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("CIRCUITS_CACHE") or base / "reverse-circuits") / "ledger"


def find(claim: Claim) -> Result | None:
    """The result kept for a claim, or None. A file that can't be read counts as none."""
    if not _covered(claim):
        return None
    try:
        return restored(claim, json.loads(_file(claim).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(result: Result) -> None:
    """Keep a result; errors are not kept. Does nothing where the folder can't be written."""
    if result.verdict == "error" or result.reused or not _covered(result.claim):
        return
    file = _file(result.claim)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(record(result), ensure_ascii=False))
    except OSError:
        return


def _covered(claim: Claim) -> bool:
    """Whether the key sees the code of the check: that of the packages, or of Python files beside the registry."""
    if isinstance(claim.check, Reference):
        module = claim.check.text.partition(":")[0]
        return module.endswith(".py") or module.split(".")[0] in SOURCES
    return Path(claim.registry).is_file()


def _file(claim: Claim) -> Path:
    fields = {name: value for name, value in vars(claim).items() if name not in ("check", "registry")}
    check = claim.check.text if isinstance(claim.check, Reference) else getattr(claim.check, "__qualname__", "")
    own = Path(claim.registry).parent if claim.registry and ROOT not in Path(claim.registry).resolve().parents else None
    parts = [
        repr(sorted(fields.items())),
        str(check),
        repr(versions()),
        jax.default_backend(),
        code(),
        _content(own.glob("*.py")) if own else "",
    ]
    return folder() / f"{claim.id}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:32]}.json"


@cache
def code() -> str:
    """A checksum of every source and data file of the packages."""
    files = (path for name in SOURCES for path in (ROOT / name).rglob("*") if path.is_file())
    return _content(path for path in files if "__pycache__" not in path.parts)


def _content(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(f"{path.as_posix()}:{path.stat().st_size}:".encode())
        found.update(path.read_bytes())
    return found.hexdigest()
