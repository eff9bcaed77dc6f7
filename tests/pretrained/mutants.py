"""Random damage to a folder: to the tensor file, to the index and its shards, to the config."""

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

SINGLE, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
Mutant = Callable[[Path, random.Random], bool]
"""Damages a folder, and returns whether it may still be a model."""

STRANGE: list[Any] = [None, True, False, 0, -1, 0.5, 1e308, -1e-320, 2**31, 2**63, 10**12, 10**400, "", "2", "gelu"]
STRANGE += [[], [2], {}, {"a": 1}, [[[[]]]], "\0", "\ud800", "x" * 2000, list(range(50)), 1, 2, 3, 7, 1e-6]
RAW = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "[" * 100_000, '{"a":' * 50_000, "tru", "'x'"]
RAW += ["", '"\\ud800"', "0x10", "1.", "[1,]", '{"a": 1, "a": 2}', '"unclosed', "1e-999", "[" * 500 + "]" * 500]
NAMES = ["../outside.safetensors", "/etc/passwd", "..", ".", "", "sub/x.safetensors", "a\\b", "x\0y", "~", "pipe"]
NAMES += ["link.safetensors", "directory", "absent.safetensors", "config.json", "é.safetensors", "x" * 300, "\ud800"]
NAMES += ["C:x", "%2e%2e"]


def cut(folder: Path, rng: random.Random) -> bool:
    """A file that ends early."""
    path = rng.choice(_files(folder))
    whole = path.read_bytes()
    path.write_bytes(whole[: rng.randrange(len(whole))])
    return False


def lengthened(folder: Path, rng: random.Random) -> bool:
    """Bytes after the end, where a JSON document may have white space."""
    path = rng.choice(_files(folder))
    tail = rng.choice([b"\0", b" " * 8, b"{}", bytes(100)])
    path.write_bytes(path.read_bytes() + tail)
    return path.suffix == ".json" and not tail.strip()


def flipped(folder: Path, rng: random.Random) -> bool:
    """A few bits anywhere. In data and in values it may be another model."""
    path = rng.choice(_files(folder))
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 3])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return True


def flipped_header(folder: Path, rng: random.Random) -> bool:
    """A bit of the header or of its length. Only a name that nothing reads can change unnoticed."""
    path = folder / SINGLE
    content = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    content[rng.randrange(8 + length)] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return True


def long_header(folder: Path, rng: random.Random) -> bool:
    """A header that claims any length."""
    path = folder / SINGLE
    size = rng.choice([2**64 - 1, 2**63, 2**40, 2**31, path.stat().st_size, path.stat().st_size - 7, 0, 1, 7])
    path.write_bytes(struct.pack("<Q", size) + path.read_bytes()[8:])
    return False


def other_header(folder: Path, rng: random.Random) -> bool:
    """Wrong values in the entry of one tensor."""
    header, data = _opened(folder)
    name = rng.choice([key for key in header if key != "__metadata__"])
    entry = header[name]
    begin, end = entry["data_offsets"]
    other = header[rng.choice([key for key in header if key not in ("__metadata__", name)])]
    kind = rng.randrange(9)
    if kind == 0:
        shapes = [[10**12, 10**12], [2**62, 4], [-1], [-2, -3], [0], [1] * 40, [2.0], [True], "x", None, 3]
        entry["shape"] = rng.choice(shapes)
    elif kind == 1:
        entry["dtype"] = rng.choice(["F8_E4M3", "I64", "F64", "f32", "", None, 3, ["F32"], "BOOL", "object", "I4"])
    elif kind == 2:
        offsets = [[end, begin], [-8, end], [begin, 2**62], [begin + 4, end + 4], [begin], [begin, end, end], None]
        entry["data_offsets"] = rng.choice([*offsets, "ab", [float(begin), float(end)]])
    elif kind == 3:
        entry["data_offsets"] = list(other["data_offsets"])
    elif kind == 4:
        del header[name]
    elif kind == 5:
        header[rng.choice(["extra", "", "lm_head.bias", "model.layers.99.x", name + " "])] = header.pop(name)
    elif kind == 6:
        header[name] = rng.choice([None, [], 3, "x", {}, {**entry, "more": 1}])
    elif kind == 7:
        del entry[rng.choice(list(entry))]
    else:
        header["again"] = dict(entry)
    _closed(folder, json.dumps(header), data)
    return False


def raw_header(folder: Path, rng: random.Random) -> bool:
    """A header that is not JSON, not an object, has a name twice, or is deeply nested."""
    header, data = _opened(folder)
    text = json.dumps(header)
    name = next(key for key in header if key != "__metadata__")
    twice = text[:-1] + f", {json.dumps(name)}: {json.dumps(header[name])}}}"
    _closed(folder, rng.choice([twice, *RAW, *(f'{text[:-1]}, "a": {raw}}}' for raw in RAW)]), data)
    return False


def other_tensors(folder: Path, rng: random.Random) -> bool:
    """A valid file with two names exchanged, so that tensors have the wrong shapes."""
    header, data = _opened(folder)
    names = [key for key in header if key != "__metadata__"]
    shapes = {key: header[key]["shape"] for key in names}
    one = rng.choice(names)
    unlike = [key for key in names if shapes[key] != shapes[one]]
    two = rng.choice(unlike)
    header[one], header[two] = header[two], header[one]
    _closed(folder, json.dumps(header), data)
    return False


