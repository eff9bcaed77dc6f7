"""The weights of a disentangled transformer: one content block and one position block a layer."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int, Key

from circuits import checks
from circuits.typing import AnyArray, Content, Position, Scalar


class Layer(NamedTuple):
    """W^(l) as its two diagonal blocks (Eq. 4): ``content`` is W0 (N, N), ``position`` is W1 (T, T).

    Row is the query's side, column the key's: the logit of query i and key j is
    content[g_i, g_j] + position[i, j].
    """

    content: Content
    position: Position


Weights = tuple[Layer, ...]
"""One ``Layer`` per layer; any depth. Gradients have the same form."""


def zeros(depth: int, labels: int, length: int, dtype: jnp.dtype | type = jnp.float64) -> Weights:
    """All weights zero: the initialisation of Theorems 2 and 3."""
    _require_sizes(depth, labels, length)
    return tuple(Layer(jnp.zeros((labels, labels), dtype), jnp.zeros((length, length), dtype)) for _ in range(depth))


def random(
    key: Key[Array, ""],
    depth: int,
    labels: int,
    length: int,
    scale: float = 1.0,
    dtype: jnp.dtype | type = jnp.float64,
) -> Weights:
    """Independent normal entries of the given standard deviation."""
    _require_sizes(depth, labels, length)
    keys = jax.random.split(key, (depth, 2))
    return tuple(
        Layer(
            scale * jax.random.normal(for_content, (labels, labels), dtype),
            scale * jax.random.normal(for_position, (length, length), dtype),
        )
        for for_content, for_position in keys
    )


def check(weights: Weights, labels: int, length: int) -> None:
    """Raise ValueError unless every block has the right shape, one dtype and finite entries.

    Under a trace the values are unknown, and only shapes and dtypes are checked.
    """
    checks.require(len(weights) > 0, "weights", "must have at least one layer", len(weights))
    for number, layer in enumerate(weights, start=1):
        for block, array, size in (("content", layer.content, labels), ("position", layer.position, length)):
            name = f"{block}_{number}"
            checks.shape(name, array, (size, size))
            checks.require(
                array.dtype == weights[0].content.dtype,
                name,
                f"must have the dtype of content_1, {weights[0].content.dtype}",
                str(array.dtype),
            )
            checks.finite(name, array)


def check_prompt(weights: Weights, tokens: Int[AnyArray, "*B T"]) -> None:
    """``check`` for a prompt, or a batch: raises ValueError unless the weights fit its length and hold its labels.

    A look-up by label beyond N would be clamped in silence.
    """
    checks.require(len(weights) > 0, "weights", "must have at least one layer", len(weights))
    labels = sizes(weights)[0]
    check(weights, labels, tokens.shape[-1])
    if isinstance(tokens, Tracer):
        return
    values = np.asarray(tokens)
    outside = np.argwhere((values < 0) | (values >= labels))
    if len(outside):
        place = tuple(outside[0].tolist())
        position = place[0] if len(place) == 1 else place
        raise ValueError(
            f"tokens: must be labels between 0 and {labels - 1}, got {values[place]} at position {position}"
        )


def check_label(argument: str, label: Int[AnyArray, "*B"] | int, labels: int) -> None:
    """Raise ValueError unless the label, or each of a batch, is one of range(N). Traced labels pass."""
    if not isinstance(label, Tracer):
        values = np.atleast_1d(np.asarray(label))
        outside = values[(values < 0) | (values >= labels)].tolist()
        checks.require(not outside, argument, f"must be a label between 0 and {labels - 1}", next(iter(outside), None))


def norm(weights: Weights) -> Scalar:
    """The Euclidean norm of all entries, of weights or of a gradient.

    Entries are scaled by the largest first: the square of e^-500 is no float64.
    """
    entries, _ = ravel_pytree(weights)
    largest = jnp.max(jnp.abs(entries))
    return largest * jnp.linalg.norm(entries / jnp.where(largest > 0, largest, 1))


def sizes(weights: Weights) -> tuple[int, int]:
    """(N, T): the number of labels and of positions that these weights are for."""
    return weights[0].content.shape[0], weights[0].position.shape[0]


def _require_sizes(depth: int, labels: int, length: int) -> None:
    checks.integer("depth", depth, min_value=1)
    checks.integer("labels", labels, min_value=1)
    checks.integer("length", length, min_value=1)
