"""Files of a folder that somebody else wrote: none outside of it is opened, and JSON is read strictly."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from circuits import checks

MAX_JSON_BYTES = 1 << 24
"""Bytes of a JSON document; what it becomes in memory is many times as large."""


def file_inside(folder: Path, name: str) -> Path:
    """The regular file of that plain name, its links resolved.

    Raises ValueError for a name with a separator or that is a place (".", ".."), a file that is missing or of another
    kind (a pipe would be waited for), and a link that leads out of the folder.
    """
    # Backslash and colon are separators on Windows; a NUL is an error of the operating system's own.
    plain = name not in ("", ".", "..") and not set(name) & {"/", "\\", ":", "\0"}
    checks.require(plain, "file name", "must be a plain name inside the folder", name[:200])
    try:
        home, path = folder.resolve(strict=True), (folder / name).resolve(strict=True)
        regular = path.is_file()
    except (OSError, RuntimeError, UnicodeError) as error:
        raise ValueError(f"{name[:200]}: must be a file of {str(folder)!r}, got none ({error})") from error
    checks.require(path.is_relative_to(home), name, f"must not lead out of {str(folder)!r}", str(path))
    checks.require(regular, name, "must be a regular file", str(path))
    return path


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file. Raises ValueError, naming the file, as ``parse_json`` does."""
    size = path.stat().st_size
    checks.require(size <= MAX_JSON_BYTES, path.name, f"must be at most {MOST_JSON} bytes", size)
    return parse_json(path.name, path.read_bytes())


def parse_json(source: str, content: bytes) -> dict[str, Any]:
    """A JSON object: UTF-8, no name twice, no NaN, no number beyond float64, nested no deeper than Python goes.

    Raises ValueError that starts with ``source``.
    """
    try:
        found = json.loads(
            content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refused, parse_float=_finite
        )
    except RecursionError as error:
        raise ValueError(f"{source}: must be nested less deeply") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are such too
        raise ValueError(f"{source}: must be JSON ({error})") from error
    checks.require(isinstance(found, dict), source, "must be a JSON object", type(found).__name__)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"names: must differ, got {twice[:200]!r} twice")
    return found


def _refused(word: str) -> NoReturn:
    raise ValueError(f"numbers: must be finite, got {word}")


def _finite(text: str) -> float:
    value = float(text)
    checks.require(math.isfinite(value), "numbers", "must be finite", text[:200])
    return value