def config_value(folder: Path, rng: random.Random) -> bool:
    """A strange value in a field, perhaps one of rope_parameters; the rest may still describe a model."""
    fields = json.loads((folder / CONFIG).read_text())
    inner = fields.get("rope_parameters")
    place = inner if isinstance(inner, dict) and rng.random() < 0.3 else fields
    place[rng.choice(list(place))] = rng.choice(STRANGE)
    (folder / CONFIG).write_text(json.dumps(fields))
    return True


def config_huge(folder: Path, rng: random.Random) -> bool:
    """A size for which nothing must be allocated."""
    sizes = {
        "gpt2": ["n_embd", "n_layer", "n_head", "n_positions", "n_inner", "vocab_size"],
        "gpt_neox": ["hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size"],
    }
    rest = ["hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size", "head_dim"]
    fields = json.loads((folder / CONFIG).read_text())
    fields[rng.choice(sizes.get(fields["model_type"], rest))] = rng.choice([10**5, 10**9, 10**12, 2**31, 2**53, 2**64])
    (folder / CONFIG).write_text(json.dumps(fields))
    return False


def config_missing(folder: Path, rng: random.Random) -> bool:
    """A field removed, or one twice."""
    fields = json.loads((folder / CONFIG).read_text())
    name = rng.choice(list(fields))
    if rng.random() < 0.5:
        text = json.dumps(fields)
        (folder / CONFIG).write_text(f"{text[:-1]}, {json.dumps(name)}: {json.dumps(fields[name])}}}")
        return False
    del fields[name]
    (folder / CONFIG).write_text(json.dumps(fields))
    return True


def config_raw(folder: Path, rng: random.Random) -> bool:
    """Text that is not JSON in place of a value, or of everything."""
    fields = json.loads((folder / CONFIG).read_text())
    raw = rng.choice(RAW)
    text = json.dumps(fields | {rng.choice(list(fields)): "HERE"}).replace('"HERE"', raw)
    (folder / CONFIG).write_text(rng.choice([text, text, raw]))
    return True  # deep but valid arrays, a lone surrogate and a tiny number may be where nothing reads


def index_name(folder: Path, rng: random.Random) -> bool:
    """A shard name that leads out of the folder, or is not a tensor file."""
    files = _sharded(folder)
    (folder / "link.safetensors").symlink_to(folder.parent / "outside.safetensors")
    (folder / "directory").mkdir()
    some = rng.choice(list(files))
    old, new = files[some], rng.choice(NAMES)
    moved = {key: new if file == old and rng.random() < 0.9 else file for key, file in files.items()} | {some: new}
    (folder / INDEX).write_text(json.dumps({"weight_map": moved}))
    return False


def index_map(folder: Path, rng: random.Random) -> bool:
    """A map that is invalid, or lists other tensors than its files hold."""
    files = _sharded(folder)
    name = rng.choice(list(files))
    other = next(file for file in files.values() if file != files[name])
    del files[name]
    maps: list[Any] = [files, files | {name: other}, files | {name: rng.choice(STRANGE)}, *STRANGE]
    wrong = rng.choice([{"weight_map": rng.choice(maps)}, {"weight_map": files}, {}, rng.choice(STRANGE)])
    (folder / INDEX).write_text(json.dumps(wrong))
    return False


def shard_twice(folder: Path, rng: random.Random) -> bool:
    """A shard under two names, so that each of its tensors exists twice."""
    files = _sharded(folder)
    file = rng.choice(sorted(set(files.values())))
    (folder / "copy.safetensors").write_bytes((folder / file).read_bytes())
    (folder / INDEX).write_text(json.dumps({"weight_map": files | {"more": "copy.safetensors"}}))
    return False


MUTANTS: list[Mutant] = [
    *(cut, lengthened, flipped, flipped_header, long_header, other_header, other_header, raw_header, other_tensors),
    *(config_value, config_value, config_huge, config_missing, config_raw, index_name, index_map, shard_twice),
]


def _files(folder: Path) -> list[Path]:
    return [folder / SINGLE, folder / CONFIG]


def _opened(folder: Path) -> tuple[dict[str, Any], bytes]:
    content = (folder / SINGLE).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _closed(folder: Path, header: str, data: bytes) -> None:
    text = header.encode("utf-8", "surrogatepass")
    (folder / SINGLE).write_bytes(struct.pack("<Q", len(text)) + text + data)


def _sharded(folder: Path) -> dict[str, str]:
    """Split the file into two shards, and return which file holds each tensor."""
    header, data = _opened(folder)
    header.pop("__metadata__", None)
    files = {}
    for number in range(2):
        mine, parts, at = {}, [], 0
        for name in sorted(header)[number::2]:
            begin, end = header[name]["data_offsets"]
            mine[name] = header[name] | {"data_offsets": [at, at + end - begin]}
            parts.append(data[begin:end])
            at += end - begin
        file = f"model-{number}.safetensors"
        text = json.dumps(mine).encode()
        (folder / file).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))
        files |= dict.fromkeys(mine, file)
    (folder / SINGLE).unlink()
    return files
