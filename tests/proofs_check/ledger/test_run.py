"""Results: when they agree with the record, what they say when they don't, and their JSON."""

import json
import sys
import time

import pytest

from proofs_check.ledger import Claim, Findings, Result, Test, Verification, at_most, decide
from proofs_check.ledger.record import from_record, to_json, to_record
from proofs_check.ledger.run import counts, decide_all, summary

INTENT = {"intent": "i", "decided_by": ("gap",), "amendment": "so"}


def measure(gap):
    return at_most([gap], 1.0)


def check(printed=0.0, mutant=2.0, **more):
    return lambda: Findings((Test("exact", "gap", measure, printed=printed, mutants={"wrong": mutant}, **more),))


GOOD = check()


def claim(check=GOOD, recorded="holds", **more) -> Claim:
    return Claim(id="a.b", source="s", statement="s", setting="s", recorded=recorded, check=check, **more)  # pyright: ignore


AMENDED = claim(check(2.0, amended=0.0, intended=0.0), "amended", **INTENT)


def test_a_result_that_agrees():
    result = decide(claim())
    assert (result.verdict, result.agrees, result.complaint, result.controls_passed) == ("holds", True, "", "1/1")
    assert 0 <= result.seconds < 1
    assert decide(AMENDED).agrees


@pytest.mark.parametrize(
    ("claim", "complaint"),
    [
        (claim(check(2.0, accepted={"right": 0.0})), "verdict open (contradicted, intent not tested), recorded holds"),
        (claim(check(float("nan"))), "verdict open (the evidence does not decide), recorded holds"),
        (claim(recorded="open"), "verdict holds, recorded open"),
        (claim(check(mutant=float("nan"))), "control 'wrong' was not rejected (undecided)"),
        (claim(check(mutant=1.0)), "control 'wrong' was not rejected (supports)"),
        (claim(check(accepted={"right": 3.0})), "control 'right' was not accepted (contradicts)"),
    ],
)
def test_a_result_that_does_not_agree_says_why(claim, complaint):
    result = decide(claim)
    assert not result.agrees
    assert result.complaint == complaint


def test_what_a_check_raises_is_its_result():
    def check():
        raise RuntimeError("first line\nsecond line")

    result = decide(claim(check))
    assert (result.verdict, result.evidence, result.agrees, result.controls_passed) == ("error", (), False, "0/0")
    assert result.complaint == "the check raised RuntimeError: first line"
    assert "Traceback" in result.error
    assert "in check" in result.error
    assert "second line" in result.error
    assert "in decide" not in result.error


def test_a_check_that_exits_or_returns_something_else_is_an_error():
    assert decide(claim(lambda: sys.exit(0))).complaint == "the check raised SystemExit: 0"
    result = decide(claim(lambda: None))
    assert result.complaint == "the check raised TypeError: check: must return Findings, got None"


def test_ctrl_c_is_not_a_result():
    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decide(claim(check))


def test_claims_are_decided_one_at_a_time():
    ran = []

    def noted():
        ran.append(1)
        return check()()

    results = decide_all([claim(noted), claim(noted)])
    assert ran == []
    next(results)
    assert ran == [1]
    assert next(results).agrees


def test_a_time_limit_stops_a_check_that_handles_exceptions():
    def sleeps():
        try:
            time.sleep(20)
        except Exception:
            return check()()

    result = decide(claim(sleeps), time_limit=0.05)
    assert result.complaint == "the check raised _OutOfTime: exceeded the time limit of 0.05 s"
    assert decide(claim(), time_limit=20).agrees


def test_the_summary_line():
    good, broken = decide(claim()), decide(claim(lambda: 1 / 0))
    numerical = decide(claim(recorded="holds, numerically", limit=("gap",)))
    assert numerical.agrees
    start = "1 claim: 1 holds, 0 amended, 0 fail, 0 open · every verdict as recorded · 1 of 1 controls passed · "
    assert summary([good]) == start + "0 processor-seconds"
    assert summary([good, numerical, decide(AMENDED), broken]).startswith(
        "4 claims: 2 hold, 1 amended, 0 fail, 0 open, 1 error, 1 of these numerically · 1 claim not as recorded · "
        "3 of 3 controls passed · "
    )
    assert summary([from_record(claim(), to_record(good))]).endswith("0 processor-seconds, 1 result reused")
    assert summary([]).startswith("0 claims: 0 hold")
    assert counts([good, decide(AMENDED), numerical]) == {"holds": 2, "amended": 1, "fails": 0, "open": 0, "error": 0}


def test_results_print_what_matters():
    good, bad = decide(claim()), decide(claim(recorded="open"))
    assert repr(good).splitlines() == [
        "a.b: holds, as recorded; 1 of 1 controls passed",
        "  supports the claim word for word, in its own setting (exact): gap: 0, expected <= 1, 1 cases",
    ]
    both = Verification((good, bad))
    assert (len(both), list(both), both.agrees, both["a.b"]) == (2, [good, bad], False, bad)
    first, second, total = repr(both).splitlines()
    assert first.split() == ["✓", "a.b", "holds", "1/1"]
    assert second.endswith("1/1  verdict holds, recorded open")
    assert total == summary([good, bad])


def test_the_document_and_back():
    infinite = claim(
        lambda: Findings((Test("exact", "gap", measure, printed=float("-inf"), mutants={"m": 2.0}),), (), "1")
    )
    results = [decide(each) for each in (AMENDED, infinite, claim(lambda: 1 / 0))]
    document = json.loads(to_json(results), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["schema"] == 2
    assert set(document["versions"]) >= {"python", "jax", "numpy", "python-flint", "reverse-circuits"}
    first, second, third = document["claims"]
    assert [first[name] for name in ("verdict", "recorded", "amendment", "intent")] == ["amended", "amended", "so", "i"]
    assert first["evidence"][0] == {
        "kind": "exact",
        "of": "printed",
        "quantity": "gap",
        "shows": "contradicts",
        "value": 2.0,
        "relation": "<=",
        "bound": 1.0,
        "cases": 1,
        "trivial": 0,
        "unbounded": False,
        "detail": "",
    }
    assert (first["controls"][0]["name"], first["controls"][0]["passed"]) == ("wrong", True)
    assert second["evidence"][0]["value"] == "-inf"
    assert "ZeroDivisionError: division by zero" in third["error"]
    for result, values in zip(results, document["claims"], strict=True):
        again = from_record(result.claim, values)
        assert again.reused
        assert to_record(again) | {"reused": False} == values
        assert isinstance(again, Result)
