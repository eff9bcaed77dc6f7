"""Convert Hugging Face's config.json to a ``TransformerConfig``, and name the tensor of each parameter, by model type.

    llama, mistral, qwen2, qwen3   RMSNorm, rotary positions, SwiGLU; SmolLM and SmolLM2 call themselves llama
    gpt2                           LayerNorm, learned positions, kernels stored [in, out], one for q, k and v
    gpt_neox                       LayerNorm, partly rotary, kernels stored [out, in], q, k and v interleaved by head

All other fields of config.json have no effect on the computation of the reference, Hugging Face's transformers.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from circuits import checks
from circuits.pretrained.fields import Fields, choice, fixed, flag, integer, number
from circuits.pretrained.rotary import rotary
from circuits.pretrained.tensor_names import Source, gpt2_sources, llama_sources, neox_sources
from circuits.transformer.config import MAX_POSITIONS, TransformerConfig


class Family(NamedTuple):
    """How to read one model type.

    ``settings`` converts a config.json to fields of a ``TransformerConfig``; ``sources`` returns a source for every
    parameter. Names of all tensors but the unembedding start with ``prefix``, except in files of a bare model without
    unembedding. ``buffers`` matches names of tensors that are not parameters.
    """

    settings: Callable[[Fields], dict[str, Any]]
    sources: Callable[[TransformerConfig], dict[str, Source]]
    prefix: str
    embedding: str
    unembedding: tuple[str, ...]
    buffers: re.Pattern[str]


NEUTRAL_VALUES: dict[str, tuple[Any, ...]] = {
    "quantization_config": (None,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "rope_interleaved": (False, None),
    "pruned_heads": (None, {}),
}
"""Fields that would change the computation of any model, with the values at which they do not."""
GELU = {
    "gelu": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_fast": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "relu": "relu",
}
SILU = {"silu": "swiglu", "swish": "swiglu"}


def gpt2(fields: Fields) -> dict[str, Any]:
    """Return the settings of GPT-2."""
    fixed(fields, {"scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,)})
    return {
        "width": integer(fields, "n_embd"),
        "layers": integer(fields, "n_layer"),
        "heads": integer(fields, "n_head"),
        "mlp_width": integer(fields, "n_inner", 4 * integer(fields, "n_embd")),
        "vocab": integer(fields, "vocab_size"),
        "positions": integer(fields, "n_positions", max_value=MAX_POSITIONS),
        "activation": choice(fields, "activation_function", GELU, "gelu_new"),
        "norm_epsilon": number(fields, "layer_norm_epsilon", 1e-5),
        "tied": flag(fields, "tie_word_embeddings", True),
        "norm": "layer",
        "position": "learned",
        "bias": True,
    }


def neox(fields: Fields) -> dict[str, Any]:
    """Return the settings of GPT-NeoX and Pythia."""
    attention = flag(fields, "attention_bias", True)
    theta, fraction = ("rotary_emb_base", "rope_theta"), ("rotary_pct", "partial_rotary_factor")
    return _sizes(fields) | {
        "activation": choice(fields, "hidden_act", GELU, "gelu"),
        "norm_epsilon": number(fields, "layer_norm_eps", 1e-5),
        "tied": flag(fields, "tie_word_embeddings", False),
        "parallel": flag(fields, "use_parallel_residual", True),
        "norm": "layer",
        "position": "rotary",
        "bias": True,
        "qkv_bias": attention,
        "out_bias": attention,
        **rotary(fields, theta, fraction, 0.25),
    }


def llama(fields: Fields) -> dict[str, Any]:
    """Return the settings of Llama 1 to 3, SmolLM and SmolLM2."""
    attention = flag(fields, "attention_bias", False)
    biases = {"qkv_bias": attention, "out_bias": attention, "mlp_bias": flag(fields, "mlp_bias", False)}
    return _rms(fields) | biases


def mistral(fields: Fields) -> dict[str, Any]:
    """Return the settings of Mistral, in which either all layers have a window or none has."""
    absent = "sliding_window" not in fields  # the reference's default is 4096; null means no window
    window = 4096 if absent else integer(fields, "sliding_window", 0)
    _all_layers(fields, "sliding_attention" if window else "full_attention")
    return _grouped(fields) | {"window": window}


def qwen2(fields: Fields) -> dict[str, Any]:
    """Return the settings of Qwen2 and Qwen2.5, with biases on queries, keys and values."""
    _no_window(fields)
    return _grouped(fields) | {"qkv_bias": True}


def qwen3(fields: Fields) -> dict[str, Any]:
    """Return the settings of Qwen3, with norms on queries and keys."""
    _no_window(fields)
    integer(fields, "head_dim")  # required, because the reference has its own default
    attention = flag(fields, "attention_bias", False)
    return _grouped(fields) | {"qk_norm": True, "qkv_bias": attention, "out_bias": attention}


def _grouped(fields: Fields) -> dict[str, Any]:
    """Return the settings with the number of key heads required, because the reference has its own default."""
    checks.require("num_key_value_heads" in fields, "num_key_value_heads", "must be given", None)
    return _rms(fields)


def _rms(fields: Fields) -> dict[str, Any]:
    """Return the settings that the descendants of Llama share."""
    return _sizes(fields) | {
        "kv_heads": integer(fields, "num_key_value_heads", 0),
        "head_dim": integer(fields, "head_dim", 0),
        "activation": choice(fields, "hidden_act", SILU, "silu"),
        "norm_epsilon": number(fields, "rms_norm_eps", 1e-6),
        "tied": flag(fields, "tie_word_embeddings", False),
        "norm": "rms",
        "position": "rotary",
        "bias": False,
        **rotary(fields),
    }


def _sizes(fields: Fields) -> dict[str, Any]:
    return {
        "width": integer(fields, "hidden_size"),
        "layers": integer(fields, "num_hidden_layers"),
        "heads": integer(fields, "num_attention_heads"),
        "mlp_width": integer(fields, "intermediate_size"),
        "vocab": integer(fields, "vocab_size"),
        "positions": integer(fields, "max_position_embeddings", max_value=MAX_POSITIONS),
    }


def _no_window(fields: Fields) -> None:
    fixed(fields, {"use_sliding_window": (False,)})
    _all_layers(fields, "full_attention")


def _all_layers(fields: Fields, kind: str) -> None:
    kinds = fields.get("layer_types")
    same = kinds is None or (isinstance(kinds, list) and all(one == kind for one in kinds))
    checks.require(same, "layer_types", f"must all be {kind}", kinds)


_LLAMA = ("model.", "embed_tokens.weight", ("lm_head.weight",))
_FREQUENCIES = re.compile(r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
FAMILIES = {
    "gpt2": Family(
        gpt2,
        gpt2_sources,
        "transformer.",
        "wte.weight",
        ("lm_head.weight",),
        re.compile(r"h\.\d+\.attn\.(bias|masked_bias)"),
    ),
    "gpt_neox": Family(
        neox,
        neox_sources,
        "gpt_neox.",
        "embed_in.weight",
        ("embed_out.weight", "lm_head.weight"),
        re.compile(r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)"),
    ),
    "llama": Family(llama, llama_sources, *_LLAMA, _FREQUENCIES),
    "mistral": Family(mistral, llama_sources, *_LLAMA, _FREQUENCIES),
    "qwen2": Family(qwen2, llama_sources, *_LLAMA, _FREQUENCIES),
    "qwen3": Family(qwen3, llama_sources, *_LLAMA, _FREQUENCIES),
}
