"""Parse a GGUF file: metadata and the location of each tensor. Every number is checked before it is used.

    "GGUF"  version  number of tensors  number of pairs  pairs (key, type, value)  tensor infos  padding  data

All numbers are little-endian. The file is memory-mapped; tensors and arrays of metadata are read only on use. Time and
memory are at most proportional to the length of the file.
"""

import struct
from collections.abc import Iterator
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from circuits import checks

MAGIC, VERSIONS = b"GGUF", (2, 3)
DEFAULT_ALIGNMENT, DIMENSIONS = 32, 4
MAX_TENSORS, MAX_PAIRS, MAX_TEXT = 2**14, 2**12, 2**20
SCALARS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))) | {10: "<Q", 11: "<q", 12: "<d"}
"""The ``struct`` format of each metadata type, by its number."""
STRING, ARRAY = 8, 9
KINDS = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
}
"""Name, weights per block and bytes per block of each tensor type, by its number."""


class Values(NamedTuple):
    """An array of metadata: type and number of its items, and the byte offset of the first one."""

    type: int
    length: int
    start: int


class Tensor(NamedTuple):
    """Type, shape (rows first) and byte range of a tensor."""

    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int


Scalar = int | float | bool | str


class GgufFile(NamedTuple):
    """A parsed file; ``strings`` and ``numbers`` read its arrays."""

    data: np.ndarray
    metadata: dict[str, Scalar | Values]
    tensors: dict[str, Tensor]


def open_gguf(file: Path) -> GgufFile:
    """Map a file and parse its header.

    Raises ValueError naming the file and the part that is missing, truncated, too large, duplicated or of unknown type.
    """
    try:
        data = np.memmap(file, np.uint8, mode="r").view(np.ndarray)
        return _parse(data)
    except (OSError, ValueError) as error:
        raise ValueError(f"file: must be a whole GGUF file, got {str(file)!r} ({error})") from error


def strings(file: GgufFile, key: str) -> list[str]:
    """Return the strings of an array; raises ValueError if there is no such array."""
    array = _array(file, key)
    checks.require(array.type == STRING, key, "must be an array of strings", array.type)
    reader = _Reader(file.data, array.start)
    return [reader.text(f"{key}[{i}]") for i in range(array.length)]


def numbers(file: GgufFile, key: str) -> np.ndarray:
    """Return a view of the numbers of an array; raises ValueError if there is no such array."""
    array = _array(file, key)
    checks.require(array.type in SCALARS, key, "must be an array of numbers", array.type)
    dtype = np.dtype(SCALARS[array.type])
    return file.data[array.start : array.start + array.length * dtype.itemsize].view(dtype)


def _array(file: GgufFile, key: str) -> Values:
    value = file.metadata.get(key)
    if not isinstance(value, Values):
        raise ValueError(f"{key}: must be an array, got {value!r}")
    return value


class _Reader:
    """A cursor over bytes that never reads past their end."""

    def __init__(self, data: np.ndarray, at: int) -> None:
        self.data, self.at = data, at

    def skip(self, name: str, size: int) -> int:
        """Skip ``size`` bytes, and return the offset of the first one."""
        left, start = len(self.data) - self.at, self.at
        checks.require(size <= left, name, f"must take at most the {left} bytes that are left", size)
        self.at += size
        return start

    def number(self, name: str, format: str = "<I") -> int | float | bool:
        start = self.skip(name, struct.calcsize(format))
        return struct.unpack(format, self.data[start : self.at].tobytes())[0]

    def count(self, name: str, format: str = "<Q") -> int:
        return int(self.number(name, format))

    def text(self, name: str) -> str:
        size = self.count(f"length of {name}")
        checks.require(size <= MAX_TEXT, name, f"must be at most {MAX_TEXT} bytes long", size)
        start = self.skip(name, size)
        content = self.data[start : self.at].tobytes()
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: must be UTF-8, got {content[:40]!r}") from error


