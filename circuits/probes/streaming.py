"""Means and variances over any number of examples, accumulated batch by batch in constant memory.

Batches are merged by the formula of Chan, Golub and LeVeque (1983): with counts a, b, means m_a, m_b and sums of
squared deviations S_a, S_b,

    mean = m_a + (m_b - m_a) b / (a + b),    S = S_a + S_b + (m_b - m_a)² a b / (a + b).

NaN marks a missing entry of an example, which is ignored in the moments of that entry alone.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.stats import t as student

from circuits import checks, display

Tree = Any
"""A pytree of arrays."""
OnProgress = Callable[[int], None]
"""Called with the number of examples processed so far."""


class Moments(NamedTuple):
    """The moments of each entry of a pytree; three pytrees of one structure."""

    count: Tree
    """The number of examples that have the entry."""
    mean: Tree
    squares: Tree
    """The sum of squared deviations from the mean."""

    _repr_html_ = display.html


class Interval(NamedTuple):
    """Means and the ends of their confidence intervals, all of one shape."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    _repr_html_ = display.html


def stream(
    function: Callable[..., Tree],
    model: nnx.Module,
    examples: tuple | Iterable[tuple],
    *,
    shared: tuple = (),
    chunk: int = 64,
    on_progress: OnProgress | None = None,
) -> Moments:
    """Return the moments of ``function(model, *shared, *example)`` over examples, in memory for one chunk.

    Compiles once for full chunks and once for the remainder, and not again for the same function with another model,
    or other ``shared`` arrays, of the same shapes. Sums are accumulated in float64 if it is enabled.

    Args:
        function: maps the model, the shared arrays and one example to a pytree of floats.
        model: any Flax module.
        examples: a tuple of arrays [n, ...], or an iterable of such tuples.
        shared: pytrees of arrays that are the same for every example.
        chunk: examples computed at once.
        on_progress: called with the number of examples done.

    Raises:
        ValueError: if ``chunk`` is not a positive integer, or there is no example.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from circuits.probes import stream
        >>> moments = stream(lambda model, x: model(x), nnx.Dropout(0.0), (jnp.arange(10.0),), chunk=4)
        >>> float(moments.mean), float(moments.squares)
        (4.5, 82.5)
    """
    graph, state = nnx.split(model)
    total, done = None, 0
    for batch in chunks(examples, chunk):
        moments = _chunk_moments(function, graph, state, shared, batch)
        total = moments if total is None else _merge(total, moments)
        done += len(jax.tree.leaves(batch)[0])
        if on_progress is not None:
            jax.block_until_ready(total)
            on_progress(done)
    if total is None:
        raise ValueError("examples: must hold at least one, got none")
    return total


@lru_cache(maxsize=64)
def cached_partial(function: Callable[..., Tree], **options: Any) -> Callable[..., Tree]:
    """Return the same partial function for the same options, which lets jit reuse its compiled program."""
    return partial(function, **options)


def merge(first: Moments, second: Moments) -> Moments:
    """Return the moments of both sets of examples together."""

    def merge_leaf(a: Any, m_a: Any, s_a: Any, b: Any, m_b: Any, s_b: Any) -> Moments:
        count, gap = a + b, m_b - m_a
        share = b / jnp.maximum(count, 1)
        return Moments(count, m_a + gap * share, s_a + s_b + gap * gap * a * share)

    return _transpose(jax.tree.map(merge_leaf, *first, *second))


def confidence_interval(moments: Moments, confidence: float = 0.95, tests: int = 1) -> Tree:
    """Return an ``Interval`` by Student's t for each array of a pytree of moments.

    Args:
        moments: as ``stream`` returns them.
        confidence: of all intervals together.
        tests: number of intervals (Bonferroni's correction).

    Returns:
        The pytree with an ``Interval`` in place of each array: infinite ends for one example, NaN for none.

    Raises:
        ValueError: if the confidence is not between 0 and 1, or ``tests`` is not a positive integer.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import Moments, confidence_interval
        >>> of_1_2_3_4 = Moments(count=np.array(4.0), mean=np.array(2.5), squares=np.array(5.0))
        >>> interval = confidence_interval(of_1_2_3_4)
        >>> round(float(interval.low), 2), round(float(interval.high), 2)
        (0.45, 4.55)
    """
    checks.require(0 < confidence < 1, "confidence", "must lie between 0 and 1", confidence)
    checks.integer("tests", tests, min_value=1)

    def leaf(count: Any, mean: Any, squares: Any) -> Interval:
        n, centre = np.asarray(count, np.float64), np.asarray(mean, np.float64)
        freedom = np.maximum(n - 1, 1)
        error = np.where(n > 1, np.sqrt(np.asarray(squares, np.float64) / freedom / np.maximum(n, 1)), np.inf)
        reach = student.ppf(1 - (1 - confidence) / (2 * tests), freedom) * error
        centre = np.where(n > 0, centre, np.nan)
        return Interval(centre, centre - reach, centre + reach)

    return jax.tree.map(leaf, *moments)


def standard_errors(moments: Moments) -> Tree:
    """Return the standard error of each mean.

    Args:
        moments: as ``stream`` returns them.

    Returns:
        A pytree of arrays; NaN for fewer than two examples.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import Moments, standard_errors
        >>> round(float(standard_errors(Moments(np.array(4.0), np.array(2.5), np.array(5.0)))), 3)
        0.645
    """

    def leaf(count: Any, squares: Any) -> np.ndarray:
        n = np.asarray(count, np.float64)
        return np.where(n > 1, np.sqrt(np.asarray(squares, np.float64) / np.maximum((n - 1) * n, 1)), np.nan)

    return jax.tree.map(leaf, moments.count, moments.squares)


@partial(jax.jit, static_argnames=("function", "graph"))
def _chunk_moments(function: Callable[..., Tree], graph: Any, state: Tree, shared: tuple, batch: tuple) -> Moments:
    model = nnx.merge(graph, state)

    def leaf(values: Any) -> Moments:
        values = values.astype(float)  # float64 if it is enabled
        present = ~jnp.isnan(values)
        count = jnp.sum(present, axis=0, dtype=values.dtype)
        mean = jnp.sum(jnp.where(present, values, 0), axis=0) / jnp.maximum(count, 1)
        return Moments(count, mean, jnp.sum(jnp.where(present, values - mean[None], 0) ** 2, axis=0))

    return _transpose(jax.tree.map(leaf, jax.vmap(lambda *example: function(model, *shared, *example))(*batch)))


_merge = jax.jit(merge)


def _transpose(tree: Tree) -> Moments:
    """Turn a pytree of moments into moments of pytrees."""
    is_leaf = lambda part: isinstance(part, Moments)  # noqa: E731
    return Moments(*(jax.tree.map(lambda part, i=i: part[i], tree, is_leaf=is_leaf) for i in range(3)))


def chunks(examples: tuple | Iterable[tuple], chunk: int) -> Iterator[tuple]:
    """Yield ``chunk`` examples at a time. Raises ValueError unless ``chunk`` is a positive integer."""
    checks.integer("chunk", chunk, min_value=1)
    for batch in [examples] if isinstance(examples, tuple) else examples:
        parts = tuple(batch)
        for first in range(0, len(jax.tree.leaves(parts)[0]), chunk):
            yield jax.tree.map(lambda part, first=first: part[first : first + chunk], parts)
