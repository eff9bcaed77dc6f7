"""Damaged GGUF files: each one is a ValueError that says where, or a model; never another error, nor much memory."""

import random
import struct
import tracemalloc
from collections.abc import Callable

import jax
import numpy as np
import pytest
from flax import nnx

from circuits.pretrained.gguf import load_gguf
from tests.pretrained.gguf_files import config, gguf, metadata, tensors, write
from tests.transformer.models import random_model

Damage = Callable[[random.Random, bytearray], bytearray]
PER_KIND, QUICK = 40, 4
OVERHEAD = 2 * 2**20
"""Bytes that any load takes, for tracing the shapes of a model."""
HUGE = [0, 1, 2**16, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1]
NAMES = [b"token_embd.weight", b"output_norm.weight", *(b"blk.0.%s.weight" % part for part in (b"attn_q", b"attn_k", b"attn_v", b"ffn_up", b"ffn_down", b"ffn_norm"))]  # noqa: E501  # fmt: skip
ARRAYS = [b"tokenizer.ggml.tokens", b"tokenizer.ggml.token_type", b"tokenizer.ggml.merges"]
KEYS = [f"llama.{key}".encode() for key in ("block_count", "embedding_length", "attention.head_count", "attention.head_count_kv", "feed_forward_length", "context_length", "rope.dimension_count", "rope.freq_base", "attention.layer_norm_rms_epsilon")]  # noqa: E501  # fmt: skip


def after(data: bytearray, name: bytes) -> int:
    """Return the position after a key or a tensor's name, which its length precedes."""
    return data.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)


def header(data: bytearray) -> int:
    """Return roughly where the tensors' infos end."""
    return after(data, NAMES[-1]) + 24


def put(data: bytearray, at: int, format: str, value: int) -> bytearray:
    size = struct.calcsize(format)
    data[at : at + size] = struct.pack(format, value % 2 ** (8 * size))
    return data


def cut(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(len(data))]


def cut_in_the_header(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(header(data))]


def flip_in_the_header(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(header(data))] ^= 1 << rng.randrange(8)
    return data


def flip_in_the_weights(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.randint(1, 50)):
        data[rng.randrange(header(data), len(data))] ^= 1 << rng.randrange(8)
    return data


def count(rng: random.Random, data: bytearray) -> bytearray:
    return put(data, rng.choice([8, 16]), "<Q", rng.choice([*HUGE, 3, 5, 1000]))


def length_of_a_text(rng: random.Random, data: bytearray) -> bytearray:
    name = rng.choice(NAMES + ARRAYS + KEYS)
    return put(data, after(data, name) - len(name) - 8, "<Q", rng.choice(HUGE))


def length_of_an_array(rng: random.Random, data: bytearray) -> bytearray:
    return put(data, after(data, rng.choice(ARRAYS)) + 8, "<Q", rng.choice(HUGE))


def type_of_metadata(rng: random.Random, data: bytearray) -> bytearray:
    name = rng.choice(ARRAYS + KEYS)
    at = after(data, name) + (4 if name in ARRAYS and rng.random() < 0.5 else 0)
    return put(data, at, "<I", rng.choice([*range(14), 2**32 - 1]))


def setting(rng: random.Random, data: bytearray) -> bytearray:
    return put(data, after(data, rng.choice(KEYS)) + 4, "<I", rng.choice([*HUGE, 2, 3, 7, 33, 2**30]))


def dimension(rng: random.Random, data: bytearray) -> bytearray:
    at = after(data, rng.choice(NAMES))
    if rng.random() < 0.3:
        return put(data, at, "<I", rng.choice(HUGE))
    return put(data, at + 4, "<Q", rng.choice([*HUGE, 31, 33, 64]))


def type_of_a_tensor(rng: random.Random, data: bytearray) -> bytearray:
    at = after(data, rng.choice(NAMES))
    dimensions = struct.unpack_from("<I", data, at)[0]
    return put(data, at + 4 + 8 * dimensions, "<I", rng.choice([*range(40), 2**31]))


def offset(rng: random.Random, data: bytearray) -> bytearray:
    at = after(data, rng.choice(NAMES))
    dimensions = struct.unpack_from("<I", data, at)[0]
    values = [*HUGE, len(data) - 32, 2**64 - 32, 32, 64, 7]
    return put(data, at + 8 + 8 * dimensions, "<Q", rng.choice(values))


def name_of_a_tensor(rng: random.Random, data: bytearray) -> bytearray:
    old, new = rng.sample(
        [b"blk.0.attn_q.weight", b"blk.0.attn_k.weight", b"blk.0.attn_v.weight", b"blk.0.ffn_xx.weight"], 2
    )
    at = data.find(old)
    if at >= 0:
        data[at : at + len(old)] = new
    return data


def noise(rng: random.Random, data: bytearray) -> bytearray:
    first = rng.randrange(header(data))
    data[first : first + 64] = rng.randbytes(64)
    return data


KINDS: list[Damage] = [
    cut,
    cut_in_the_header,
    flip_in_the_header,
    flip_in_the_weights,
    count,
    length_of_a_text,
    length_of_an_array,
    type_of_metadata,
    setting,
    dimension,
    type_of_a_tensor,
    offset,
    name_of_a_tensor,
    noise,
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return the bytes of a file, with one quantised matrix, and a path for damaged ones."""
    shape, folder = config(layers=1), tmp_path_factory.mktemp("fuzz")
    arrays, name = tensors(random_model(shape)), "blk.0.ffn_up.weight"
    arrays[name] = gguf.quantize(arrays[name], gguf.GGMLQuantizationType.Q4_1)
    file = write(folder / "sound.gguf", arrays, metadata(shape), {name: "Q4_1"})
    load_gguf(file)
    return file.read_bytes(), folder / "damaged.gguf"


def outcome(sound, damage: Damage, seed: int) -> str:
    """Load one damaged file, and return the error, or nothing for a model."""
    content, file = sound
    damaged = damage(random.Random(f"{damage.__name__} {seed}"), bytearray(content))
    file.write_bytes(damaged)
    tracemalloc.start()
    try:
        model = load_gguf(file).model
        error = ""
    except ValueError as found:
        error = str(found)
        assert "damaged.gguf" in error
        assert ", got " in error, error
    else:
        assert all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in jax.tree.leaves(nnx.state(model)))
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * len(damaged) + OVERHEAD, f"{damage.__name__} {seed}: {peak} bytes for a file of {len(damaged)}"
    return error


@pytest.mark.parametrize("damage", KINDS, ids=lambda damage: damage.__name__)
def test_a_few_files_of_each_damage(sound, damage):
    errors = [outcome(sound, damage, seed) for seed in range(QUICK)]
    assert any(errors), "no damage of this kind is noticed"


@pytest.mark.slow
@pytest.mark.parametrize("damage", KINDS, ids=lambda damage: damage.__name__)
def test_many_files_of_each_damage(sound, damage):
    errors = [outcome(sound, damage, seed) for seed in range(QUICK, PER_KIND)]
    assert sum(map(bool, errors)) >= len(errors) // 8


def test_what_is_not_damaged_is_a_model(sound):
    assert outcome(sound, lambda rng, data: data, 0) == ""
