"""Matrices [N, N] of a model from nodes to node logits: row u holds the logits over nodes when node u is fed in.

E [N, d] holds the token embeddings of the nodes, U [d, N] their part of a prediction head's unembedding. Biases and
position vectors, which are the same for all rows, are omitted. ``nodes`` holds the token id of each node, in node
order. All functions work under jit.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.one_layer.module import OneLayer
from circuits.probes.adjacency.node_space import (
    NamedMatrices,
    Nodes,
    check_nodes,
    node_embedding,
    node_unembedding,
)
from circuits.probes.streaming import Tree
from circuits.transformer.attention import Attention
from circuits.transformer.block import Block
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads import SharedHeads
from circuits.transformer.heads.transfer import Transfer
from circuits.transformer.layers import Norm, upcast
from circuits.transformer.model import Predictor


def transfer_matrices(model: Predictor | OneLayer, nodes: Nodes) -> NamedMatrices:
    """Return the matrices that map node logits to those of later tokens; for a one-layer model all its matrices.

    Prediction head m = 1, 2, ... applies the unembedding of head 0 to h W_m, so head 0's logits h U become h W_m U.
    With U⁺ the pseudo-inverse of U,

        "transfer m via U+"    U⁺ W U     the matrix of the theory: logits m steps ahead are those of head 0 times this
                                          matrix, for streams h in the span of U⁺. Row u: the stream whose node logits
                                          are 1 at u and 0 elsewhere
        "transfer m via UT"    Uᵀ W U     the published projection (arXiv:2509.23186): the stream is u's unembedding
        "transfer m via E"     E W U      the stream is u's token embedding, which injection adds to it

    Heads in a chain also have the product W_1 .. W_m, named "transfer 1..m". One-layer models hold W^M "content" (to
    compare with A), W^V "value" (its rows are targets: with reachability^T) and each W^T_n "transfer n" (with A^n).

    Args:
        model: a transformer with transfer heads, or a one-layer model.
        nodes: the token id of each node, [N].

    Returns:
        Named matrices [matrices, N, N].

    Raises:
        ValueError: if the model has no transfer heads, or the nodes are not in its vocabulary.

    Example:
        >>> import numpy as np
        >>> from flax import nnx
        >>> from circuits.one_layer.config import OneLayerConfig
        >>> from circuits.one_layer.module import OneLayer
        >>> from circuits.probes import transfer_matrices
        >>> model = OneLayer(OneLayerConfig(vocab=6, positions=7, prediction_heads=2), nnx.Rngs(0))
        >>> matrices = transfer_matrices(model, np.arange(4))
        >>> matrices.names, matrices.values.shape
        (('content', 'value', 'transfer 1'), (3, 4, 4))
    """
    ids = check_nodes(model, nodes)
    if isinstance(model, OneLayer):
        held = model.parameters
        square = [held.content, held.value, *held.transfers]
        names = ("content", "value", *(f"transfer {n}" for n in range(1, len(held.transfers) + 1)))
        return NamedMatrices(names, jnp.stack([matrix[ids][:, ids] for matrix in square]))
    kernels = [upcast(one.transfer.kernel[...]) for one in _transfers(model)]
    outward, embedded = node_unembedding(model, ids), node_embedding(model, ids)
    rows = {"U+": jnp.linalg.pinv(outward), "UT": outward.T, "E": embedded}
    maps = {f"transfer {m}": kernel for m, kernel in enumerate(kernels, start=1)}
    if model.config.head_chain:
        for m in range(2, len(kernels) + 1):
            maps[f"transfer 1..{m}"] = jnp.linalg.multi_dot(kernels[:m])
    matrices = {
        f"{name} via {side}": row @ kernel @ outward for name, kernel in maps.items() for side, row in rows.items()
    }
    return NamedMatrices(tuple(matrices), jnp.stack(list(matrices.values())))


def ov_circuits(model: Predictor, nodes: Nodes, *, head: int = 0, fold: bool = True) -> NamedMatrices:
    """Return E W_V W_O U of every attention head, named "L0H0", "L0H1", ...

    With grouped queries, heads of a group share W_V.

    Args:
        model: a transformer.
        nodes: the token id of each node, [N].
        head: the prediction head whose unembedding is used.
        fold: whether to include the scales of the layer's norm and of the final norm, and LayerNorm's centring. The
            division by the standard deviation is omitted.

    Returns:
        Named matrices [L H, N, N].

    Raises:
        ValueError: if the nodes are not in the vocabulary, or the prediction head does not read the final stream.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import ov_circuits, tiny_planning_model
        >>> model, _, _ = tiny_planning_model()
        >>> matrices = ov_circuits(model, np.arange(10))
        >>> matrices.names, matrices.values.shape
        (('L0H0', 'L0H1'), (2, 10, 10))
    """
    ids, config = check_nodes(model, nodes), model.config
    outward, embedded = _outward(model, ids, head, fold), node_embedding(model, ids)
    matrices = []
    for block in model.transformer.blocks:
        rows = _folded(block.norm_attn, embedded) if fold else embedded
        through = _value_output(block.attn, config)
        matrices.append(jnp.einsum("ud,Hde,ev->Huv", rows, through, outward, precision="highest"))
    names = (f"L{layer}H{number}" for layer in range(config.layers) for number in range(config.heads))
    return NamedMatrices(tuple(names), jnp.concatenate(matrices))


def layer_maps(model: Predictor, nodes: Nodes, *, head: int = 0) -> NamedMatrices:
    """Return whole layers as maps from nodes to node logits, two for each layer.

        "L0 linear"    (E + norm(E) Σ_heads W_V W_O) U: the identity and attention to the own position, with norms
                       folded as in ``ov_circuits`` and without the MLP
        "L0 alone"     final norm(block(e_u)) U: the block applied to a sequence of one token, the embedding of u; exact
                       with norms and MLP, so not linear in e_u

    Args:
        model: a transformer.
        nodes: the token id of each node, [N].
        head: the prediction head whose unembedding is used.

    Returns:
        Named matrices [2 L, N, N].

    Raises:
        ValueError: as ``ov_circuits``.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import layer_maps, tiny_planning_model
        >>> model, _, _ = tiny_planning_model()
        >>> matrices = layer_maps(model, np.arange(10))
        >>> matrices.names, matrices.values.shape
        (('L0 linear', 'L0 alone'), (2, 10, 10))
    """
    ids, config = check_nodes(model, nodes), model.config
    outward, embedded = _outward(model, ids, head, fold=True), node_embedding(model, ids)
    alone = upcast(_alone(*nnx.split(model), embedded)) @ _outward(model, ids, head, fold=False)
    names, matrices = [], []
    for layer, block in enumerate(model.transformer.blocks):
        through = _value_output(block.attn, config).sum(axis=0)
        linear = (embedded + _folded(block.norm_attn, embedded) @ through) @ outward
        matrices += [linear, alone[layer]]
        names += [f"L{layer} linear", f"L{layer} alone"]
    return NamedMatrices(tuple(names), jnp.stack(matrices))


def _transfers(model: Predictor) -> list[Transfer]:
    """Return the transfer module of each of the prediction heads 1 .. k - 1."""
    heads, kind = model.heads, model.config.head_kind
    transfers = [one for one in heads.further if isinstance(one, Transfer)] if isinstance(heads, SharedHeads) else []
    checks.require(len(transfers) > 0, "head_kind", "must be transfer for transfer matrices", kind)
    return transfers


def _outward(model: Predictor, nodes: Int[np.ndarray, " N"], head: int, fold: bool) -> Float[Array, "d N"]:
    """Return U, or with ``fold`` the final norm's scale · U, centred over the stream if that norm is a LayerNorm."""
    plain = node_unembedding(model, nodes, head)
    return _folded_out(model.transformer.norm, plain) if fold else plain


