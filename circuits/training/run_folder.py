"""The folder of a training run: config.json, metrics.jsonl, and checkpoints/ (see ``checkpoints``).

    config.json      {"format": 1, ...the config, records in records}, and "kept" where a file is, see ``kept_file``
    metrics.jsonl    one JSON object a line, with its "step"; null where a number is not finite

A line of metrics counts once its end is there: what a kill left of a last line is dropped, by readers and writers.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from circuits import checks
from circuits.files import write_text
from circuits.training import kept_file
from circuits.training.kept_file import Kept

Record = TypeVar("Record")
FORMAT = 1
CONFIG, METRICS, CHECKPOINTS = "config.json", "metrics.jsonl", "checkpoints"


def claim(
    folder: Path,
    config: Any,
    resume: bool,
    free: frozenset[str] = frozenset(),
    growing: frozenset[str] = frozenset({"steps"}),
    kept: Kept | None = None,
) -> None:
    """Make a new or empty folder that of a run, or with ``resume`` show that it is, and write the config there.

    ``config`` is a frozen dataclass. A run goes on only as it began, but for the fields, named like "task.nodes",
    that are ``free`` to change or may grow. The field of a ``kept`` file may change where its text does not.

    Raises ValueError naming the folder when it holds something else or can't be written, or a run without ``resume``;
    the field that differs, with both values; and the kept file when it is damaged.
    """
    written = {"format": FORMAT, **kept_file.as_entry(kept), **as_json(config)}
    text = json.dumps(written, indent=2, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = (folder / CONFIG).exists()
        rule = "must be new or empty, for it holds a run, and --resume goes on with that"
        checks.require(resume or not there, "folder", rule, str(folder))
        # A kill may have left the kept file, or a file by another name where one of the two was about to be.
        ours = f".{CONFIG}", *((f".{kept.name}",) if kept is not None else ())
        others = [
            path.name
            for path in folder.iterdir()
            if not path.name.startswith(ours) and not kept_file.is_copy(path, kept)
        ]
        checks.require(there or not others, "folder", f"must be empty or hold a run with {CONFIG}", str(folder))
        if there:
            _check_goes_on(folder, config, free, growing, kept)
        if kept is not None:
            write_text(folder / kept.name, kept.text)
        write_text(folder / CONFIG, text)
    except OSError as error:
        raise ValueError(f"folder: must be a folder to write in, got {str(folder)!r} ({error.strerror})") from error


def read_config(folder: Path, kind: type[Record]) -> Record:
    """The config in a folder, a dataclass of that kind; what names a kept file names the folder's copy.

    Raises ValueError naming the file, and the field if one is; and the kept file when it is damaged.
    """
    path = folder / CONFIG
    try:
        found = as_written(folder)
        entry = found.pop(kept_file.ENTRY, None)
        if entry is not None:
            copy = kept_file.copy_of(folder, entry)
            found = kept_file.pointed(found, entry["field"], copy)
        return rebuilt(kind, found)
    except (OSError, ValueError, OverflowError) as error:
        raise ValueError(f"{CONFIG}: must be the config of a run, got {str(path)!r} ({error})") from error


def as_written(folder: Path) -> dict[str, Any]:
    """The config of a folder as plain values, no more than the file says. Raises OSError and ValueError."""
    found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    checks.require(isinstance(found, dict), "config", "must be a JSON object", found)
    version = found.pop("format", None)
    checks.require(version == FORMAT, "format", f"must be {FORMAT}", version)
    return found


def kept_path(folder: Path) -> Path | None:
    """The folder's own copy of a kept file. Raises as ``read_config``; OSError without a config."""
    entry = as_written(folder).get(kept_file.ENTRY)
    return None if entry is None else kept_file.copy_of(folder, entry)


