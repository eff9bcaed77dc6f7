"""Theorem 2, Phase II, on one graph: what L1a is once Layer 1 is the predecessor, and which entries its gradient fills.

(S1 Z)_j = z_{j-1}, and position 1 attends only to itself. v occurs twice in a context, as the target of (u_star, v) and
as the source of (v, u_end). So e_v is read at t_end, at the position after v in (u_star, v), which is T - 1 if that
edge is listed last, and at position 1 if (v, u_end) is listed first: at two positions in 18 edge orders of 24, at three
in 6. With h their indicator, s = S2[T] and f = s . h,

    L1a = -log f,     -dL1a/dl = J(s) h / f = g,     g_j = s_j (h_j / f - 1)

for the logits l_j = W0[u_end, z_j] + W1[T-1, j]. Hence

    -dL1a/dW0^(2) = e_{u_end} (Z^T g)^T      row u_end
    -dL1a/dW1^(2) = e_{T-1} g^T              row T - 1, for any weights of Layer 2

Eqs. 11 and 12 are the transposes of these for h = e_{t_end}. Positions count from 1 here, as in the paper.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpy import ndarray

from circuits.flow.printed import phase_2
from proofs_check.ledger import CrossCheck, Findings, Outcome, Test, equal
from proofs_check.methods import cases
from proofs_check.methods.cases import Case, jacobian
from proofs_check.methods.gradients import CHANGES, Formula, against_literal, changed
from proofs_check.methods.star import SELF, UNIFORM, N, T, contexts, describe_edges, pull
from proofs_check.methods.twins import twins_agree
from proofs_check.planning import theorem_2_phase_2_proof as proof

Positions = Callable[[Case], ndarray]
"""For each position, whether v is said to be read there."""
QUERY: Any = np.eye(T)[SELF]
"""e_{T-1}."""


def single_target() -> Findings:
    """v is read only at t_end, hence L1a = -log S2[T, t_end]."""

    def where_read(positions: Positions) -> Outcome:
        """Compare with the column of v in S1 Z, with the literal model's S1."""
        columns = [case.literal.attention[0] @ case.symbols.z @ case.symbols.e for case in _graphs()]
        return equal([positions(case) for case in _graphs()], columns)

    def loss(positions: Positions) -> Outcome:
        """Compare with L1a of the literal model."""
        losses = [-np.log(case.literal.outputs[1] @ case.symbols.e) for case in _graphs()]
        return equal([-np.log(case.symbols.s2 @ positions(case)) for case in _graphs()], losses)

    wrong: dict[str, Positions] = {
        "without position 1": _after_v,
        "without T - 1": lambda case: _where_v_is_read(case) * (1 - QUERY),
        "the positions of v, not those after it": _on_v,
        "t_end and T - 1": lambda case: _at_end(case) + QUERY,
    }
    stated: dict[str, Any] = {"printed": _at_end, "amended": _where_v_is_read}
    loss_name = "L1a of the literal model = -log of the attention S2[T] to the stated positions"
    return Findings(
        (
            Test("simulated", "positions j with (S1 Z)_j = e_v", where_read, **stated, mutants=wrong),
            Test("simulated", loss_name, loss, **stated, mutants=wrong),
            *proof.steps("intended"),
        ),
        (),
        f"On {describe_edges(contexts()[0])} (v = 1, u_end = 2): (S1 Z)_3 = z_2 = v and (S1 Z)_4 = z_3 = v = (S1 "
        f"Z)_{{t_end}}.",
    )


def gradients() -> Findings:
    """Eqs. 11 and 12 are the gradients of L1a."""
    equations = (_equation("Eq. 11, dL1a/dW0^(2)", content=True), _equation("Eq. 12, dL1a/dW1^(2)", content=False))
    return Findings((*equations, *_only_the_row()), (_library_prints(),), _entry_of_the_example())


def sparsity() -> Findings:
    """Eq. 11 modifies only row u_end of W0^(2), Eq. 12 only row T - 1 of W1^(2), and all other columns stay at 0."""

    def unchanged(content: bool) -> Callable[[Formula], Outcome]:
        """Return whether nothing changes if the gradient is set to 0 outside the stated entries."""

        def measure(entries: Formula) -> Outcome:
            blocks = [_block(case, content) for case in _graphs()]
            return equal([entries(case) * block for case, block in zip(_graphs(), blocks, strict=True)], blocks)

        return measure

    def content(case: Case) -> ndarray:
        return np.outer(_label(case), case.symbols.z.sum(axis=0) > 0)

    def position(case: Case) -> ndarray:
        return np.outer(QUERY, np.ones(T))

    def content_corner(case: Case) -> ndarray:
        return np.outer(_label(case), _label(case))

    wrong_content = {
        "column u_end": lambda case: content(case).T,
        "row u_star": lambda case: np.outer(case.symbols.z[-1], np.ones(N)),
        "without the entry of v": lambda case: content(case) * (1 - case.symbols.e),
    }
    wrong_position = {
        "column T - 1": lambda case: position(case).T,
        "row T": lambda case: np.roll(position(case), 1, axis=0),
        "without the entry of T": lambda case: position(case) * (np.arange(T) < T - 1),
    }
    of_content: dict[str, Any] = {"printed": content_corner, "amended": content, "mutants": wrong_content}
    position_corner = np.outer(QUERY, QUERY)
    of_position: dict[str, Any] = {"printed": lambda _: position_corner, "amended": position, "mutants": wrong_position}
    return Findings(
        (
            Test("autodiff", "entries of W0^(2) that move on one graph", unchanged(content=True), **of_content),
            Test("autodiff", "entries of W1^(2) that move on one graph", unchanged(content=False), **of_position),
            *_only_the_row(),
        ),
        (),
        "As laid out in print, Eqs. 11 and 12 fill column u_end and column T - 1. Over all graphs every label is "
        "u_end, and W0^(2) moves in every row; W1^(2) moves in row T - 1 alone.",
    )


