"""A language model of a GGUF file, of the family "llama", as our transformer; its quantised weights made whole.

The converter that writes these files reorders the rows of queries and keys, for rotary positions that pair neighbours
(x_2i, x_2i+1). Ours pair halves (x_i, x_i+h/2), as the model was trained: row h/2 · s + i of a head is row 2 i + s of
the file.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from circuits import checks
from circuits.pretrained.gguf_file import GgufFile, Scalar, Tensor, open_gguf
from circuits.pretrained.gguf_tokenizer import gguf_tokenizer
from circuits.pretrained.pretrained import Pretrained
from circuits.transformer.config import Dtype, TransformerConfig
from circuits.transformer.parameters import predictor_from_tensors

Matrix = Float[np.ndarray, "out in"]
LARGEST = 2**31 - 1
NOTED = ("name", "license", "size_label", "basename", "organization")
PLAIN = {"rope.scaling.type": ("none",), "rope.scaling.factor": (1.0,), "expert_count": (0,)}
"""Settings that change the model in a way of which ours knows nothing, and the values at which they do not."""


class Source(NamedTuple):
    """Where a parameter comes from: the name of a tensor, its shape, and what turns it into ours."""

    tensor: str
    shape: tuple[int, ...]
    ours: Callable[[np.ndarray], np.ndarray]


def load_gguf(file: Path, *, dtype: Dtype = "float32", positions: int | None = None) -> Pretrained:
    """The model with parameters and activations in ``dtype``, its tokenizer, and notes from the file.

    Tensors are taken one after the other, so that beside the model there is never more than one in float32.
    ``positions`` is the longest sequence, the file's if not given. Without "output.weight" the embedding is the
    unembedding. The tokenizer is None where the file's kind is not byte-level pair encoding; notes["tokenizer"] says
    which it is.

    Raises ValueError for a file that is no whole GGUF file; a family other than "llama", or one with experts, scaled
    rotary positions or heads of another width than d / H; a tensor that is missing, left over, of another shape or
    type, or not finite; a tokenizer that contradicts itself; and without the package gguf, which makes quantised
    weights whole.
    """
    whole = _dequantise()
    found = open_gguf(file)
    try:
        return _loaded(found, dtype, positions, whole, file)
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error


def _loaded(
    file: GgufFile, dtype: Dtype, positions: int | None, whole: Callable[[np.ndarray, str], np.ndarray], path: Path
) -> Pretrained:
    config = _config(file, dtype, positions)
    sources = _sources(file, config)
    _check(file, sources)
    tokenizer, kind = gguf_tokenizer(file, config.vocab)

    def place(name: str, like: np.ndarray) -> jax.Array:
        if name not in sources:
            return jnp.asarray(like, dtype)
        source = sources[name]
        return jnp.asarray(source.ours(_values(file, source, whole, jnp.dtype(dtype))))

    like = {name: source.ours(_nothing(source.shape)) for name, source in sources.items()}
    if config.tied:  # the empty stack of further heads
        like["heads.kernels"] = _nothing((0, config.width, config.vocab))
    return Pretrained(predictor_from_tensors(config, like, path.name, place), tokenizer, _notes(file, path, kind))


def _nothing(shape: tuple[int, ...]) -> np.ndarray:
    """An array of this shape that takes no memory."""
    return np.broadcast_to(np.float32(0), shape)


def _dequantise() -> Callable[[np.ndarray, str], np.ndarray]:
    """From the bytes of rows and the name of their type to float32."""
    try:
        from gguf import GGMLQuantizationType, dequantize
    except ModuleNotFoundError as error:
        rule = "must be installed to read GGUF files: pip install 'reverse-circuits[pretrained]'"
        raise ValueError(f"gguf: {rule}, got {error}") from error
    return lambda rows, kind: np.asarray(dequantize(rows, GGMLQuantizationType[kind]), np.float32)


def _config(file: GgufFile, dtype: Dtype, positions: int | None) -> TransformerConfig:
    family = file.metadata.get("general.architecture")
    checks.require(family == "llama", "general.architecture", 'must be "llama"', family)
    for key, plain in PLAIN.items():
        value = file.metadata.get(f"llama.{key}", plain[0])
        checks.require(value in plain, f"llama.{key}", f"must be absent or {plain[0]}", value)
    layers, width = (_size(file, key) for key in ("block_count", "embedding_length"))
    heads = _size(file, "attention.head_count")
    most = len(file.tensors)
    checks.require(layers <= most, "llama.block_count", f"must be at most the number of tensors, {most}", layers)
    checks.require(width % heads == 0, "llama.attention.head_count", f"must divide the width {width}", heads)
    for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
        value = file.metadata.get(f"llama.{key}", width // heads)
        checks.require(value == width // heads, f"llama.{key}", f"must be {width // heads}, the width of a head", value)
    longest = _size(file, "context_length")
    if positions is not None:
        checks.integer("positions", positions, min_value=1, max_value=longest)
    embedding = _shape(file, "token_embd.weight")
    checks.require(len(embedding) == 2, "token_embd.weight", "must be a matrix", embedding)
    return TransformerConfig(
        vocab=embedding[0],
        positions=longest if positions is None else positions,
        layers=layers,
        heads=heads,
        width=width,
        kv_heads=_size(file, "attention.head_count_kv", heads),
        mlp_width=_size(file, "feed_forward_length"),
        norm="rms",
        position="rotary",
        activation="swiglu",
        tied="output.weight" not in file.tensors,
        norm_epsilon=_real(file, "attention.layer_norm_rms_epsilon"),
        rotary_base=_real(file, "rope.freq_base", 10_000.0),
        dtype=dtype,
        param_dtype=dtype,
    )


def _size(file: GgufFile, key: str, default: int | None = None) -> int:
    value: Any = file.metadata.get(f"llama.{key}", default)
    checks.integer(f"llama.{key}", value, min_value=1, max_value=LARGEST)
    return value


def _real(file: GgufFile, key: str, default: float | None = None) -> float:
    value = file.metadata.get(f"llama.{key}", default)
    if not isinstance(value, float):
        raise ValueError(f"llama.{key}: must be a real number, got {value!r}")
    return value


def _shape(file: GgufFile, name: str) -> tuple[int, ...]:
    checks.require(name in file.tensors, name, "must be in the file", f"{len(file.tensors)} other tensors")
    return file.tensors[name].shape


def _sources(file: GgufFile, config: TransformerConfig) -> dict[str, Source]:
    """Where each of our parameters comes from, by its name; maps are [in, out] with us, [out, in] in the file."""
    d, inner, shared, hidden = config.width, config.width, config.key_heads * config.head_width, config.hidden

    def turned(heads: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda matrix: halves(matrix, heads).T

    found = {
        "transformer.tokens": Source("token_embd.weight", (config.vocab, d), _same),
        "transformer.norm.scale": Source("output_norm.weight", (d,), _same),
    }
    if not config.tied:
        found["heads.kernels"] = Source("output.weight", (config.vocab, d), lambda matrix: matrix.T[None])
    for i in range(config.layers):
        parts = {
            "norm_attn.scale": ("attn_norm", (d,), _same),
            "attn.query.kernel": ("attn_q", (inner, d), turned(config.heads)),
            "attn.key.kernel": ("attn_k", (shared, d), turned(config.key_heads)),
            "attn.value.kernel": ("attn_v", (shared, d), np.transpose),
            "attn.out.kernel": ("attn_output", (d, inner), np.transpose),
            "norm_mlp.scale": ("ffn_norm", (d,), _same),
            "mlp.gate.kernel": ("ffn_gate", (hidden, d), np.transpose),
            "mlp.into.kernel": ("ffn_up", (hidden, d), np.transpose),
            "mlp.out.kernel": ("ffn_down", (d, hidden), np.transpose),
        }
        for name, (tensor, shape, ours) in parts.items():
            found[f"transformer.blocks.{i}.{name}"] = Source(f"blk.{i}.{tensor}.weight", shape, ours)
    return found


def halves(matrix: Matrix, heads: int) -> Matrix:
    """Rows of each head in the order of rotary positions that pair halves, from the order that pairs neighbours."""
    pairs = matrix.reshape(heads, -1, 2, matrix.shape[1])
    return pairs.swapaxes(1, 2).reshape(matrix.shape)


def _same(values: np.ndarray) -> np.ndarray:
    return values


def _check(file: GgufFile, sources: dict[str, Source]) -> None:
    wanted = {source.tensor: source.shape for source in sources.values()}
    for name in sorted(wanted.keys() | file.tensors.keys()):
        found = file.tensors[name].shape if name in file.tensors else "absent"
        checks.require(found == wanted.get(name, "absent"), name, f"must be {wanted.get(name, 'absent')}", found)


def _values(
    file: GgufFile, source: Source, whole: Callable[[np.ndarray, str], np.ndarray], dtype: np.dtype
) -> np.ndarray:
    tensor: Tensor = file.tensors[source.tensor]
    rows = file.data[tensor.start : tensor.stop].reshape(*tensor.shape[:-1], -1)
    with np.errstate(all="ignore"):  # what it would warn of is not finite
        values = whole(rows, tensor.kind).astype(dtype)
    checks.finite(source.tensor, values)
    return values.reshape(tensor.shape)


def _notes(file: GgufFile, path: Path, tokenizer: str) -> dict[str, Any]:
    """What the file says of itself, ids of special tokens, and how many tensors there are of each type."""
    named = {key: _scalar(file, f"general.{key}") for key in NOTED}
    ids = {f"{key}_token_id": _scalar(file, f"tokenizer.ggml.{key}_token_id") for key in ("bos", "eos", "unknown")}
    template = {"chat_template": _scalar(file, "tokenizer.chat_template")}
    kinds = Counter(tensor.kind for tensor in file.tensors.values())
    given = {key: value for key, value in (named | ids | template).items() if value is not None}
    return {"file": path.name, "tokenizer": tokenizer, "tensor_types": dict(kinds)} | given


def _scalar(file: GgufFile, key: str) -> Scalar | None:
    value = file.metadata.get(key)
    return value if isinstance(value, int | float | bool | str) else None
