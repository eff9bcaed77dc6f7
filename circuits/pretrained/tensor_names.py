"""Names, shapes and layouts of the tensors of each family of models, by parameter."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from circuits.transformer.config import TransformerConfig

Part = Callable[[np.ndarray], np.ndarray]
"""Maps a tensor of the file to a parameter in our layout, as a view if possible."""


class Source(NamedTuple):
    """The source of a parameter: name and shape of the tensor in the file, and its conversion to the parameter."""

    name: str
    shape: tuple[int, ...]
    part: Part


def llama_sources(config: TransformerConfig) -> dict[str, Source]:
    """Return the sources of Llama and its descendants: kernels are stored [out, in]."""
    d, inner, shared = config.width, config.heads * config.head_width, config.key_heads * config.head_width
    sources = {
        "transformer.tokens": Source("embed_tokens.weight", (config.vocab, d), unchanged),
        "transformer.norm.scale": Source("norm.weight", (d,), unchanged),
    }
    for i in range(config.layers):
        ours, theirs = f"transformer.blocks.{i}", f"layers.{i}"
        sources[f"{ours}.norm_attn.scale"] = Source(f"{theirs}.input_layernorm.weight", (d,), unchanged)
        sources[f"{ours}.norm_mlp.scale"] = Source(f"{theirs}.post_attention_layernorm.weight", (d,), unchanged)
        for part, name, size in (("query", "q", inner), ("key", "k", shared), ("value", "v", shared)):
            sources |= _linear(f"{ours}.attn.{part}", f"{theirs}.self_attn.{name}_proj", size, d, config.biased("qkv"))
        sources |= _linear(f"{ours}.attn.out", f"{theirs}.self_attn.o_proj", d, inner, config.biased("out"))
        for part, name in (("query", "q"), ("key", "k")) if config.qk_norm else ():
            source = Source(f"{theirs}.self_attn.{name}_norm.weight", (config.head_width,), unchanged)
            sources[f"{ours}.attn.{part}_norm.scale"] = source
        hidden, bias = config.hidden, config.biased("mlp")
        for part, name, size_out, size_in in (
            ("into", "up", hidden, d),
            ("gate", "gate", hidden, d),
            ("out", "down", d, hidden),
        ):
            sources |= _linear(f"{ours}.mlp.{part}", f"{theirs}.mlp.{name}_proj", size_out, size_in, bias)
    return sources


def gpt2_sources(config: TransformerConfig) -> dict[str, Source]:
    """Return the sources of GPT-2: kernels are stored [in, out], those of q, k and v concatenated."""
    d, hidden = config.width, config.hidden
    sources = {
        "transformer.tokens": Source("wte.weight", (config.vocab, d), unchanged),
        "transformer.positions": Source("wpe.weight", (config.positions, d), unchanged),
        **_layer_norm("transformer.norm", "ln_f", d),
    }
    for i in range(config.layers):
        ours, theirs = f"transformer.blocks.{i}", f"h.{i}"
        sources |= _layer_norm(f"{ours}.norm_attn", f"{theirs}.ln_1", d)
        sources |= _layer_norm(f"{ours}.norm_mlp", f"{theirs}.ln_2", d)
        for number, part in enumerate(("query", "key", "value")):
            sources |= _conv1d(f"{ours}.attn.{part}", f"{theirs}.attn.c_attn", d, 3 * d, _third(number, d))
        sources |= _conv1d(f"{ours}.attn.out", f"{theirs}.attn.c_proj", d, d)
        sources |= _conv1d(f"{ours}.mlp.into", f"{theirs}.mlp.c_fc", d, hidden)
        sources |= _conv1d(f"{ours}.mlp.out", f"{theirs}.mlp.c_proj", hidden, d)
    return sources


def neox_sources(config: TransformerConfig) -> dict[str, Source]:
    """Return the sources of GPT-NeoX: kernels are stored [out, in], with q, k and v interleaved by head."""
    d, hidden = config.width, config.hidden
    sources = {
        "transformer.tokens": Source("embed_in.weight", (config.vocab, d), unchanged),
        **_layer_norm("transformer.norm", "final_layer_norm", d),
    }
    for i in range(config.layers):
        ours, theirs = f"transformer.blocks.{i}", f"layers.{i}"
        sources |= _layer_norm(f"{ours}.norm_attn", f"{theirs}.input_layernorm", d)
        sources |= _layer_norm(f"{ours}.norm_mlp", f"{theirs}.post_attention_layernorm", d)
        fused, bias = f"{theirs}.attention.query_key_value", config.biased("qkv")
        for number, part in enumerate(("query", "key", "value")):
            sources |= _linear(f"{ours}.attn.{part}", fused, 3 * d, d, bias, _third_of_heads(number, config.heads))
        sources |= _linear(f"{ours}.attn.out", f"{theirs}.attention.dense", d, d, config.biased("out"))
        sources |= _linear(f"{ours}.mlp.into", f"{theirs}.mlp.dense_h_to_4h", hidden, d, True)
        sources |= _linear(f"{ours}.mlp.out", f"{theirs}.mlp.dense_4h_to_h", d, hidden, True)
    return sources


def unchanged(stored: np.ndarray) -> np.ndarray:
    """Return the tensor itself."""
    return stored


def _third(number: int, size: int) -> Part:
    return lambda stored: stored[..., number * size : (number + 1) * size]


def _third_of_heads(number: int, heads: int) -> Part:
    """Return one third of rows [H, 3, h]; a copy, since no view has them contiguous."""
    return lambda stored: stored.reshape(heads, 3, -1, *stored.shape[1:])[:, number].reshape(-1, *stored.shape[1:])


def _linear(
    ours: str, theirs: str, size_out: int, size_in: int, bias: bool, part: Part = unchanged
) -> dict[str, Source]:
    """Return the sources of torch's Linear, whose kernel is [out, in]."""
    kernel = Source(f"{theirs}.weight", (size_out, size_in), lambda stored: part(stored).T)
    return {f"{ours}.kernel": kernel} | ({f"{ours}.bias": Source(f"{theirs}.bias", (size_out,), part)} if bias else {})


def _conv1d(ours: str, theirs: str, size_in: int, size_out: int, part: Part = unchanged) -> dict[str, Source]:
    """Return the sources of transformers' Conv1D, whose kernel is [in, out]."""
    kernel = Source(f"{theirs}.weight", (size_in, size_out), part)
    return {f"{ours}.kernel": kernel, f"{ours}.bias": Source(f"{theirs}.bias", (size_out,), part)}


def _layer_norm(ours: str, theirs: str, width: int) -> dict[str, Source]:
    return {
        f"{ours}.scale": Source(f"{theirs}.weight", (width,), unchanged),
        f"{ours}.bias": Source(f"{theirs}.bias", (width,), unchanged),
    }
