"""One pre-norm block: attention and an MLP, each added to the residual stream."""

from collections.abc import Iterable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.transformer.attention import Attention, KeyValue
from circuits.transformer.config import TransformerConfig
from circuits.transformer.layers import Mlp, Norm
from circuits.transformer.taps import UNTAPPED, Tap

KVCache = tuple[KeyValue, ...]
"""Keys and values of consecutive blocks."""


class Block(nnx.Module):
    """x + attention(norm x), then x + mlp(norm x); or with ``parallel`` x + attention(norm x) + mlp(norm x)."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.parallel = config.parallel
        self.norm_attn = Norm(config, rngs)
        self.attn = Attention(config, rngs)
        self.norm_mlp = Norm(config, rngs)
        self.mlp = Mlp(config, rngs)

    def __call__(
        self, x: Float[Array, "T d"], positions: Int[Array, " T"], kv_cache: KeyValue | None = None, tap: Tap = UNTAPPED
    ) -> tuple[Float[Array, "T d"], KeyValue]:
        """Return the stream after the block, and the keys and values of its attention."""
        x = tap("resid_pre", x)
        out, kv = self.attn(tap("attn_in", self.norm_attn(x)), positions, kv_cache, tap.within("attn"))
        mid = x + tap("attn_out", out)
        if not self.parallel:
            x = mid = tap("resid_mid", mid)
        mlp_in = tap("mlp_in", self.norm_mlp(x))
        x = mid + tap("mlp_out", self.mlp(mlp_in, tap.within("mlp")))
        return tap("resid_post", x), kv


def run_blocks(
    blocks: Iterable[Block],
    x: Float[Array, "T d"],
    positions: Int[Array, " T"],
    kv_cache: KVCache | None,
    tap: Tap,
    first: int = 0,
) -> tuple[Float[Array, "T d"], KVCache]:
    """Return the stream after consecutive blocks, and their KV cache. In tap names, blocks count from ``first``."""
    layers = []
    for i, block in enumerate(blocks):
        x, kv = block(x, positions, None if kv_cache is None else kv_cache[i], tap.within(f"blocks.{first + i}"))
        layers.append(kv)
    return x, tuple(layers)


def empty_cache(config: TransformerConfig, layers: int, capacity: int) -> KVCache:
    """Return an empty KV cache for ``layers`` blocks and ``capacity`` positions."""
    empty = jnp.zeros((capacity, config.key_heads, config.head_width), config.dtype)
    return tuple(KeyValue(empty, empty) for _ in range(layers))


def block_taps(config: TransformerConfig) -> list[str]:
    """Return the tap names of a block, in the order in which they fire."""
    gate = ["mlp.gate"] * (config.activation == "swiglu")
    attention = [f"attn.{name}" for name in ("q", "k", "v", "scores", "pattern", "z")]
    middle = ["resid_mid"] * (not config.parallel)
    names = ["resid_pre", "attn_in", *attention, "attn_out", *middle]
    return [*names, "mlp_in", "mlp.pre", *gate, "mlp.post", "mlp_out", "resid_post"]
