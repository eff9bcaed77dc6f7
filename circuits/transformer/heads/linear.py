"""Prediction heads that are independent unembeddings of one stream."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from circuits.transformer.block import KVCache
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads.streams import HeadContext, HeadOutput, Streams
from circuits.transformer.layers import Norm


class LinearHeads(nnx.Module):
    """k independent unembeddings of one stream. With ``config.tied``, head 0 uses the token embedding."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.kernels = unembeddings(config, config.prediction_heads, rngs)

    def __call__(self, final: Float[Array, "T d"], head: int, embedding: Float[Array, "V d"]) -> Float[Array, "T V"]:
        """Return the logits of one head, in the model's dtype."""
        kernel = self.stacked(embedding)[head]
        return jnp.matmul(final, kernel.astype(final.dtype), precision=self.config.precision)

    def stacked(self, embedding: Float[Array, "V d"]) -> Float[Array, "k d V"]:
        """Return the unembeddings of all heads."""
        if not self.config.tied:
            return self.kernels[...]
        return jnp.concatenate([embedding.T[None], self.kernels[...]])

    @property
    def chained(self) -> bool:
        """Whether a head starts from the previous one."""
        return False

    def base(self, streams: Streams) -> Float[Array, "T d"]:
        """Return the stream from which heads 1 .. k - 1 start."""
        return streams.final

    def token_offset(self, head: int) -> int:
        """Return how many positions ahead head 1 .. k - 1 reads a token; 0 if it reads none."""
        return 0

    def step(self, head: int, state: Float[Array, "T d"], context: HeadContext, norm: Norm) -> HeadOutput:
        """Return the stream of head 1 .. k - 1, the same as that of head 0."""
        return HeadOutput(state, state, ())

    def empty_cache(self, capacity: int) -> tuple[KVCache, ...]:
        """Return a KV cache without layers for each of the heads 1 .. k - 1."""
        return ((),) * (self.config.prediction_heads - 1)


def unembeddings(config: TransformerConfig, count: int, rngs: nnx.Rngs) -> nnx.Param[Array]:
    """Return ``count`` unembeddings with entries of variance 1 / d; one fewer if head 0 is tied."""
    draw, dtype = nnx.initializers.normal(config.width**-0.5), jnp.dtype(config.param_dtype)
    return nnx.Param(draw(rngs.params(), (count - config.tied, config.width, config.vocab), dtype))
