"""Embeddings E and unembeddings U of the nodes of a graph, whose tokens are part of a model's vocabulary."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks, display
from circuits.display import Figure
from circuits.one_layer.module import OneLayer
from circuits.transformer.layers import upcast
from circuits.transformer.model import Predictor
from circuits.typing import AnyArray

Nodes = Int[AnyArray, " N"]
"""The token id of each node, in node order."""


class NamedMatrices(NamedTuple):
    """Matrices with their names, in order."""

    names: tuple[str, ...]
    values: Float[Array, "matrices N N"]

    _repr_html_ = display.html

    def plot(self, matrix: int = 0) -> Figure:
        """Draw one matrix, with white at 0.

        Args:
            matrix: index of the matrix.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: if there is no such matrix, or it is not finite.

        Example:
            >>> NamedMatrices(("L0H0",), jnp.ones((1, 3, 3))).plot().axes[0].get_title()
            'L0H0'
        """
        checks.integer("matrix", matrix, min_value=0, max_value=len(self.names) - 1)
        nodes, values = range(self.values.shape[-1]), self.values[matrix]
        axes = {"row_name": "node fed in", "column_name": "logit of node"}
        return display.plotting.weight_heatmap(values, nodes, nodes, self.names[matrix], **axes)


def concatenate(parts: list[NamedMatrices]) -> NamedMatrices:
    """Return all the matrices in one record, in the widest of their dtypes. Raises ValueError for an empty list."""
    checks.require(len(parts) > 0, "sources", "must hold at least one", len(parts))
    dtype = max((part.values.dtype for part in parts), key=lambda dtype: dtype.itemsize)
    values = jnp.concatenate([part.values.astype(dtype) for part in parts])
    return NamedMatrices(tuple(name for part in parts for name in part.names), values)


def node_embedding(model: Predictor, nodes: Nodes) -> Float[Array, "N d"]:
    """Return E, the token embedding of each node. Raises ValueError for duplicate ids or ids outside the vocabulary."""
    return upcast(model.transformer.tokens[...])[check_nodes(model, nodes)]


def node_unembedding(model: Predictor, nodes: Nodes, head: int = 0) -> Float[Array, "d N"]:
    """Return U, the unembedding of each node in a prediction head that reads the final stream.

    Raises ValueError for any other prediction head, and as ``node_embedding`` does.
    """
    ids = check_nodes(model, nodes)
    max_head = model.config.prediction_heads - 1 if model.config.head_kind == "linear" else 0
    checks.integer("head", head, min_value=0, max_value=max_head)
    # Unit vectors in, rows of the unembedding out: this works for every kind of prediction head.
    directions = jnp.eye(model.config.width, dtype=model.config.dtype)
    return upcast(model.logits(directions, head))[:, ids]


def check_nodes(model: Predictor | OneLayer, nodes: Nodes) -> Int[np.ndarray, " N"]:
    """Return the ids as int32. Raises ValueError unless they differ and are in the vocabulary."""
    ids, vocab = np.asarray(nodes), model.config.vocab
    fits = 0 < len(ids) <= vocab and ids.min() >= 0 and ids.max() < vocab
    checks.require(bool(fits), "nodes", f"must be at least one and at most {vocab} ids in range({vocab})", ids.tolist())
    checks.require(len(set(ids.tolist())) == len(ids), "nodes", "must be ids that differ", ids.tolist())
    return ids.astype(np.int32)
