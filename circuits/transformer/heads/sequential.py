"""Prediction heads that keep the causal chain: each reads the previous one and the token that is known by then."""

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

    h is the stream of the previous head, or of the last block for the first of these heads; x is the token m positions
    ahead for head m + 1.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        rms = replace(config, norm="rms")
        self.norm_stream, self.norm_token = Norm(rms, rngs), Norm(rms, rngs)
        self.project = linear(config, 2 * config.width, config.width, False, rngs)
        self.blocks = nnx.List([Block(config, rngs)])

    def __call__(self, h: Float[Array, "T d"], context: HeadContext) -> tuple[Float[Array, "T d"], KVCache]:
        assert context.token is not None  # SharedHeads.token_offset asks for one
        injected = context.tap("injected", self.norm_token(context.token))
        x = self.project(jnp.concatenate([self.norm_stream(h), injected], axis=-1))
        return run_blocks(self.blocks, x, context.positions, context.kv_cache, context.tap)
