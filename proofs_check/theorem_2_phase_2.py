"""Theorem 2, Phase II, on one graph: what L1a is once Layer 1 is the predecessor, and where its gradient goes.

(S1 Z)_j = z_{j-1}, and position 1 sees only itself. v stands twice in a context, as the target of (u_star, v) and as
the source of (v, u_end). So e_v is read at t_end, at the position after v in (u_star, v), which is T - 1 if that edge
is listed last, and at position 1 if (v, u_end) is listed first: at two positions in 18 edge orders of 24, at three in
6. With h their indicator, s = S2[T] and f = s . h,

    L1a = -log f,     -dL1a/dl = J(s) h / f = g,     g_j = s_j (h_j / f - 1)

for the logits l_j = W0[u_end, z_j] + W1[T-1, j], so that

    -dL1a/dW0^(2) = e_{u_end} (Z^T g)^T      row u_end
    -dL1a/dW1^(2) = e_{T-1} g^T              row T - 1, whatever the weights of Layer 2

Eqs. 11 and 12 are the transposes of these for h = e_{t_end}.
"""

from fractions import Fraction
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import forward
from circuits.disentangled.weights import Layer, Weights
from circuits.flow.printed import phase_2
from proofs_check import setting
from proofs_check import theorem_2_exact as rational
from proofs_check.evidence import Control, Evidence, Findings, Of, at_most, decided, identity
from proofs_check.exact import Row
from proofs_check.setting import Case, Prompt
from proofs_check.theorem_2_exact import (
    SELF,
    UNIFORM,
    Context,
    contexts,
    edges,
    pull,
)
from proofs_check.theorem_2_flows import SATURATED

N, T = setting.N, setting.T


def single_target() -> Findings:
    """v is read only at t_end, hence L1a = -log S2[T, t_end]."""
    counts = [sum(context.reads_v) for context in contexts()]
    values = _on_graphs()

    def loss_is(name: str, of: Of = "amended") -> Evidence:
        return identity("simulated", f"max |L1a of the literal model - (-log {name})|", _gap(name, "loss"), 96, of=of)

    return Findings(
        (
            decided("exhaustive", "e_v is read at t_end alone, in any edge order", min(counts) == 1, 24),
            at_most(
                "simulated",
                "least |L1a of the literal model + log S2[T, t_end]|",
                float(np.min(np.abs(values["loss"] - values["S2[T, t_end]"]))),
                1e-6,
                96,
            ),
            decided(
                "exhaustive",
                "e_v is read at 2 positions in 18 orders and at 3 in 6, t_end always among them",
                sorted(counts) == [2] * 18 + [3] * 6 and all(c.reads_v[c.at_end] for c in contexts()),
                24,
                of="amended",
            ),
            decided(
                "exhaustive",
                "T - 1 is among them in 6 orders of 24, position 1 in 6",
                [sum(c.reads_v[j] for c in contexts()) for j in (SELF, 0)] == [6, 6],
                24,
                of="amended",
            ),
            loss_is("the mass where v is read"),
        ),
        (
            Control("without position 1", loss_is("the mass after v")),
            Control("without T - 1", loss_is("that mass without T - 1")),
            Control("where v stands, not after it", loss_is("the mass on v")),
        ),
        "On 0>1, 1>2, 0>3, 3>4, 2, 0 (v = 1, u_end = 2): (S1 Z)_3 = z_2 = v and (S1 Z)_4 = z_3 = v = (S1 Z)_{t_end}.",
    )


