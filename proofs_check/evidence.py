"""Evidence, controls and the verdict that follows from them.

A check never states a verdict. It measures, and each measurement becomes an ``Evidence`` whose ``shows`` is
computed from the value and its bound. The verdict is a function of the evidence alone.
"""

import math
from dataclasses import dataclass
from typing import Literal

from flint import arb

from circuits import require

Kind = Literal["exact", "symbolic", "certified", "exhaustive", "autodiff", "simulated", "statistical"]
Of = Literal["printed", "amended", "intended"]
Shows = Literal["supports", "contradicts", "undecided"]
Relation = Literal["<=", ">="]
Verdict = Literal["holds", "amended", "fails", "open"]

KINDS: tuple[Kind, ...] = (
    "exact",  # rational arithmetic
    "symbolic",  # an identity in symbols
    "certified",  # an inequality proved in ball arithmetic, over a whole range
    "exhaustive",  # every case of a finite set
    "autodiff",  # against automatic differentiation of the literal definition
    "simulated",  # float64 at chosen points
    "statistical",  # sampled or measured, with an interval
)
IDENTITY_TOLERANCE = 1e-12
"""Largest gap, relative to the larger of 1 and the quantity, at which two float64 routes count as equal."""
IDENTITY_REFUTED = 1e-6
"""Smallest gap that rounding can't explain. Between the two an identity stays undecided."""


@dataclass(frozen=True)
class Evidence:
    """One measurement: the statement asks that ``value`` stand in ``relation`` to ``bound``.

    ``of`` says which statement it is:

    printed   the claim word for word, in its own setting
    amended   the stated correction
    intended  what the claim was meant to establish

    ``spans`` says that it covers a limit: a whole range up to infinity, or points enough to fit a rate.
    """

    kind: Kind
    of: Of
    shows: Shows
    quantity: str
    value: float
    relation: Relation
    bound: float
    cases: int
    detail: str = ""
    spans: bool = False


@dataclass(frozen=True)
class Control:
    """A mutant of the formula or setting, put to the test that its claim passed. It must be contradicted."""

    name: str
    evidence: Evidence

    @property
    def rejected(self) -> bool:
        return self.evidence.shows == "contradicts"


@dataclass(frozen=True)
class Findings:
    """What a check returns. ``example`` is the correction or the smallest counterexample, with its numbers."""

    evidence: tuple[Evidence, ...]
    controls: tuple[Control, ...]
    example: str = ""


def at_most(
    kind: Kind,
    quantity: str,
    value: float | int,
    bound: float | int,
    cases: int,
    *,
    of: Of = "printed",
    refuted_above: float | int | None = None,
    detail: str = "",
    spans: bool = False,
) -> Evidence:
    """Supports iff value <= bound, contradicts iff value > refuted_above (the bound, if not given).

    NaN shows nothing: it is undecided.
    """
    require.that(not math.isnan(bound), "bound", "must be a number", bound)
    limit = bound if refuted_above is None else refuted_above
    require.that(limit >= bound, "refuted_above", f"must not be below the bound {bound}", limit)
    shows: Shows = "supports" if value <= bound else "contradicts" if value > limit else "undecided"
    return _evidence(kind, of, shows, quantity, value, "<=", bound, cases, detail, spans)


def at_least(
    kind: Kind,
    quantity: str,
    value: float | int,
    bound: float | int,
    cases: int,
    *,
    of: Of = "printed",
    detail: str = "",
    spans: bool = False,
) -> Evidence:
    """Supports iff value >= bound, contradicts iff value < bound. NaN is undecided."""
    shows: Shows = "supports" if value >= bound else "contradicts" if value < bound else "undecided"
    return _evidence(kind, of, shows, quantity, value, ">=", bound, cases, detail, spans)


def identity(kind: Kind, quantity: str, gap: float, cases: int, *, of: Of = "printed", detail: str = "") -> Evidence:
    """Two float64 routes to one quantity: equal to rounding, apart beyond rounding, or undecided between."""
    return at_most(kind, quantity, gap, IDENTITY_TOLERANCE, cases, of=of, refuted_above=IDENTITY_REFUTED, detail=detail)


def decided(kind: Kind, quantity: str, holds: bool, cases: int, *, of: Of = "printed", detail: str = "") -> Evidence:
    """A yes-or-no finding of exact, symbolic or exhaustive work: value 1 or 0 against bound 1."""
    return at_least(kind, quantity, float(holds), 1.0, cases, of=of, detail=detail)


def ball_at_most(
    quantity: str,
    ball: arb,
    bound: float | int,
    cases: int,
    *,
    of: Of = "printed",
    detail: str = "",
    spans: bool = False,
) -> Evidence:
    """A certified upper bound. An ``arb`` comparison is true only when certain, so each way is asked for itself."""
    shows: Shows = "supports" if ball <= bound else "contradicts" if ball > bound else "undecided"
    return _evidence("certified", of, shows, quantity, float(ball.upper()), "<=", bound, cases, detail, spans)


def ball_at_least(
    quantity: str,
    ball: arb,
    bound: float | int,
    cases: int,
    *,
    of: Of = "printed",
    detail: str = "",
    spans: bool = False,
) -> Evidence:
    """A certified lower bound; the value recorded is the lower end of the ball."""
    shows: Shows = "supports" if ball >= bound else "contradicts" if ball < bound else "undecided"
    return _evidence("certified", of, shows, quantity, float(ball.lower()), ">=", bound, cases, detail, spans)


def _evidence(
    kind: Kind,
    of: Of,
    shows: Shows,
    quantity: str,
    value: float | int,
    relation: Relation,
    bound: float | int,
    cases: int,
    detail: str,
    spans: bool,
) -> Evidence:
    require.choice("kind", kind, KINDS)
    require.integer("cases", cases, least=1)
    require.that(not math.isnan(bound), "bound", "must be a number", bound)
    return Evidence(kind, of, shows, quantity, float(value), relation, float(bound), cases, detail, spans)


def verdict(evidence: tuple[Evidence, ...], *, limit: bool = False) -> Verdict:
    """The verdict that the evidence forces. Every single item counts.

    holds    all evidence of the printed statement supports it, and there is some
    fails    all of it contradicts it, and all evidence of what it was meant to establish contradicts that too
    amended  all of it contradicts it, nothing is said of its intent, and there is a correction
    open     anything else, above all where two items about one statement disagree

    Whatever is stated as true instead, ``amended``, must be supported by all its evidence. A ``limit`` is decided
    only by evidence that spans it.
    """

    def shown(of: Of) -> set[Shows]:
        return {item.shows for item in evidence if item.of == of}

    def spanned(of: Of) -> bool:
        return not limit or any(item.spans for item in evidence if item.of == of)

    printed, amended, intended = shown("printed"), shown("amended"), shown("intended")
    if not amended <= {"supports"}:
        return "open"
    if printed == {"supports"} and not intended and spanned("printed"):
        return "holds"
    if printed == {"contradicts"} and intended == {"contradicts"} and spanned("intended"):
        return "fails"
    if printed == {"contradicts"} and amended and not intended and spanned("amended"):
        return "amended"
    return "open"
