"""Small transformers that differ in every choice of the config, with every parameter drawn at random."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor

VOCAB, POSITIONS = 11, 9
LLAMA = {"norm": "rms", "position": "rotary", "activation": "swiglu"}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt": {"norm": "layer", "position": "learned", "activation": "gelu"},
    "biased": {"activation": "relu", "bias": True, "mlp_width": 20, "prediction_heads": 3},
    "approximate": {"activation": "gelu-tanh", "kv_heads": 2, "norm_epsilon": 0.1, "tied": True},
    "llama": LLAMA | {"kv_heads": 2, "prediction_heads": 3, "tied": True},
    "one key head": {"position": "rotary", "kv_heads": 1, "bias": True, "rotary_base": 50.0, "layers": 3},
    "all biased": LLAMA | {"bias": True, "heads": 2},
    "neox": {"position": "rotary", "bias": True, "parallel": True, "head_dim": 8}
    | {"rotary_fraction": 0.25, "rotary_factor": 3.0},
    "qwen": LLAMA | {"head_dim": 6, "kv_heads": 2, "qk_norm": True, "qkv_bias": True, "heads": 6},
    "mistral": LLAMA
    | {"window": 3, "kv_heads": 1, "width": 32}
    | {"rotary_factor": 4.0, "rotary_original": 20, "rotary_base": 20.0, "rotary_high": 3.0},
    "windowed": {"window": 4, "parallel": True, "bias": True, "out_bias": False, "qk_norm": True, "norm_epsilon": 0.1},
    "biased mlp": {"mlp_bias": True, "out_bias": True, "rotary_fraction": 0.5, "position": "rotary", "window": 1},
}
"""Each norm, position, activation, grouping, bias, tying, head norm, window and rotary choice, most of them in several
combinations."""


def small_config(name: str = "gpt", **changes: Any) -> TransformerConfig:
    """Return a config of the table, in float64 unless changed."""
    small: dict[str, Any] = {"vocab": VOCAB, "positions": POSITIONS, "layers": 2, "heads": 4, "width": 16}
    double = {"dtype": "float64", "param_dtype": "float64"}
    fields: dict[str, Any] = small | double | CONFIGS[name] | changes
    return TransformerConfig(**fields)


def random_model(config: TransformerConfig, seed: int = 0) -> Predictor:
    """Return a model whose parameters are all noise, so that no bias is 0 and no scale 1.

    Drawn by numpy: the model's own initialisation compiles a program for every shape.
    """
    graph, shapes = _abstract(config)
    rng = np.random.default_rng(seed)

    def noise(path: Any, leaf: Any) -> jax.Array:
        centre = 1.0 if "scale" in jax.tree_util.keystr(path) else 0.0
        return jnp.asarray((centre + 0.3 * rng.normal(size=leaf.shape)).astype(leaf.dtype))

    return nnx.merge(graph, jax.tree_util.tree_map_with_path(noise, shapes))


@cache
def _abstract(config: TransformerConfig) -> tuple[Any, Any]:
    return nnx.split(nnx.eval_shape(lambda: Predictor(config, nnx.Rngs(0))))


def pure(model: nnx.Module) -> dict[Any, Any]:
    """Return the parameters as nested dictionaries of numpy arrays."""
    return jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))


def random_tokens(length: int = POSITIONS, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).integers(0, VOCAB, length), jnp.int32)


def operations(config: TransformerConfig, length: int) -> int:
    """Return the number of operations on the longest way through all blocks, for ``rounding``.

    For each block the terms of its sums: mean and variance of two norms, the products into queries, keys or values, of
    scores, over the softmax and its values, out of attention, and into and out of the MLP.
    """
    width, joined = config.width, config.heads * config.head_width
    attention = width + config.head_width + 2 * length + joined
    return config.layers * (4 * width + attention + width + config.hidden)


def compiled(model: Predictor, *args: Any) -> Any:
    """Return ``model(*args)`` from one program, of which the args are constants."""
    graph, state = nnx.split(model)
    return jax.jit(lambda state: nnx.merge(graph, state)(*args))(state)
