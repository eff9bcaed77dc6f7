"""Theorem 2, Phase I: the flow of L2 from w = 0, with W0^(1) = 0 and W1^(1)[i, j] = w(i - j).

Write s_k for the attention S1[T, T-k] that row T pays at offset k. L2 = -log(s_1 + s_{T - t_end}), because u_end stands
at T - 1 and once more at t_end. In an edge (u, v) it is v, never u, so t_end is 2, 4, 6 or 8, each in a quarter of the
graphs, and so is the offset T - t_end. Hence, exactly and everywhere,

    w(1)' = -s_1 + (1/4) sum over even e in 2..8 of s_1 / (s_1 + s_e)
    w(e)' = -s_e + (1/4) s_e / (s_1 + s_e)          even e
    w(k)' = -s_k                                    odd k >= 3, and k = 0

Eqs. 9 and 10 spread the four quarters over all eight context offsets. See ``theorem_2_phase_1_gap`` for what follows.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from circuits.disentangled.weights import Layer, zeros
from circuits.flow.coordinates import coordinates, toeplitz
from circuits.flow.fields import GOAL, gradient_flow
from circuits.flow.printed import phase_1
from proofs_check import exact, setting
from proofs_check import theorem_2_exact as rational
from proofs_check.evidence import Control, Evidence, Findings, at_most, identity
from proofs_check.exact import Matrix, Row
from proofs_check.theorem_2_exact import SELF, UNIFORM, Context, contexts, distance, mean, random_rows

T = setting.T
CONTEXT = range(2, T)
"""The offsets of the context, seen from row T."""
ROWS = 12
"""Random rational rows of attention."""
DRAWS = 8
"""Random weights, in float64."""


def distribution() -> Findings:
    """E[u_t] = 1/8 at each context position t <= 8."""
    orders = contexts()

    def chance(token: Callable[[Context], int], listed: Sequence[Context] = orders) -> Row:
        return mean([Fraction(t == token(context)) for t in context.tokens] for context in listed)

    def by_parity(found: Row) -> Evidence:
        stated = [Fraction(t % 2, 4) for t in range(SELF)] + [Fraction(1), Fraction(0)]
        text = "max |E[u_t] - (0 at odd, 1/4 at even t <= 8; 1 at T - 1; 0 at T)|"
        return rational.at_most(text, distance(found, stated), 0, len(orders), of="amended")

    found = chance(lambda context: context.end)
    return Findings(
        (
            rational.at_most(
                "max |E[u_t] - 1/8| over t <= 8",
                distance(found[:SELF], [Fraction(1, 8)] * SELF),
                0,
                len(orders),
            ),
            by_parity(found),
            rational.at_most(
                "|mean of E[u_t] over t <= 8 - 1/8|",
                abs(sum(found[:SELF], Fraction(0)) / SELF - Fraction(1, 8)),
                0,
                len(orders),
                of="amended",
            ),
        ),
        (
            Control("u the indicator of v", by_parity(chance(lambda context: context.v))),
            Control("u the indicator of u_star", by_parity(chance(lambda context: context.tokens[-1]))),
            Control("edges not shuffled", by_parity(chance(lambda context: context.end, orders[:1]))),
            Control("sources and targets swapped", by_parity([found[t ^ 1] for t in range(SELF)] + found[SELF:])),
        ),
        f"Of 24 edge orders, u_end stands at positions 1 to 8 in {', '.join(str(24 * p) for p in found[:SELF])}: it is "
        "the second of two tokens.",
    )


def field() -> Findings:
    """Eqs. 9 and 10 are the expected gradient flow."""
    rows = [UNIFORM, *random_rows(ROWS)]
    at_zero = velocity(UNIFORM)
    stated = printed_field(UNIFORM)
    gaps = [abs(stated[k] - at_zero[k]) for k in CONTEXT]

    def exactly(name: str, formula: Callable[[Row], Row]) -> Evidence:
        worst = max(distance(formula(s), velocity(s)) for s in rows)
        return rational.at_most(f"max |{name} - the exact gradient|, any attention", worst, 0, len(rows), of="amended")

    values = _float_fields()
    return Findings(
        (
            rational.at_most("least |Eq. 10 - w(k)'| at w = 0, over k = 2..9", min(gaps), 0, len(gaps)),
            at_most(
                "autodiff",
                "least max |Eqs. 9, 10 - autodiff| where all context offsets have one weight",
                float(np.min(np.max(np.abs(values["printed"] - values["tied three"]), axis=1))),
                1e-6,
                DRAWS,
            ),
            exactly("the field by parity", parity_field),
            rational.at_most("|Eq. 9 - w(1)'| at w = 0", abs(stated[1] - at_zero[1]), 0, 1, of="amended"),
            rational.at_most(
                "|Eq. 10 - mean of w(k)' over k = 2..9| at w = 0",
                abs(stated[2] - sum(at_zero[2:], Fraction(0)) / 8),
                0,
                1,
                of="amended",
            ),
            identity(
                "autodiff",
                "max |the library's flow - autodiff of the literal model|",
                setting.gap(values["library"], values["literal"]),
                DRAWS,
                of="amended",
            ),
        ),
        (
            Control("Eqs. 9 and 10 by the same test", exactly("Eqs. 9 and 10", printed_field)),
            Control("odd offsets in place of even", exactly("it", lambda s: parity_field(s, parity=1))),
            Control("1/8 in place of 1/4", exactly("it", lambda s: parity_field(s, chance=Fraction(1, 8)))),
            Control("its sign flipped", exactly("it", lambda s: [-entry for entry in parity_field(s)])),
            Control("offsets shifted by one", exactly("it", lambda s: [*parity_field(s)[1:], parity_field(s)[0]])),
        ),
        f"At w = 0: w(1)' = {at_zero[1]} as Eq. 9 says; w(k)' = {at_zero[2]} for even k and {at_zero[3]} for odd k, "
        f"where Eq. 10 says {stated[2]} for both.",
    )


def toeplitz_structure() -> Findings:
    """The Toeplitz structure is preserved by the flow: not of a free W1^(1), trivially of a tied one."""
    rows = [UNIFORM, *random_rows(ROWS)]
    free = [free_velocity(s) for s in rows]
    spread = min(max(max(diagonal) - min(diagonal) for diagonal in diagonals(matrix)) for matrix in free)
    above = max(abs(entry) for matrix in free for row in matrix[:-1] for entry in row)
    values = _float_fields()

    def same(name: str, ours: np.ndarray, truth: np.ndarray) -> Evidence:
        return identity("autodiff", f"max |{name}|, tied weights", setting.gap(ours, truth), DRAWS, of="amended")

    text = "gradient of w - the last row of the gradient of a free W1^(1)"
    return Findings(
        (
            rational.at_most("least spread of velocity within a diagonal of a free W1^(1)", spread, 0, len(rows)),
            rational.at_most("max |velocity| in rows t < T of a free W1^(1)", above, 0, len(rows), of="amended"),
            same(text, values["literal"], values["last row"]),
            same("gradient of w - sums along the diagonals of a free W1^(1)", values["literal"], values["sums"]),
        ),
        (
            Control("means along the diagonals", same(text, values["means"], values["last row"])),
            Control("the row before the last", same(text, values["row before"], values["last row"])),
            Control("trained on L1a", same(text, values["plan tied"], values["plan last row"])),
        ),
        f"At W1^(1) = 0 entry (10, 9) of a free W1^(1) has velocity {free[0][-1][-2]}, and the eight others of its "
        "diagonal 0: the first step leaves the Toeplitz matrices.",
    )


def free_velocity(s: Row, hits: Callable[[Context], list[bool]] = lambda context: context.holds_end) -> Matrix:
    """-E[dL2/dW1^(1)] with every entry free, where row T pays attention s_k at offset k; other rows do not matter."""
    s1 = [exact.one_hot(T, 0)] * (T - 1) + [s[::-1]]
    attention = exact.Attention(s1, UNIFORM, [UNIFORM] * T)
    found = [exact.shallow(attention, hits(context)) for context in contexts()]
    gradients = [each.logits_1 for each in found if each is not None]
    return [[-entry for entry in mean(rows)] for rows in zip(*gradients, strict=True)]


def diagonals(matrix: Matrix) -> list[Row]:
    """The entries at offset 0, 1, .. T - 1."""
    return [[matrix[i][i - k] for i in range(k, T)] for k in range(T)]


def velocity(s: Row, hits: Callable[[Context], list[bool]] = lambda context: context.holds_end) -> Row:
    """w' by offset: the exact gradient, summed along the diagonals."""
    return [sum(diagonal, Fraction(0)) for diagonal in diagonals(free_velocity(s, hits))]


