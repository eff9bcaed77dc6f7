"""Prediction heads in a causal chain: each reads the previous one, and the token just before the one it predicts."""

from dataclasses import replace

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from circuits.transformer.block import Block, KVCache, run_blocks
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads.streams import HeadContext
from circuits.transformer.layers import Norm, linear


class SequentialHead(nnx.Module):
    """Block(M [RMSNorm(h); RMSNorm(Emb(x))]) with M of 2d x d, before the shared final norm (DeepSeek-V3, 2.2).

    For head m, h is the stream of head m - 1 (for m = 1 that of the last block), and x the token m positions ahead.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        rms = replace(config, norm="rms")
        self.norm_stream, self.norm_token = Norm(rms, rngs), Norm(rms, rngs)
        self.project = linear(config, 2 * config.width, config.width, False, rngs)
        self.blocks = nnx.List([Block(config, rngs)])

    def __call__(self, h: Float[Array, "T d"], context: HeadContext) -> tuple[Float[Array, "T d"], KVCache]:
        assert context.token is not None  # token_offset is not 0 for this kind
        injected = context.tap("injected", self.norm_token(context.token))
        x = self.project(jnp.concatenate([self.norm_stream(h), injected], axis=-1))
        return run_blocks(self.blocks, x, context.positions, context.kv_cache, context.tap)
