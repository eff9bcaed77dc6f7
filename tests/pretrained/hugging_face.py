"""Small random models of transformers, every family and variant, written as that library writes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

VOCAB, LENGTH = 19, 12
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": VOCAB}
LLAMA = SMALL | {"intermediate_size": 24, "max_position_embeddings": 40, "num_key_value_heads": 2}
NEOX = SMALL | {"intermediate_size": 40, "max_position_embeddings": 32, "num_attention_heads": 2}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 14, "vocab_size": VOCAB}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 30.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 20,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", GPT2),
    "gpt2 relu, narrow MLP": ("gpt2", GPT2 | {"n_inner": 10, "activation_function": "relu", "layer_norm_epsilon": 0.1}),
    "gpt2 untied": ("gpt2", GPT2 | {"tie_word_embeddings": False, "activation_function": "gelu"}),
    "llama": ("llama", LLAMA),
    "llama tied, biased": (
        "llama",
        LLAMA | {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "rms_norm_eps": 0.1},
    ),
    "llama biased attention": ("llama", LLAMA | {"attention_bias": True}),
    "llama 3": ("llama", LLAMA | {"head_dim": 16, "rope_parameters": LLAMA3}),
    "llama linear": ("llama", LLAMA | {"rope_parameters": {"rope_type": "linear", "rope_theta": 50.0, "factor": 3.0}}),
    "llama ungrouped": ("llama", LLAMA | {"num_key_value_heads": 4, "head_dim": 6}),
    "mistral": ("mistral", LLAMA | {"sliding_window": 4}),
    "mistral without window": ("mistral", LLAMA | {"sliding_window": None, "head_dim": 6}),
    "qwen2": ("qwen2", LLAMA | {"tie_word_embeddings": True}),
    "qwen2 untied": ("qwen2", LLAMA | {"num_key_value_heads": 1}),
    "qwen3": ("qwen3", LLAMA | {"head_dim": 6}),
    "qwen3 biased": ("qwen3", LLAMA | {"head_dim": 8, "attention_bias": True, "tie_word_embeddings": True}),
    "gpt_neox": ("gpt_neox", NEOX),
    "gpt_neox half rotary": (
        "gpt_neox",
        NEOX | {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.5}},
    ),
    "gpt_neox in turn": ("gpt_neox", NEOX | {"use_parallel_residual": False, "hidden_act": "gelu_new"}),
    "gpt_neox unbiased attention": ("gpt_neox", NEOX | {"attention_bias": False, "tie_word_embeddings": True}),
}


def random_model(kind: str, settings: dict[str, Any], dtype: Any = None, seed: int = 0) -> Any:
    """Return a model of transformers whose every parameter is noise, so that no bias is 0 and no scale 1."""
    torch, transformers = (import_module(name) for name in ("torch", "transformers"))
    config = transformers.AutoConfig.for_model(kind, **settings)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 1.0 if name.endswith("weight") and "norm" in name.lower() + name.replace("ln_", "norm") else 0.0
            parameter.copy_(scale + 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return model.to(dtype or torch.float32)


def tokens(length: int = LENGTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCAB, length).astype(np.int32)


def outputs(model: Any, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logits [T, V] and attention patterns [L, H, T, T]."""
    torch = import_module("torch")
    with torch.no_grad():
        found = model(input_ids=torch.tensor(ids[None]).long(), output_attentions=True)
    return found.logits[0].numpy(), np.stack([pattern[0].numpy() for pattern in found.attentions])


@contextmanager
def all_in_float64(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute in float64 what transformers computes in float32 for any model: rotary angles, RMSNorm and softmax."""
    torch = import_module("torch")
    with patch.context() as here:
        here.setattr(torch, "float", torch.float64)
        here.setattr(torch, "float32", torch.float64)
        here.setattr(torch.Tensor, "float", torch.Tensor.double)
        yield


def save(model: Any, folder: Path, **options: Any) -> Path:
    """Save a model, and return the folder."""
    model.save_pretrained(folder, **options)
    return folder