def _parse(data: np.ndarray) -> GgufFile:
    reader = _Reader(data, 0)
    magic = data[reader.skip("magic", len(MAGIC)) : reader.at].tobytes()
    checks.require(magic == MAGIC, "magic", f"must be {MAGIC!r}", magic)
    version = reader.count("version", "<I")
    checks.require(version in VERSIONS, "version", f"must be one of {VERSIONS}, little-endian", version)
    tensors, pairs = reader.count("count of tensors"), reader.count("count of metadata")
    checks.require(tensors <= MAX_TENSORS, "count of tensors", f"must be at most {MAX_TENSORS}", tensors)
    checks.require(pairs <= MAX_PAIRS, "count of metadata", f"must be at most {MAX_PAIRS}", pairs)
    metadata = _unique("metadata", (_pair(reader) for _ in range(pairs)))
    infos = _unique("tensors", (_info(reader) for _ in range(tensors)))
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    fits = isinstance(alignment, int) and 0 < alignment <= 2**20 and alignment & (alignment - 1) == 0
    checks.require(fits, "general.alignment", "must be a power of two of at most 2**20", alignment)
    first = -(-reader.at // int(alignment)) * int(alignment)
    located = {name: _locate(name, info, first, int(alignment), len(data)) for name, info in infos.items()}
    _check_disjoint(located)
    return GgufFile(data, metadata, located)


def _unique(what: str, named: Iterator[tuple[str, object]]) -> dict:
    unique = {}
    for name, value in named:
        checks.require(name not in unique, what, "must have different names", name)
        unique[name] = value
    return unique


def _pair(reader: _Reader) -> tuple[str, Scalar | Values]:
    key = reader.text("key")
    return key, _value(reader, key, reader.count(f"type of {key}", "<I"))


def _value(reader: _Reader, key: str, type: int) -> Scalar | Values:
    if type == STRING:
        return reader.text(key)
    if type != ARRAY:
        checks.require(type in SCALARS, key, "must have a known type", type)
        return reader.number(key, SCALARS[type])
    items, count = reader.count(f"type of {key}", "<I"), reader.count(f"count of {key}")
    checks.require(items in SCALARS or items == STRING, key, "must be an array of numbers or strings", items)
    values = Values(items, count, reader.at)
    if items != STRING:
        reader.skip(key, count * struct.calcsize(SCALARS[items]))
        return values
    left = len(reader.data) - reader.at
    checks.require(8 * count <= left, key, f"must hold no more strings than fit into {left} bytes", count)
    for _ in range(count):
        reader.skip(key, reader.count(f"length in {key}"))
    return values


def _info(reader: _Reader) -> tuple[str, tuple[tuple[int, ...], int, int]]:
    name = reader.text("name of a tensor")
    count = reader.count(f"{name}: dimensions", "<I")
    checks.require(1 <= count <= DIMENSIONS, name, f"must have 1 to {DIMENSIONS} dimensions", count)
    shape = tuple(reader.count(f"{name}: shape") for _ in range(count))[::-1]  # the file lists columns first
    return name, (shape, reader.count(f"{name}: type", "<I"), reader.count(f"{name}: offset"))


def _locate(name: str, info: tuple[tuple[int, ...], int, int], first: int, alignment: int, end: int) -> Tensor:
    shape, kind, offset = info
    known = ", ".join(entry[0] for entry in KINDS.values())
    checks.require(kind in KINDS, name, f"must be of a type among {known}", f"type {kind}")
    word, block, size = KINDS[kind]
    checks.require(min(shape) > 0 and shape[-1] % block == 0, name, f"must have rows of whole blocks of {block}", shape)
    checks.require(offset % alignment == 0, name, f"must start at a multiple of {alignment}", offset)
    start, length = first + offset, prod(shape) // block * size
    rule = f"must lie within the file's {end} bytes, {word} of shape {shape}"
    checks.require(start + length <= end, name, rule, f"bytes {start} to {start + length}")
    return Tensor(word, shape, start, start + length)


def _check_disjoint(tensors: dict[str, Tensor]) -> None:
    """Check that no two tensors share bytes; otherwise a small file could request any amount of memory."""
    in_order = sorted(tensors.items(), key=lambda item: item[1].start)
    for (name, before), (other, after) in pairwise(in_order):
        checks.require(before.stop <= after.start, other, f"must not overlap {name}", f"byte {after.start}")
