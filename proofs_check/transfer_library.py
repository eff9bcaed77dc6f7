"""The library's gradients of the one-layer model beside exact arithmetic, on random data sets of five tokens."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from circuits.one_layer.counts import Counts, step_counts
from circuits.one_layer.losses import losses, objective
from circuits.one_layer.parameters import Options, Parameters, zeros
from proofs_check import transfer_exact as exact
from proofs_check.evidence import Evidence, identity
from proofs_check.setting import gap
from proofs_check.transfer_exact import Table, Weights


class Case(NamedTuple):
    """A data set, weights, and the exact gradient in some of the parameters, by their place."""

    table: Table
    parameters: Parameters
    options: Options
    truth: dict[int, np.ndarray]


Make = Callable[[int], Case]
"""From a seed."""


def agrees(make: Make, what: str) -> Evidence:
    """The library's gradient by hand, automatic differentiation of its losses, and exact arithmetic agree."""
    gaps = []
    for seed in range(4):
        table, parameters, options, truth = make(seed)
        counts = _counts(table, parameters.content.shape[0], options)
        weights = jnp.zeros(len(counts.steps)).at[-1].set(1.0) if options.injection else jnp.ones(1)
        ours, auto = _both_gradients(parameters, counts, options, weights)
        gaps += [gap([a], [b]) for a, b in zip(ours, auto, strict=True) if a.size]
        gaps += [gap([ours[place]], [jnp.asarray(known)]) for place, known in truth.items()]
    return identity("autodiff", f"{what}: by hand, automatic and exact", max(gaps), len(gaps))


@partial(jax.jit, static_argnums=2)
def _both_gradients(
    parameters: Parameters, counts: Counts, options: Options, weights: Float[Array, " k"]
) -> tuple[Parameters, Parameters]:
    """By hand and automatic."""
    auto = jax.grad(lambda p: jnp.sum(weights * losses(p, counts, options)))(parameters)
    return objective(parameters, counts, options, weights).gradient, auto


def _counts(table: Table, tokens: int, options: Options) -> Counts:
    """A table as the library's counts; for step 2 the same table is that of contexts (u,)."""
    number = np.array([list(row) for row in table.values()], float)
    none = np.full((len(table), 1), tokens)
    contexts = np.array(list(table))
    if not options.injection:
        return Counts((step_counts(np.hstack([contexts, none]), number),), jnp.asarray(1.0), False)
    zero = np.zeros((len(table), 2), int)
    first, second = (step_counts(np.hstack([zero, following]), number) for following in (none, contexts))
    return Counts((first, second), jnp.asarray(1.0), True)


def first_random(seed: int) -> Case:
    """A random data set on all contexts of five tokens, and the exact gradients in W^M and W^V."""
    size, random = 5, np.random.default_rng(seed)
    table = {(i, j): [int(n) for n in random.integers(0, 4, size)] for i in range(size) for j in range(size)}
    weights = Weights(exact.drawn(size, size, ("M", seed)), exact.drawn(size, size, ("V", seed)))
    found = exact.residuals(table, exact.first_odds(weights))
    truth = {axis: _square(exact.summed(found, axis), size) for axis in (0, 1)}
    content, value = (jnp.log(_array(part)) for part in weights)
    return Case(table, zeros(size, 1)._replace(content=content, value=value), Options(), truth)


def transfer_random(seed: int) -> Case:
    """The same for W^T: with W^M = W^V = 0 and kappa = 2, x_1 + kappa e_u is one-hot."""
    size, scale, random = 5, 2, np.random.default_rng(seed)
    table = {(u,): [int(n) for n in random.integers(0, 4, size)] for u in range(size)}
    matrix = exact.drawn(size, size, ("T", seed))
    found = exact.residuals(table, lambda c: [part**scale for part in matrix[c[0]]])
    truth = {2: _square(exact.summed(found, 0), size)[None] * scale}
    start = zeros(size, 2)
    transfers, kappa = jnp.log(_array(matrix))[None], jnp.asarray(float(scale))
    return Case(table, start._replace(transfers=transfers, scale=kappa), Options(injection=True), truth)


def _square(rows: exact.Rows, size: int) -> np.ndarray:
    return np.array([[float(part) for part in rows.get(r, [Fraction(0)] * size)] for r in range(size)])


def _array(rows: list[list[Fraction]]) -> jax.Array:
    return jnp.asarray([[float(part) for part in row] for row in rows])
