"""Exact averages over all star graphs of a family, without sampling.

A problem is an edge order and a labeling. ``mean_exhaustive`` enumerates all of them. ``mean_by_symmetry`` enumerates
only the edge orders. With content weights a I + b 1 1^T, a prompt with renamed labels has the same losses and position
gradients, and its content gradients have their rows and columns permuted accordingly. The average of these over all
permutations of the labels has one diagonal and one off-diagonal value.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Int

from circuits import checks
from circuits.cores import available_cores
from circuits.disentangled.weights import Layer, Weights, check
from circuits.tasks.problem import Problem
from circuits.tasks.star.enumeration import canonical_problems, enumerate_problems
from circuits.tasks.star.graph import StarGraph, encode_prompt, targets
from circuits.typing import Content

Quantity = Callable[..., Any]
"""Maps weights and one prompt (tokens, y1, y2) to any pytree of arrays, as ``objective`` does."""

CHUNK = 1260
"""Sequences evaluated together: they fit in a core's cache, and 30,240 labelings are 24 whole chunks."""
MIN_RELABELINGS = 200
"""Random relabelings, over all prompts, under which ``mean_by_symmetry`` compares the quantity; at least 2 a prompt."""
RELABELING_TOLERANCE = 1e-9
"""Relative rounding error allowed between two labelings of one prompt; a dependence on labels is far larger."""


def mean_exhaustive(
    quantity: Quantity, weights: Weights, spec: StarGraph, query: str = "goal-start", chunk: int = CHUNK
) -> Any:
    """Return the mean of a quantity over every labeling and edge order, evaluated one by one, for any weights.

    The 2-path 3-node family with N = 10 has 725,760 problems. Memory is that of one chunk per core.

    Args:
        quantity: maps weights, tokens [T], y1 and y2 of one prompt to any pytree of arrays, as ``objective`` does.
        weights: content and position block of each layer.
        spec: the family of star graphs.
        query: order of the query, "goal-start" or "start-goal".
        chunk: number of sequences evaluated together.

    Raises:
        ValueError: for weights that do not fit the family, and for a family too large to enumerate.

    Example:
        >>> from circuits.disentangled.weights import zeros
        >>> def squared_distance(weights, tokens, y1, y2):
        ...     return (y1 - y2) ** 2
        >>> float(mean_exhaustive(squared_distance, zeros(2, 5, 10), StarGraph(paths=2, nodes=3, labels=5)))
        5.0
    """
    check(weights, spec.labels, spec.sequence_length)

    def sum_chunk(problems: Problem) -> tuple[Any, int]:
        return _sums(quantity, weights, *_prompts(problems, query)), len(problems.start)

    total, count = None, 0
    chunks, cores = enumerate_problems(spec, chunk), available_cores()
    # A compiled chunk runs without the interpreter's lock, so one thread per core. ``map`` keeps the order of the sums.
    # Traced weights must stay on the thread that traces them.
    traced = _is_traced(weights)
    with ThreadPoolExecutor(cores) as pool:
        while batch := list(islice(chunks, cores)):
            for value, size in (map if traced else pool.map)(sum_chunk, batch):
                total = value if total is None else jax.tree.map(jnp.add, total, value)
                count += size
    return jax.tree.map(lambda array: array / count, total)


def mean_by_symmetry(quantity: Quantity, weights: Weights, spec: StarGraph, query: str = "goal-start") -> Any:
    """Return ``mean_exhaustive`` from one labeling of each edge order (24 for the 2-path 3-node graph).

    Every ``Layer`` in the quantity, such as a gradient, is averaged over relabelings: when labels are permuted, its
    content must be permuted too. All other arrays, such as losses and attention, must not change. Both conditions are
    checked on random relabelings of each prompt (unless the weights are traced).

    Args:
        quantity: maps weights, tokens [T], y1 and y2 of one prompt to any pytree of arrays, as ``objective`` does.
        weights: content and position block of each layer; content must be a I + b 1 1^T.
        spec: the family of star graphs.
        query: order of the query, "goal-start" or "start-goal".

    Raises:
        ValueError: for a quantity that changes with the labels, for other content blocks, and for weights that do not
            fit the family.

    Example:
        >>> from circuits.disentangled.weights import zeros
        >>> def goal_is_in_first_edge(weights, tokens, y1, y2):
        ...     return tokens[1] == tokens[-2]
        >>> float(mean_by_symmetry(goal_is_in_first_edge, zeros(2, 10, 10), StarGraph(paths=2, nodes=3, labels=10)))
        0.25
    """
    check(weights, spec.labels, spec.sequence_length)
    for number, layer in enumerate(weights, start=1):
        require_symmetric(f"content_{number}", layer.content)
    prompts = _prompts(canonical_problems(spec), query)
    if not _is_traced(weights):
        _require_equivariant(quantity, weights, prompts, spec.labels)
    mean = jax.tree.map(lambda array: array / len(prompts[0]), _sums(quantity, weights, *prompts))
    return jax.tree.map(_average_relabelings, mean, is_leaf=_is_layer)


