"""Lemma 5: the gradients of the shallow head's loss L2, against automatic differentiation."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from circuits.disentangled.weights import Weights
from proofs_check.ledger import Findings, Test
from proofs_check.methods import cases
from proofs_check.methods.cases import Case, jacobian
from proofs_check.methods.gradients import against_literal, changed, objective_agrees
from proofs_check.methods.star import T


def content_1() -> Findings:
    """dL2/dW0^(1) = -(1/(f2 . e)) z_T e^T Z^T J(S1[T]) Z."""
    return _shallow("dL2/dW0^(1)", lambda g: g[0].content, lambda case, array: array @ case.symbols.z)


def position_1() -> Findings:
    """dL2/dW1^(1) = -(1/(f2 . e)) e_T e^T Z^T J(S1[T])."""
    return _shallow("dL2/dW1^(1)", lambda g: g[0].position, lambda _, array: array)


def _shallow(name: str, leaf: Callable[[Weights], Any], read: Callable[[Case, ndarray], ndarray]) -> Findings:
    """``read`` turns a row over positions into one over the indices of the block's rows and columns."""

    def formula(case: Case, query: int, jac: ndarray) -> ndarray:
        z, e, *_ = case.symbols
        return -np.outer(read(case, np.eye(T)[query]), read(case, e @ z.T @ jac)) / case.symbols.f2

    def printed(case: Case) -> ndarray:
        return formula(case, -1, jacobian(case.symbols.s1[-1]))

    mutants = {
        **changed(printed, "transposed", "columns shifted by one"),
        "query at T - 1": lambda case: formula(case, -2, jacobian(case.symbols.s1[-1])),
        "diag(s) in place of J(s)": lambda case: formula(case, -1, np.diag(case.symbols.s1[-1])),
    }
    measure = against_literal(cases.goal(), lambda model: leaf(model.shallow))
    test = Test("autodiff", name, measure, printed=printed, mutants=mutants)
    return Findings((test,), (objective_agrees("goal", leaf),))
