"""Lemma 2: the differential of L1 is the sum of three paths."""

import numpy as np
from numpy import ndarray

from proofs_check.ledger import Findings, Test
from proofs_check.methods import cases, gradients
from proofs_check.methods.cases import Case, jacobian
from proofs_check.methods.gradients import Formula, against_literal, library_agrees, moved_scores


def paths() -> Findings:
    """dL1 = (i) through A2 + (ii) through the query S1[T] + (iii) through the values S1.

    The change of the weights is one random direction; dS1 and dA2 are its images, and dL1 is the derivative of the
    literal loss along it. Leaving out each path in turn shows that each contributes.
    """

    def weighted(*signs: int) -> Formula:
        return lambda case: np.array(signs) @ _printed(case, jacobian(case.symbols.s2))

    mutants = {
        "without path (i), attention": weighted(0, 1, 1),
        "without path (ii), query": weighted(1, 0, 1),
        "without path (iii), value": weighted(1, 1, 0),
        "sign of path (ii) flipped": weighted(1, -1, 1),
        "diag(s) in place of J(s)": lambda case: _printed(case, np.diag(case.symbols.s2)).sum(),
    }
    measure = against_literal(cases.deep(), lambda model: gradients.along(model.deep))
    test = Test("autodiff", "dL1 along a random direction", measure, printed=weighted(1, 1, 1), mutants=mutants)
    truth = [_printed(case, jacobian(case.symbols.s2)) for case in cases.plan()]
    return Findings((test,), (library_agrees("deep_paths", gradients.library()["paths"], truth),))


def _printed(case: Case, jac: ndarray) -> ndarray:
    """Return the three printed terms."""
    z, e, _, a2, s1, s2 = case.symbols
    d_a2, d_s1 = moved_scores(case, layer=2), case.literal.moved
    terms = (s1[-1] @ d_a2 @ jac @ s1 @ z @ e, d_s1[-1] @ a2 @ jac @ s1 @ z @ e, s2 @ d_s1 @ z @ e)
    return -np.array(terms) / case.symbols.f1
