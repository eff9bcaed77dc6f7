"""Load a language model from a GGUF file of the architecture "llama", with its weights dequantised.

In these files the rows of queries and keys are reordered for rotary positions that pair neighbours (x_2i, x_2i+1). Ours
pair halves (x_i, x_i+h/2), as in the original model: row h/2 · s + i of a head is row 2 i + s of the file.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from circuits import checks
from circuits.pretrained.gguf_file import GgufFile, Scalar, open_gguf
from circuits.pretrained.gguf_tokenizer import gguf_tokenizer
from circuits.pretrained.pretrained import Pretrained
from circuits.pretrained.tensor_names import Source, unchanged
from circuits.transformer.config import Dtype, TransformerConfig
from circuits.transformer.parameters import predictor_from_tensors

Matrix = Float[np.ndarray, "out in"]
Dequantise = Callable[[np.ndarray, str], np.ndarray]
"""Maps the bytes of rows and the name of their type to float32."""
MAX_SIZE = 2**31 - 1
NOTED = ("name", "license", "size_label", "basename", "organization")
NEUTRAL_VALUES = {"rope.scaling.type": ("none",), "rope.scaling.factor": (1.0,), "expert_count": (0,)}
"""Settings that are not implemented, with the values at which they have no effect."""


def load_gguf(file: str | Path, *, dtype: Dtype = "float32", positions: int | None = None) -> Pretrained:
    """Return the model of a GGUF file with its tokenizer.

    Tensors are converted one by one, so at most one is held in float32 in addition to the model. Needs the package gguf
    (``pip install 'reverse-circuits[pretrained]'``).

    Args:
        file: of the architecture "llama", without experts or scaled rotary positions, with heads of width d / H.
        dtype: dtype of parameters and activations.
        positions: maximum length of a sequence. None: that of the file.

    Returns:
        The model, tied if there is no "output.weight"; its tokenizer, or None unless it is a byte-level BPE; and notes
        from the file, with the kind of tokenizer in notes["tokenizer"].

    Raises:
        ValueError: for a file that is no complete GGUF file, or of another architecture; a tensor that is missing,
            unexpected, not finite, or of another shape or type; an inconsistent tokenizer; and if gguf is missing.

    Example:
        >>> load_gguf("missing.gguf")
        Traceback (most recent call last):
        ValueError: ...: must be ...
    """
    path = Path(file)
    dequantise = _dequantiser()
    opened = open_gguf(path)
    try:
        return _load(opened, dtype, positions, dequantise, path.name)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _load(file: GgufFile, dtype: Dtype, positions: int | None, dequantise: Dequantise, name: str) -> Pretrained:
    config = _config(file, dtype, positions)
    sources = _sources(config)
    _check_tensors(file, sources)
    tokenizer, kind = gguf_tokenizer(file, config.vocab)

    def place(name: str, placeholder: np.ndarray) -> jax.Array:
        if name not in sources:
            return jnp.asarray(placeholder, dtype)
        source = sources[name]
        return jnp.asarray(source.part(_values(file, source, dequantise, jnp.dtype(dtype))))

    placeholders = {name: source.part(_placeholder(source.shape)) for name, source in sources.items()}
    if config.tied:  # then there are no kernels
        placeholders["heads.kernels"] = _placeholder((0, config.width, config.vocab))
    return Pretrained(predictor_from_tensors(config, placeholders, name, place), tokenizer, _notes(file, name, kind))


def _placeholder(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of this shape that takes no memory."""
    return np.broadcast_to(np.float32(0), shape)


def _dequantiser() -> Dequantise:
    try:
        from gguf import GGMLQuantizationType, dequantize
    except ModuleNotFoundError as error:
        rule = "must be installed to read GGUF files: pip install 'reverse-circuits[pretrained]'"
        raise ValueError(f"gguf: {rule}, got {error}") from error
    return lambda rows, kind: np.asarray(dequantize(rows, GGMLQuantizationType[kind]), np.float32)


