"""Digests that tell whole files from damaged ones: of bytes, of named arrays, of files, of a manifest that lists them.

They are written into checkpoints and weights files, so what goes into one, and in which order, must stay as it is.
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from circuits import require


def digest(*parts: bytes | memoryview) -> str:
    """The digest of the parts as if they were one, in hexadecimal digits."""
    found = blake2b(digest_size=32)
    for part in parts:
        found.update(part)
    return found.hexdigest()


def array_entry(name: str, array: np.ndarray) -> dict[str, Any]:
    """Dtype and shape of an array, and the digest of them, its name and its bytes."""
    form = {"dtype": str(array.dtype), "shape": list(array.shape)}
    return form | {"digest": digest(json.dumps([name, form]).encode(), _bytes(array))}


def arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """One digest of name, dtype, shape and bytes of each array, in the order of names."""
    parts = []
    for name, array in sorted(arrays.items()):
        parts += [json.dumps([name, str(array.dtype), array.shape]).encode(), _bytes(array)]
    return digest(*parts)


def file_digests(folder: Path, inside: str) -> dict[str, str]:
    """The digest of each file in a folder inside a folder, by its path from the outer one."""
    paths = sorted(path for path in (folder / inside).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in paths}


def signed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest, values for JSON, with its own digest."""
    return {**manifest, "digest": digest(json.dumps(manifest, sort_keys=True).encode())}


def read_signed(path: Path) -> dict[str, Any]:
    """The manifest in a JSON file. Raises ValueError, or OSError, for one without its own digest."""
    found = json.loads(path.read_text(encoding="utf-8"))
    unsigned = {key: value for key, value in found.items() if key != "digest"}
    require.that(found == signed(unsigned), path.name, "must have its own digest", found.get("digest"))
    return found


def compare(saved: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise ValueError naming what is not there as it was saved. More may be there."""
    for name, entry in saved.items():
        require.that(found.get(name) == entry, name, "must be as saved", "other bytes" if name in found else "nothing")


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
