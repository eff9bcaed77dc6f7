"""Theorem 2, Phase I: the positions of u_end, and the flow of W1^(1) that follows from them.

Eqs. 9 and 10 spread the probability of u_end over all eight context offsets, but it is on four of them. See
``theorem_2_phase_1_flow`` for the flow, and ``theorem_2_phase_1_gap`` for the proof's conclusions from Eqs. 9 and 10.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from circuits.disentangled.weights import Layer, Weights, zeros
from circuits.flow.coordinates import Coordinates, fixed, toeplitz
from circuits.flow.fields import GOAL, gradient_flow
from circuits.flow.printed import phase_1
from proofs_check.ledger import CrossCheck, Findings, Outcome, Test, equal, same
from proofs_check.methods import star
from proofs_check.methods.star import SELF, UNIFORM, Row, T, contexts, mean_row, random_rows
from proofs_check.methods.twins import twins_agree
from proofs_check.planning import theorem_2_phase_1_flow as flow
from proofs_check.planning.theorem_2_phase_1_flow import CONTEXT, Flow, Symbols, Tie, parity_field, velocities, velocity

ENDS = (2, 4, 6, 8)
"""Rows at which t_end can be, counted from 1."""
ROWS = [UNIFORM, *random_rows(6)]
Field = Callable[[Symbols], Symbols]
"""w' by offset, as a function of the attention s by offset."""