def _config(file: GgufFile, dtype: Dtype, positions: int | None) -> TransformerConfig:
    family = file.metadata.get("general.architecture")
    checks.require(family == "llama", "general.architecture", 'must be "llama"', family)
    for key, neutral in NEUTRAL_VALUES.items():
        value = file.metadata.get(f"llama.{key}", neutral[0])
        checks.require(value in neutral, f"llama.{key}", f"must be absent or {neutral[0]}", value)
    layers, width = (_size(file, key) for key in ("block_count", "embedding_length"))
    heads, tensors = _size(file, "attention.head_count"), len(file.tensors)
    checks.require(layers <= tensors, "llama.block_count", f"must be at most the number of tensors, {tensors}", layers)
    checks.require(width % heads == 0, "llama.attention.head_count", f"must divide the width {width}", heads)
    for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
        value = file.metadata.get(f"llama.{key}", width // heads)
        checks.require(value == width // heads, f"llama.{key}", f"must be {width // heads}, the width of a head", value)
    longest = _size(file, "context_length")
    if positions is not None:
        checks.integer("positions", positions, min_value=1, max_value=longest)
    checks.require("token_embd.weight" in file.tensors, "token_embd.weight", "must be in the file", f"{tensors} others")
    embedding = file.tensors["token_embd.weight"].shape
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
    checks.integer(f"llama.{key}", value, min_value=1, max_value=MAX_SIZE)
    return value


def _real(file: GgufFile, key: str, default: float | None = None) -> float:
    value = file.metadata.get(f"llama.{key}", default)
    if not isinstance(value, float):
        raise ValueError(f"llama.{key}: must be a real number, got {value!r}")
    return value


def _sources(config: TransformerConfig) -> dict[str, Source]:
    """Return the source of each parameter by our names; kernels are [in, out] here and [out, in] in the file."""
    d, inner, shared, hidden = config.width, config.width, config.key_heads * config.head_width, config.hidden

    def reordered(heads: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda matrix: halves(matrix, heads).T

    sources = {
        "transformer.tokens": Source("token_embd.weight", (config.vocab, d), unchanged),
        "transformer.norm.scale": Source("output_norm.weight", (d,), unchanged),
    }
    if not config.tied:
        sources["heads.kernels"] = Source("output.weight", (config.vocab, d), lambda matrix: matrix.T[None])
    for i in range(config.layers):
        parts = {
            "norm_attn.scale": ("attn_norm", (d,), unchanged),
            "attn.query.kernel": ("attn_q", (inner, d), reordered(config.heads)),
            "attn.key.kernel": ("attn_k", (shared, d), reordered(config.key_heads)),
            "attn.value.kernel": ("attn_v", (shared, d), np.transpose),
            "attn.out.kernel": ("attn_output", (d, inner), np.transpose),
            "norm_mlp.scale": ("ffn_norm", (d,), unchanged),
            "mlp.gate.kernel": ("ffn_gate", (hidden, d), np.transpose),
            "mlp.into.kernel": ("ffn_up", (hidden, d), np.transpose),
            "mlp.out.kernel": ("ffn_down", (d, hidden), np.transpose),
        }
        for name, (tensor, shape, part) in parts.items():
            sources[f"transformer.blocks.{i}.{name}"] = Source(f"blk.{i}.{tensor}.weight", shape, part)
    return sources


def halves(matrix: Matrix, heads: int) -> Matrix:
    """Return the rows of each head reordered from rotary positions that pair neighbours to ones that pair halves."""
    pairs = matrix.reshape(heads, -1, 2, matrix.shape[1])
    return pairs.swapaxes(1, 2).reshape(matrix.shape)


def _check_tensors(file: GgufFile, sources: dict[str, Source]) -> None:
    expected = {source.name: source.shape for source in sources.values()}
    for name in sorted(expected.keys() | file.tensors.keys()):
        got = file.tensors[name].shape if name in file.tensors else "absent"
        checks.require(got == expected.get(name, "absent"), name, f"must be {expected.get(name, 'absent')}", got)


def _values(file: GgufFile, source: Source, dequantise: Dequantise, dtype: np.dtype) -> np.ndarray:
    tensor = file.tensors[source.name]
    rows = file.data[tensor.start : tensor.stop].reshape(*tensor.shape[:-1], -1)
    with np.errstate(all="ignore"):  # values that are not finite are checked for below
        values = dequantise(rows, tensor.kind).astype(dtype)
    checks.finite(source.name, values)
    return values.reshape(tensor.shape)


def _notes(file: GgufFile, name: str, tokenizer: str) -> dict[str, Any]:
    """Return the file's description of itself, ids of special tokens, and the number of tensors of each type."""
    about = {key: _scalar(file, f"general.{key}") for key in NOTED}
    ids = {f"{key}_token_id": _scalar(file, f"tokenizer.ggml.{key}_token_id") for key in ("bos", "eos", "unknown")}
    template = {"chat_template": _scalar(file, "tokenizer.chat_template")}
    kinds = Counter(tensor.kind for tensor in file.tensors.values())
    known = {key: value for key, value in (about | ids | template).items() if value is not None}
    return {"file": name, "tokenizer": tokenizer, "tensor_types": dict(kinds)} | known


def _scalar(file: GgufFile, key: str) -> Scalar | None:
    value = file.metadata.get(key)
    return value if isinstance(value, int | float | bool | str) else None
