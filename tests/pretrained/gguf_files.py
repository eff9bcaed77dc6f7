"""Small GGUF files of the family "llama", written by the format's own package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import pre_tokenizers

from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from tests.transformer.models import LLAMA, random_model

gguf = pytest.importorskip("gguf")

SPECIAL = ["<|end|>", "<|start|>", "<tool>"]
MERGES = ["t h", "th e", "Ġ the", "1 2", "Ġ a"]
TOKENS = SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet()) + [merge.replace(" ", "") for merge in MERGES]
TYPES = [3, 3, 4] + [1] * (len(TOKENS) - len(SPECIAL))


def config(**changes: Any) -> TransformerConfig:
    fields: dict[str, Any] = {
        "vocab": len(TOKENS),
        "positions": 64,
        "layers": 2,
        "heads": 4,
        "kv_heads": 2,
        "width": 32,
    }
    fields |= LLAMA | {"width": 32, "mlp_width": 64, "tied": True, "norm_epsilon": 0.5, "rotary_base": 100.0}
    return TransformerConfig(**(fields | changes))


def metadata(shape: TransformerConfig) -> dict[str, tuple[str, Any]]:
    """Return for each key the name of its writer and its value."""
    whole = {
        "context_length": shape.positions,
        "embedding_length": shape.width,
        "block_count": shape.layers,
        "feed_forward_length": shape.hidden,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.key_heads,
        "rope.dimension_count": shape.head_width,
    }
    real = {"attention.layer_norm_rms_epsilon": shape.norm_epsilon, "rope.freq_base": shape.rotary_base}
    return {
        **{f"llama.{key}": ("uint32", value) for key, value in whole.items()},
        **{f"llama.{key}": ("float32", value) for key, value in real.items()},
        "general.name": ("string", "tiny"),
        "tokenizer.ggml.model": ("string", "gpt2"),
        "tokenizer.ggml.pre": ("string", "smollm"),
        "tokenizer.ggml.tokens": ("array", TOKENS),
        "tokenizer.ggml.token_type": ("array", TYPES),
        "tokenizer.ggml.merges": ("array", MERGES),
        "tokenizer.ggml.bos_token_id": ("uint32", 1),
    }


def neighbours(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Return rows in the order of the converter: row 2 i + s of a head is the model's row s h/2 + i."""
    width = len(matrix) // heads
    rows = [matrix[h * width + s * width // 2 + i] for h in range(heads) for i in range(width // 2) for s in range(2)]
    return np.stack(rows)


def tensors(model: Predictor) -> dict[str, np.ndarray]:
    """Return the model's parameters by the file's names, rows first."""
    inner, shape = model.transformer, model.config
    found: dict[str, Any] = {"token_embd.weight": inner.tokens[...], "output_norm.weight": inner.norm.scale[...]}
    if not shape.tied:
        found["output.weight"] = model.heads.kernels[0].T
    for i, block in enumerate(inner.blocks):
        parts = {
            "attn_norm": block.norm_attn.scale[...],
            "attn_q": neighbours(np.asarray(block.attn.query.kernel[...]).T, shape.heads),
            "attn_k": neighbours(np.asarray(block.attn.key.kernel[...]).T, shape.key_heads),
            "attn_v": block.attn.value.kernel[...].T,
            "attn_output": block.attn.out.kernel[...].T,
            "ffn_norm": block.norm_mlp.scale[...],
            "ffn_gate": block.mlp.gate.kernel[...].T,
            "ffn_up": block.mlp.into.kernel[...].T,
            "ffn_down": block.mlp.out.kernel[...].T,
        }
        found |= {f"blk.{i}.{name}.weight": part for name, part in parts.items()}
    return {name: np.ascontiguousarray(part, np.float32) for name, part in found.items()}


def write(
    file: Path,
    arrays: Mapping[str, np.ndarray],
    pairs: Mapping[str, tuple[str, Any]],
    kinds: Mapping[str, str] | None = None,
    family: str = "llama",
) -> Path:
    """Write a file of these tensors and metadata; a tensor with a kind is given in bytes, [.., bytes of a row]."""
    writer = gguf.GGUFWriter(file, family)
    for key, (kind, value) in pairs.items():
        getattr(writer, f"add_{kind}")(key, value)
    for name, array in arrays.items():
        kind = (kinds or {}).get(name)
        writer.add_tensor(name, array, raw_dtype=None if kind is None else gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def tiny(file: Path, **changes: Any) -> tuple[Path, Predictor]:
    """Write a file, and return it with the model in it."""
    model = random_model(config(**changes))
    return write(file, tensors(model), metadata(model.config)), model
