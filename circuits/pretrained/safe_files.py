"""Read files of an untrusted folder: nothing outside the folder is opened, and JSON is parsed strictly."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from circuits import checks

MAX_JSON_BYTES = 1 << 24
"""The limit for a JSON document, which takes many times its size in memory once parsed."""


def file_inside(folder: Path, name: str) -> Path:
    """Return the resolved path of a regular file in the folder.

    Raises ValueError for a name that is not a plain file name, a file that is missing or not regular (reading a pipe
    would block), and a link that leads out of the folder.
    """
    # Backslash and colon are separators on Windows; a NUL would raise a different error.
    plain = name not in ("", ".", "..") and not set(name) & {"/", "\\", ":", "\0"}
    checks.require(plain, "file name", "must be a plain name inside the folder", name[:200])
    try:
        root, path = folder.resolve(strict=True), (folder / name).resolve(strict=True)
        regular = path.is_file()
    except (OSError, RuntimeError, UnicodeError) as error:
        raise ValueError(f"{name[:200]}: must be a file of {str(folder)!r}, got none ({error})") from error
    checks.require(path.is_relative_to(root), name, f"must not lead out of {str(folder)!r}", str(path))
    checks.require(regular, name, "must be a regular file", str(path))
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file. Raises ValueError, naming the file, as ``parse_json`` does."""
    size = path.stat().st_size
    checks.require(size <= MAX_JSON_BYTES, path.name, f"must be at most {MAX_JSON_BYTES} bytes", size)
    return parse_json(path.name, path.read_bytes())


def parse_json(source: str, content: bytes) -> dict[str, Any]:
    """Return the object of a JSON document in UTF-8.

    Raises ValueError, starting with ``source``, for anything else than an object, duplicate names, numbers that are not
    finite in float64, and nesting deeper than Python's stack.
    """
    hooks: Any = {"object_pairs_hook": _unique, "parse_constant": _not_finite, "parse_float": _finite}
    try:
        value = json.loads(content.decode("utf-8"), **hooks)
    except RecursionError as error:
        raise ValueError(f"{source}: must be nested less deeply") from error
    except ValueError as error:  # includes UnicodeDecodeError and JSONDecodeError
        raise ValueError(f"{source}: must be JSON ({error})") from error
    checks.require(isinstance(value, dict), source, "must be a JSON object", type(value).__name__)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        checks.require(name not in fields, "names", "must differ", name[:200])
        fields[name] = value
    return fields


def _not_finite(word: str) -> NoReturn:
    raise ValueError(f"numbers: must be finite, got {word}")


def _finite(text: str) -> float:
    value = float(text)
    checks.require(math.isfinite(value), "numbers", "must be finite", text[:200])
    return value
