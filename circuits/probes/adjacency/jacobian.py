"""Jacobians of node logits: mean derivatives with respect to the residual stream, towards node embeddings."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.probes.adjacency.node_space import NamedMatrices, Nodes, check_nodes, node_embedding
from circuits.probes.streaming import OnProgress, cached_partial, stream
from circuits.transformer.layers import upcast
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps


def jacobians(
    model: Predictor,
    nodes: Nodes,
    tokens: Int[np.ndarray, "n T"],
    taps: Sequence[str],
    *,
    position: int,
    source: int | None = None,
    head: int = 0,
    chunk: int = 16,
    on_progress: OnProgress | None = None,
) -> NamedMatrices:
    """Return E J for each tap, J the mean over examples of ∂ logits[head, position, nodes] / ∂ stream[tap, source].

    Row u is the change of the node logits at ``position`` when the stream at ``source`` moves along the embedding of u.
    Derivatives are by automatic differentiation, so exact.

    Args:
        model: a transformer.
        nodes: the token id of each node, [N].
        tokens: sequences, [n, T].
        taps: tap names of activations [T, d], such as "embed" or "blocks.0.resid_post".
        position: position of the logits.
        source: position of the stream, at most ``position``; by default ``position``.
        head: the prediction head to read.
        chunk: examples computed at once.
        on_progress: called with the number of examples done.

    Returns:
        Named matrices [taps, N, N].

    Raises:
        ValueError: if there are no examples or taps, a tap is no activation [T, d] of the model, a position is outside
            the sequence, ``source`` is after ``position``, or the model lacks the nodes or the head.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import jacobians, tiny_planning_model
        >>> model, problems, _ = tiny_planning_model()
        >>> matrices = jacobians(model, np.arange(10), problems, ["embed"], position=9)
        >>> matrices.names, matrices.values.shape
        (('jacobian of embed at position 9',), (1, 10, 10))
    """
    ids, length = check_nodes(model, nodes), tokens.shape[1]
    checks.require(len(taps) > 0, "taps", "must hold at least one name", len(taps))
    checks.integer("position", position, min_value=0, max_value=length - 1)
    source = position if source is None else source
    checks.integer("source", source, min_value=0, max_value=position)
    checks.integer("head", head, min_value=0, max_value=model.config.prediction_heads - 1)
    options = {"position": position, "source": source, "head": head}
    function = cached_partial(_jacobian, taps=tuple(taps), ids=tuple(ids.tolist()), **options)
    mean = stream(function, model, (np.asarray(tokens, np.int32),), chunk=chunk, on_progress=on_progress).mean
    names = tuple(f"jacobian of {tap} at position {source}" for tap in taps)
    return NamedMatrices(names, jnp.stack([mean[str(i)] for i in range(len(taps))]))


def _jacobian(
    model: Predictor,
    tokens: Int[Array, " T"],
    taps: tuple[str, ...],
    ids: tuple[int, ...],
    position: int,
    source: int,
    head: int,
) -> dict[str, Float[Array, "N N"]]:
    nodes = np.asarray(ids, np.int32)
    directions = node_embedding(model, nodes)

    def moved(tap: str, weights: Float[Array, " N"]) -> Float[Array, " N"]:
        def edit(x: Float[Array, "..."]) -> Float[Array, "..."]:
            checks.require(x.ndim == 2, "taps", "must be streams of shape [T, d]", (tap, x.shape))
            return x.at[source].add((weights @ directions).astype(x.dtype))

        logits, _ = model(tokens, Taps(edit={tap: edit}))
        return upcast(logits[head, position])[nodes]

    zero = jnp.zeros(len(ids), directions.dtype)
    return {str(i): jax.jacfwd(partial(moved, tap))(zero).T for i, tap in enumerate(taps)}
