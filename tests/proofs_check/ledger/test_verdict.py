"""The verdict table: what each combination of evidence forces."""

import pytest

from proofs_check.ledger.evidence import Evidence
from proofs_check.ledger.outcome import Outcome
from proofs_check.ledger.verdict import verdict


def piece(text: str, unbounded: bool = False) -> Evidence:
    """Return "printed supports", and optionally the quantity after it, as evidence."""
    statement, shows, *quantity = text.split()
    outcome = Outcome(shows, 0.0, "<=", 0.0, 1, 0, unbounded)  # pyright: ignore
    return Evidence("exact", statement, quantity[0] if quantity else statement, outcome)  # pyright: ignore


def decided(*texts: str, limit: tuple[str, ...] = (), unbounded: bool = False) -> tuple[str, str]:
    evidence = [piece(text, unbounded) for text in texts]
    intended = sorted({item.quantity for item in evidence if item.statement == "intended"})
    return verdict(evidence, decided_by=intended, limit=limit)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], "open"),
        (["printed supports"], "holds"),
        (["printed supports", "printed supports"], "holds"),
        (["printed supports", "printed undecided"], "open"),
        (["printed supports", "intended supports"], "holds"),
        (["printed supports", "intended contradicts"], "open"),
        (["printed supports", "amended contradicts"], "open"),
        (["printed undecided"], "open"),
        (["printed undecided", "intended contradicts"], "open"),
        (["printed undecided", "amended supports", "intended supports"], "open"),
        (["printed contradicts"], "open"),
        (["printed contradicts", "amended supports"], "open"),
        (["printed contradicts", "intended supports"], "open"),
        (["printed contradicts", "amended supports", "intended supports"], "amended"),
        (["printed contradicts", "printed supports", "amended supports", "intended supports"], "amended"),
        (["printed contradicts", "amended undecided", "intended supports"], "open"),
        (["printed contradicts", "amended supports", "amended undecided", "intended supports"], "open"),
        (["printed contradicts", "amended supports", "amended contradicts", "intended supports"], "open"),
        (["printed contradicts", "amended supports", "intended undecided"], "open"),
        (["printed contradicts", "amended supports", "intended supports", "intended undecided"], "open"),
        (["printed contradicts", "intended contradicts"], "fails"),
        (["printed contradicts", "intended contradicts", "intended supports"], "fails"),
        (["printed contradicts", "amended supports", "intended contradicts"], "fails"),
        (["printed contradicts", "amended contradicts", "intended contradicts"], "open"),
        (["amended supports", "intended supports"], "open"),
    ],
)
def test_the_verdict_follows_from_the_evidence(texts, expected):
    verdict, reason = decided(*texts)
    assert verdict == expected
    assert bool(reason) == (expected == "open")


def test_the_reason_of_an_open_verdict_says_that_the_claim_is_contradicted():
    assert decided("printed contradicts", "amended supports")[1] == "contradicted, intent not tested"
    assert decided("printed contradicts", "intended undecided")[1] == "contradicted, intent undecided"


@pytest.mark.parametrize(("unbounded", "suffix"), [(True, ""), (False, ", numerically")])
def test_a_limit_that_rests_on_points_says_so(unbounded, suffix):
    limit = ("x",)
    assert decided("printed supports x", limit=limit, unbounded=unbounded)[0] == "holds" + suffix
    amended = decided(
        "printed contradicts x", "amended supports x", "intended supports x", limit=limit, unbounded=unbounded
    )
    assert amended[0] == "amended" + suffix
    failing = decided("printed contradicts x", "intended contradicts x", limit=limit, unbounded=unbounded)
    assert failing[0] == "fails" + suffix


def test_every_part_of_a_limit_must_reach_it():
    """One proved quantity must not carry a limit whose other half is only argued in words."""
    pieces = [piece("printed supports x", unbounded=True), piece("printed supports y")]
    assert verdict(pieces, limit=("x",))[0] == "holds"
    assert verdict(pieces, limit=("x", "y"))[0] == "holds, numerically"


def test_names_in_the_registry_are_checked_against_the_evidence():
    with pytest.raises(ValueError, match="limit: must list quantities that are tested"):
        verdict([piece("printed supports")], limit=("gap",))
    with pytest.raises(ValueError, match="decided_by: must list quantities that are tested"):
        verdict([piece("printed contradicts")], decided_by=("gap",))
    with pytest.raises(ValueError, match="intended: must be tested on quantities of decided_by"):
        verdict([piece("printed contradicts"), piece("intended contradicts")])
    with pytest.raises(ValueError, match="decided_by: must list quantities whose test has an intended variant"):
        verdict([piece("printed contradicts")], decided_by=("printed",))


def test_a_correction_that_was_only_simulated_is_marked():
    """The proof that the print is wrong is no proof of the correction."""
    pieces = [
        piece("printed contradicts q", unbounded=True),
        piece("intended supports i"),
        piece("amended supports other"),
    ]
    assert verdict(pieces, decided_by=("i",), limit=("q",))[0] == "amended, numerically"
