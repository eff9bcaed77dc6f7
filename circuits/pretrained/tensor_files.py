"""Safetensors files as views of mapped memory: nothing is read before it is looked at.

    8 bytes     length of the header, little-endian
    header      {"tensor": {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}, ..., "__metadata__": {...}}
    data        the tensors one after the other, without gaps

The safetensors package copies each tensor it hands to numpy, and each part of one; a view lets a device take its part
alone, and lets a shape be compared before anything is copied. The file must not be changed while views of it live.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from circuits import checks
from circuits.pretrained.safe_files import MAX_JSON_BYTES
from circuits.pretrained.safe_files import parse_json
from circuits.pretrained.safe_files import read_json
from circuits.pretrained.safe_files import file_inside

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
KINDS = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
"""The numbers that weights and the masks beside them come in; quantised ones are not read."""


class Entry(NamedTuple):
    """What the header says of one tensor, offsets counted from the end of the header."""

    name: str
    kind: np.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def folder_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of a folder by name: of model.safetensors, or of the shards that its index lists.

    Raises ValueError for a folder without either, an index that names a file outside of the folder or does not list
    exactly the tensors of its files, and as ``file_tensors`` does.
    """
    here = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if SINGLE in here:
        return file_tensors(file_inside(folder, SINGLE))
    pickled = sorted(name for name in here if name.endswith((".bin", ".pt", ".pth", ".bin.index.json")))
    rule = f"must hold {SINGLE} or {INDEX}" + (" (pickled weights are never read)" if pickled else "")
    checks.require(INDEX in here, "folder", rule, [str(folder), *pickled[:5]])
    return _shards(folder, read_json(file_inside(folder, INDEX)))


def _shards(folder: Path, index: dict[str, Any]) -> dict[str, np.ndarray]:
    places = index.get("weight_map", {})
    whole = isinstance(places, dict) and bool(places) and all(isinstance(name, str) for name in places.values())
    checks.require(whole, INDEX, "must have a weight_map from tensors to files", _brief(places))
    listed: dict[str, set[str]] = {}
    for tensor, file in places.items():
        listed.setdefault(file, set()).add(tensor)
    paths = {file: file_inside(folder, file) for file in sorted(listed)}
    found: dict[str, np.ndarray] = {}
    for file, path in paths.items():
        tensors = file_tensors(path)
        other = sorted(tensors.keys() ^ listed[file])
        checks.require(not other, INDEX, f"must list the tensors of {file} and no other", other[:5])
        found |= tensors
    return found


def file_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of one safetensors file, read-only views of it.

    Raises ValueError, naming file and tensor, for a header that is not whole, an unknown dtype, a shape whose size is
    not that of its bytes, and bytes that overlap, lie outside of the file or belong to no tensor.
    """
    size = path.stat().st_size
    checks.require(size >= 8, path.name, "must start with the 8 bytes of a header's length", f"{size} bytes")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        fits = length <= min(size - 8, MAX_JSON_BYTES)
        checks.require(fits, path.name, f"must have a header within its {size} bytes and {MOST_JSON}", length)
        header = parse_json(path.name, file.read(length))
    entries = [_entry(path.name, name, said) for name, said in header.items() if name != "__metadata__"]
    _check_cover(path.name, entries, size - 8 - length)
    data = np.memmap(path, np.uint8, "r", offset=8 + length) if size > 8 + length else np.empty(0, np.uint8)
    return {entry.name: _view(data, entry) for entry in entries}


def _view(data: np.ndarray, entry: Entry) -> np.ndarray:
    # As a plain array: slices and transposes of a memmap carry its Python attributes along.
    return np.asarray(data)[entry.begin : entry.end].view(entry.kind).reshape(entry.shape)


def _entry(source: str, name: str, said: Any) -> Entry:
    label = f"{source}: {name[:200]}"
    whole = isinstance(said, dict) and said.keys() == {"dtype", "shape", "data_offsets"}
    checks.require(whole, label, "must have dtype, shape and data_offsets", _brief(said))
    known = isinstance(said["dtype"], str) and said["dtype"] in KINDS
    checks.require(known, label, f"must be of a dtype of {', '.join(KINDS)}", _brief(said["dtype"]))
    shape, offsets = said["shape"], said["data_offsets"]
    checks.require(_sizes(shape) and len(shape) <= 8, label, "must have a shape of at most 8 sizes", _brief(shape))
    checks.require(_sizes(offsets) and len(offsets) == 2, label, "must have two data_offsets", _brief(offsets))
    kind, (begin, end) = KINDS[said["dtype"]], offsets
    bytes_of = math.prod(shape) * kind.itemsize
    checks.require(end - begin == bytes_of, label, f"must take the {bytes_of} bytes of its shape", _brief(offsets))
    return Entry(name, kind, tuple(shape), begin, end)


def _sizes(values: Any) -> bool:
    """Whether these are sizes that a file can have, so that products of them stay small."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**48 for value in values)


def _check_cover(source: str, entries: list[Entry], size: int) -> None:
    """The tensors follow one another from 0 to ``size``."""
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
