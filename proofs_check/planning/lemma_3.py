"""Lemma 3: the gradients of the deep head's loss, against automatic differentiation of the literal definition.

Lemma 5 writes its gradients with the query's index as row and the key's as column, the layout of W itself. In that
layout Lemma 3 is right for Layer 1 and transposed for Layer 2, and so is the query term of dL1/dS1.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from circuits.disentangled.weights import Weights
from proofs_check.ledger import CrossCheck, Findings, Outcome, Test, equal
from proofs_check.methods import cases, gradients
from proofs_check.methods.cases import Case, jacobian
from proofs_check.methods.gradients import CHANGES, Formula, against_literal, changed, library_agrees, objective_agrees
from proofs_check.methods.star import T

ONES = np.ones((T, T))
M = np.tri(T)


def attention_1() -> Findings:
    """The printed dL1/dS1 = -(1/f) [ S2[T]^T (Z e)^T + A2 J(S2[T]) S1 Z e e_T^T ], and what follows from it."""

    def combined(value: float, query: float) -> Formula:
        """Return the weighted sum of the value term and the query term, the latter put in row T."""
        return lambda case: value * _value_term(case) + query * _query_term(case).T

    into_logits = against_literal(cases.deep(), lambda model: model.logits_1)
    direct = against_literal(cases.deep(), lambda model: model.attention_1)
    wrong = {"sign of the query term flipped": combined(1, -1), "without the query term": combined(1, 0)}
    transposed = {"value term transposed": lambda case: _value_term(case).T + _query_term(case).T}
    right, printed = combined(1, 1), _printed_attention_1
    return Findings(
        (
            Test("autodiff", "dL1/dS1", direct, printed=printed, amended=right, mutants=wrong | transposed),
            Test(
                "autodiff",
                "dL1/dA1 that follows row by row from dL1/dS1",
                lambda formula: into_logits(lambda case: _row_by_row(case, formula(case))),
                intended=right,
                mutants={"dL1/dS1 as printed": printed, **wrong},
            ),
        ),
        (_agrees("deep_attention_1", "attention_1", "attention_1"),),
        gradients.worst_entry("dL1/dS1", printed, lambda model: model.attention_1),
    )


def logits_1() -> Findings:
    """dL1/dA1 = M * [ S1 * (G - (G * S1) 1 1^T) ] with G = dL1/dS1.

    G is taken from automatic differentiation, so this decides the softmax step by itself.
    """

    def with_rows(rows: Callable[[ndarray, ndarray], ndarray]) -> Formula:
        """M * [ S1 * (G - ``rows`` of G and S1) ]."""

        def formula(case: Case) -> ndarray:
            g, s1 = case.literal.attention_1, case.symbols.s1
            return M * (s1 * (g - rows(g, s1)))

        return formula

    mutants = {
        "S1 1 1^T taken before the Hadamard product": with_rows(lambda g, s: g * (s @ ONES)),
        "summed over columns": with_rows(lambda g, s: ONES @ (g * s)),
        "without the normalisation term": with_rows(lambda g, s: 0 * g),
    }
    measure = against_literal(cases.deep(), lambda model: model.logits_1)
    agree = (_agrees(function, name, "logits_1") for function, name in LIBRARY)
    return Findings((Test("autodiff", "dL1/dA1", measure, printed=_printed_logits_1, mutants=mutants),), tuple(agree))


LIBRARY = (("softmax_rows_gradient", "softmax_rows"), ("deep_logits_1", "logits_1"))


def content_1() -> Findings:
    """dL1/dW0^(1) = Z^T [dL1/dA1] Z."""
    return _layer_1("dL1/dW0^(1)", lambda g: g[0].content, lambda case, d_a1: case.symbols.z.T @ d_a1 @ case.symbols.z)


def position_1() -> Findings:
    """dL1/dW1^(1) = [dL1/dA1]."""
    return _layer_1("dL1/dW1^(1)", lambda g: g[0].position, lambda _, d_a1: d_a1)


def content_2() -> Findings:
    """The printed dL1/dW0^(2) = -(1/f) Z^T J(S2[T]) S1 Z e S1[T] Z has the key's label as row."""
    return _layer_2("dL1/dW0^(2)", lambda g: g[1].content, lambda case, array: case.symbols.z.T @ array)


def position_2() -> Findings:
    """The printed dL1/dW1^(2) = -(1/f) J(S2[T]) S1 Z e S1[T] has the key's position as row."""
    return _layer_2("dL1/dW1^(2)", lambda g: g[1].position, lambda _, array: array)


