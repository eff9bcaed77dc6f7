"""Matrices [N, N] of a model from nodes to node logits: row u holds the logits over nodes when node u is fed in.

E [N, d] are the token embeddings of the nodes, U [d, N] is their part of a prediction head's unembedding. Biases and
position vectors, which are the same for all rows, are left out. ``nodes`` are the ids of the nodes' tokens, in node
order. All of it can be traced, so it can be part of a compiled function. Layers and attention heads count from 0.
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
    """Return the matrices that lead from one prediction step to later ones; all matrices of a one-layer model.

    Prediction head m = 1, 2, ... reads h W_m with the unembedding of head 0, so head 0's logits h U become h W_m U.
    With U⁺ the pseudo-inverse of U (U U⁺ projects on what U reads, and h U U⁺ U = h U),

        "transfer m via U+"    U⁺ W U     what the theory means: logits m steps ahead are those of head 0 times this
                                          matrix, for streams h that U reads in full. Row u: the stream whose node
                                          logits are 1 at u, and 0 elsewhere
        "transfer m via UT"    Uᵀ W U     the projection that is published: the stream points along u's unembedding
        "transfer m via E"     E W U      the stream is u's token embedding, which is what injection adds to it

    Heads in a chain also have the product W_1 .. W_m, named "transfer 1..m". One-layer models hold W^M "content"
    (compared with A), W^V "value" (its rows are targets: with reachability^T) and each W^T_n "transfer n" (with A^n)
    as they are.

    Args:
        model: a transformer with transfer heads, or a one-layer model.
        nodes: the token id of each node, [N].

    Raises:
        ValueError: if the model has no such prediction heads, or the nodes are not in its vocabulary.

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
        head: the prediction head whose unembedding is read.
        fold: include the scales of the layer's norm and of the last one, and LayerNorm's centring, on both sides. What
            a norm divides by is left out.

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
        matrices.append(jnp.einsum("ud,hde,ev->huv", rows, through, outward, precision="highest"))
    names = (f"L{layer}H{number}" for layer in range(config.layers) for number in range(config.heads))
    return NamedMatrices(tuple(names), jnp.concatenate(matrices))


def layer_maps(model: Predictor, nodes: Nodes, *, head: int = 0) -> NamedMatrices:
    """Return whole layers as maps from nodes to node logits, two of each.

        "L0 linear"    (E + norm(E) Σ_h W_V W_O) U: attention to itself and the identity, norms folded as in
                       ``ov_circuits``; the MLP is left out
        "L0 alone"     last norm(block(e_u)) U, the block applied to the embedding of u as a sequence of one token:
                       attention to itself, norms and the MLP, all exact, not linear in e_u

    Args:
        model: a transformer.
        nodes: the token id of each node, [N].
        head: the prediction head whose unembedding is read.

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
    """The transfer of each further prediction head."""
    heads, kind = model.heads, model.config.head_kind
    transfers = [one for one in heads.further if isinstance(one, Transfer)] if isinstance(heads, SharedHeads) else []
    checks.require(len(transfers) > 0, "head_kind", "must be transfer, for there to be transfer matrices", kind)
    return transfers


def _outward(model: Predictor, nodes: Int[np.ndarray, " N"], head: int, fold: bool) -> Float[Array, "d N"]:
    """U, or norm scales · U, centred over the stream where the last norm centres."""
    plain = node_unembedding(model, nodes, head)
    return _folded_out(model.transformer.norm, plain) if fold else plain


def _folded(norm: Norm, rows: Float[Array, "N d"]) -> Float[Array, "N d"]:
    """(x - mean) · scale for LayerNorm, x · scale for RMSNorm."""
    centred = rows - rows.mean(axis=-1, keepdims=True) if norm.config.norm == "layer" else rows
    return centred * upcast(norm.scale[...]).astype(rows.dtype)[None]


def _folded_out(norm: Norm, outward: Float[Array, "d N"]) -> Float[Array, "d N"]:
    """The same before an unembedding: x -> folded(x) U is x times this matrix."""
    scaled = upcast(norm.scale[...]).astype(outward.dtype)[:, None] * outward
    return scaled - scaled.mean(axis=0, keepdims=True) if norm.config.norm == "layer" else scaled


def _value_output(attn: Attention, config: TransformerConfig) -> Float[Array, "H d d"]:
    """W_V W_O of each attention head."""
    groups, width = config.heads // config.key_heads, config.head_width
    values = upcast(attn.value.kernel[...]).reshape(config.width, config.key_heads, width)
    outputs = upcast(attn.out.kernel[...]).reshape(config.heads, width, config.width)
    return jnp.einsum("dhk,hke->hde", jnp.repeat(values, groups, axis=1), outputs, precision="highest")


@partial(jax.jit, static_argnames="graph")
def _alone(graph: Any, state: Tree, rows: Float[Array, "N d"]) -> Float[Array, "L N d"]:
    """The last norm of each block's output on a sequence of one row."""
    model: Predictor = nnx.merge(graph, state)

    def one_row(block: Block, row: Float[Array, " d"]) -> Float[Array, " d"]:
        out, _ = block(row[None].astype(model.config.dtype), jnp.zeros(1, jnp.int32))
        return model.transformer.norm(out)[0]

    return jnp.stack([jax.vmap(partial(one_row, block))(rows) for block in model.transformer.blocks])
