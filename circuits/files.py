"""Atomic writes, and checksums that detect damaged files. Does not import jax.

The bytes of a checksum and their order are part of the checkpoint format and must not change.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from circuits import checks

FOLDER_RULE = "must be a folder to write in"


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically: a reader gets the old file or the new one, never a part."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically and flush it to disk. A pipe or a device, such as /dev/stdout, is written directly."""
    path = Path(path)
    if _is_special(path):
        path.write_bytes(content)
        return
    target = path.resolve()
    temporary = _temporary(target)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as an npz file, atomically."""
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Return all arrays of an npz file. Raises ValueError naming a file that is truncated or not an npz file."""
    path = Path(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name}: must be a whole npz file, got {str(path)!r} ({error})") from error


def check_writable(argument: str, path: str | Path) -> None:
    """Check, before any long work, that a file can be written at ``path``.

    Raises ValueError naming the argument, the rule and the path.
    """
    path = Path(path)
    target = path.resolve()
    try:
        checks.require(not target.is_dir(), argument, "must be a file, not a folder", str(path))
        checks.require(target.parent.is_dir(), argument, "must be in a folder that exists", str(path))
        if not _is_special(path):
            writable = not target.exists() or os.access(target, os.W_OK)
            checks.require(writable, argument, "must be writable", str(path))
            temporary = _temporary(target)
            temporary.touch()  # permission bits are not enough: the disk may be read-only, the name too long
            temporary.unlink()
    except OSError as error:
        raise ValueError(f"{argument}: must be writable, got {str(path)!r} ({error.strerror})") from error


def check_folder(folder: str | Path) -> None:
    """Check, before any long work, that a folder can be made or written in, without making it.

    Raises ValueError naming the folder.
    """
    folder = Path(folder)
    with _naming(folder):
        parent = next(part for part in (folder, *folder.absolute().parents) if part.exists())
        checks.require(parent.is_dir() and os.access(parent, os.W_OK), "out", FOLDER_RULE, str(folder))


@contextmanager
def writing(folder: str | Path) -> Iterator[None]:
    """Make the folder, and turn an OSError in the block into a ValueError that names it."""
    folder = Path(folder)
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        yield


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"out: {FOLDER_RULE}, got {str(folder)!r} ({error.strerror})") from error


def checksum(*parts: bytes | memoryview) -> str:
    """Return the blake2b checksum of the concatenated parts, as hexadecimal digits."""
    result = blake2b(digest_size=32)
    for part in parts:
        result.update(part)
    return result.hexdigest()


def array_entry(name: str, array: np.ndarray) -> dict[str, Any]:
    """Return dtype and shape of an array, and one checksum of name, dtype, shape and bytes."""
    layout = {"dtype": str(array.dtype), "shape": list(array.shape)}
    return layout | {"digest": checksum(json.dumps([name, layout]).encode(), _bytes(array))}


def arrays_checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """Return one checksum of name, dtype, shape and bytes of all arrays, in the order of their names."""
    parts = []
    for name, array in sorted(arrays.items()):
        parts += [json.dumps([name, str(array.dtype), array.shape]).encode(), _bytes(array)]
    return checksum(*parts)


def file_checksums(folder: str | Path, subfolder: str) -> dict[str, str]:
    """Return the checksum of each file under a subfolder, by its path relative to ``folder``."""
    folder = Path(folder)
    paths = sorted(path for path in (folder / subfolder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): checksum(path.read_bytes()) for path in paths}


def with_checksum(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest, which JSON can hold, with its own checksum added as "digest"."""
    return {**manifest, "digest": checksum(json.dumps(manifest, sort_keys=True).encode())}


def read_checked(path: str | Path) -> dict[str, Any]:
    """Return the manifest of a JSON file. Raises ValueError unless its checksum is right, and OSError."""
    path = Path(path)
    manifest = json.loads(path.read_text(encoding="utf-8"))
    bare = {key: value for key, value in manifest.items() if key != "digest"}
    checks.require(manifest == with_checksum(bare), path.name, "must have its own checksum", manifest.get("digest"))
    return manifest


def check_entries(saved: Mapping[str, Any], read: Mapping[str, Any]) -> None:
    """Raise ValueError naming an entry of ``saved`` that ``read`` does not have. Additional entries are ignored."""
    for name, entry in saved.items():
        checks.require(read.get(name) == entry, name, "must be as saved", "other bytes" if name in read else "nothing")


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _is_special(path: Path) -> bool:
    """Return whether this is a pipe or a device, which must not be replaced by a file."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")
