"""Linear probes: the nodes of the path that a linear classifier can read from the residual stream after each layer.

There are L + 1 streams: stream 0 is the embedding, and stream i + 1 is the output of block i. A probe that is accurate
shows that a node is represented, not that the model uses it. Compare with shuffled labels, and with an untrained model.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.stats import norm

from circuits import checks, display
from circuits.display import Figure
from circuits.probes.layout import Layout
from circuits.probes.positions import position_of
from circuits.probes.residual.stream import path_nodes, residual_streams, stream_names
from circuits.probes.streaming import OnProgress, chunks
from circuits.transformer.model import Predictor


class LinearProbes(NamedTuple):
    """A linear classifier for each stream, position and node of the path: argmax of kernel x + bias."""

    kernel: Float[np.ndarray, "streams positions d M V"]
    bias: Float[np.ndarray, "streams positions M V"]

    _repr_html_ = display.html

    def plot(self, *, position: int = 0, title: str = "") -> Figure:
        """Draw the Euclidean norm of the kernel of every probe: streams down, nodes of the path across.

        Args:
            position: index of a position that the probes were fitted at.
            title: above the matrix.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: if there is no such position.

        Example:
            >>> probes = LinearProbes(np.ones((2, 1, 4, 3, 9)), np.zeros((2, 1, 3, 9)))
            >>> [tick.get_text() for tick in probes.plot().axes[0].get_xticklabels()]
            ['n0', 'n1', 'n2']
        """
        return _by_node(np.linalg.norm(self.kernel, axis=(2, 4)), position, "norm of the kernel", title)


class ProbeAccuracy(NamedTuple):
    """Held-out accuracy, from 0 to 1, with the ends of its Wilson interval; node m is n_m of the path."""

    accuracy: Float[np.ndarray, "streams positions M"]
    low: Float[np.ndarray, "streams positions M"]
    high: Float[np.ndarray, "streams positions M"]
    examples: int

    _repr_html_ = display.html

    def plot(self, *, position: int = 0, title: str = "") -> Figure:
        """Draw the accuracy of every probe: streams down, nodes of the path across.

        Args:
            position: index of a position that the probes were fitted at.
            title: above the matrix.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: if there is no such position.

        Example:
            >>> half = np.full((2, 1, 3), 0.5)
            >>> ProbeAccuracy(half, half - 0.1, half + 0.1, examples=64).plot().axes[0].get_ylabel()
            'after layer'
        """
        return _by_node(self.accuracy, position, "accuracy", title)


def _by_node(values: Float[np.ndarray, "streams positions M"], position: int, label: str, title: str) -> Figure:
    """Draw a value for each stream and node of the path, at one position."""
    checks.integer("position", position, min_value=0, max_value=values.shape[1] - 1)
    nodes = [f"n{node}" for node in range(values.shape[2])]
    axes = {"row_name": "after layer", "column_name": "node of the path", "label": label}
    names = stream_names(len(values))
    return display.plotting.effect_heatmap(values[:, position], names, nodes, title=title, diverging=False, **axes)


def fit_linear_probes(
    model: Predictor,
    layouts: Layout,
    positions: Sequence[str | int] = ("query",),
    *,
    ridge: float = 1e-3,
    shuffle: PRNGKeyArray | None = None,
    chunk: int = 256,
    on_progress: OnProgress | None = None,
) -> LinearProbes:
    """Return ridge regressions from each stream at each position to one-hot labels of every node of the path.

    With C = mean (x - x̄)(x - x̄)ᵀ and D = mean (x - x̄)(y - ȳ)ᵀ, both from streamed second moments,

        kernel = (C + ridge tr(C) / d · I)⁻¹ D,    bias = ȳ - kernelᵀ x̄.

    Memory does not grow with the number of examples.

    Args:
        model: a transformer of planning problems.
        layouts: of a batch of problems: ``PlanningTwins.layout``, or ``problem_layout`` under vmap.
        positions: names such as "query" or "edge 0 child", or entries of the aligned order.
        ridge: the penalty, relative to the mean variance of the stream.
        shuffle: random key for a control without signal: each example gets the labels of another one.
        chunk: examples computed at once.
        on_progress: called with the number of examples done.

    Raises:
        ValueError: for an unknown position, or a ridge that is not positive.

    Example:
        >>> import jax
        >>> from circuits.probes import fit_linear_probes, planning_twins, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> layouts = planning_twins(problems, format, jax.random.key(0)).layout
        >>> fit_linear_probes(model, layouts).kernel.shape  # streams, positions, width, nodes, labels
        (2, 1, 8, 3, 14)
    """
    checks.require(0 < ridge < float("inf"), "ridge", "must be positive and finite", ridge)
    labels = path_nodes(layouts)
    if shuffle is not None:
        labels = jax.random.permutation(shuffle, labels)
    graph, state = nnx.split(model)
    nodes, vocab = labels.shape[1], model.config.vocab
    lead, d, outputs = (model.config.layers + 1, len(positions)), model.config.width, nodes * vocab
    shapes = ((*lead, d), (outputs,), (*lead, d, d), (*lead, d, outputs))
    sums, done = tuple(jnp.zeros(shape, float) for shape in shapes), 0
    for batch in chunks((layouts, labels), chunk):
        sums, done = _add_moments(graph, state, tuple(positions), vocab, sums, *batch), done + len(batch[1])
        if on_progress is not None:
            on_progress(done)
    x, y, xx, xy = (np.asarray(part, np.float64) / len(labels) for part in sums)
    kernel, bias = _solve(x, y, xx, xy, ridge)
    return LinearProbes(kernel.reshape(*lead, d, nodes, vocab), bias.reshape(*lead, nodes, vocab))


def score_linear_probes(
    model: Predictor,
    probes: LinearProbes,
    layouts: Layout,
    positions: Sequence[str | int] = ("query",),
    *,
    confidence: float = 0.95,
    chunk: int = 256,
) -> ProbeAccuracy:
    """Return the accuracy of fitted probes on other problems.

    Args:
        model: the model that the probes were fitted on.
        probes: from ``fit_linear_probes``.
        layouts: of a batch of other problems.
        positions: the positions that the probes were fitted at.
        confidence: of each interval.
        chunk: examples computed at once.

    Raises:
        ValueError: if the probes have another number of positions.

    Example:
        >>> import jax
        >>> from circuits.probes import fit_linear_probes, planning_twins, score_linear_probes, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> layouts = planning_twins(problems, format, jax.random.key(0)).layout
        >>> probes = fit_linear_probes(model, layouts)
        >>> score_linear_probes(model, probes, layouts).accuracy.shape  # streams, positions, nodes
        (2, 1, 3)
    """
    checks.require(len(positions) == probes.bias.shape[1], "positions", "must be those of the probes", tuple(positions))
    kernel, bias = (jnp.asarray(part, float) for part in probes)
    graph, state = nnx.split(model)
    total = len(layouts.tokens)
    hits = sum(
        np.asarray(_hits(graph, state, tuple(positions), kernel, bias, *batch)) for batch in chunks((layouts,), chunk)
    )
    accuracy = np.asarray(hits, np.float64) / total
    low, high = wilson_interval(accuracy, total, confidence)
    return ProbeAccuracy(accuracy, low, high, total)


def wilson_interval(
    share: Float[np.ndarray, "*n"], count: int, confidence: float = 0.95
) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """Return both ends of Wilson's interval for a share p of n: (p + z²/2n ± z √(p (1 - p) / n + z²/4n²)) / (1 + z²/n).

    Raises ValueError unless the confidence is between 0 and 1 and there is an example.
    """
    checks.require(0 < confidence < 1, "confidence", "must lie between 0 and 1", confidence)
    checks.integer("count", count, min_value=1)
    z = float(norm.ppf((1 + confidence) / 2))
    centre = share + z * z / (2 * count)
    reach = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    scale = 1 + z * z / count
    return np.clip((centre - reach) / scale, 0, 1), np.clip((centre + reach) / scale, 0, 1)


@partial(jax.jit, static_argnums=(0, 2, 3))
def _add_moments(
    graph: Any,
    state: Any,
    positions: tuple[str | int, ...],
    vocab: int,
    sums: tuple[Array, ...],
    layouts: Layout,
    labels: Int[Array, "B M"],
) -> tuple[Array, ...]:
    x = _features(nnx.merge(graph, state), layouts, positions)
    y = jax.nn.one_hot(labels, vocab, dtype=x.dtype).reshape(len(labels), -1)
    new = (x.sum(0), y.sum(0), jnp.einsum("blwi,blwj->lwij", x, x), jnp.einsum("blwi,bt->lwit", x, y))
    return jax.tree.map(jnp.add, sums, new)


@partial(jax.jit, static_argnums=(0, 2))
def _hits(
    graph: Any,
    state: Any,
    positions: tuple[str | int, ...],
    kernel: Float[Array, "streams positions d M V"],
    bias: Float[Array, "streams positions M V"],
    layouts: Layout,
) -> Int[Array, "streams positions M"]:
    """Return the number of examples of a batch in which the probe is right."""
    x = _features(nnx.merge(graph, state), layouts, positions)
    best = jnp.argmax(jnp.einsum("blwi,lwimv->blwmv", x, kernel) + bias[None], axis=-1)
    nodes = path_nodes(layouts)
    return jnp.sum(best.astype(nodes.dtype) == nodes[:, None, None], axis=0)


def _features(
    model: Predictor, layouts: Layout, positions: Sequence[str | int]
) -> Float[Array, "B streams positions d"]:
    def one_example(layout: Layout) -> Float[Array, "streams positions d"]:
        chosen = jnp.stack([position_of(layout, position) for position in positions])
        return residual_streams(model, layout.tokens)[:, chosen].astype(float)

    return jax.vmap(one_example)(layouts)


def _solve(
    x: Float[np.ndarray, "streams positions d"],
    y: Float[np.ndarray, " outputs"],
    xx: Float[np.ndarray, "streams positions d d"],
    xy: Float[np.ndarray, "streams positions d outputs"],
    ridge: float,
) -> tuple[Float[np.ndarray, "streams positions d outputs"], Float[np.ndarray, "streams positions outputs"]]:
    """Return kernel and bias from first and second moments.

    The floor of the penalty prevents a constant stream from being fitted to its rounding errors.
    """
    covariance = xx - x[..., :, None] * x[..., None, :]
    cross = xy - x[..., :, None] * y
    variance = np.trace(covariance, axis1=-2, axis2=-1) / x.shape[-1]
    epsilon = float(jnp.finfo(jax.dtypes.canonicalize_dtype(float)).eps)
    floor = epsilon**0.5 * np.trace(xx, axis1=-2, axis2=-1) / x.shape[-1]
    penalty = np.maximum(ridge * variance, floor) + np.finfo(np.float64).tiny
    kernel = np.linalg.solve(covariance + penalty[..., None, None] * np.eye(x.shape[-1]), cross)
    return kernel, y - np.einsum("lwi,lwit->lwt", x, kernel)
