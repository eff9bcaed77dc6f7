"""Exact averages over all star graphs of a family: no sampling.

A graph is an edge order and a labeling. Brute force goes through every one of them. The symmetry reduction goes
through the edge orders alone: with content weights a I + b 1 1^T nothing depends on which label is which, so a
relabeled prompt has the same losses, the same position gradients, and content gradients with rows and columns
permuted along. The average of those over all permutations of the labels has one diagonal and one off-diagonal
value.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from circuits import checks
from circuits.disentangled.weights import Layer, Weights, check
from circuits.tasks.problem import Problem
from circuits.tasks.star.enumeration import canonical_problems, enumerate_problems
from circuits.tasks.star.graph import StarGraph, encode_prompt, targets
from circuits.typing import Content

Quantity = Callable[..., Any]
"""Maps weights and one prompt (tokens, y1, y2) to any pytree, as ``objective`` does."""

CHUNK = 1260
"""Sequences evaluated at once: small enough for a cache, and 30,240 labelings are 24 whole chunks."""
RELABELING_TOLERANCE = 1e-9
"""Relative rounding allowed between two labelings of one quantity; a dependence on labels is far larger."""


def mean_exhaustive(
    quantity: Quantity, weights: Weights, spec: StarGraph, query: str = "goal-start", chunk: int = CHUNK
) -> Any:
    """The mean of a quantity over every labeling and edge order, one by one; any weights.

    The 2-path 3-node graph with N = 10 has 725,760 of them. Memory is that of one chunk a core. Raises ValueError for
    weights that do not fit the family, or a family too large to enumerate.
    """
    total, count = _folded(_sums, jnp.add, quantity, weights, spec, query, chunk)
    return jax.tree.map(lambda array: array / count, total)


def extremes_exhaustive(
    quantity: Quantity, weights: Weights, spec: StarGraph, query: str = "goal-start", chunk: int = CHUNK
) -> tuple[Any, Any, int]:
    """(least, greatest, count): the range of a quantity over every labeling and edge order. Errors as above."""
    (negated_least, greatest), count = _folded(_ranges, jnp.maximum, quantity, weights, spec, query, chunk)
    return jax.tree.map(jnp.negative, negated_least), greatest, count


def mean_by_symmetry(quantity: Quantity, weights: Weights, spec: StarGraph, query: str = "goal-start") -> Any:
    """The same mean from one labeling of each edge order (24 for the 2-path 3-node graph).

    Gradients, that is every ``Layer`` in the quantity, are averaged over relabelings; all its other leaves must
    not depend on which label is which, as losses and attention do not. Raises ValueError if another labeling
    changes them, or unless every content block is a I + b 1 1^T.
    """
    check(weights, spec.labels, spec.sequence_length)
    for number, layer in enumerate(weights, start=1):
        require_symmetric(f"content_{number}", layer.content)
    prompts = _prompts(canonical_problems(spec), query)
    total = _sums(quantity, weights, *prompts)
    _require_invariant(total, _sums(quantity, weights, *(spec.labels - 1 - labels for labels in prompts)))
    mean = jax.tree.map(lambda array: array / len(prompts[0]), total)
    return jax.tree.map(_over_relabelings, mean, is_leaf=_is_layer)


def relabeled_mean(content: Content) -> Content:
    """The mean of P C P^T over all permutations P: the mean of the diagonal, and that of the rest."""
    labels = len(content)
    diagonal = jnp.trace(content) / labels
    rest = (jnp.sum(content) - jnp.trace(content)) / (labels * (labels - 1))
    return jnp.where(jnp.eye(labels, dtype=bool), diagonal, rest)


def _folded(
    over_chunk: Callable[..., Any],
    join: Callable[[jax.Array, jax.Array], jax.Array],
    quantity: Quantity,
    weights: Weights,
    spec: StarGraph,
    query: str,
    chunk: int,
) -> tuple[Any, int]:
    """``over_chunk`` of the quantity on every chunk of the family, joined leaf by leaf, and the count."""
    check(weights, spec.labels, spec.sequence_length)

    def evaluated(problems: Problem) -> tuple[Any, int]:
        return over_chunk(quantity, weights, *_prompts(problems, query)), len(problems.start)

    total, count = None, 0
    chunks, cores = enumerate_problems(spec, chunk), os.cpu_count() or 1
    # A compiled chunk runs outside the interpreter's lock, so one a core. ``map`` keeps the order of the sums.
    # Traced weights must stay on the thread that traces them.
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(weights))
    with ThreadPoolExecutor(cores) as pool:
        while some := list(islice(chunks, cores)):
            for block, size in (map if traced else pool.map)(evaluated, some):
                total = block if total is None else jax.tree.map(join, total, block)
                count += size
    return total, count


@partial(jax.jit, static_argnums=0)
def _sums(quantity: Quantity, weights: Weights, tokens: jax.Array, y1: jax.Array, y2: jax.Array) -> Any:
    each = jax.vmap(quantity, in_axes=(None, 0, 0, 0))(weights, tokens, y1, y2)
    return jax.tree.map(lambda array: jnp.sum(array, axis=0), each)


@partial(jax.jit, static_argnums=0)
def _ranges(quantity: Quantity, weights: Weights, tokens: jax.Array, y1: jax.Array, y2: jax.Array) -> Any:
    """(-least, greatest), so that both are joined by the maximum."""
    each = jax.vmap(quantity, in_axes=(None, 0, 0, 0))(weights, tokens, y1, y2)
    greatest = jax.tree.map(lambda array: jnp.max(array, axis=0), each)
    return jax.tree.map(lambda array: -jnp.min(array, axis=0), each), greatest


def _prompts(problems: Problem, query: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    tokens = jax.vmap(partial(encode_prompt, query=query))(problems)
    return tokens, *targets(problems)


def _over_relabelings(leaf: Any) -> Any:
    return leaf._replace(content=relabeled_mean(leaf.content)) if _is_layer(leaf) else leaf


def _require_invariant(sums: Any, relabeled: Any) -> None:
    """Raise ValueError where a sum that is no ``Layer`` changes with the labels."""
    leaves, _ = jax.tree.flatten_with_path(sums, is_leaf=_is_layer)
    for (path, leaf), other in zip(leaves, jax.tree.leaves(relabeled, is_leaf=_is_layer), strict=True):
        if _is_layer(leaf) or isinstance(leaf, Tracer):
            continue
        change = float(np.max(np.abs(np.asarray(leaf) - np.asarray(other))))
        allowed = RELABELING_TOLERANCE * max(1.0, float(np.max(np.abs(np.asarray(leaf)))))
        rule = f"must not depend on which label is which, at {jax.tree_util.keystr(path) or 'its value'}; it changes by"
        checks.require(change <= allowed, "quantity", f"{rule} at most {allowed:.1e}", change)


def _is_layer(leaf: Any) -> bool:
    return isinstance(leaf, Layer)


def require_symmetric(argument: str, content: Content) -> None:
    """Raise ValueError unless a content block is a I + b 1 1^T. Traced blocks pass."""
    if isinstance(content, Tracer):
        return
    gap = float(np.max(np.abs(np.asarray(content) - np.asarray(relabeled_mean(content)))))
    rounding = 8 * float(jnp.finfo(content.dtype).eps) * float(np.max(np.abs(content)))
    rule = "must be a I + b 1 1^T for the symmetry reduction (mean_exhaustive takes any weights), off by at most"
    checks.require(gap <= rounding, argument, f"{rule} {rounding:.1e}", gap)
