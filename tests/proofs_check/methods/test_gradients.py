"""A library function that is broken in any of the common ways makes its cross-check fail."""

import numpy as np
import pytest

from proofs_check.ledger.evidence import run_cross_check
from proofs_check.methods.gradients import library_agrees

BROKEN = {
    "nan": lambda a: a * np.nan,
    "one nan": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 5, np.nan, a),
    "zero": lambda a: 0 * a,
    "sign": lambda a: -a,
    "transposed": lambda a: a.swapaxes(1, 2),
    "cases exchanged": lambda a: a[::-1],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_library_function_is_seen(name):
    truth = np.random.default_rng(0).standard_normal((4, 3, 3))
    assert run_cross_check(library_agrees("f", truth, truth)) == ""
    assert "library's f" in run_cross_check(library_agrees("f", BROKEN[name](truth), truth))
