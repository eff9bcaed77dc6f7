"""The weights of a disentangled transformer: one content block and one position block in each layer."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int, Key

from circuits import checks, display
from circuits.display import Figure
from circuits.typing import AnyArray, Content, Position, Scalar


class Layer(NamedTuple):
    """The two diagonal blocks of W^(l) (Eq. 4). The logit of query i and key j is content[g_i, g_j] + position[i, j].

    Args:
        content: W0 [N, N], entry (query label, key label).
        position: W1 [T, T], entry (query position, key position).

    Example:
        >>> Layer(content=jnp.eye(4), position=jnp.zeros((6, 6))).content.shape
        (4, 4)
    """

    content: Content
    position: Position

    def plot(self, *, title: str = "") -> Figure:
        """Draw both blocks, queries down and keys across, on one colour scale with white at 0.

        Args:
            title: above both.

        Returns:
            A figure with two axes, and a colour bar.

        Raises:
            ValueError: for a batch of layers, or blocks that are not finite.

        Example:
            >>> figure = Layer(content=jnp.eye(4), position=jnp.zeros((6, 6))).plot()
            >>> [ax.get_title() for ax in figure.axes[:2]]
            ['content', 'position']
        """
        panels = [("content", self.content), ("position", self.position)]
        return display.plotting.weight_heatmaps(panels, title=title)

    @display.safe
    def _repr_html_(self) -> str:
        labels, length = sizes((self,))
        return display.picture(self.plot(title=f"{labels} labels, {length} positions"))


Weights = tuple[Layer, ...]
"""One ``Layer`` for each layer, at any depth. Gradients have the same structure."""


def zeros(depth: int, labels: int, length: int, dtype: jnp.dtype | type = jnp.float64) -> Weights:
    """Return weights of zero, the initialisation of Theorems 2 and 3.

    Args:
        depth: number of layers.
        labels: N.
        length: T.
        dtype: of the weights.

    Raises:
        ValueError: for a size below 1.

    Example:
        >>> [layer.position.shape for layer in zeros(depth=2, labels=4, length=6)]
        [(6, 6), (6, 6)]
    """
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
    """Return weights of independent normal entries.

    Args:
        key: random key.
        depth: number of layers.
        labels: N.
        length: T.
        scale: standard deviation of the entries.
        dtype: of the weights.

    Raises:
        ValueError: for a size below 1.

    Example:
        >>> first, second = random(jax.random.key(0), depth=2, labels=4, length=6)
        >>> first.content.shape, second.position.shape
        ((4, 4), (6, 6))
    """
    _require_sizes(depth, labels, length)
    return tuple(
        Layer(
            scale * jax.random.normal(content_key, (labels, labels), dtype),
            scale * jax.random.normal(position_key, (length, length), dtype),
        )
        for content_key, position_key in jax.random.split(key, (depth, 2))
    )


def check(weights: Weights, labels: int, length: int) -> None:
    """Raise ValueError unless every block has the right shape, one dtype and finite entries (unless traced)."""
    checks.require(len(weights) > 0, "weights", "must have at least one layer", len(weights))
    dtype = weights[0].content.dtype
    for number, layer in enumerate(weights, start=1):  # names quote the paper, which counts from 1
        for block, array, size in (("content", layer.content, labels), ("position", layer.position, length)):
            name = f"{block}_{number}"
            checks.shape(name, array, (size, size))
            checks.require(array.dtype == dtype, name, f"must have the dtype of content_1, {dtype}", str(array.dtype))
            checks.finite(name, array)


def check_prompt(weights: Weights, tokens: Int[AnyArray, "*B T"]) -> None:
    """Raise ValueError unless the weights pass ``check`` for a prompt, or a batch, and its labels are in range(N).

    A look-up by a label outside range(N) would be clamped silently.
    """
    checks.require(len(weights) > 0, "weights", "must have at least one layer", len(weights))
    labels = sizes(weights)[0]
    check(weights, labels, tokens.shape[-1])
    if isinstance(tokens, Tracer):
        return
    values = np.asarray(tokens)
    outside = np.argwhere((values < 0) | (values >= labels))
    if len(outside):
        index = tuple(outside[0].tolist())
        position = index[0] if len(index) == 1 else index
        raise ValueError(
            f"tokens: must be labels between 0 and {labels - 1}, got {values[index]} at position {position}"
        )


def check_label(argument: str, label: Int[AnyArray, "*B"] | int, labels: int) -> None:
    """Raise ValueError unless the label, or each of a batch, is in range(N). Traced labels pass."""
    if not isinstance(label, Tracer):
        values = np.atleast_1d(np.asarray(label))
        outside = values[(values < 0) | (values >= labels)].tolist()
        checks.require(not outside, argument, f"must be a label between 0 and {labels - 1}", next(iter(outside), None))


def norm(weights: Weights) -> Scalar:
    """Return the Euclidean norm over all entries of weights or of a gradient.

    Entries are first divided by the largest: the square of e^-500 underflows.

    Args:
        weights: one ``Layer`` for each layer, such as the gradients of ``circuits.objective``.

    Example:
        >>> float(norm((Layer(content=3 * jnp.eye(1), position=4 * jnp.eye(1)),)))
        5.0
    """
    entries, _ = ravel_pytree(weights)
    largest = jnp.max(jnp.abs(entries))
    return largest * jnp.linalg.norm(entries / jnp.where(largest > 0, largest, 1))


def sizes(weights: Weights) -> tuple[int, int]:
    """Return (N, T), the number of labels and of positions of these weights."""
    return weights[0].content.shape[0], weights[0].position.shape[0]


def _require_sizes(depth: int, labels: int, length: int) -> None:
    checks.integer("depth", depth, min_value=1)
    checks.integer("labels", labels, min_value=1)
    checks.integer("length", length, min_value=1)