def _layer_1(name: str, leaf: Callable[[Weights], Any], of_logits: Callable[[Case, ndarray], ndarray]) -> Findings:
    def printed(case: Case) -> ndarray:
        return of_logits(case, _printed_logits_1(case))

    def chained(case: Case) -> ndarray:
        return of_logits(case, _printed_logits_1(case, _printed_attention_1(case)))

    mutants = {**changed(printed, "transposed", "rows shifted by one"), "chained with the printed dL1/dS1": chained}
    measure = against_literal(cases.deep(), lambda model: leaf(model.deep))
    test = Test("autodiff", name, measure, printed=printed, mutants=mutants)
    return Findings((test,), (objective_agrees("plan", leaf), objective_agrees("replay", leaf)))


def _layer_2(name: str, leaf: Callable[[Weights], Any], read: Callable[[Case, ndarray], ndarray]) -> Findings:
    """``read`` turns a column over positions into one over the indices of the block's rows and columns."""

    def printed(case: Case) -> ndarray:
        """-(1/f) [read] J(S2[T]) S1 Z e S1[T] [read^T], a column times a row."""
        z, e, _, _, s1, s2 = case.symbols
        return np.outer(read(case, jacobian(s2) @ s1 @ z @ e), read(case, s1[-1])) / -case.symbols.f1

    def amended(case: Case) -> ndarray:
        return printed(case).T

    def rank_one(change: Callable[[ndarray], ndarray]) -> Outcome:
        """The rows are multiples of one row, the sum of all, with the query's weights S1[T], which sum to 1."""
        arrays = [change(leaf(case.literal.deep)) for case in cases.deep()]
        queries = [read(case, case.symbols.s1[-1]) for case in cases.deep()]
        return equal(arrays, [np.outer(query, array.sum(axis=0)) for query, array in zip(queries, arrays, strict=True)])

    def one_row(change: Callable[[ndarray], ndarray]) -> Outcome:
        """With Layer 1 at the predecessor: the row of position T - 1, which holds u_end, and zeros elsewhere."""
        arrays = [change(leaf(case.literal.deep)) for case in cases.pointer()]
        rows = [read(case, np.eye(T)[-2])[:, None] for case in cases.pointer()]
        return equal(arrays, [row * array for row, array in zip(rows, arrays, strict=True)])

    layout = {each: CHANGES[each] for each in ("transposed", "rows shifted by one", "symmetrised")}
    mutants = changed(amended, "sign flipped", "rows shifted by one", "symmetrised")
    measure = against_literal(cases.deep(), lambda model: leaf(model.deep))
    one_name = "only the query's row moves once Layer 1 is the predecessor pointer"
    rank_name = "rank one, with the query's weights over rows"
    return Findings(
        (
            Test("autodiff", name, measure, printed=printed, amended=amended, mutants=mutants),
            Test("autodiff", rank_name, rank_one, intended=lambda array: array, mutants=layout),
            Test("autodiff", one_name, one_row, intended=lambda array: array, mutants=layout),
        ),
        (objective_agrees("plan", leaf), objective_agrees("replay", leaf)),
        gradients.worst_entry(name, printed, lambda model: leaf(model.deep)),
    )


def _value_term(case: Case) -> ndarray:
    """-(1/f) S2[T]^T (Z e)^T."""
    z, e, _, _, _, s2 = case.symbols
    return np.outer(s2, z @ e) / -case.symbols.f1


def _query_term(case: Case) -> ndarray:
    """-(1/f) A2 J(S2[T]) S1 Z e e_T^T, as printed."""
    z, e, _, a2, s1, s2 = case.symbols
    return np.outer(a2 @ jacobian(s2) @ s1 @ z @ e, np.eye(T)[-1]) / -case.symbols.f1


def _printed_attention_1(case: Case) -> ndarray:
    return _value_term(case) + _query_term(case)


def _printed_logits_1(case: Case, g: ndarray | None = None) -> ndarray:
    """M * [ S1 * (G - (G * S1) 1 1^T) ], with the true G unless another is given."""
    gradient, s1 = case.literal.attention_1 if g is None else g, case.symbols.s1
    return M * (s1 * (gradient - (gradient * s1) @ ONES))


def _row_by_row(case: Case, g: ndarray) -> ndarray:
    """The proof's dL1/dA1[r] = dL1/dS1[r] J(S1[r]) M_r."""
    return np.stack([row @ jacobian(s) @ np.diag(mask) for row, s, mask in zip(g, case.symbols.s1, M, strict=True)])


def _agrees(function: str, name: str, truth: str) -> CrossCheck:
    """Compare the library's function with autodiff."""
    return library_agrees(function, gradients.library()[name], [getattr(c.literal, truth) for c in cases.plan()])