def distribution() -> Findings:
    """E[u_t] = 1/8 at each context position t <= 8."""

    def frequency(chance: Row) -> Outcome:
        return equal([chance], [mean_row([Fraction(hit) for hit in context.holds_end] for context in contexts())])

    def stated(odd: Fraction, even: Fraction, prompt: int = 1) -> Row:
        return [odd, even] * (SELF // 2) + [Fraction(prompt), Fraction(0)]

    zero, eighth, quarter = Fraction(0), Fraction(1, 8), Fraction(1, 4)
    counts = [sum(context.at_end == t for context in contexts()) for t in range(SELF)]
    mutants = {
        "1/4 at odd positions": stated(quarter, zero),
        "1/4 at every position, as for v": stated(quarter, quarter),
        "1/8 at even positions": stated(zero, eighth),
        "0 at T - 1": stated(zero, quarter, prompt=0),
    }
    printed, amended = stated(eighth, eighth), stated(zero, quarter)
    return Findings(
        (
            Test("exact", "E[u_t], t = 1..10", frequency, printed=printed, amended=amended, mutants=mutants),
            *flow.gaps_grow(),
        ),
        (),
        f"Of 24 edge orders, u_end is at positions 1 to 8 in {', '.join(map(str, counts))}: it is the second of two "
        "tokens.",
    )


def field() -> Findings:
    """Eqs. 9 and 10 are the expected gradient flow."""
    s_p, s_c, s_q = sympy.symbols("s_p s_c s_q", positive=True)
    tied = [s_q, s_p, *[s_c] * len(CONTEXT)]
    free = list(sympy.symbols(f"s:{T}", positive=True))

    def agrees(s: Symbols, offsets: Sequence[int]) -> Callable[[Field], Outcome]:
        true = velocity(s)

        def compare(formula: Field) -> Outcome:
            stated = formula(s)
            return same([(stated[k], true[k]) for k in offsets])

        return compare

    at_zero, printed = velocity(UNIFORM), printed_field(UNIFORM)
    wrong_9 = {
        "without the reward": lambda s: [-mass for mass in s],
        "sign flipped": lambda s: [-speed for speed in printed_field(s)],
        "rewarded with s_c for s_p": lambda s: [s[0], -s[1] + s[2] / (s[1] + s[2])],
    }
    wrong_10 = {
        "odd offsets in place of even": lambda s: parity_field(s, parity=1),
        "1/8 in place of 1/4": lambda s: parity_field(s, chance=Fraction(1, 8)),
        "sign flipped": lambda s: [-speed for speed in parity_field(s)],
        "offsets shifted by one": lambda s: [*parity_field(s)[1:], parity_field(s)[0]],
    }
    eq_9 = "Eq. 9: w(1)' where all context offsets have attention s_c"
    eq_10 = "Eq. 10: w(k)', k = 2..9, where all context offsets have attention s_c"
    fields: dict[str, Any] = {"printed": printed_field, "amended": parity_field}
    everywhere = agrees(free, range(T))
    return Findings(
        (
            Test("symbolic", eq_9, agrees(tied, [1]), **fields, mutants=wrong_9),
            Test("symbolic", eq_10, agrees(tied, CONTEXT), **fields, mutants=wrong_10),
            Test("symbolic", "w' at any attention", everywhere, amended=parity_field, mutants=wrong_10),
            *flow.gaps_grow(),
        ),
        (_library_flows(), _library_prints()),
        f"At w = 0: w(1)' = {at_zero[1]} as Eq. 9 says; w(k)' = {at_zero[2]} for even k and {at_zero[3]} for odd k, "
        f"where Eq. 10 says {printed[2]} for both.",
    )


def toeplitz_structure() -> Findings:
    """The expected gradient depends on the offset only, so the flow keeps W1^(1) Toeplitz."""
    free_velocities = [velocities(s, Flow(tie=flow.untied)) for s in ROWS]

    def one_diagonal(tie: Tie) -> Outcome:
        """Compare entry (t, t-k) with entry (T, T-k), for all t < T."""
        tied = [tie(free) for free in free_velocities]
        pairs = [(v[t][t - k], v[-1][T - 1 - k]) for v in tied for t in range(T - 1) for k in range(t + 1)]
        return equal(*map(list, zip(*pairs, strict=True)))

    def last_row(tie: Tie) -> Outcome:
        return equal([tie(free)[-1] for free in free_velocities], [free[-1] for free in free_velocities])

    by_offset = flow.by_offset
    wrong_diagonal = {
        "one parameter a column": flow.by_column,
        "opposite in row T": lambda v: [*by_offset(v)[:-1], [-speed for speed in v[-1]]],
        "one parameter an offset in even rows only": lambda v: [
            tied if t % 2 else own for t, (own, tied) in enumerate(zip(v, by_offset(v), strict=True))
        ],
    }
    wrong_last = {
        "means along the diagonals": lambda v: [
            [speed / (T - (t - j)) if j <= t else speed for j, speed in enumerate(row)]
            for t, row in enumerate(by_offset(v))
        ],
        "the row before": lambda v: [v[-1], *v[:-1]],
        "sign flipped": lambda v: [[-speed for speed in row] for row in v],
    }
    diagonal = "velocity of W1^(1)[t, t-k] = that of W1^(1)[T, T-k], t < T"
    last = "velocity of w(k) = that of entry (T, T-k) of a free W1^(1)"
    return Findings(
        (
            Test("exact", diagonal, one_diagonal, printed=flow.untied, amended=by_offset, mutants=wrong_diagonal),
            Test("exact", last, last_row, amended=by_offset, mutants=wrong_last),
            flow.moves_alike(),
            flow.pointer_grows((*ENDS, T)),
        ),
        (_literal_moves(),),
        f"At W1^(1) = 0 entry (10, 9) of a free W1^(1) has velocity {free_velocities[0][-1][SELF]}, and the eight "
        "others of its diagonal 0: the first step leaves the Toeplitz matrices.",
    )


def equation_9(s_p: Any, s_c: Any) -> Any:
    return -s_p + s_p / (s_p + s_c)


def equation_10(s_p: Any, s_c: Any, length: Any = T) -> Any:
    return -s_c + s_c / (s_p + s_c) / (length - 2)


def printed_field(s: Symbols) -> Symbols:
    """Eqs. 9 and 10, where all context offsets have one s_c; w(0)' = -s_0 completes them."""
    return [-s[0], equation_9(s[1], s[2]), *[equation_10(s[1], s[2])] * len(CONTEXT)]


def _library_flows() -> CrossCheck:
    """Compare the library's flow of L2 in w, at weights whose attention is rational."""

    def gradient(w: Any) -> Any:
        first, second = zeros(2, star.N, T)
        moving = Coordinates(fixed(first.content), toeplitz(T), fixed(second.content), fixed(second.position))
        return gradient_flow(moving, GOAL, star.SPEC)(w)

    ours = np.asarray(_compiled(gradient)(_weights(ROWS)))
    mutants = {"offsets shifted": np.roll(ours, 1, axis=-1)}
    return twins_agree("library's flow of L2 in w", ours, _floats([velocity(s) for s in ROWS]), mutants)


def _library_prints() -> CrossCheck:
    """Compare the library's Eqs. 9 and 10: (w_p, w_c, w_q)'."""
    rows = [_tied_row(*parts) for parts in ((1, 1, 1), (3, 1, 7), (1, 5, 2))]
    ours = np.asarray(_compiled(phase_1)(_weights(rows)[:, [1, 2, 0]]))
    stated = _floats([printed_field(s) for s in rows])[:, [1, 2, 0]]
    mutants = {"offsets shifted": np.roll(ours, 1, axis=-1)}
    return twins_agree("library's Eqs. 9 and 10 as printed", ours, stated, mutants)


def _literal_moves() -> CrossCheck:
    """Compare the velocity of every entry of a free W1^(1) with automatic differentiation of the literal model."""
    tokens, _, end = star.prompts()
    first, second = zeros(2, star.N, T)

    def loss(position: Any) -> Any:
        weights: Weights = (Layer(first.content, position), second)
        return jnp.mean(jax.vmap(star.shallow_literal_loss, in_axes=(None, 0, 0))(weights, tokens, end))

    offsets = np.subtract.outer(np.arange(T), np.arange(T))
    at = np.where(offsets >= 0, _weights(ROWS)[:, np.maximum(offsets, 0)], 0)
    ours = -np.asarray(_compiled(jax.grad(loss))(at))
    truth = _floats([velocities(s, Flow(tie=flow.untied)) for s in ROWS])
    return twins_agree("velocity of a free W1^(1), literally", ours, truth, {"transposed": np.swapaxes(ours, 1, 2)})


def _tied_row(p: int, c: int, q: int) -> Row:
    total = p + c * len(CONTEXT) + q
    return [Fraction(q, total), Fraction(p, total), *[Fraction(c, total)] * len(CONTEXT)]


def _weights(rows: Sequence[Row]) -> Any:
    """Return offset weights whose softmax is each row."""
    return np.log(_floats(rows))


def _floats(nested: Any) -> Any:
    return np.array(nested, dtype=object).astype(float)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile over cases, without optimisation, which would take longer than it saves."""
    return jax.jit(jax.vmap(function), compiler_options={"xla_backend_optimization_level": 0})
