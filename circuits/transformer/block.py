"""One pre-norm block: attention and an MLP, each added to the residual stream."""

from collections.abc import Iterable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.transformer.attention import Attention, KeyValue
from circuits.transformer.config import TransformerConfig
from circuits.transformer.layers import Mlp, Norm
from circuits.transformer.taps import UNTAPPED, Tap

Past = tuple[KeyValue, ...]
"""Keys and values of blocks one after the other."""


class Block(nnx.Module):
    """x + attention(norm x), then x + mlp(norm x); or with ``parallel`` x + attention(norm x) + mlp(norm x)."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.parallel = config.parallel
        self.norm_attn = Norm(config, rngs)
        self.attn = Attention(config, rngs)
        self.norm_mlp = Norm(config, rngs)
        self.mlp = Mlp(config, rngs)

    def __call__(
        self, x: Float[Array, "T d"], places: Int[Array, " T"], past: KeyValue | None = None, tap: Tap = UNTAPPED
    ) -> tuple[Float[Array, "T d"], KeyValue]:
        """The stream that leaves the block, and the keys and values of its attention."""
        x = tap("resid_pre", x)
        out, now = self.attn(tap("attn_in", self.norm_attn(x)), places, past, tap.within("attn"))
        mid = x + tap("attn_out", out)
        if not self.parallel:
            x = mid = tap("resid_mid", mid)
        hidden = tap("mlp_in", self.norm_mlp(x))
        x = mid + tap("mlp_out", self.mlp(hidden, tap.within("mlp")))
        return tap("resid_post", x), now


def through(
    blocks: Iterable[Block],
    x: Float[Array, "T d"],
    places: Int[Array, " T"],
    past: Past | None,
    tap: Tap,
    first: int = 0,
) -> tuple[Float[Array, "T d"], Past]:
    """The stream after blocks one after the other, and their keys and values; ``first`` numbers the first for taps."""
    now = []
    for i, block in enumerate(blocks):
        x, layer = block(x, places, None if past is None else past[i], tap.within(f"blocks.{first + i}"))
        now.append(layer)
    return x, tuple(now)


def empty_past(config: TransformerConfig, count: int, room: int) -> Past:
    """Keys and values of so many blocks at ``room`` places, to be filled by calls with ``past``."""
    empty = jnp.zeros((room, config.key_heads, config.head_width), config.dtype)
    return tuple(KeyValue(empty, empty) for _ in range(count))


def block_taps(config: TransformerConfig) -> list[str]:
    """The taps of a block, in the order in which they fire."""
    gate = ["mlp.gate"] * (config.activation == "swiglu")
    attention = [f"attn.{name}" for name in ("q", "k", "v", "scores", "pattern", "z")]
    middle = ["resid_mid"] * (not config.parallel)
    names = ["resid_pre", "attn_in", *attention, "attn_out", *middle]
    return [*names, "mlp_in", "mlp.pre", *gate, "mlp.post", "mlp_out", "resid_post"]
