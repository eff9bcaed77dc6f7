"""Matrices [N, N] of a model from nodes to node logits: row u holds the logits over nodes when node u is fed in.

E [N, d] are the token embeddings of the nodes, U [d, N] is their part of a prediction head's unembedding. Biases and
position vectors, which are the same for all rows, are left out. ``nodes`` are the ids of the nodes' tokens, in node
order. Everything is traced, so it may stand in a compiled function.
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
from circuits.probes.adjacency.node_space import Named, Nodes, checked, embedding, unembedding
from circuits.probes.streaming import Tree
from circuits.transformer.attention import Attention
from circuits.transformer.block import Block
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads import SharedHeads
from circuits.transformer.heads.transfer import Transfer
from circuits.transformer.layers import Norm, wide
from circuits.transformer.model import Predictor


def transfer_matrices(model: Predictor | OneLayer, nodes: Nodes) -> Named:
    """The matrices between prediction steps, and of a one-layer model all of its matrices.

    A transfer head reads h W with the unembedding of step 1, so logits of step 1, h U, become h W U. With U⁺ the
    pseudo-inverse of U (U U⁺ projects on what U reads, and h U U⁺ U = h U),

        "via U+"    U⁺ W U     what the theory means: the logits of step 2 are those of step 1 times this matrix, for
                               streams h that U reads in full. Row u: the stream whose node logits are 1 at u, else 0
        "via UT"    Uᵀ W U     the projection that is published: the stream points along u's own unembedding
        "via E"     E W U      the stream is u's token embedding, which is what injection adds to it

    In a chain head m > 1 also has the product W_1 .. W_m, named "transfer 1..m". One-layer models hold W^M "content"
    (compared with A), W^V "value" (its rows are targets: with reachability^T) and each W^T_n "transfer n" (with A^n)
    as they are.

    Raises ValueError for a model without such heads, and for ``nodes`` outside the vocabulary.
    """
    ids = checked(model, nodes)
    if isinstance(model, OneLayer):
        held = model.parameters
        square = [held.content, held.value, *held.transfers]
        names = ("content", "value", *(f"transfer {n}" for n in range(1, len(held.transfers) + 1)))
        return Named(names, jnp.stack([matrix[ids][:, ids] for matrix in square]))
    kernels = [wide(one.transfer.kernel[...]) for one in _transfers(model)]
    outward, embedded = unembedding(model, ids), embedding(model, ids)
    rows = {"U+": jnp.linalg.pinv(outward), "UT": outward.T, "E": embedded}
    maps = {f"transfer {m}": kernel for m, kernel in enumerate(kernels, start=1)}
    if model.config.head_chain:
        for m in range(2, len(kernels) + 1):
            maps[f"transfer 1..{m}"] = jnp.linalg.multi_dot(kernels[:m])
    found = {
        f"{name} via {side}": row @ kernel @ outward for name, kernel in maps.items() for side, row in rows.items()
    }
    return Named(tuple(found), jnp.stack(list(found.values())))


def ov_circuits(model: Predictor, nodes: Nodes, *, head: int = 0, fold: bool = True) -> Named:
    """E W_V W_O U of every layer and attention head, L H of them, layers outermost; "layer 1 head 2" from 1.

    ``fold``: with the scales of the layer's norm and of the last one, and LayerNorm's centring, on both sides; what a
    norm divides by is left out. With grouped queries, heads of a group share W_V. ``head`` is the prediction head
    whose unembedding is read, from 0. Raises ValueError as ``embedding`` and ``unembedding``.
    """
    ids, config = checked(model, nodes), model.config
    outward, embedded = _outward(model, ids, head, fold), embedding(model, ids)
    found = []
    for block in model.transformer.blocks:
        rows = _folded(block.norm_attn, embedded) if fold else embedded
        found.append(
            jnp.einsum("ud,hde,ev->huv", rows, _value_output(block.attn, config), outward, precision="highest")
        )
    names = (f"layer {i + 1} head {h + 1}" for i in range(config.layers) for h in range(config.heads))
    return Named(tuple(names), jnp.concatenate(found))


def layer_maps(model: Predictor, nodes: Nodes, *, head: int = 0) -> Named:
    """Whole layers as maps from nodes to node logits, two of each.

        "layer l, linear"    (E + norm(E) Σ_h W_V W_O) U: attention to itself and the identity, norms folded as in
                             ``ov_circuits``; the MLP is left out
        "layer l, alone"     last norm(block(e_u)) U, the block applied to the embedding of u as a sequence of one
                             token: attention to itself, norms and the MLP, all exact, not linear in e_u

    Raises ValueError as ``ov_circuits``.
    """
    ids, config = checked(model, nodes), model.config
    outward, embedded = _outward(model, ids, head, fold=True), embedding(model, ids)
    alone = wide(_alone(*nnx.split(model), embedded)) @ _outward(model, ids, head, fold=False)
    names, found = [], []
    for number, block in enumerate(model.transformer.blocks):
        through = _value_output(block.attn, config).sum(axis=0)
        linear = (embedded + _folded(block.norm_attn, embedded) @ through) @ outward
        found += [linear, alone[number]]
        names += [f"layer {number + 1}, linear", f"layer {number + 1}, alone"]
    return Named(tuple(names), jnp.stack(found))


def _transfers(model: Predictor) -> list[Transfer]:
    """The layer of each further head."""
    heads, kind = model.heads, model.config.head_kind
    found = [one for one in heads.further if isinstance(one, Transfer)] if isinstance(heads, SharedHeads) else []
    checks.require(len(found) > 0, "head_kind", "must be transfer, for there to be transfer matrices", kind)
    return found


def _outward(model: Predictor, nodes: Int[np.ndarray, " N"], head: int, fold: bool) -> Float[Array, "d N"]:
    """U, or norm scales · U, centred over the stream where the last norm centres."""
    plain = unembedding(model, nodes, head)
    return _folded_out(model.transformer.norm, plain) if fold else plain


def _folded(norm: Norm, rows: Float[Array, "N d"]) -> Float[Array, "N d"]:
    """(x - mean) · scale for LayerNorm, x · scale for RMSNorm."""
    centred = rows - rows.mean(axis=-1, keepdims=True) if norm.config.norm == "layer" else rows
    return centred * wide(norm.scale[...]).astype(rows.dtype)


def _folded_out(norm: Norm, outward: Float[Array, "d N"]) -> Float[Array, "d N"]:
    """The same before an unembedding: x -> folded(x) U is x times this matrix."""
    scaled = wide(norm.scale[...]).astype(outward.dtype)[:, None] * outward
    return scaled - scaled.mean(axis=0) if norm.config.norm == "layer" else scaled


def _value_output(attn: Attention, config: TransformerConfig) -> Float[Array, "H d d"]:
    """W_V W_O of each head."""
    groups, width = config.heads // config.key_heads, config.head_width
    values = wide(attn.value.kernel[...]).reshape(config.width, config.key_heads, width)
    outputs = wide(attn.out.kernel[...]).reshape(config.heads, width, config.width)
    return jnp.einsum("dhk,hke->hde", jnp.repeat(values, groups, axis=1), outputs, precision="highest")


@partial(jax.jit, static_argnames="graph")
def _alone(graph: Any, state: Tree, rows: Float[Array, "N d"]) -> Float[Array, "L N d"]:
    """What the last norm makes of each block's output on a sequence of one row."""
    model: Predictor = nnx.merge(graph, state)

    def one(block: Block, row: Float[Array, " d"]) -> Float[Array, " d"]:
        out, _ = block(row[None].astype(model.config.dtype), jnp.zeros(1, jnp.int32))
        return model.transformer.norm(out)[0]

    return jnp.stack([jax.vmap(partial(one, block))(rows) for block in model.transformer.blocks])
