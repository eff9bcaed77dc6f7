"""Open safetensors files as memory-mapped views, which are read only on use.

    8 bytes     length of the header, little-endian
    header      {"tensor": {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}, ..., "__metadata__": {...}}
    data        the tensors one after the other, without gaps

The safetensors package copies each tensor that it returns to numpy. With views, each device can read just its slice,
and shapes are checked before anything is copied. The file must not change while views of it exist.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from circuits import checks
from circuits.pretrained.safe_files import MAX_JSON_BYTES, file_inside, parse_json, read_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
"""The supported dtypes: those of weights, and of the masks stored with them, but no quantised ones."""


class Entry(NamedTuple):
    """The header's entry of one tensor, with offsets counted from the end of the header."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def folder_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Return every tensor of a folder by name, from model.safetensors or from the shards that its index lists.

    Raises ValueError for a folder without either, an index that names a file outside the folder or does not list
    exactly the tensors of its files, and as ``file_tensors`` does.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if SINGLE in names:
        return file_tensors(file_inside(folder, SINGLE))
    pickled = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth", ".bin.index.json")))
    rule = f"must hold {SINGLE} or {INDEX}" + (" (pickled weights are never read)" if pickled else "")
    checks.require(INDEX in names, "folder", rule, [str(folder), *pickled[:5]])
    return _shards(folder, read_json(file_inside(folder, INDEX)))


def _shards(folder: Path, index: dict[str, Any]) -> dict[str, np.ndarray]:
    files = index.get("weight_map", {})
    valid = isinstance(files, dict) and bool(files) and all(isinstance(name, str) for name in files.values())
    checks.require(valid, INDEX, "must have a weight_map from tensors to files", _brief(files))
    listed: dict[str, set[str]] = {}
    for tensor, file in files.items():
        listed.setdefault(file, set()).add(tensor)
    paths = {file: file_inside(folder, file) for file in sorted(listed)}
    tensors: dict[str, np.ndarray] = {}
    for file, path in paths.items():
        shard = file_tensors(path)
        other = sorted(shard.keys() ^ listed[file])
        checks.require(not other, INDEX, f"must list the tensors of {file} and no other", other[:5])
        tensors |= shard
    return tensors


def file_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return read-only views of the tensors of one safetensors file.

    Raises ValueError, naming file and tensor, for a truncated header, an unknown dtype, a shape that does not match the
    number of bytes, and bytes that overlap, are outside the file or belong to no tensor.
    """
    size = path.stat().st_size
    checks.require(size >= 8, path.name, "must start with the 8 bytes of a header's length", f"{size} bytes")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        fits = length <= min(size - 8, MAX_JSON_BYTES)
        checks.require(fits, path.name, f"must have a header within its {size} bytes and {MAX_JSON_BYTES}", length)
        header = parse_json(path.name, file.read(length))
    entries = [_entry(path.name, name, entry) for name, entry in header.items() if name != "__metadata__"]
    _check_contiguous(path.name, entries, size - 8 - length)
    data = np.memmap(path, np.uint8, "r", offset=8 + length) if size > 8 + length else np.empty(0, np.uint8)
    # As a plain array, because slices and transposes of a memmap copy its Python attributes.
    data = np.asarray(data)
    return {entry.name: data[entry.begin : entry.end].view(entry.dtype).reshape(entry.shape) for entry in entries}


def _entry(source: str, name: str, value: Any) -> Entry:
    label = f"{source}: {name[:200]}"
    complete = isinstance(value, dict) and value.keys() == {"dtype", "shape", "data_offsets"}
    checks.require(complete, label, "must have dtype, shape and data_offsets", _brief(value))
    known = isinstance(value["dtype"], str) and value["dtype"] in DTYPES
    checks.require(known, label, f"must be of a dtype of {', '.join(DTYPES)}", _brief(value["dtype"]))
    shape, offsets = value["shape"], value["data_offsets"]
    checks.require(_sizes(shape) and len(shape) <= 8, label, "must have a shape of at most 8 sizes", _brief(shape))
    checks.require(_sizes(offsets) and len(offsets) == 2, label, "must have two data_offsets", _brief(offsets))
    dtype, (begin, end) = DTYPES[value["dtype"]], offsets
    size = math.prod(shape) * dtype.itemsize
    checks.require(end - begin == size, label, f"must take the {size} bytes of its shape", _brief(offsets))
    return Entry(name, dtype, tuple(shape), begin, end)


def _sizes(values: Any) -> bool:
    """Return whether this is a list of sizes that a file can have."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**48 for value in values)


def _check_contiguous(source: str, entries: list[Entry], size: int) -> None:
    """Check that the tensors follow one another from 0 to ``size``."""
    order = sorted(entries, key=lambda entry: (entry.begin, entry.end))
    edges = [(0, "the header"), *((entry.end, entry.name[:200]) for entry in order)]
    for (end, before), entry in zip(edges, order, strict=False):
        rule = f"must begin where {before} ends, at {end}"
        checks.require(entry.begin == end, f"{source}: {entry.name[:200]}", rule, entry.begin)
    last, name = edges[-1]
    checks.require(last == size, source, f"must end with {name}, after {last} bytes of data", f"{size} bytes")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
