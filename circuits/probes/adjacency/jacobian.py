"""Measured maps from nodes to node logits: mean derivatives of logits by the residual stream."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.probes.adjacency.node_space import Named, Nodes, checked, embedding
from circuits.probes.streaming import stream
from circuits.transformer.layers import wide
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps


def jacobians(
    model: Predictor,
    nodes: Nodes,
    tokens: Int[np.ndarray, "n T"],
    taps: Sequence[str],
    *,
    place: int,
    source: int | None = None,
    head: int = 0,
    chunk: int = 16,
    show: Callable[[int], None] | None = None,
) -> Named:
    """E J of each tap, with J the mean over examples of ∂ logits[head, place, nodes] / ∂ stream[tap, source].

    Row u: how node logits at ``place`` move when the stream at ``source`` (``place`` if None) moves towards the
    embedding of u. Exact derivatives, folded over examples ``chunk`` at a time.

    Raises ValueError for no examples or taps, places outside of the sequence or a source after the place, another
    head, a tap that the model does not have or that is no stream [T, d], and as ``embedding``.
    """
    ids, length = checked(model, nodes), tokens.shape[1]
    checks.require(len(taps) > 0, "taps", "must hold at least one name", len(taps))
    checks.integer("place", place, min_value=0, max_value=length - 1)
    start = place if source is None else source
    checks.integer("source", start, min_value=0, max_value=place)
    checks.integer("head", head, min_value=0, max_value=model.config.prediction_heads - 1)
    function = _jacobian_of(tuple(taps), tuple(np.asarray(ids).tolist()), place, start, head)
    found = stream(function, model, (np.asarray(tokens, np.int32),), chunk=chunk, show=show).mean
    return Named(
        tuple(f"jacobian from {tap}, place {start + 1}" for tap in taps),
        jnp.stack([found[str(i)] for i in range(len(taps))]),
    )


@cache
def _jacobian_of(taps: tuple[str, ...], ids: tuple[int, ...], place: int, source: int, head: int) -> Callable:
    """The same partial function for the same arguments, so that what is compiled for it serves again."""
    return partial(_jacobian, taps, ids, place, source, head)


def _jacobian(
    taps: tuple[str, ...],
    ids: tuple[int, ...],
    place: int,
    source: int,
    head: int,
    model: Predictor,
    tokens: Int[Array, " T"],
) -> dict[str, Float[Array, "N N"]]:
    nodes = np.asarray(ids, np.int32)
    directions = embedding(model, nodes)

    def moved(tap: str, weights: Float[Array, " N"]) -> Float[Array, " N"]:
        def edit(x: Float[Array, "..."]) -> Float[Array, "..."]:
            checks.require(x.ndim == 2, "taps", "must be streams of shape [T, d]", (tap, x.shape))
            return x.at[source].add((weights @ directions).astype(x.dtype))

        logits, _ = model(tokens, Taps(edit={tap: edit}))
        return wide(logits[head, place])[nodes]

    zero = jnp.zeros(len(ids), directions.dtype)
    return {str(i): jax.jacfwd(partial(moved, tap))(zero).T for i, tap in enumerate(taps)}