def gradients() -> Findings:
    """Eqs. 11 and 12 are the gradients of L1a."""
    cases = 96

    def printed(name: str, number: int) -> Evidence:
        return identity(
            "autodiff", f"max |Eq. {number} - autodiff of the literal model|", _gap(name, "autodiff", number), cases
        )

    def amended(name: str, number: int) -> Evidence:
        text = f"max |{name}, dL1a/dW{number - 11}^(2) - autodiff of the literal model|"
        return identity("autodiff", text, _gap(name, "autodiff", number), cases, of="amended")

    return Findings(
        (
            *(printed("as printed", number) for number in (11, 12)),
            *(amended("transposed, all targets", number) for number in (11, 12)),
        ),
        tuple(
            Control(f"{name}, W{number - 11}", amended(name, number))
            for name in ("transposed only", "all targets only", "the sign flipped", "in the row of the last position")
            for number in (11, 12)
        ),
        _entry_of_the_example(),
    )


def sparsity() -> Findings:
    """Eq. 11 modifies only row u_end of W0^(2), Eq. 12 only row T - 1 of W1^(2), and all other columns stay at 0."""
    values = _on_graphs()
    end = np.asarray(_cases().prompt.tokens)[:, SELF]
    rows = {11: end, 12: np.full(len(end), SELF)}

    def outside(name: str, number: int, axis: int, line: np.ndarray) -> np.ndarray:
        """The largest entry outside a row (axis 0) or column (axis 1), in each case."""
        matrices = np.moveaxis(np.abs(values[name][number - 11]), axis + 1, 1)
        kept = np.arange(matrices.shape[1])[None, :] != line[:, None]
        return np.max(matrices * kept[:, :, None], axis=(1, 2))

    def only(name: str, number: int, line: np.ndarray, axis: int = 0, of: Of = "amended") -> Evidence:
        block, what = ("W0", "u_end") if number == 11 else ("W1", "T - 1")
        text = f"max |entry of dL1a/d{block}^(2), {name}, outside {('row', 'column')[axis]} {what}|"
        return at_most("autodiff", text, float(outside(name, number, axis, line).max()), 0, len(line), of=of)

    others = [_others_move(number) for number in (11, 12)]
    return Findings(
        (
            *(
                rational.at_most(
                    f"least number of other columns of W{number - 11}^(2) that move from zero, on one graph",
                    moved,
                    0,
                    len(contexts()),
                )
                for number, moved in zip((11, 12), others, strict=True)
            ),
            *(
                at_most(
                    "simulated",
                    f"least of max |Eq. {number} as laid out in print| outside row {what}",
                    float(outside("as printed", number, 0, rows[number]).min()),
                    0,
                    len(end),
                )
                for number, what in ((11, "u_end"), (12, "T - 1"))
            ),
            *(only("autodiff", number, rows[number]) for number in (11, 12)),
        ),
        (
            *(Control(f"columns, of {number}", only("autodiff", number, rows[number], axis=1)) for number in (11, 12)),
            Control("row T of W1^(2)", only("autodiff", 12, rows[12] + 1)),
            Control("Eq. 11 as laid out", only("as printed", 11, rows[11])),
            Control("Layer 1 not the predecessor", only("autodiff at random Layer 1", 12, rows[12])),
        ),
        "On 0>1, 1>2, 0>3, 3>4, 2, 0 from zero weights, row u_end = 2 of W0^(2) has velocity "
        f"({', '.join(str(entry) for entry in _content_row(contexts()[0]))}) in columns 0 to 4. Over all labelings "
        "every label is u_end, so W0^(2) moves in every row; only W1^(2) keeps to one, T - 1.",
    )


def outside_row(name: str) -> np.ndarray:
    """The largest entry of dL1a/dW1^(2) in rows other than T - 1, in each case."""
    matrices = np.abs(_on_graphs()[name].position)
    return np.max(np.delete(matrices, SELF, axis=1), axis=(1, 2))


def _content_row(context: Context, hits: list[bool] | None = None) -> Row:
    """Z^T g at zero weights: the velocity of row u_end of W0^(2), on the labels of the context."""
    g = pull(UNIFORM, context.reads_v if hits is None else hits)
    return [sum((g[j] for j in range(T) if context.tokens[j] == label), Fraction(0)) for label in range(5)]


