"""Lemma 5: the gradients of the shallow head's loss L2, against automatic differentiation."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from circuits.disentangled.weights import Weights
from proofs_check.ledger.evidence import Findings, Test
from proofs_check.methods import cases
from proofs_check.methods.cases import Case
from proofs_check.methods.gradients import against_literal, objective_agrees
from proofs_check.methods.setting import T
from proofs_check.methods.symbols import jacobian


def content_1() -> Findings:
    """dL2/dW0^(1) = -(1/(f2 . e)) z_T e^T Z^T J(S1[T]) Z."""

    def formula(case: Case, query: int, jac: ndarray) -> ndarray:
        z, e, *_ = case.symbols
        return -np.outer(z[query], e @ z.T @ jac @ z) / case.symbols.f2

    return _shallow("dL2/dW0^(1)", lambda g: g[0].content, formula)


def position_1() -> Findings:
    """dL2/dW1^(1) = -(1/(f2 . e)) e_T e^T Z^T J(S1[T])."""

    def formula(case: Case, query: int, jac: ndarray) -> ndarray:
        z, e, *_ = case.symbols
        return -np.outer(np.eye(T)[query], e @ z.T @ jac) / case.symbols.f2

    return _shallow("dL2/dW1^(1)", lambda g: g[0].position, formula)


def _shallow(name: str, leaf: Callable[[Weights], Any], formula: Callable[[Case, int, ndarray], ndarray]) -> Findings:
    """``formula`` of a case, the query's position and the Jacobian; the last position and J(S1[T]) are printed."""

    def printed(case: Case) -> ndarray:
        return formula(case, -1, jacobian(case.symbols.s1[-1]))

    return Findings(
        (
            Test(
                "autodiff",
                name,
                against_literal(cases.goal(), lambda model: leaf(model.shallow)),
                printed=printed,
                mutants={
                    "transposed": lambda case: printed(case).T,
                    "query at T - 1": lambda case: formula(case, -2, jacobian(case.symbols.s1[-1])),
                    "diag(s) in place of J(s)": lambda case: formula(case, -1, np.diag(case.symbols.s1[-1])),
                    "keys shifted by one": lambda case: np.roll(printed(case), 1, axis=1),
                },
            ),
        ),
        (objective_agrees("goal", leaf),),
    )
