"""Tests that the field of ``theorem_3_flow_field`` is minus the gradient of the next-token losses, Layer 2 at zero."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from random import Random
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from flint import fmpq, fmpq_series

from circuits.flow.coordinates import coordinates, toeplitz
from circuits.flow.fields import gradient_flow
from proofs_check.ledger import CrossCheck, Outcome, Test, equal
from proofs_check.methods import star
from proofs_check.methods.star import T, edge_orders, goal, next_label, positions, replayed
from proofs_check.methods.twins import twins_agree
from proofs_check.planning import theorem_3_flow_field as flow
from proofs_check.planning.theorem_3_flow_field import NEXT_TOKEN, PLAN, Goals, Row, Shares, field, goals, pulls, total

LOSSES: Final = {"(L1a + L1b)/2": NEXT_TOKEN, "L1a": PLAN}
POINTS = 2
"""Number of random points with integers for x = exp(w)."""
Field = Callable[[Row, Goals], Row]


def step() -> Test:
    """w(k)' = x_k G_k is minus the gradient, in fractions."""

    def multiplied(x: Row, g: Row) -> Row:
        return [a * b for a, b in zip(x, g, strict=True)]

    def without_row_2(x: Row, targets: Goals) -> Row:
        return multiplied(x, pulls(x, flow.lam(flow.attention(x), targets), first=2))

    def ratio_of_means(x: Row, targets: Goals) -> Row:
        """E[u_j]/E[M] for lam_j, as the print has it."""
        c = flow.received(flow.attention(x))
        mean = sum(weight * sum(c[j] for j in where) for weight, where in targets)
        lams = [sum((weight * (j in where) for weight, where in targets), Fraction(0)) / mean for j in range(T)]
        return multiplied(x, pulls(x, lams))

    mutants = {
        "E[u]/E[M] for E[u/M]": ratio_of_means,
        "without row 2": without_row_2,
        "negated": lambda x, targets: [-each for each in field(x, targets)],
    }
    name = "x_k G_k against -dL/dw(k) of the edge orders, L1a and (L1a + L1b)/2, at random weights"
    return Test("exact", name, descends, amended=field, mutants=mutants)


@cache
def descends(formula: Field) -> Outcome:
    """Compare at random points, for both losses."""
    cases = [(x, shares) for x in points() for shares in LOSSES.values()]
    return equal([formula(x, goals(shares)) for x, shares in cases], [minus_gradient(x, shares) for x, shares in cases])


def minus_gradient(x: Sequence[Fraction], shares: Shares) -> list[Fraction]:
    """Return E[d log M/dw(k)], with M from the tokens of every edge order, and x_k (1 + epsilon) for x_k."""
    hits = [
        (share / len(edge_orders()), hit)
        for z in edge_orders()
        for share, hit in zip(shares, (positions(z, next_label(z)), positions(replayed(z), goal(z))), strict=True)
    ]
    slopes = []
    for dual in duals(x):
        rows = [[dual[r - j] / total(dual[: r + 1]) for j in range(r + 1)] for r in range(T)]
        by_position = [total([row[j] for row in rows[j:]]) for j in range(T)]
        masses = [(share, total([by_position[j] for j in range(T) if hit[j]])) for share, hit in hits]
        slopes.append(sum((share * fraction(mass[1] / mass[0]) for share, mass in masses), Fraction(0)))
    return slopes


def jacobian_differentiates_the_field() -> CrossCheck:
    """Compare the Jacobian, on which the error of the enclosed path rests, with dual numbers, in fractions."""
    x = points()[0]

    def written(shares: Shares) -> list[Row]:
        rows = flow.jacobian(x, goals(shares))
        return [[rows[max(a, b)][min(a, b)] for b in range(T)] for a in range(T)]

    def differentiated(shares: Shares) -> list[Row]:
        columns = [[fraction(each[1]) for each in field(dual, goals(shares))] for dual in duals(x)]
        return [list(row) for row in zip(*columns, strict=True)]

    def scaled(factor: int) -> list[list[Row]]:
        return [[[factor * entry for entry in row] for row in matrix] for matrix in ours]

    ours, expected = ([each(shares) for shares in LOSSES.values()] for each in (written, differentiated))
    mutants = {"negated": scaled(-1), "zero": scaled(0), "the losses swapped": ours[::-1]}
    name = "the Jacobian of the flow against the derivative of its field by dual numbers"
    return CrossCheck(name, lambda matrices: equal(matrices, expected), ours, mutants)


def library_has_the_field() -> CrossCheck:
    """Compare the library's gradient flow of both losses, at zero and at random weights, with x_k G_k."""
    at = [[Fraction(1)] * T, *points()]
    ours = np.array([[field(x, goals(shares)) for x in at] for shares in LOSSES.values()], float)
    space = coordinates(star.SPEC, position_1=toeplitz(T))

    def velocity(shares: jax.Array, w: jax.Array) -> jax.Array:
        return gradient_flow(space, (shares[0], shares[1], 0.0), star.SPEC)(w)

    # Compiling takes nearly all the time, and less without optimisation.
    options = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    both = jax.vmap(jax.vmap(velocity, in_axes=(None, 0)), in_axes=(0, None))
    program: Callable[..., jax.Array] = jax.jit(both, compiler_options=options)
    library = np.asarray(program(jnp.array(list(LOSSES.values()), float), jnp.log(jnp.array(at, float))))
    mutants = {
        "w(1) and w(2) swapped": library[..., [0, 2, 1, *range(3, T)]],
        "offsets reversed": library[..., ::-1],
        "the losses swapped": library[::-1],
    }
    return twins_agree("the library's gradient flow against x_k G_k", library, ours, mutants)


def points() -> list[list[Fraction]]:
    """Return random integers for x."""
    random = Random(0)
    return [[Fraction(random.randint(1, 99)) for _ in range(T)] for _ in range(POINTS)]


def duals(x: Sequence[Fraction]) -> list[Row]:
    """Return x with x_k (1 + epsilon) for x_k, for each k; d/dw(k) is the coefficient of epsilon."""
    values = [fmpq(value.numerator, value.denominator) for value in x]
    return [[fmpq_series([value, value * (j == k)], 2) for j, value in enumerate(values)] for k in range(T)]


def fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))
