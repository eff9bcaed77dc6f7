"""Models in GGUF files: what was written is read, and what cannot be read says why."""

import struct
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.pretrained.gguf import halves, load_gguf
from circuits.pretrained.gguf_file import KINDS, numbers, open_gguf, strings
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Recorder, Taps
from tests.cases import assert_close
from tests.pretrained.gguf_files import MERGES, TOKENS, TYPES, config, gguf, metadata, tensors, tiny, write
from tests.transformer.models import random_model


def parameters(model: Predictor) -> dict[str, np.ndarray]:
    leaves = jax.tree.flatten_with_path(nnx.to_pure_dict(nnx.state(model)))[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def whole(folder):
    """Return a file, the model in it, and what is read."""
    file, model = tiny(folder / "tiny.gguf")
    return file, model, load_gguf(file)


@pytest.mark.parametrize("changes", [{}, {"tied": False, "kv_heads": 0, "layers": 1}, {"kv_heads": 1, "positions": 7}])
def test_a_model_comes_back_bit_for_bit(folder, changes):
    file, model = tiny(folder / "changed.gguf", **changes)
    found = load_gguf(file).model
    fields = {"kv_heads": model.config.key_heads}
    assert found.config == config(**(changes | fields))
    ours, truth = parameters(found), parameters(model)
    assert ours.keys() == truth.keys()
    assert all(np.array_equal(ours[name], truth[name]) for name in truth)


def test_the_file_is_read_as_the_formats_own_reader_does(whole):
    file, reader = open_gguf(whole[0]), gguf.GGUFReader(whole[0])
    assert {t.name: t.data_offset for t in reader.tensors} == {name: t.start for name, t in file.tensors.items()}
    assert {t.name: tuple(t.data.shape) for t in reader.tensors} == {n: t.shape for n, t in file.tensors.items()}
    ours = {key for key in reader.fields if not key.startswith("GGUF.")}
    assert file.metadata.keys() == ours
    for key in ours:
        truth = reader.fields[key].contents()
        if isinstance(truth, list):
            is_text = isinstance(truth[0], str)
            assert (strings(file, key) if is_text else numbers(file, key).tolist()) == truth
        else:
            assert file.metadata[key] == truth


@pytest.mark.parametrize("kind", ["UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "FLOAT32", "BOOL", "UINT64", "INT64", "FLOAT64"])  # noqa: E501  # fmt: skip
def test_metadata_of_each_type(folder, kind):
    value = {"BOOL": True, "FLOAT32": 0.5, "FLOAT64": 0.1}.get(kind, 77)
    writer = gguf.GGUFWriter(folder / "types.gguf", "llama")
    writer.add_key_value("one", value, gguf.GGUFValueType[kind])
    writer.add_key_value("many", [value, value], gguf.GGUFValueType.ARRAY, sub_type=gguf.GGUFValueType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    file = open_gguf(folder / "types.gguf")
    assert file.metadata["one"] == value
    assert type(file.metadata["one"]) is type(value)
    assert numbers(file, "many").tolist() == [value, value]


def test_types_of_tensors_have_the_sizes_of_the_format():
    for number, (name, block, size) in KINDS.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (block, size))


def test_rotary_positions_rotate_the_pairs_they_were_written_for(whole):
    """The file's own convention: its neighbouring rows (2 i, 2 i + 1) rotate by position · base^(-2 i / h)."""
    _, model, read = whole
    shape, file = model.config, tensors(model)
    h, x = shape.head_width, np.random.default_rng(0).normal(size=(5, shape.width)).astype(np.float32)

    def rotated(matrix: np.ndarray, heads: int) -> np.ndarray:
        rows = (x @ matrix.T).reshape(5, heads, h // 2, 2)
        angles = np.arange(5)[:, None] * shape.rotary_base ** (-2 * np.arange(h // 2) / h)
        pairs = (rows[..., 0] + 1j * rows[..., 1]) * np.exp(1j * angles)[:, None]
        return np.stack([pairs.real, pairs.imag], axis=-1).reshape(5, heads, h)

    q, k = rotated(file["blk.0.attn_q.weight"], 4), np.repeat(rotated(file["blk.0.attn_k.weight"], 2), 2, axis=1)
    truth = np.einsum("thd,shd->hts", q, k) / np.sqrt(h)

    def ours(attention: Any) -> np.ndarray:
        recorder = Recorder(Taps(capture=("scores",)), ("q", "k", "v", "scores", "pattern", "z"))
        attention(jnp.asarray(x), jnp.arange(5, dtype=jnp.int32), tap=recorder)
        return np.asarray(recorder.cache["scores"])

    mask = np.tri(5, dtype=bool)
    assert_close(ours(read.model.transformer.blocks[0].attn)[:, mask], truth[:, mask], atol=1e-5)
    wrong = random_model(shape).transformer.blocks[0].attn
    wrong.query.kernel[...] = jnp.asarray(file["blk.0.attn_q.weight"].T)
    wrong.key.kernel[...] = jnp.asarray(file["blk.0.attn_k.weight"].T)
    assert np.abs(ours(wrong)[:, mask] - truth[:, mask]).max() > 0.1, "rows in the order of the file must be wrong"


def test_halves_of_one_head():
    rows = np.arange(8.0)[:, None] @ np.ones((1, 3))
    assert halves(rows, 1)[:, 0].tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert halves(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize("kind", [name for name, _, _ in KINDS.values() if name != "F32"])
def test_quantised_weights_are_dequantised(folder, kind):
    model = random_model(config(mlp_width=256, layers=1))
    arrays, name = tensors(model), "blk.0.ffn_down.weight"
    if kind.endswith("K"):  # random bytes, low enough for their scales to be finite
        block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
        arrays[name] = np.random.default_rng(0).integers(0, 60, (32, 256 // block * size), np.uint8)
    else:
        arrays[name] = gguf.quantize(arrays[name], gguf.GGMLQuantizationType[kind])
    kinds = None if kind == "F16" else {name: kind}
    file = write(folder / f"{kind}.gguf", arrays, metadata(model.config), kinds)
    tensor = next(t for t in gguf.GGUFReader(file).tensors if t.name == name)
    assert tensor.tensor_type.name == kind
    truth = gguf.dequantize(tensor.data, tensor.tensor_type)
    read = load_gguf(file)
    assert read.notes["tensor_types"][kind] == 1
    found = np.asarray(read.model.transformer.blocks[0].mlp.out.kernel[...])
    assert np.array_equal(found, truth.T)
    if not kind.endswith("K"):
        right = np.asarray(model.transformer.blocks[0].mlp.out.kernel[...])
        step = {"F16": 1e-3, "BF16": 8e-3, "Q8_0": 0.01}.get(kind, 0.15)
        assert_close(found, right, atol=step * float(np.abs(right).max()))


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_dtypes_are_the_same_numbers_rounded(whole, dtype):
    file, model, _ = whole
    found = load_gguf(file, dtype=dtype, positions=9).model
    assert (found.config.dtype, found.config.param_dtype, found.config.positions) == (dtype, dtype, 9)
    ours, truth = parameters(found), parameters(model)
    assert all(np.array_equal(ours[name], truth[name].astype(jnp.dtype(dtype))) for name in truth)
    assert jax.eval_shape(found, jnp.arange(9, dtype=jnp.int32)).dtype == dtype


def test_notes(whole):
    found = whole[2].notes
    assert found["file"] == "tiny.gguf"
    assert found["name"] == "tiny"
    assert found["tokenizer"] == "gpt2, smollm"
    assert found["bos_token_id"] == 1
    assert found["tensor_types"] == {"F32": 20}


@settings(max_examples=30)
@given(text=st.text())
def test_any_text_goes_through_the_tokenizer_and_back(whole, text):
    tokenizer = whole[2].tokenizer
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_merges_digits_and_special_tokens(whole):
    tokenizer = whole[2].tokenizer
    assert tokenizer.get_vocab() == {token: i for i, token in enumerate(TOKENS)}
    assert tokenizer.encode("the the12 a").tokens == ["the", "Ġthe", "1", "2", "Ġa"]
    ids = tokenizer.encode("<|start|>the<tool>").ids
    assert ids == [1, TOKENS.index("the"), 2]
    assert tokenizer.decode(ids) == "the<tool>"
    assert tokenizer.decode(ids, skip_special_tokens=False) == "<|start|>the<tool>"


CHANGED: dict[str, tuple[dict[str, tuple[str, Any]], list[str] | None]] = {
    "numbers whole": ({"tokenizer.ggml.pre": ("string", "gpt-2")}, ["the", "12"]),
    "a start": ({"tokenizer.ggml.add_bos_token": ("bool", True)}, ["<|start|>", "the", "1", "2"]),
    "no start": ({"tokenizer.ggml.add_bos_token": ("bool", False)}, ["the", "1", "2"]),
    "another split": ({"tokenizer.ggml.pre": ("string", "llama-bpe")}, None),
    "pieces": ({"tokenizer.ggml.model": ("string", "llama")}, None),
}


@pytest.mark.parametrize("name", CHANGED)
def test_other_tokenizers(folder, whole, name):
    changes, tokens = CHANGED[name]
    file = write(folder / "tokens.gguf", tensors(whole[1]), metadata(config()) | changes)
    found = load_gguf(file)
    if tokens is None:
        assert found.tokenizer is None
        assert changes.popitem()[1][1] in found.notes["tokenizer"]
    else:
        assert found.tokenizer is not None
        assert found.tokenizer.encode("the12").tokens == tokens


U32, TEXT, ARRAY = "uint32", "string", "array"
WRONG_METADATA: dict[str, tuple[dict[str, Any], str]] = {
    "no layers": ({"llama.block_count": None}, "llama.block_count: must be an integer between 1 and 2147483647"),
    "too many layers": ({"llama.block_count": (U32, 2**31)}, "llama.block_count: must be an integer between 1 and"),
    "more layers than tensors": ({"llama.block_count": (U32, 10**6)}, "llama.block_count: must be at most the number of tensors, 20"),  # noqa: E501
    "fewer layers": ({"llama.block_count": (U32, 1)}, r"blk.1.attn_k.weight: must be absent"),
    "layers as text": ({"llama.block_count": (TEXT, "2")}, "llama.block_count: must be an integer"),
    "heads": ({"llama.attention.head_count": (U32, 5)}, "llama.attention.head_count: must divide the width 32"),
    "key heads": ({"llama.attention.head_count_kv": (U32, 3)}, "kv_heads: must divide"),
    "head width": ({"llama.attention.key_length": (U32, 16)}, "llama.attention.key_length: must be 8, the width of a head"),  # noqa: E501
    "part rotary": ({"llama.rope.dimension_count": (U32, 4)}, "llama.rope.dimension_count: must be 8"),
    "scaled rotary": ({"llama.rope.scaling.type": (TEXT, "yarn")}, "llama.rope.scaling.type: must be absent or none"),
    "experts": ({"llama.expert_count": (U32, 8)}, "llama.expert_count: must be absent or 0"),
    "epsilon": ({"llama.attention.layer_norm_rms_epsilon": ("float32", float("nan"))}, "norm_epsilon: must be positive and finite"),  # noqa: E501
    "base": ({"llama.rope.freq_base": (U32, 3)}, "llama.rope.freq_base: must be a real number"),
    "hidden": ({"llama.feed_forward_length": (U32, 96)}, r"blk.0.ffn_down.weight: must be \(32, 96\)"),
    "too many tokens": ({"tokenizer.ggml.tokens": (ARRAY, [*TOKENS, "more"])}, "tokenizer.ggml.tokens: must be 1 to 264, the rows of embeddings"),  # noqa: E501
    "equal tokens": ({"tokenizer.ggml.tokens": (ARRAY, [*TOKENS[:-1], TOKENS[0]])}, "tokenizer.ggml.tokens: must differ"),  # noqa: E501
    "no tokens": ({"tokenizer.ggml.tokens": None}, "tokenizer.ggml.tokens: must be an array"),
    "tokens as numbers": ({"tokenizer.ggml.tokens": (ARRAY, [1, 2])}, "tokenizer.ggml.tokens: must be an array of strings"),  # noqa: E501
    "types": ({"tokenizer.ggml.token_type": (ARRAY, TYPES[1:])}, "tokenizer.ggml.token_type: must be as many as the tokens, 264"),  # noqa: E501
    "a merge of three": ({"tokenizer.ggml.merges": (ARRAY, ["t h e"])}, r"tokenizer.ggml.merges\[0\]: must be two tokens that join to a third.*'t h e'"),  # noqa: E501
    "a merge to nothing": ({"tokenizer.ggml.merges": (ARRAY, [*MERGES, "q q"])}, r"merges\[5\]: must be two tokens.*'q q'"),  # noqa: E501
    "a start that is none": ({"tokenizer.ggml.add_bos_token": ("bool", True), "tokenizer.ggml.bos_token_id": (U32, 999)}, "bos_token_id: must be an integer between 0 and 263"),  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_METADATA)
def test_metadata_that_contradicts(folder, whole, name):
    changes, message = WRONG_METADATA[name]
    pairs = {key: pair for key, pair in (metadata(config()) | changes).items() if pair is not None}
    file = write(folder / "wrong.gguf", tensors(whole[1]), pairs)
    with pytest.raises(ValueError, match=message) as caught:
        load_gguf(file)
    assert "wrong.gguf: " in str(caught.value)


def test_tensors_that_do_not_fit(folder, whole):
    arrays = tensors(whole[1])
    name, bad = "blk.1.attn_q.weight", arrays["blk.1.attn_q.weight"].copy()
    bad[3, 4] = np.inf
    changes: dict[str, tuple[dict[str, np.ndarray], str]] = {
        "missing": ({key: array for key, array in arrays.items() if key != name}, rf"{name}: must be \(32, 32\), got 'absent'"),  # noqa: E501
        "more": (arrays | {"rope_freqs.weight": np.ones(4, np.float32)}, r"rope_freqs.weight: must be absent, got \(4,\)"),  # noqa: E501
        "shape": (arrays | {name: bad[:16]}, rf"{name}: must be \(32, 32\), got \(16, 32\)"),
        "infinite": (arrays | {name: bad}, rf"{name}: must be finite, got inf at \(3, 4\)"),
        "embedding": (arrays | {"token_embd.weight": bad[0]}, "token_embd.weight: must be a matrix"),
    }  # fmt: skip
    for changed, message in changes.values():
        with pytest.raises(ValueError, match=message):
            load_gguf(write(folder / "wrong.gguf", changed, metadata(config())))
    largest = arrays | {name: np.full((32, 32), 1e6, np.float32)}
    file = write(folder / "large.gguf", largest, metadata(config()))
    assert load_gguf(file)
    with pytest.raises(ValueError, match=f"{name}: must be finite, got inf"):
        load_gguf(file, dtype="float16")


def test_another_family(folder, whole):
    file = write(folder / "other.gguf", tensors(whole[1]), metadata(config()), family="gpt2")
    with pytest.raises(ValueError, match=r"other\.gguf: general\.architecture: must be \"llama\", got 'gpt2'"):
        load_gguf(file)


@pytest.mark.parametrize("positions", [0, 65, True])
def test_positions(whole, positions):
    with pytest.raises(ValueError, match=f"tiny.gguf: positions: must be an integer between 1 and 64, got {positions}"):
        load_gguf(whole[0], positions=positions)


def test_files_that_are_not_gguf(folder, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("not a model at all, but long enough")
    (tmp_path / "old").write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    (tmp_path / "big-endian").write_bytes(b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    (tmp_path / "many").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0))
    cases = {
        "absent": "No such file",
        ".": "Is a directory",
        "empty": "empty file",
        "text": "magic: must be b'GGUF', got b'not '",
        "old": r"version: must be one of \(2, 3\), little-endian, got 1",
        "big-endian": "version: must be one of",
        "many": "count of tensors: must be at most 16384",
    }
    for name, message in cases.items():
        with pytest.raises(ValueError, match=rf"file: must be a whole GGUF file, got .*{message}"):
            load_gguf(tmp_path / name)


def test_without_the_package(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ValueError, match=r"gguf: must be installed.*reverse-circuits\[pretrained\]"):
        load_gguf(whole[0])


def test_arrays_that_do_not_exist(whole):
    file = open_gguf(whole[0])
    with pytest.raises(ValueError, match=r"general\.name: must be an array, got 'tiny'"):
        strings(file, "general.name")
    with pytest.raises(ValueError, match=r"tokenizer\.ggml\.merges: must be an array of numbers, got 8"):
        numbers(file, "tokenizer.ggml.merges")
