"""Results: when they agree with the record, what they say when they don't, and their JSON."""

import json
import math
import sys

import pytest

from proofs_check import ledger
from proofs_check.evidence import Control, Findings, Verdict, at_most
from proofs_check.registry import Claim

GOOD = at_most("exact", "gap", 0.0, 1.0, 3)
BAD = at_most("exact", "gap", 2.0, 1.0, 3, detail="at (0, 1)")
NAN = at_most("exact", "gap", math.nan, 1.0, 3)
MUTANT = Control("sign flipped", BAD)


def claim(check, recorded: Verdict = "holds", **more) -> Claim:
    if recorded == "amended":
        more["amendment"] = "so"
    return Claim(id="a.b", source="s", statement="s", setting="s", recorded=recorded, check=check, **more)


def decided(evidence, controls=(MUTANT,), recorded: Verdict = "holds"):
    return ledger.decide(claim(lambda: Findings(evidence, controls), recorded))


def test_a_result_that_agrees():
    result = decided((GOOD,))
    assert (result.verdict, result.agrees, result.complaint, result.controls) == ("holds", True, "", "1/1")
    assert 0 <= result.seconds < 1


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        (decided((GOOD,), recorded="amended"), "verdict holds, recorded amended"),
        (decided(()), "verdict open, recorded holds"),
        (decided((GOOD,), ()), "no control"),
        (decided((GOOD,), (MUTANT, Control("tie", NAN))), "control 'tie' was not rejected (undecided)"),
        (decided((GOOD,), (Control("tie", GOOD), MUTANT)), "control 'tie' was not rejected (supports)"),
        (decided((NAN,), ()), "verdict open, recorded holds; no control"),
    ],
)
def test_a_result_that_does_not_agree_says_why(result, complaint):
    assert not result.agrees
    assert result.complaint == complaint


def test_what_a_check_raises_is_its_result():
    def check():
        raise RuntimeError("first line\nsecond line")

    result = ledger.decide(claim(check))
    assert (result.verdict, result.findings, result.agrees, result.controls) == ("error", None, False, "0/0")
    assert result.complaint == "the check raised RuntimeError: first line"
    assert "Traceback" in result.error
    assert "in check" in result.error
    assert "second line" in result.error
    assert "in decide" not in result.error


def test_a_check_cannot_end_the_run_as_if_all_were_well():
    result = ledger.decide(claim(lambda: sys.exit(0)))
    assert result.complaint == "the check raised SystemExit: 0"


def test_a_check_that_returns_something_else_is_an_error():
    result = ledger.decide(claim(lambda: None))
    assert result.complaint == "the check raised TypeError: check: must return Findings, got None"


def test_ctrl_c_is_not_a_result():
    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.decide(claim(check))


def test_the_limit_of_a_claim_counts():
    single = at_most("simulated", "gap", 0.0, 1.0, 1)
    assert ledger.decide(claim(lambda: Findings((single,), (MUTANT,)))).verdict == "holds"
    assert ledger.decide(claim(lambda: Findings((single,), (MUTANT,)), limit=True)).verdict == "open"


def test_run_decides_one_claim_at_a_time():
    ran = []

    def check():
        ran.append(1)
        return Findings((GOOD,), (MUTANT,))

    results = ledger.run([claim(check), claim(check)])
    assert ran == []
    next(results)
    assert ran == [1]
    assert next(results).agrees


def test_the_summary_line():
    good, other = (
        decided((GOOD,)),
        decided((BAD, at_most("exact", "gap", 0.0, 1.0, 1, of="amended")), (), "open"),
    )
    assert ledger.summary([good]) == (
        "1 claim: 1 holds, 0 amended, 0 fail, 0 open · every verdict as recorded · 1 of 1 controls rejected · 0 s"
    )
    broken = ledger.decide(claim(lambda: 1 / 0))
    assert ledger.summary([good, good, other, broken]) == (
        "4 claims: 2 hold, 1 amended, 0 fail, 0 open, 1 error · 2 verdicts not as recorded · "
        "2 of 2 controls rejected, 1 claim without a control · 0 s"
    )
    assert ledger.summary([]).startswith("0 claims: 0 hold")
    assert ledger.counts([good, other])["amended"] == 1


def test_the_document():
    example = Findings((BAD, at_most("exact", "gap", -math.inf, math.inf, 1, of="amended")), (MUTANT,), "1 ≠ 2")
    broken = ledger.decide(claim(lambda: 1 / 0))
    results = [ledger.decide(claim(lambda: example, "amended", formula="x")), broken, decided((NAN,))]
    text = ledger.to_json(results)
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["schema"] == 1
    assert set(document["versions"]) == {
        "python",
        "jax",
        "numpy",
        "python-flint",
        "reverse-circuits",
    }
    first, second, third = document["claims"]
    assert (first["verdict"], first["recorded"], first["amendment"], first["formula"]) == ("amended",) * 2 + (
        "so",
        "x",
    )
    assert (first["example"], first["complaint"], first["agrees"], first["limit"]) == (
        "1 ≠ 2",
        "",
        True,
        False,
    )
    assert first["evidence"][0] == {
        "kind": "exact",
        "of": "printed",
        "shows": "contradicts",
        "quantity": "gap",
        "value": 2.0,
        "relation": "<=",
        "bound": 1.0,
        "cases": 3,
        "detail": "at (0, 1)",
        "spans": False,
    }
    assert (first["evidence"][1]["value"], first["evidence"][1]["bound"]) == ("-inf", "inf")
    assert first["controls"] == [{"name": "sign flipped", "rejected": True, "evidence": first["evidence"][0]}]
    assert second["verdict"] == "error"
    assert "ZeroDivisionError: division by zero" in second["error"]
    assert third["evidence"][0]["value"] == "nan"
