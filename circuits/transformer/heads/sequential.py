"""Heads that keep the causal chain: each reads the one before it and the token that is known by then."""

from dataclasses import replace

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.transformer.block import Block, Past, through
from circuits.transformer.config import TransformerConfig
from circuits.transformer.layers import Norm, linear
from circuits.transformer.taps import Tap


class SequentialHead(nnx.Module):
    """Block(M [RMSNorm(h); RMSNorm(Emb(x))]) with M of 2d x d, before the shared last norm (DeepSeek-V3, 2.2).

    Here h is the stream that leaves the head before, or the last block for the first of these, and x the token m
    places on for head m + 1.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        rms = replace(config, norm="rms")
        self.norm_stream, self.norm_token = Norm(rms, rngs), Norm(rms, rngs)
        self.project = linear(config, 2 * config.width, config.width, False, rngs)
        self.blocks = nnx.List([Block(config, rngs)])

    def __call__(
        self,
        h: Float[Array, "T d"],
        token: Float[Array, "T d"] | None,
        places: Int[Array, " T"],
        past: Past | None,
        tap: Tap,
    ) -> tuple[Float[Array, "T d"], Past]:
        assert token is not None  # SharedHeads.offset asks for one
        injected = tap("injected", self.norm_token(token))
        x = self.project(jnp.concatenate([self.norm_stream(h), injected], axis=-1))
        return through(self.blocks, x, places, past, tap)
