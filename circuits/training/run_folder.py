"""The folder of a training run.

    config.json      {"format": 2, ...the config, records within records}, and "files" with checksums if there are any
    metrics.jsonl    one JSON object per line with "step" and "seed"; null for a number that is not finite
    snapshots/       parameters at some steps, as {step}.npz, if the model has snapshots
    checkpoints/     see ``checkpoints``
    ...              the task's own files, such as graph.txt

A killed run may leave a last line of metrics without its end; readers and writers ignore such a line. Folders of
format 1 can be read, but not resumed: their seeds gave other parameters.
"""

import json
import os
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from circuits import checks
from circuits.files import checksum, read_arrays, write_arrays, write_text
from circuits.training.records import as_json, from_json, leaves

Record = TypeVar("Record")
FORMAT, READABLE = 2, (1, 2)
CONFIG, METRICS, CHECKPOINTS, SNAPSHOTS = "config.json", "metrics.jsonl", "checkpoints", "snapshots"
FREE = frozenset({"evaluate_every", "checkpoint_every", "keep", "keep_every"})
"""Fields that may change when a run is resumed, because the parameters do not depend on them."""
SOURCE = "task.walks.file"
"""This field may also change, because the run has its own copy of the file."""


def claim(
    folder: Path,
    config: Any,
    resume: bool,
    files: Mapping[str, str] | None = None,
    growing: frozenset[str] = frozenset({"steps"}),
) -> None:
    """Write the config and the task's files of a run to a new or empty folder, or with ``resume`` to that of the run.

    A run can be resumed only with its own config, except for the fields in ``FREE`` and those that may grow.

    Args:
        folder: the run folder, made if it does not exist.
        config: a frozen record.
        resume: continue the run in the folder, if there is one.
        files: texts of the task's own files by name.
        growing: fields, named like "task.nodes", that may only grow.

    Raises:
        ValueError: naming the folder if it cannot be written, holds something else, or holds a run and ``resume`` is
            False; naming the field that differs, with both values; or naming the file that differs.
    """
    files = files or {}
    sums = {name: checksum(text.encode()) for name, text in files.items()}
    written = {"format": FORMAT, **({"files": sums} if sums else {}), **as_json(config)}
    text = json.dumps(written, indent=2, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        exists = (folder / CONFIG).exists()
        rule = "must be new or empty; it holds a run, which --resume continues"
        checks.require(resume or not exists, "folder", rule, str(folder))
        # A killed run may have left one of the task's files, or a temporary file.
        others = [path for path in folder.iterdir() if not _is_leftover(path, files)]
        checks.require(exists or not others, "folder", f"must be empty or hold a run with {CONFIG}", str(folder))
        if exists:
            _check_same_run(folder, config, growing, files)
        for name, content in files.items():
            write_text(folder / name, content)
        write_text(folder / CONFIG, text)
    except OSError as error:
        raise ValueError(f"folder: must be a folder to write in, got {str(folder)!r} ({error.strerror})") from error


def read_config(folder: Path, kind: type[Record]) -> Record:
    """Return the config of a run. Raises ValueError naming the file, and the field if one is wrong."""
    return _read(folder, kind)[0]


def own_files(folder: Path, kind: type[Any]) -> Path | None:
    """Return the folder if it holds files of its run's task, and None if the task has no files.

    Raises ValueError naming a file that is missing or damaged.
    """
    sums = _read(folder, kind)[1]
    for name, expected in sums.items():
        path = folder / name
        actual = checksum(path.read_bytes()) if path.is_file() else "no file"
        checks.require(actual == expected, name, f"must be unchanged, with checksum {expected}", actual)
    return folder if sums else None


def append_metrics(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Append lines, each with an integer "step", and flush them to disk. Values are JSON values or numpy numbers.

    Raises ValueError for a line without a step, or a value that JSON cannot represent.
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


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl: the measurements of a run, one record for each evaluation and seed.

    Args:
        folder: a run folder, or another folder that has the file, such as that of a shipped checkpoint.

    Raises:
        ValueError: naming a line that is not an object with a step.

    Example:
        >>> from circuits import checkpoint_path
        >>> last = read_metrics(checkpoint_path("star-2x5-mtp3"))[-1]
        >>> last["step"], last["test_exact"]
        (1500, 0.9951171875)
    """
    return [line for _, line in _lines(Path(folder))]


def write_snapshot(folder: Path, step: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a snapshot of the parameters at a step."""
    (folder / SNAPSHOTS).mkdir(exist_ok=True)
    write_arrays(folder / SNAPSHOTS / f"{step}.npz", arrays)


def read_snapshots(folder: Path) -> dict[int, dict[str, np.ndarray]]:
    """Return all snapshots by step, in order. Raises ValueError naming a damaged file."""
    paths = {int(path.stem): path for path in (folder / SNAPSHOTS).glob("[0-9]*.npz")}
    return {step: read_arrays(paths[step]) for step in sorted(paths)}


def rewind(folder: Path, step: int) -> None:
    """Delete the metrics and snapshots of later steps. Raises ValueError as ``read_metrics`` does."""
    if (folder / METRICS).exists():
        write_text(folder / METRICS, "".join(raw + "\n" for raw, line in _lines(folder) if line["step"] <= step))
    for path in (folder / SNAPSHOTS).glob("[0-9]*.npz"):
        if int(path.stem) > step:
            path.unlink()


def _read(folder: Path, kind: type[Record]) -> tuple[Record, dict[str, str]]:
    path = folder / CONFIG
    try:
        plain, version = _plain(path)
        if version == 1 and "kept" in plain:  # format 1 has at most one file
            file = plain.pop("kept")
            plain["files"] = {file["name"]: file["digest"]}
        sums = plain.pop("files", {})
        texts = isinstance(sums, dict) and all(isinstance(part, str) for part in sums.values())
        checks.require(texts, "files", "must be an object of checksums", sums)
        return from_json(kind, plain), sums
    except (OSError, ValueError, OverflowError, KeyError, TypeError) as error:
        raise ValueError(f"{CONFIG}: must be the config of a run, got {str(path)!r} ({error})") from error


def _plain(path: Path) -> tuple[dict[str, Any], int]:
    plain = json.loads(path.read_text(encoding="utf-8"))
    checks.require(isinstance(plain, dict), "config", "must be a JSON object", plain)
    version = plain.pop("format", None)
    checks.require(version in READABLE, "format", f"must be one of {READABLE}", version)
    return plain, version


def _check_same_run(folder: Path, config: Any, growing: frozenset[str], files: Mapping[str, str]) -> None:
    old, sums = _read(folder, type(config))
    version = _plain(folder / CONFIG)[1]
    rule = f"must be {FORMAT} to be resumed; an older run can be read, evaluated and exported"
    checks.require(version == FORMAT, "format", rule, version)
    before, after = leaves(old), leaves(config)
    for name in sorted(before.keys() | after.keys()):
        if name not in FREE and name != SOURCE:
            stored, value = before.get(name), after.get(name)
            same = value == stored or (name in growing and stored is not None and value > stored)
            rule = f"must be {stored!r}{' or more' * (name in growing)}, as in {str(folder / CONFIG)!r}"
            checks.require(same, name, rule, value)
    for name, text in files.items():
        same = sums.get(name) == checksum(text.encode())
        checks.require(same, name, f"must be the same as when the run in {str(folder)!r} began", "another text")


def _is_leftover(path: Path, files: Mapping[str, str]) -> bool:
    if path.name in files:
        return path.read_bytes() == files[path.name].encode()
    return any(path.name.startswith(f".{name}") for name in (CONFIG, *files))


def _lines(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return each complete line, as text and as an object."""
    path, lines = folder / METRICS, []
    content = path.read_bytes() if path.exists() else b""
    for number, raw in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            line = json.loads(raw.decode())
            checks.require(isinstance(line, dict), "line", "must be a JSON object", line)
            checks.integer("step", line.get("step"), 0)
        except ValueError as error:
            raise ValueError(
                f"{METRICS}: line {number} must be an object with a step, got {str(path)!r} ({error})"
            ) from error
        lines.append((raw.decode(), line))
    return lines


def _finite(value: Any) -> Any:
    """Return the value with numpy numbers as Python numbers, and None instead of those that are not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, np.generic):
        return _finite(value.item())
    return None if isinstance(value, float) and not isfinite(value) else value
