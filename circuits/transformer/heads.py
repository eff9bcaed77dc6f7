"""Parallel linear prediction heads, and their cross-entropies one head at a time."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from circuits.transformer.config import TransformerConfig
from circuits.transformer.layers import wide


class LinearHeads(nnx.Module):
    """k independent unembeddings of one stream. With ``config.tied`` the first one is the token embedding."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        shape = (config.prediction_heads - config.tied, config.width, config.vocab)
        draw = nnx.initializers.normal(config.width**-0.5)
        self.kernels = nnx.Param(draw(rngs.params(), shape, jnp.dtype(config.param_dtype)))

    def __call__(self, final: Float[Array, "T d"], head: int, embedding: Float[Array, "V d"]) -> Float[Array, "T V"]:
        """Logits of one head, in the model's dtype."""
        kernel = self.stacked(embedding)[head]
        return jnp.matmul(final, kernel.astype(final.dtype), precision=self.config.precision)

    def stacked(self, embedding: Float[Array, "V d"]) -> Float[Array, "k d V"]:
        """The kernels of all heads."""
        if not self.config.tied:
            return self.kernels[...]
        return jnp.concatenate([embedding.T[None], self.kernels[...]])


@partial(jax.jit, static_argnames="precision")
def head_losses(
    final: Float[Array, "n d"],
    kernels: Float[Array, "k d V"],
    targets: Int[Array, "k n"],
    counted: Bool[Array, "k n"],
    precision: str = "highest",
) -> Float[Array, "k"]:
    """Sum over counted positions of -log p_m(target), for each head m; softmax in float32 at least.

    The heads go one at a time, forward and backward: the logits of one are forgotten before the next, and made again
    for its gradient. So memory is that of one head, n V, whatever k is (the order of Gloeckle et al. 2024).
    """

    @jax.checkpoint
    def one(_, head):
        kernel, wanted, kept = head
        logits = wide(jnp.matmul(final, kernel.astype(final.dtype), precision=precision))
        chosen = jnp.take_along_axis(logits, wanted[:, None], axis=-1)[:, 0]
        surprise = jax.nn.logsumexp(logits, axis=-1) - chosen
        return None, jnp.sum(jnp.where(kept, surprise, 0))

    return jax.lax.scan(one, None, (kernels, targets, counted))[1]