def append_metrics(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Add lines, each with an integer "step", and see them to the disk. Values are those of JSON, or numpy's numbers.

    Raises ValueError for a line without a step, or a value that JSON has no form for.
    """
    for line in lines:
        checks.integer("step", line.get("step"), 0)
    try:
        text = "".join(json.dumps(_finite(line), allow_nan=False) + "\n" for line in lines)
    except TypeError as error:
        raise ValueError(f"lines: must be values for JSON, got {lines!r} ({error})") from error
    with (folder / METRICS).open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - 1, 0))
        if file.read() not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines so far. Raises ValueError naming the line that is no object with a step."""
    return [line for _, line in _lines(folder)]


def cut_metrics(folder: Path, step: int) -> None:
    """Drop the lines of later steps, at once. Raises ValueError as ``read_metrics``."""
    if (folder / METRICS).exists():
        write_text(folder / METRICS, "".join(raw + "\n" for raw, line in _lines(folder) if line["step"] <= step))


def leaves(record: Any, name: str = "") -> dict[str, Any]:
    """The fields of a record that are no records, by names like "task.nodes"."""
    if not is_dataclass(record):
        return {name: record}
    found = {}
    for field in fields(record):
        found |= leaves(getattr(record, field.name), _inner(name, field.name))
    return found


def as_json(value: Any, name: str = "") -> Any:
    """A record as plain values. Raises ValueError naming a field that JSON has no form for."""
    if is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name), _inner(name, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [as_json(part, name) for part in value]
    if isinstance(value, Path):
        return str(value)
    plain = value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value))
    checks.require(plain, name, "must be a finite number, a text, a path or None", value)
    return value


def rebuilt(kind: Any, value: Any, name: str = "") -> Any:
    """The inverse of ``as_json`` for a type; a field that is not there, as in an older file, is at its default.

    Raises ValueError naming the field that is not of its type, is unknown, or is missing and has no default.
    """
    if is_dataclass(kind):
        return _record(kind, value, name)
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        checks.require(len(options) == 2 and NoneType in options, name, "must be of one type, or None", kind)
        return None if value is None else rebuilt(next(o for o in options if o is not NoneType), value, name)
    if origin is Literal:
        checks.require(
            any(value == o and type(value) is type(o) for o in options), name, f"must be in {options}", value
        )
        return value
    if origin is tuple:
        checks.require(isinstance(value, list), name, "must be a list", value)
        return tuple(rebuilt(options[0], part, name) for part in value)
    plain = {float: (float, int), Path: (str,)}.get(kind, (kind,))
    checks.require(type(value) in plain, name, f"must be of type {kind.__name__}", value)
    return kind(value) if kind in (float, Path) else value


def _record(kind: Any, value: Any, name: str) -> Any:
    checks.require(isinstance(value, dict), name, "must be an object", value)
    known = {field.name: field for field in fields(kind)}
    for field in sorted(value.keys() - known.keys()):
        checks.require(False, _inner(name, field), f"must be one of {', '.join(known)}", value[field])
    for field in known.values():
        there = field.name in value or field.default is not MISSING or field.default_factory is not MISSING
        checks.require(there, _inner(name, field.name), "must be there", "nothing")
    hints = get_type_hints(kind)
    return kind(**{field: rebuilt(hints[field], part, _inner(name, field)) for field, part in value.items()})


def _lines(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each whole line as it is written, and what it says."""
    path, found = folder / METRICS, []
    content = path.read_bytes() if path.exists() else b""
    for number, raw in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            line = json.loads(raw.decode())
            checks.require(isinstance(line, dict), "line", "must be a JSON object", line)
            checks.integer("step", line.get("step"), 0)
        except ValueError as error:
            raise ValueError(f"{METRICS}: line {number} must be whole, got {str(path)!r} ({error})") from error
        found.append((raw.decode(), line))
    return found


def _check_goes_on(folder: Path, config: Any, free: frozenset[str], growing: frozenset[str], kept: Kept | None) -> None:
    old, copy = read_config(folder, type(config)), kept_path(folder)
    if kept is None or copy is None:
        _check_same(folder, old, config, free, growing)
        return
    _check_same(folder, old, config, free | {kept.field}, growing)
    kept_file.check_same(copy, kept, leaves(config)[kept.field])


def _check_same(folder: Path, old: Any, new: Any, free: frozenset[str], growing: frozenset[str]) -> None:
    before, after = leaves(old), leaves(new)
    unknown = free - after.keys()
    checks.require(not unknown, "free", f"must be fields of {type(new).__name__}", sorted(unknown))
    for name, value in after.items():
        if name not in free:
            stored, grows = before.get(name), name in growing
            same = value >= stored if grows else value == stored
            rule = f"must be {stored!r}{' or more' * grows}, as in {str(folder / CONFIG)!r}"
            checks.require(same, name, rule, value)


def _inner(name: str, field: str) -> str:
    return f"{name}.{field}" if name else field


def _finite(value: Any) -> Any:
    """The value with numpy's numbers as Python's, and None where they are not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, np.generic):
        return _finite(value.item())
    return None if isinstance(value, float) and not isfinite(value) else value
