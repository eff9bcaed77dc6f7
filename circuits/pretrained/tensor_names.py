"""Where each parameter of a family of models lies in its files: names, shapes and layouts of the tensors."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from circuits.transformer.config import TransformerConfig

Part = Callable[[np.ndarray], np.ndarray]
"""From a view of a tensor in the file to a view of it, or a copy, that is laid out as ours."""


class Source(NamedTuple):
    """Where a parameter comes from: a tensor's name and shape in the file, and how a view of it becomes ours."""

    name: str
    shape: tuple[int, ...]
    ours: Part


def llama_sources(config: TransformerConfig) -> dict[str, Source]:
    """Tensors of the descendants of Llama: kernels are stored [out, in]."""
    d, inner, shared = config.width, config.heads * config.head_width, config.key_heads * config.head_width
    found = {
        "transformer.tokens": Source("embed_tokens.weight", (config.vocab, d), _as_is),
        "transformer.norm.scale": Source("norm.weight", (d,), _as_is),
    }
    for i in range(config.layers):
        ours, theirs = f"transformer.blocks.{i}", f"layers.{i}"
        found[f"{ours}.norm_attn.scale"] = Source(f"{theirs}.input_layernorm.weight", (d,), _as_is)
        found[f"{ours}.norm_mlp.scale"] = Source(f"{theirs}.post_attention_layernorm.weight", (d,), _as_is)
        for part, name, size in (("query", "q", inner), ("key", "k", shared), ("value", "v", shared)):
            found |= _affine(f"{ours}.attn.{part}", f"{theirs}.self_attn.{name}_proj", size, d, config.biased("qkv"))
        found |= _affine(f"{ours}.attn.out", f"{theirs}.self_attn.o_proj", d, inner, config.biased("out"))
        for part, name in (("query", "q"), ("key", "k")) if config.qk_norm else ():
            source = Source(f"{theirs}.self_attn.{name}_norm.weight", (config.head_width,), _as_is)
            found[f"{ours}.attn.{part}_norm.scale"] = source
        hidden, bias = config.hidden, config.biased("mlp")
        for part, name, out, into in (
            ("into", "up", hidden, d),
            ("gate", "gate", hidden, d),
            ("out", "down", d, hidden),
        ):
            found |= _affine(f"{ours}.mlp.{part}", f"{theirs}.mlp.{name}_proj", out, into, bias)
    return found


def gpt2_sources(config: TransformerConfig) -> dict[str, Source]:
    """Tensors of GPT-2: kernels are stored [in, out], those of q, k and v one after the other."""
    d, hidden = config.width, config.hidden
    found = {
        "transformer.tokens": Source("wte.weight", (config.vocab, d), _as_is),
        "transformer.positions": Source("wpe.weight", (config.positions, d), _as_is),
        **_layer_norm("transformer.norm", "ln_f", d),
    }
    for i in range(config.layers):
        ours, theirs = f"transformer.blocks.{i}", f"h.{i}"
        found |= _layer_norm(f"{ours}.norm_attn", f"{theirs}.ln_1", d)
        found |= _layer_norm(f"{ours}.norm_mlp", f"{theirs}.ln_2", d)
        for number, part in enumerate(("query", "key", "value")):
            found |= _stored_as_ours(f"{ours}.attn.{part}", f"{theirs}.attn.c_attn", d, 3 * d, _third(number, d))
        found |= _stored_as_ours(f"{ours}.attn.out", f"{theirs}.attn.c_proj", d, d)
        found |= _stored_as_ours(f"{ours}.mlp.into", f"{theirs}.mlp.c_fc", d, hidden)
        found |= _stored_as_ours(f"{ours}.mlp.out", f"{theirs}.mlp.c_proj", hidden, d)
    return found


def neox_sources(config: TransformerConfig) -> dict[str, Source]:
    """Tensors of GPT-NeoX: kernels are stored [out, in]; the rows of q, k and v alternate head by head."""
    d, hidden = config.width, config.hidden
    found = {
        "transformer.tokens": Source("embed_in.weight", (config.vocab, d), _as_is),
        **_layer_norm("transformer.norm", "final_layer_norm", d),
    }
    for i in range(config.layers):
        ours, theirs = f"transformer.blocks.{i}", f"layers.{i}"
        found |= _layer_norm(f"{ours}.norm_attn", f"{theirs}.input_layernorm", d)
        found |= _layer_norm(f"{ours}.norm_mlp", f"{theirs}.post_attention_layernorm", d)
        fused, bias = f"{theirs}.attention.query_key_value", config.biased("qkv")
        for number, part in enumerate(("query", "key", "value")):
            found |= _affine(f"{ours}.attn.{part}", fused, 3 * d, d, bias, _of_head(number, config.heads))
        found |= _affine(f"{ours}.attn.out", f"{theirs}.attention.dense", d, d, config.biased("out"))
        found |= _affine(f"{ours}.mlp.into", f"{theirs}.mlp.dense_h_to_4h", hidden, d, True)
        found |= _affine(f"{ours}.mlp.out", f"{theirs}.mlp.dense_4h_to_h", d, hidden, True)
    return found


def _as_is(stored: np.ndarray) -> np.ndarray:
    return stored


def _third(number: int, size: int) -> Part:
    return lambda stored: stored[..., number * size : (number + 1) * size]


def _of_head(number: int, heads: int) -> Part:
    """Rows [H, 3, h] of which one third is wanted; this is a copy, since no view has them in a row."""
    return lambda stored: stored.reshape(heads, 3, -1, *stored.shape[1:])[:, number].reshape(-1, *stored.shape[1:])


def _affine(ours: str, theirs: str, out: int, into: int, bias: bool, part: Part = _as_is) -> dict[str, Source]:
    """Of torch's Linear, whose kernel is [out, in]."""
    found = {f"{ours}.kernel": Source(f"{theirs}.weight", (out, into), lambda stored: part(stored).T)}
    return found | ({f"{ours}.bias": Source(f"{theirs}.bias", (out,), part)} if bias else {})


def _stored_as_ours(ours: str, theirs: str, into: int, out: int, part: Part = _as_is) -> dict[str, Source]:
    kernel = Source(f"{theirs}.weight", (into, out), part)
    return {f"{ours}.kernel": kernel, f"{ours}.bias": Source(f"{theirs}.bias", (out,), part)}


def _layer_norm(ours: str, theirs: str, width: int) -> dict[str, Source]:
    return {
        f"{ours}.scale": Source(f"{theirs}.weight", (width,), _as_is),
        f"{ours}.bias": Source(f"{theirs}.bias", (width,), _as_is),
    }