def _folded(norm: Norm, rows: Float[Array, "N d"]) -> Float[Array, "N d"]:
    """Return (x - mean) · scale for LayerNorm, x · scale for RMSNorm."""
    centred = rows - rows.mean(axis=-1, keepdims=True) if norm.config.norm == "layer" else rows
    return centred * upcast(norm.scale[...]).astype(rows.dtype)[None]


def _folded_out(norm: Norm, outward: Float[Array, "d N"]) -> Float[Array, "d N"]:
    """Return the matrix by which x -> folded(x) U multiplies x."""
    scaled = upcast(norm.scale[...]).astype(outward.dtype)[:, None] * outward
    return scaled - scaled.mean(axis=0, keepdims=True) if norm.config.norm == "layer" else scaled


def _value_output(attn: Attention, config: TransformerConfig) -> Float[Array, "H d d"]:
    """Return W_V W_O of each attention head."""
    groups, width = config.heads // config.key_heads, config.head_width
    values = upcast(attn.value.kernel[...]).reshape(config.width, config.key_heads, width)
    outputs = upcast(attn.out.kernel[...]).reshape(config.heads, width, config.width)
    return jnp.einsum("dHh,Hhe->Hde", jnp.repeat(values, groups, axis=1), outputs, precision="highest")


@partial(jax.jit, static_argnames="graph")
def _alone(graph: Any, state: Tree, rows: Float[Array, "N d"]) -> Float[Array, "L N d"]:
    """Return the final norm of each block's output on a sequence of one row."""
    model: Predictor = nnx.merge(graph, state)

    def one_row(block: Block, row: Float[Array, " d"]) -> Float[Array, " d"]:
        out, _ = block(row[None].astype(model.config.dtype), jnp.zeros(1, jnp.int32))
        return model.transformer.norm(out)[0]

    return jnp.stack([jax.vmap(partial(one_row, block))(rows) for block in model.transformer.blocks])