def parity_field(s: list[Any], parity: int = 0, chance: Fraction = Fraction(1, 4)) -> list[Any]:
    """The field at the top of this file, or a mutant of it: of fractions or of symbols."""
    rewarded = [k for k in CONTEXT if k % 2 == parity]
    found = [-entry for entry in s]
    found[1] += sum((chance * s[1] / (s[1] + s[k]) for k in rewarded), Fraction(0))
    for k in rewarded:
        found[k] += chance * s[k] / (s[1] + s[k])
    return found


def printed_field(s: Row) -> Row:
    """Eqs. 9 and 10, read at each context offset with its own s_c; for Eq. 9, their mean. w(0)' = -s_0."""
    predecessor = -s[1] + sum((s[1] / (s[1] + s[k]) for k in CONTEXT), Fraction(0)) / (T - 2)
    return [-s[0], predecessor, *(-s[k] + Fraction(1, T - 2) * s[k] / (s[1] + s[k]) for k in CONTEXT)]


@cache
def _float_fields() -> dict[str, np.ndarray]:
    """Velocities by autodiff at random tied w: of the literal model, tied and free, and of the library.

    "printed" and "tied three" are (w_p, w_c.., w_q)' where all context offsets have one weight: Eqs. 9 and 10 against
    the literal model.
    """
    tokens, v, end = setting.orders()
    found = coordinates(setting.SPEC, position_1=toeplitz(T))
    library = gradient_flow(found, GOAL, setting.SPEC)
    base = zeros(2, setting.N, T)

    def mean_loss(position: Array, plan: bool) -> Array:
        weights = (Layer(base[0].content, position), base[1])
        loss = setting.literal_loss if plan else setting.shallow_literal_loss
        return jnp.mean(jax.vmap(loss, in_axes=(None, 0, 0))(weights, tokens, v if plan else end))

    def measured(w: Array) -> dict[str, Array]:
        tied = found.position_1.embed
        matrix = -jax.grad(mean_loss)(tied(w), False)
        plan = -jax.grad(mean_loss)(tied(w), True)
        sums = jnp.stack([jnp.trace(matrix, offset=-k) for k in range(T)])
        return {
            "literal": -jax.grad(lambda w: mean_loss(tied(w), False))(w),
            "library": library(w),
            "last row": matrix[-1, ::-1],
            "row before": jnp.roll(matrix[-2, ::-1], 1),
            "sums": sums,
            "means": sums / jnp.arange(T, 0, -1, dtype=sums.dtype),
            "plan tied": -jax.grad(lambda w: mean_loss(tied(w), True))(w),
            "plan last row": plan[-1, ::-1],
        }

    w = jax.random.normal(jax.random.key(5), (DRAWS, T))
    values = jax.jit(jax.vmap(measured))(jnp.concatenate([w, w.at[:, 3:].set(w[:, 2:3])]))
    three = jax.vmap(phase_1)(w[:, jnp.array([1, 2, 0])])
    printed = jnp.concatenate([three[:, 2:], three[:, :1], jnp.tile(three[:, 1:2], (1, T - 2))], axis=1)
    fields = {name: np.asarray(array[:DRAWS]) for name, array in values.items()}
    return {**fields, "tied three": np.asarray(values["literal"][DRAWS:]), "printed": np.asarray(printed)}
