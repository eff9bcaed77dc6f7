"""Cross-entropies of prediction heads, one head at a time."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from circuits.transformer.layers import wide


@partial(jax.jit, static_argnames="precision")
def head_losses(
    final: Float[Array, "n d"],
    kernels: Float[Array, "k d V"],
    targets: Int[Array, "k n"],
    counted: Bool[Array, "k n"],
    precision: str = "highest",
    weights: Float[Array, "k n"] | None = None,
) -> Float[Array, "k"]:
    """Sum over counted positions of -log p_m(target), for each head m; softmax in float32 at least.

    ``weights`` multiply each term. The heads go one at a time, forward and backward: the logits of one are forgotten
    before the next, and made again for its gradient. So memory is that of one head, n V, whatever k is (the order of
    Gloeckle et al. 2024).
    """

    @jax.checkpoint
    def one(_, head):
        kernel, *rest = head
        return None, _surprise(jnp.matmul(final, kernel.astype(final.dtype), precision=precision), *rest)

    return jax.lax.scan(one, None, (kernels, targets, counted, weights))[1]


@partial(jax.jit, static_argnames="precision")
def shared_losses(
    streams: Float[Array, "k n d"],
    kernel: Float[Array, "d V"],
    targets: Int[Array, "k n"],
    counted: Bool[Array, "k n"],
    precision: str = "highest",
    weights: Float[Array, "k n"] | None = None,
) -> Float[Array, "k"]:
    """The same for heads that read streams of their own with one unembedding: memory n V + k n d."""

    @jax.checkpoint
    def one(_, head):
        stream, *rest = head
        return None, _surprise(jnp.matmul(stream, kernel.astype(stream.dtype), precision=precision), *rest)

    return jax.lax.scan(one, None, (streams, targets, counted, weights))[1]


def logit_losses(
    logits: Float[Array, "k n V"],
    targets: Int[Array, "k n"],
    counted: Bool[Array, "k n"],
    weights: Float[Array, "k n"] | None = None,
) -> Float[Array, "k"]:
    """The same from logits, for models whose logits are no product of a stream and an unembedding."""
    rows = range(logits.shape[0])
    each = [None] * len(rows) if weights is None else weights
    return jnp.stack([_surprise(logits[m], targets[m], counted[m], each[m]) for m in rows])


def _surprise(
    logits: Float[Array, "n V"],
    targets: Int[Array, " n"],
    counted: Bool[Array, " n"],
    weights: Float[Array, " n"] | None,
) -> Float[Array, ""]:
    logits = wide(logits)
    chosen = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    surprise = jax.nn.logsumexp(logits, axis=-1) - chosen
    surprise = surprise if weights is None else surprise * weights.astype(surprise.dtype)
    return jnp.sum(jnp.where(counted, surprise, 0))
