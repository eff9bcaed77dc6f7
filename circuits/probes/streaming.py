"""Means and variances over any number of examples, folded batch by batch, so that memory does not grow with it.

Batches are merged by the formula of Chan, Golub and LeVeque (1983): with counts a, b, means m_a, m_b and sums of
squared deviations S_a, S_b,

    mean = m_a + (m_b - m_a) b / (a + b),    S = S_a + S_b + (m_b - m_a)² a b / (a + b).

NaN marks what an example does not have: it is left out of its own entry alone.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.stats import t as student

from circuits import checks

Tree = Any
"""Arrays in tuples, records or dictionaries."""
Show = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


class Moments(NamedTuple):
    """Of each entry: how many examples have it, their mean, and the sum of squared deviations from it."""

    count: Tree
    mean: Tree
    squares: Tree


class Interval(NamedTuple):
    """Means with the ends of their confidence intervals, [..] each."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def stream(
    function: Callable[..., Tree],
    model: nnx.Module,
    examples: Tree | Iterable[Tree],
    *,
    chunk: int = 64,
    show: Callable[[int], None] | None = None,
) -> Moments:
    """Moments of ``function(model, *example)`` over examples: a tuple of arrays [n, ...], or an iterable of such.

    ``function`` is about one example and returns floats in any tree. It is compiled once for a whole chunk and once for
    what is left over, and not again for another model of the same shape. Sums are kept in float64 where that is on.
    ``show`` is called with the number of examples done.

    Raises ValueError for a chunk that is no positive integer, and where there is no example.
    """
    checks.integer("chunk", chunk, min_value=1)
    graph, state = nnx.split(model)

    total, done = None, 0
    for batch in _chunks(examples, chunk):
        found = _of_chunk(function, graph, state, batch)
        total = found if total is None else _merged(total, found)
        done += len(jax.tree.leaves(batch)[0])
        if show is not None:
            jax.block_until_ready(total)
            show(done)
    if total is None:
        raise ValueError("examples: must hold at least one, got none")
    return total


def merge(first: Moments, second: Moments) -> Moments:
    """The moments of both together."""

    def joined(a: Any, m_a: Any, s_a: Any, b: Any, m_b: Any, s_b: Any) -> Moments:
        count, gap = a + b, m_b - m_a
        share = b / jnp.maximum(count, 1)
        return Moments(count, m_a + gap * share, s_a + s_b + gap * gap * a * share)

    parts = (first.count, first.mean, first.squares, second.count, second.mean, second.squares)
    return _transposed(jax.tree.map(joined, *parts))


def interval(moments: Moments, confidence: float = 0.95, tests: int = 1) -> Tree:
    """For each array of the tree an ``Interval`` by Student's t; all ``tests`` hold at once (Bonferroni).

    Of one example the ends are infinite; what no example has is NaN.
    """
    checks.require(0 < confidence < 1, "confidence", "must lie between 0 and 1", confidence)
    checks.integer("tests", tests, min_value=1)

    def one(count: Any, mean: Any, squares: Any) -> Interval:
        n, centre = np.asarray(count, np.float64), np.asarray(mean, np.float64)
        free = np.maximum(n - 1, 1)
        error = np.where(n > 1, np.sqrt(np.asarray(squares, np.float64) / free / np.maximum(n, 1)), np.inf)
        reach = student.ppf(1 - (1 - confidence) / (2 * tests), free) * error
        centre = np.where(n > 0, centre, np.nan)
        return Interval(centre, centre - reach, centre + reach)

    return jax.tree.map(one, moments.count, moments.mean, moments.squares)


def errors(moments: Moments) -> Tree:
    """The standard error of each mean; NaN below two examples."""

    def one(count: Any, squares: Any) -> np.ndarray:
        n = np.asarray(count, np.float64)
        return np.where(n > 1, np.sqrt(np.asarray(squares, np.float64) / np.maximum((n - 1) * n, 1)), np.nan)

    return jax.tree.map(one, moments.count, moments.squares)


@partial(jax.jit, static_argnames=("function", "graph"))
def _of_chunk(function: Callable[..., Tree], graph: Any, state: Tree, batch: tuple) -> Moments:
    model = nnx.merge(graph, state)
    return _of_batch(jax.vmap(lambda *example: function(model, *example))(*batch))


_merged = jax.jit(merge)


def _of_batch(found: Tree) -> Moments:
    def one(values: Any) -> Moments:
        wide = values.astype(jnp.float64 if jax.config.read("jax_enable_x64") else jnp.float32)
        there = ~jnp.isnan(wide)
        count = jnp.sum(there, axis=0, dtype=wide.dtype)
        mean = jnp.sum(jnp.where(there, wide, 0), axis=0) / jnp.maximum(count, 1)
        return Moments(count, mean, jnp.sum(jnp.where(there, wide - mean, 0) ** 2, axis=0))

    return _transposed(jax.tree.map(one, found))


def _transposed(of_moments: Tree) -> Moments:
    """A tree of moments as moments of trees."""
    return Moments(*(jax.tree.map(lambda part, i=i: part[i], of_moments, is_leaf=_is_moments) for i in range(3)))


def _is_moments(part: Any) -> bool:
    return isinstance(part, Moments)


def _chunks(examples: Tree | Iterable[Tree], chunk: int) -> Iterator[tuple]:
    batches = [examples] if isinstance(examples, tuple) else examples
    for batch in batches:
        parts = tuple(batch)
        for first in range(0, len(jax.tree.leaves(parts)[0]), chunk):
            yield jax.tree.map(lambda part, first=first: part[first : first + chunk], parts)