def _others_move(number: int) -> int:
    """The least number of columns, other than the named one, with a velocity at zero weights."""
    counts = []
    for context in contexts():
        line = _content_row(context) if number == 11 else pull(UNIFORM, context.reads_v)
        named = context.end if number == 11 else SELF
        counts.append(sum(entry != 0 for column, entry in enumerate(line) if column != named))
    return min(counts)


@cache
def _cases() -> Case:
    """Four labelings of each edge order, random weights of Layer 2, and Layer 1 the predecessor."""
    (tokens, v, _), weights = setting.drawn()
    predecessor = jax.tree.map(
        lambda block: jnp.broadcast_to(block, (len(v), *block.shape)), circuit(SATURATED, N, T)[0]
    )
    return Case((predecessor, weights[1]), Prompt(tokens, v))


@cache
def _on_graphs() -> dict[str, Any]:
    """Losses, and gradients as (dW0^(2), dW1^(2)), on every case."""

    def by_autodiff(weights: Weights, tokens: Array, target: Array) -> Layer:
        return jax.grad(lambda layer: setting.literal_loss((weights[0], layer), tokens, target))(weights[1])

    def measured(weights: Weights, tokens: Array, target: Array) -> dict[str, Layer | Array]:
        s = forward(weights, tokens).attention[1][-1]
        at_end = jnp.argmax(tokens[:SELF] == tokens[SELF])
        single = jnp.zeros(T).at[at_end].set(1)
        on_v = (tokens == target).astype(s.dtype)
        after_v = jnp.concatenate([jnp.zeros(1), on_v[:-1]])
        read = after_v.at[0].add(on_v[0])
        right = _outer(s, tokens, read)
        return {
            "autodiff": by_autodiff(weights, tokens, target),
            "as printed": phase_2(s, tokens, at_end, N),
            "transposed, all targets": right,
            "transposed only": _outer(s, tokens, single),
            "all targets only": jax.tree.map(jnp.transpose, right),
            "the sign flipped": jax.tree.map(jnp.negative, right),
            "in the row of the last position": _outer(s, tokens, read, query=T - 1),
            "loss": setting.literal_loss(weights, tokens, target),
            "S2[T, t_end]": -jnp.log(s[at_end]),
            "the mass where v is read": -jnp.log(s @ read),
            "the mass after v": -jnp.log(s @ after_v),
            "that mass without T - 1": -jnp.log(s @ read.at[SELF].set(0)),
            "the mass on v": -jnp.log(s @ on_v),
        }

    cases = _cases()
    together = jax.jit(jax.vmap(measured))
    unready = together(setting.drawn()[1], *cases.prompt)
    found = {**together(cases.weights, *cases.prompt), "autodiff at random Layer 1": unready["autodiff"]}
    return jax.tree.map(np.asarray, found)


def _outer(s: Array, tokens: Array, hit: Array, query: int = SELF) -> Layer:
    """The gradients at the top of this file, for the query at a position."""
    g = s * (hit / (s @ hit) - 1)
    content = jnp.zeros((N, N)).at[tokens[query], tokens].add(-g)
    return Layer(content, jnp.zeros((T, T)).at[query].set(-g))


def _gap(name: str, truth: str, number: int | None = None) -> float:
    """The largest relative difference of two of the values, or of the gradients that Eq. 11 or 12 speaks of."""
    ours, other = (_on_graphs()[key] for key in (name, truth))
    return setting.gap(ours, other) if number is None else setting.gap(ours[number - 11], other[number - 11])


def _entry_of_the_example() -> str:
    """Eq. 11 on one graph at zero weights, in rationals."""
    context = contexts()[0]
    right, single = (_content_row(context, hits) for hits in (context.reads_v, context.only_end))
    v, end = context.v, context.end
    return (
        f"On {edges(context)} at zero weights -dL1a/dW0^(2) has entries [u_end, v] = [{end}, {v}] = {right[v]} and "
        f"[{v}, {end}] = 0; Eq. 11 says 0 and {single[v]}, and its transpose {single[v]} and 0."
    )
