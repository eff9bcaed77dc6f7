"""The verdict table: what each combination of evidence forces, and what it must not."""

import math

import pytest
from flint import arb

from proofs_check.evidence import (
    Control,
    at_least,
    at_most,
    ball_at_least,
    ball_at_most,
    decided,
    identity,
    verdict,
)

VALUES = {"supports": 0.0, "undecided": math.nan, "contradicts": 2.0}


def item(of, shows):
    return at_most("exact", "quantity", VALUES[shows], 1.0, 1, of=of)


def combined(*names):
    """ "printed supports" and the like, as evidence."""
    return tuple(item(*name.split()) for name in names)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "open"),
        (["printed supports"], "holds"),
        (["printed supports", "printed supports"], "holds"),
        (["printed supports", "printed undecided"], "open"),
        (["printed undecided"], "open"),
        (["printed contradicts"], "open"),
        (["printed contradicts", "amended supports"], "amended"),
        (["printed contradicts", "printed supports", "amended supports"], "open"),
        (["printed contradicts", "amended undecided"], "open"),
        (["printed contradicts", "amended supports", "amended undecided"], "open"),
        (["printed contradicts", "amended supports", "amended contradicts"], "open"),
        (["printed contradicts", "intended contradicts"], "fails"),
        (["printed contradicts", "intended undecided"], "open"),
        (["printed contradicts", "intended supports"], "open"),
        (["printed contradicts", "intended supports", "intended contradicts"], "open"),
        (["printed contradicts", "intended contradicts", "amended contradicts"], "open"),
        (["printed contradicts", "amended supports", "intended contradicts"], "fails"),
        (["printed contradicts", "amended supports", "intended supports"], "open"),
        (["printed supports", "printed contradicts"], "open"),
        (["printed supports", "intended contradicts"], "open"),
        (["printed supports", "amended contradicts"], "open"),
        (["printed undecided", "amended supports"], "open"),
        (["printed undecided", "intended contradicts"], "open"),
        (["amended supports"], "open"),
        (["intended contradicts"], "open"),
    ],
)
def test_the_verdict_follows_from_the_evidence(names, expected):
    assert verdict(combined(*names)) == expected


@pytest.mark.parametrize("spans", [True, False])
def test_a_limit_needs_evidence_that_spans_it(spans):
    """Many cases at one point of the limit are not enough."""

    def spanning(of, shows):
        return at_most("simulated", "quantity", VALUES[shows], 1.0, 1000, of=of, spans=spans)

    assert verdict((spanning("printed", "supports"),)) == "holds"
    assert verdict((spanning("printed", "supports"),), limit=True) == ("holds" if spans else "open")
    refuted = item("printed", "contradicts")
    corrected = (refuted, spanning("amended", "supports"))
    assert verdict(corrected) == "amended"
    assert verdict(corrected, limit=True) == ("amended" if spans else "open")
    failing = (refuted, spanning("intended", "contradicts"))
    assert verdict(failing) == "fails"
    assert verdict(failing, limit=True) == ("fails" if spans else "open")


@pytest.mark.parametrize(
    ("made", "shows"),
    [
        (at_most("exact", "q", 1.0, 1.0, 1), "supports"),
        (at_most("exact", "q", 1.1, 1.0, 1), "contradicts"),
        (at_most("exact", "q", 1.1, 1.0, 1, refuted_above=2.0), "undecided"),
        (at_most("exact", "q", math.inf, 1.0, 1), "contradicts"),
        (at_most("exact", "q", math.nan, 1.0, 1), "undecided"),
        (at_least("exact", "q", 1.0, 1.0, 1), "supports"),
        (at_least("exact", "q", 0.9, 1.0, 1), "contradicts"),
        (at_least("exact", "q", math.nan, 1.0, 1), "undecided"),
        (identity("autodiff", "q", 1e-13, 1), "supports"),
        (identity("autodiff", "q", 1e-9, 1), "undecided"),
        (identity("autodiff", "q", 1e-5, 1), "contradicts"),
        (identity("autodiff", "q", math.nan, 1), "undecided"),
        (decided("symbolic", "q", True, 1), "supports"),
        (decided("symbolic", "q", False, 1), "contradicts"),
        (ball_at_most("q", arb(1), 1.0, 1), "supports"),
        (ball_at_most("q", arb(1, 0.5), 2.0, 1), "supports"),
        (ball_at_most("q", arb(1, 0.5), 1.0, 1), "undecided"),
        (ball_at_most("q", arb(3, 0.5), 2.0, 1), "contradicts"),
        (ball_at_least("q", arb(3, 0.5), 2.0, 1), "supports"),
        (ball_at_least("q", arb(2, 0.5), 2.0, 1), "undecided"),
        (ball_at_least("q", arb(1, 0.5), 2.0, 1), "contradicts"),
        (ball_at_most("q", arb.nan(), 2.0, 1), "undecided"),
        (ball_at_least("q", arb.nan(), 2.0, 1), "undecided"),
    ],
)
def test_what_a_measurement_shows(made, shows):
    assert made.shows == shows


@pytest.mark.parametrize(("shows", "rejected"), [("supports", False), ("undecided", False), ("contradicts", True)])
def test_a_control_is_rejected_only_by_contradiction(shows, rejected):
    assert Control("mutant", item("printed", shows)).rejected == rejected


def test_bad_measurements_are_refused():
    with pytest.raises(ValueError, match="cases: must be an integer at least 1, got 0"):
        at_most("exact", "q", 0.0, 1.0, 0)
    with pytest.raises(ValueError, match="bound: must be a number, got nan"):
        at_least("exact", "q", 0.0, math.nan, 1)
    with pytest.raises(ValueError, match=r"refuted_above: must not be below the bound 1\.0, got 0\.5"):
        at_most("exact", "q", 0.0, 1.0, 1, refuted_above=0.5)