def _equation(name: str, content: bool) -> Test:
    """-(1/f1 e_v) [Z^T] J(s) h [e_{u_end} or e_{T-1}]^T, with h = e_{t_end} in print."""

    def layout(positions: Positions) -> Formula:
        def formula(case: Case) -> ndarray:
            z, _, _, _, _, s = case.symbols
            pulled = jacobian(s) @ positions(case) / -case.symbols.f1
            return np.outer(z.T @ pulled, _label(case)) if content else np.outer(pulled, QUERY)

        return formula

    def amended(case: Case) -> ndarray:
        return right(case).T

    printed, right = layout(_at_end), layout(_where_v_is_read)
    mutants = {
        "transposed only": lambda case: printed(case).T,
        "all targets only": right,
        **changed(amended, "sign flipped", "rows shifted by one"),
    }
    measure = against_literal(_graphs(), lambda m: m.deep[1].content if content else m.deep[1].position)
    return Test("autodiff", name, measure, printed=printed, amended=amended, mutants=mutants)


def _only_the_row() -> tuple[Test, ...]:
    """The gradient is e times its own row, for the query's one-hot e: rank one, and 0 in other rows."""

    def measure(content: bool) -> Callable[[Callable[[ndarray], ndarray]], Outcome]:
        def rank_one(change: Callable[[ndarray], ndarray]) -> Outcome:
            blocks = [change(_block(case, content)) for case in _graphs()]
            queries = [_label(case) if content else QUERY for case in _graphs()]
            outer = [np.outer(query, query @ block) for query, block in zip(queries, blocks, strict=True)]
            return equal(blocks, outer)

        return rank_one

    wrong = {name: CHANGES[name] for name in ("transposed", "rows shifted by one", "symmetrised")}
    return tuple(
        Test("autodiff", f"dL1a/d{name} has rank one, in {row}", measure(content), intended=lambda b: b, mutants=wrong)
        for name, row, content in (("W0^(2)", "row u_end", True), ("W1^(2)", "row T - 1", False))
    )


def _graphs() -> tuple[Case, ...]:
    """Return L1a on every edge order, with Layer 1 at the predecessor and random weights of Layer 2."""
    return cases.pointer()[: len(cases.prompts()[1])]


def _block(case: Case, content: bool) -> ndarray:
    """Return dL1a/dW0^(2) or dL1a/dW1^(2)."""
    layer = case.literal.deep[1]
    return np.asarray(layer.content if content else layer.position)


def _label(case: Case) -> ndarray:
    """e_{u_end}."""
    return case.symbols.z[SELF]


def _at_end(case: Case) -> ndarray:
    """e_{t_end}."""
    return np.eye(T)[np.argmax(case.tokens == case.tokens[SELF])]


def _on_v(case: Case) -> ndarray:
    return case.symbols.z @ case.symbols.e


def _after_v(case: Case) -> ndarray:
    return np.concatenate([[0], _on_v(case)[:-1]])


def _where_v_is_read(case: Case) -> ndarray:
    """h: after v, and at position 1 if v is there."""
    return _after_v(case) + _on_v(case) * np.eye(T)[0]


def _library_prints() -> CrossCheck:
    """Compare the library's Eqs. 11 and 12 on ``_graphs``, with f1 e_v = S2[T, t_end] as the proof has it."""

    def by_hand(case: Case) -> tuple[ndarray, ndarray]:
        s, end = case.symbols.s2, _at_end(case)
        pulled = jacobian(s) @ end / -(s @ end)
        return np.outer(case.symbols.z.T @ pulled, _label(case)), np.outer(pulled, QUERY)

    arguments = ([case.symbols.s2, case.tokens, np.argmax(_at_end(case))] for case in _graphs())
    arrays = [np.stack(each) for each in zip(*arguments, strict=True)]
    library = np.stack(jax.vmap(lambda s2, z, end: phase_2(s2, z, end, N))(*arrays), axis=1)  # both are 10 x 10
    stated = [by_hand(case) for case in _graphs()]
    return twins_agree(
        "library's Eqs. 11 and 12 as printed", library, stated, {"transposed": np.swapaxes(library, 2, 3)}
    )


def _entry_of_the_example() -> str:
    """Describe Eq. 11 on one graph at zero weights, in rationals."""
    context = contexts()[0]
    right, single = (
        sum(g for g, token in zip(pull(UNIFORM, hits), context.tokens, strict=True) if token == context.v)
        for hits in (context.reads_v, context.only_end)
    )
    v, end = context.v, context.end
    return (
        f"On {describe_edges(context)} at zero weights -dL1a/dW0^(2) has entries [u_end, v] = [{end}, {v}] = {right} "
        f"and [{v}, {end}] = 0; Eq. 11 with f1 e_v = S2[T, t_end] says 0 and {single}, its transpose {single} and 0."
    )
