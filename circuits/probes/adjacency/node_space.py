"""Nodes in a model's spaces: E, the embeddings of their tokens, and U, their part of an unembedding."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.one_layer.module import OneLayer
from circuits.transformer.layers import wide
from circuits.transformer.model import Predictor

Nodes = Int[Array | np.ndarray, " N"]
"""Ids of the nodes' tokens, in node order."""


class Named(NamedTuple):
    """Matrices with their names, in order."""

    names: tuple[str, ...]
    values: Float[Array, "M N N"]


def joined(parts: list[Named]) -> Named:
    """All of them, in the widest of their dtypes. Raises ValueError for none."""
    checks.require(len(parts) > 0, "sources", "must hold at least one", len(parts))
    wide_kind = max((part.values.dtype for part in parts), key=lambda kind: kind.itemsize)
    values = jnp.concatenate([part.values.astype(wide_kind) for part in parts])
    return Named(tuple(name for part in parts for name in part.names), values)


def embedding(model: Predictor, nodes: Nodes) -> Float[Array, "N d"]:
    """E. Raises ValueError for ids outside the vocabulary, or twice."""
    return wide(model.transformer.tokens[...])[checked(model, nodes)]


def unembedding(model: Predictor, nodes: Nodes, head: int = 0) -> Float[Array, "d N"]:
    """U of a prediction head that reads the final stream. Raises ValueError for another head, or as ``embedding``."""
    ids, kind = checked(model, nodes), model.config.head_kind
    most = model.config.prediction_heads - 1 if kind == "linear" else 0
    checks.integer("head", head, min_value=0, max_value=most)
    # The product with unit vectors is the unembedding, whatever kind of heads holds it.
    directions = jnp.eye(model.config.width, dtype=model.config.dtype)
    return wide(model.logits(directions, head))[:, ids]


def checked(model: Predictor | OneLayer, nodes: Nodes) -> Int[np.ndarray, " N"]:
    ids, vocab = np.asarray(nodes), model.config.vocab
    fits = 0 < len(ids) <= vocab and ids.min() >= 0 and ids.max() < vocab
    checks.require(bool(fits), "nodes", f"must be at least one and at most {vocab} ids in range({vocab})", ids.tolist())
    checks.require(len(set(ids.tolist())) == len(ids), "nodes", "must be ids that differ", ids.tolist())
    return ids.astype(np.int32)
