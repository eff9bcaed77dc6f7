"""Cross-entropies of prediction heads, one head at a time."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from circuits.transformer.layers import upcast


@partial(jax.jit, static_argnames="precision")
def head_losses(
    final: Float[Array, "n d"],
    kernels: Float[Array, "k d V"],
    targets: Int[Array, "k n"],
    mask: Bool[Array, "k n"],
    precision: str = "highest",
    weights: Float[Array, "k n"] | None = None,
) -> Float[Array, "k"]:
    """Return the summed cross-entropy of each linear prediction head: Σ_n mask w (-log p_m(target)), in nats.

    The heads run one at a time, forward and backward: the logits of one head are dropped before the next one and
    recomputed for the gradient (the order of Gloeckle et al. 2024). So the memory is that of one head, n V, for any k.

    Args:
        final: the stream after the final norm, at n positions, [n, d].
        kernels: the unembedding of each head, [k, d, V].
        targets: the correct token of each head at each position, [k, n].
        mask: whether to count the target, [k, n].
        precision: precision of matrix products on accelerators.
        weights: factor w of each term, [k, n]. None: 1.

    Returns:
        Losses [k], with softmax and sum in at least float32.

    Example:
        >>> targets = jnp.zeros((2, 5), jnp.int32)
        >>> losses = head_losses(jnp.ones((5, 8)), jnp.zeros((2, 8, 4)), targets, mask=targets == 0)
        >>> bool(jnp.allclose(losses, 5 * jnp.log(4.0)))  # uniform over 4 tokens, at 5 positions
        True
    """
    return _one_at_a_time(lambda kernel: (final, kernel), kernels, (targets, mask, weights), precision)


@partial(jax.jit, static_argnames="precision")
def shared_losses(
    streams: Float[Array, "k n d"],
    kernel: Float[Array, "d V"],
    targets: Int[Array, "k n"],
    mask: Bool[Array, "k n"],
    precision: str = "highest",
    weights: Float[Array, "k n"] | None = None,
) -> Float[Array, "k"]:
    """Return ``head_losses`` for heads with one shared unembedding and a stream each, in memory n V + k n d.

    Args:
        streams: the stream of each head, [k, n, d].
        kernel: the unembedding, [d, V].
        targets: the correct token of each head at each position, [k, n].
        mask: whether to count the target, [k, n].
        precision: precision of matrix products on accelerators.
        weights: factor of each term, [k, n]. None: 1.

    Returns:
        Losses [k], with softmax and sum in at least float32.

    Example:
        >>> targets = jnp.zeros((2, 5), jnp.int32)
        >>> losses = shared_losses(jnp.ones((2, 5, 8)), jnp.zeros((8, 4)), targets, mask=targets == 0)
        >>> bool(jnp.allclose(losses, 5 * jnp.log(4.0)))  # uniform over 4 tokens, at 5 positions
        True
    """
    return _one_at_a_time(lambda stream: (stream, kernel), streams, (targets, mask, weights), precision)


def logit_losses(
    logits: Float[Array, "k n V"],
    targets: Int[Array, "k n"],
    mask: Bool[Array, "k n"],
    weights: Float[Array, "k n"] | None = None,
) -> Float[Array, "k"]:
    """Return ``head_losses`` from logits, for models whose logits are no product of stream and unembedding.

    Args:
        logits: of each head, [k, n, V].
        targets: the correct token of each head at each position, [k, n].
        mask: whether to count the target, [k, n].
        weights: factor of each term, [k, n]. None: 1.

    Returns:
        Losses [k], with softmax and sum in at least float32.

    Example:
        >>> targets = jnp.zeros((2, 5), jnp.int32)
        >>> losses = logit_losses(jnp.zeros((2, 5, 4)), targets, mask=targets == 0)
        >>> bool(jnp.allclose(losses, 5 * jnp.log(4.0)))  # uniform over 4 tokens, at 5 positions
        True
    """
    each = [None] * logits.shape[0] if weights is None else weights
    return jnp.stack([_cross_entropy(logits[m], targets[m], mask[m], each[m]) for m in range(logits.shape[0])])


def _one_at_a_time(
    factors: Callable[[Array], tuple[Float[Array, "n d"], Float[Array, "d V"]]],
    own: Float[Array, "k ..."],
    rest: tuple[Array | None, ...],
    precision: str,
) -> Float[Array, "k"]:
    """Scan over the heads; ``factors`` returns stream and unembedding of a head from its entry of ``own``."""

    @jax.checkpoint
    def one(_, head):
        part, *others = head
        stream, kernel = factors(part)
        return None, _cross_entropy(jnp.matmul(stream, kernel.astype(stream.dtype), precision=precision), *others)

    return jax.lax.scan(one, None, (own, *rest))[1]


def _cross_entropy(
    logits: Float[Array, "n V"],
    targets: Int[Array, " n"],
    mask: Bool[Array, " n"],
    weights: Float[Array, " n"] | None,
) -> Float[Array, ""]:
    logits = upcast(logits)
    target_logits = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    losses = jax.nn.logsumexp(logits, axis=-1) - target_logits
    losses = losses if weights is None else losses * weights.astype(losses.dtype)
    return jnp.sum(jnp.where(mask, losses, 0))