def relabeled_mean(content: Content) -> Content:
    """Return the mean of P C P^T over all permutations P: the mean of the diagonal, and that of all other entries."""
    labels = len(content)
    diagonal = jnp.trace(content) / labels
    rest = (jnp.sum(content) - jnp.trace(content)) / (labels * (labels - 1))
    return jnp.where(jnp.eye(labels, dtype=bool), diagonal, rest)


def require_symmetric(argument: str, content: Content) -> None:
    """Raise ValueError unless a content block is a I + b 1 1^T. Traced blocks pass."""
    if isinstance(content, Tracer):
        return
    gap = float(np.max(np.abs(np.asarray(content) - np.asarray(relabeled_mean(content)))))
    rounding = 8 * float(jnp.finfo(content.dtype).eps) * float(np.max(np.abs(content)))
    rule = "must be a I + b 1 1^T for the symmetry reduction (mean_exhaustive takes any weights), to within"
    checks.require(gap <= rounding, argument, f"{rule} {rounding:.1e}", gap)


@partial(jax.jit, static_argnums=0)
def _sums(quantity: Quantity, weights: Weights, tokens: jax.Array, y1: jax.Array, y2: jax.Array) -> Any:
    values = jax.vmap(quantity, in_axes=(None, 0, 0, 0))(weights, tokens, y1, y2)
    return jax.tree.map(lambda array: jnp.sum(array, axis=0), values)


def _prompts(problems: Problem, query: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    tokens = jax.vmap(partial(encode_prompt, query=query))(problems)
    return tokens, *targets(problems)


def _require_equivariant(quantity: Quantity, weights: Weights, prompts: tuple[jax.Array, ...], labels: int) -> None:
    """Raise ValueError if the quantity of a relabeled prompt is not the relabeled quantity of the prompt."""
    count = len(prompts[0])
    shape = (count, max(2, -(-MIN_RELABELINGS // count)), labels)
    identity = np.broadcast_to(np.arange(labels, dtype=np.int32), shape)
    permutations = np.random.default_rng(0).permuted(identity, axis=-1)
    permutations = np.concatenate([identity[:, :1], permutations], axis=1)
    changes, sizes = _changes(quantity, weights, prompts, jnp.asarray(permutations))
    for (path, change), size in zip(jax.tree.leaves_with_path(changes), jax.tree.leaves(sizes), strict=True):
        epsilon = 100 * float(jnp.finfo(size.dtype).eps)
        allowed = max(RELABELING_TOLERANCE, epsilon) * max(1.0, float(size))
        where = jax.tree_util.keystr(path) or "its value"
        rule = f"must not change by more than {allowed:.1e}, at {where}, when labels are permuted"
        checks.require(bool(change <= allowed), "quantity", rule, float(change))


@partial(jax.jit, static_argnums=0)
def _changes(
    quantity: Quantity,
    weights: Weights,
    prompts: tuple[jax.Array, ...],
    permutations: Int[jax.Array, "n relabelings N"],
) -> tuple[Any, Any]:
    """Return, for each array, its largest change under the relabelings of a prompt, and its largest absolute value.

    The first relabeling of each prompt is the identity.
    """

    def undo(value: Any, permutation: Int[jax.Array, " N"]) -> Any:
        if not _is_layer(value):
            return value
        return value._replace(content=value.content[permutation[:, None], permutation[None, :]])

    def of_prompt(prompt: tuple[jax.Array, ...], permutations: Int[jax.Array, "relabelings N"]) -> tuple[Any, Any]:
        def relabeled(permutation: Int[jax.Array, " N"]) -> Any:
            values = quantity(weights, *(permutation[labels] for labels in prompt))
            values = jax.tree.map(lambda value: undo(value, permutation), values, is_leaf=_is_layer)
            return jax.tree.map(_as_float, values)

        values = jax.vmap(relabeled)(permutations)
        return jax.tree.map(_largest_change, values), jax.tree.map(lambda array: jnp.max(jnp.abs(array[0])), values)

    per_prompt = jax.lax.map(lambda both: of_prompt(*both), (prompts, permutations), batch_size=CHUNK)
    return jax.tree.map(jnp.max, per_prompt)


def _largest_change(values: jax.Array) -> jax.Array:
    """Return the largest distance from the first value; equal infinities, and two NaN, are at distance 0."""
    first = values[:1]
    equal = (values == first) | (jnp.isnan(values) & jnp.isnan(first))
    return jnp.max(jnp.where(equal, 0, jnp.abs(values - first)))


def _as_float(array: jax.Array) -> jax.Array:
    return array if jnp.issubdtype(array.dtype, jnp.inexact) else array.astype(jnp.float32)


def _average_relabelings(value: Any) -> Any:
    return value._replace(content=relabeled_mean(value.content)) if _is_layer(value) else value


def _is_layer(value: Any) -> bool:
    return isinstance(value, Layer)


def _is_traced(weights: Weights) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(weights))
