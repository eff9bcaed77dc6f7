"""Cross-entropies of prediction heads, one head at a time."""

from collections.abc import Callable
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

    return _one_at_a_time(lambda kernel: (final, kernel), kernels, (targets, counted, weights), precision)


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

    return _one_at_a_time(lambda stream: (stream, kernel), streams, (targets, counted, weights), precision)


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


def _one_at_a_time(
    factors: Callable[[Array], tuple[Float[Array, "n d"], Float[Array, "d V"]]],
    own: Float[Array, "k ..."],
    rest: tuple[Array | None, ...],
    precision: str,
) -> Float[Array, "k"]:
    """``factors`` gives the stream and the unembedding of a head from what is its own."""

    @jax.checkpoint
    def one(_, head):
        part, *others = head
        stream, kernel = factors(part)
        return None, _surprise(jnp.matmul(stream, kernel.astype(stream.dtype), precision=precision), *others)

    return jax.lax.scan(one, None, (own, *rest))[1]


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
