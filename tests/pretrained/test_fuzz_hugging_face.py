"""Damaged folders: a ValueError that says what is wrong, or a model; no other error, little memory, no file outside.

An audit hook sees the files that the process opens, and tracemalloc what Python and numpy allocate.
"""

import json
import random
import shutil
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from jax.experimental.compilation_cache import compilation_cache

from circuits.pretrained import load_pretrained
from tests.pretrained import mutants

REFERENCE = Path(__file__).parent / "reference"
FAMILIES = ("gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3")
READERS = ("gpt2", "gpt_neox", "llama")
"""The families whose tensors have names and layouts of their own."""
OVERHEAD = 12_000_000
"""Bytes that a model of any size takes: modules, shapes and traces of some tens of parameters."""
opened: list[str] = []
watching = [False]


def _watch(event: str, args: tuple) -> None:
    if watching[0] and event == "open" and isinstance(args[0], str | bytes):
        opened.append(str(args[0]))


sys.addaudithook(_watch)  # it cannot be removed, and does nothing unless watching


@pytest.mark.parametrize(
    "family",
    [name if name in READERS else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES],
)
def test_some_damaged_folders(tmp_path, family):
    _run(tmp_path, family, range(17))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(6))
@pytest.mark.parametrize("family", FAMILIES)
def test_many_damaged_folders(tmp_path, family, part):
    _run(tmp_path, family, range(17 * (1 + 3 * part), 17 * (4 + 3 * part)))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep jax from opening files: those that describe the machine at first use, and those of a compilation cache."""
    jax.devices()
    before = jax.config.values["jax_compilation_cache_dir"]
    _cache_in(None)
    yield
    _cache_in(before)


def _cache_in(folder: str | None) -> None:
    jax.config.update("jax_compilation_cache_dir", folder)
    compilation_cache.reset_cache()  # jax looks up only once whether there is one


def _run(tmp_path: Path, family: str, numbers: range) -> None:
    refused = 0
    for number in numbers:
        mutate, rng = mutants.MUTANTS[number % len(mutants.MUTANTS)], random.Random(f"{family} {number}")
        folder = tmp_path / str(number)
        shutil.copytree(REFERENCE / family, folder, ignore=shutil.ignore_patterns("expected*"))
        shutil.copyfile(REFERENCE / family / "model.safetensors", tmp_path / "outside.safetensors")
        may_load = mutate(folder, rng)
        case = f"{mutate.__name__} {number}"
        message = _outcome(folder, case)
        assert message is not None or may_load, f"{case}: was taken for a model"
        refused += message is not None
    assert refused > len(numbers) / 2, "mutants should do damage"


def _outcome(folder: Path, case: str) -> str | None:
    """Return the message of the ValueError, or None for a model; fail for memory and files that must not be used."""
    opened.clear()
    tracemalloc.start()
    watching[0] = True
    try:
        load_pretrained(folder)
        message = None
    except ValueError as error:
        message = str(error)
        assert ": must " in message, f"{case}: {message}"
        assert len(message) < 10_000 or case.startswith("config"), f"{case}: a message of {len(message)} letters"
    finally:
        watching[0] = False
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    assert peak < 4 * size + OVERHEAD, f"{case}: {peak} bytes for {size}"
    code = tuple(entry for entry in (*sys.path, sys.prefix, sys.base_prefix) if entry)
    outside = [name for name in opened if not name.startswith((str(folder), *code))]
    assert not outside, f"{case}: {outside}"
    return message


def test_the_watch_sees_what_is_opened(tmp_path):
    """A control: a file that a careless reader would open is noticed."""
    opened.clear()
    watching[0] = True
    try:
        (tmp_path / "seen").write_text("x")
    finally:
        watching[0] = False
    assert str(tmp_path / "seen") in opened


def test_memory_follows_the_file(tmp_path):
    """With 8 MB of weights, to bound the memory for weights and not the overhead of every model."""
    rng, width, vocab = np.random.default_rng(0), 256, 4096
    tensors = {"wte.weight": (vocab, width), "wpe.weight": (64, width), "ln_f.weight": (width,), "ln_f.bias": (width,)}
    for part, shape in {
        "ln_1": (width,),
        "ln_2": (width,),
        "attn.c_attn": (width, 3 * width),
        "attn.c_proj": (width, width),
        "mlp.c_fc": (width, 4 * width),
        "mlp.c_proj": (4 * width, width),
    }.items():
        tensors |= {f"h.0.{part}.weight": shape, f"h.0.{part}.bias": shape[-1:]}
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in tensors.items()}
    safetensors.numpy.save_file(values, tmp_path / "model.safetensors")
    config = {"model_type": "gpt2", "n_embd": width, "n_layer": 1, "n_head": 4, "n_positions": 64, "vocab_size": vocab}
    (tmp_path / "config.json").write_text(json.dumps(config))
    size = sum(array.nbytes for array in values.values())
    load_pretrained(tmp_path)  # do not count what is compiled and imported
    tracemalloc.start()
    found = load_pretrained(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.model.config.param_dtype == "float32"
    assert peak < 1.5 * size
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 10**12}))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"wte.weight: must be \(1000000000000, 256\), got \(4096, 256\)"):
        load_pretrained(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
