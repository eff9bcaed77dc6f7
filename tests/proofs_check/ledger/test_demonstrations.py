"""False statements that an earlier engine passed, or could have: the engine itself catches each of them."""

import numpy as np
import pytest

from proofs_check.ledger import Claim, CrossCheck, Findings, Test, decide, equal, every


def claim(*tests: Test, **more) -> Claim:
    more = {"recorded": "holds", **more}
    checks = more.pop("cross_checks", ())
    return Claim("a.b", "s", "s", "s", check=lambda: Findings(tests, checks), **more)


def test_a_control_that_is_no_variant_of_the_test_cannot_be_stated():
    """ "2 + 2 >= 4" with the control "2 + 2 = 5" decided Goldbach: a control is now the same test of a mutant."""

    def goldbach(statement):
        return every([statement(n) for n in range(4, 40, 2)])

    test = Test(
        "exhaustive", "2 + 2 >= 4", goldbach, printed=lambda n: 2 + 2 >= 4, mutants={"2 + 2 = 5": lambda n: 2 + 2 == 5}
    )
    with pytest.raises(TypeError):
        Findings((test,), controls=("2 + 2 = 5",))  # pyright: ignore
    assert decide(claim(test)).agrees  # the test itself states it: each mutant must be one of this very statement


def test_a_test_that_cannot_fail_is_an_error():
    test = Test("exhaustive", "q", lambda _: every([True]), printed=0)
    assert "nothing shows that the test can fail" in decide(claim(test)).complaint
    with_mutant = Test("exhaustive", "q", lambda _: every([True]), printed=0, mutants={"m": 1})
    assert decide(claim(with_mutant)).complaint == "control 'm' was not rejected (supports)"


def test_a_test_that_cannot_pass_is_an_error():
    test = Test("exhaustive", "q", lambda _: every([False]), printed=0)
    result = decide(claim(test, recorded="open"))
    assert "nothing shows that the test can pass" in result.complaint
    accepting = Test("exhaustive", "q", lambda _: every([False]), printed=0, accepted={"right": 1})
    assert decide(claim(accepting, recorded="open")).complaint == "control 'right' was not accepted (contradicts)"


def test_a_failed_cross_check_is_an_error_and_a_passed_one_no_evidence():
    def against_twin(library):
        return equal(library(np.arange(1.0, 4)), np.arange(1.0, 4) ** 2)

    test = Test("exhaustive", "q", lambda v: every([v]), printed=True, mutants={"m": False})
    good = CrossCheck("library against twin", against_twin, np.square, {"cube": lambda x: x**3})
    assert decide(claim(test, cross_checks=(good,))).evidence == decide(claim(test)).evidence
    for broken in (lambda x: x * np.nan, np.zeros_like, lambda x: -(x**2)):
        bad = CrossCheck("library against twin", against_twin, broken, {"cube": lambda x: x**3})
        assert "cross-check 'library against twin'" in decide(claim(test, cross_checks=(bad,))).complaint
    idle = CrossCheck("library against twin", against_twin, np.square, {"same": np.square})
    assert "mutant 'same' was not rejected" in decide(claim(test, cross_checks=(idle,))).complaint


def test_a_misspelt_statement_is_refused():
    with pytest.raises(TypeError, match="intented"):
        Test("exact", "q", every, printed=0, intented=0)  # pyright: ignore
    with pytest.raises((TypeError, ValueError), match="kind"):
        Test("exakt", "q", every, printed=0)  # pyright: ignore
