"""Tests, the evidence and controls that come of them, and the verdict that follows.

A check never states a verdict. It states tests. A test is a measurement of a *variant*: a formula, a field, a model,
whatever the statement is about. Evidence is what the test gives for the statement itself, controls are what the same
test gives for wrong variants of it (mutants), which it must contradict, or for right ones, which it must support.
There is no other way to make either.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from circuits import checks
from proofs_check.ledger.outcome import Outcome, Shows
from proofs_check.ledger.statistics import Plan, Sample, judge

Kind = Literal["exact", "symbolic", "certified", "exhaustive", "autodiff", "simulated", "statistical"]
Of = Literal["printed", "amended", "intended"]
Verdict = Literal[
    "holds", "holds, numerically", "amended", "amended, numerically", "fails", "fails, numerically", "open"
]

KINDS: Final[dict[Kind, str]] = {
    "exact": "rational arithmetic",
    "symbolic": "an identity or inequality in symbols, for all their values",
    "certified": "an inequality proved in ball arithmetic, over a whole range",
    "exhaustive": "every case of a finite set",
    "autodiff": "against automatic differentiation of the literal definition",
    "simulated": "float64 at chosen points",
    "statistical": "sampled or measured, with an interval",
}
STATEMENTS: Final[dict[Of, str]] = {
    "printed": "the claim word for word, in its own setting",
    "amended": "the stated correction",
    "intended": "what the claim was meant to establish, as its entry in the registry says",
}


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Test:
    """One measurement and everything that it is applied to.

    Args:
        kind: one of ``KINDS``.
        quantity: what is measured, in words; unique among the tests of a claim. The registry's ``decided_by``,
            ``limit`` and ``statistics`` refer to it.
        measure: a function of a variant that returns an ``Outcome`` (``equal``, ``every``, ``at_most``, ``at_least``,
            ``balls_at_most``, ``balls_at_least``, ``same``, ``nonnegative``) or, for a statistical test, a sample
            (``Counts``, ``Mean``, ``Intervals``).
        printed: the variant that the claim states word for word.
        amended: the variant that the correction states.
        intended: the variant that the claim was meant to establish.
        mutants: wrong variants by name; the test must contradict each of them.
        accepted: right variants by name; the test must support each. A test that supports none of printed, amended and
            intended needs one, to show that it can.

    Raises ValueError for a test that could not have gone both ways: one that supports a statement needs a mutant.
    """

    kind: Kind
    quantity: str
    measure: Callable[[Any], Outcome | Sample]
    printed: Any = ABSENT
    amended: Any = ABSENT
    intended: Any = ABSENT
    mutants: Mapping[str, Any] = field(default_factory=dict)
    accepted: Mapping[str, Any] = field(default_factory=dict)

    __test__ = False  # not a test of pytest's

    def __post_init__(self) -> None:
        checks.choice("kind", self.kind, list(KINDS))
        checks.require(bool(self.quantity.strip()), "quantity", "must not be empty", self.quantity)
        checks.require(bool(self.variants), self.quantity, "must state printed, amended or intended", None)
        clear = not set(self.mutants) & set(self.accepted)
        checks.require(clear, self.quantity, "must not name a control twice", sorted(self.mutants))

    @property
    def variants(self) -> dict[Of, Any]:
        """The statements that it tests."""
        return {of: getattr(self, of) for of in STATEMENTS if getattr(self, of) is not ABSENT}


@dataclass(frozen=True)
class CrossCheck:
    """Two routes of our own to one quantity: library against twin, solver against solver.

    It is no evidence. One that does not agree, or that agrees with a mutant, makes its claim an error.
    """

    quantity: str
    measure: Callable[[Any], Outcome]
    truth: Any
    mutants: Mapping[str, Any]

    def __post_init__(self) -> None:
        checks.require(bool(self.mutants), self.quantity, "must have a mutant", dict(self.mutants))


@dataclass(frozen=True)
class Findings:
    """What a check returns.

    Args:
        tests: at least one.
        cross_checks: agreement of our own implementations, on which the tests rest.
        example: the correction or the smallest counterexample, with its numbers.
    """

    tests: tuple[Test, ...]
    cross_checks: tuple[CrossCheck, ...] = ()
    example: str = ""

    def __post_init__(self) -> None:
        checks.require(bool(self.tests), "tests", "must not be empty", self.tests)
        names = [test.quantity for test in (*self.tests, *self.cross_checks)]
        twice = sorted({name for name in names if names.count(name) > 1})
        checks.require(not twice, "quantity", "must be given to one test only", twice)


@dataclass(frozen=True)
class Evidence:
    """What one test shows of one statement."""

    kind: Kind
    of: Of
    quantity: str
    outcome: Outcome


@dataclass(frozen=True)
class Control:
    """What the test of the same quantity shows of a variant that it must contradict, or support."""

    quantity: str
    name: str
    must: Shows
    outcome: Outcome

    @property
    def passed(self) -> bool:
        return self.outcome.shows == self.must


def carry_out(test: Test, plan: Plan | None = None) -> tuple[list[Evidence], list[Control]]:
    """Measure every variant. ``plan`` is that of a statistical test."""
    checks.require((test.kind == "statistical") == (plan is not None), test.quantity, _PLAN_RULE, test.kind)

    def measured(variant: Any) -> Outcome:
        found = test.measure(variant)
        if plan is not None:
            checks.require(isinstance(found, Sample), test.quantity, "must measure Counts, Mean or Intervals", found)
            return judge(found, plan)  # pyright: ignore[reportArgumentType]
        checks.require(isinstance(found, Outcome), test.quantity, "must measure an Outcome", found)
        return found  # pyright: ignore[reportReturnType]

    evidence = [Evidence(test.kind, of, test.quantity, measured(variant)) for of, variant in test.variants.items()]
    controls = [Control(test.quantity, name, "contradicts", measured(mutant)) for name, mutant in test.mutants.items()]
    controls += [Control(test.quantity, name, "supports", measured(right)) for name, right in test.accepted.items()]
    shown = {item.outcome.shows for item in evidence}
    if "supports" in shown and not test.mutants:
        controls.append(Control(test.quantity, NO_MUTANT, "contradicts", evidence[0].outcome))
    if shown == {"contradicts"} and not test.accepted:
        controls.append(Control(test.quantity, NOTHING_ACCEPTED, "supports", evidence[0].outcome))
    return evidence, controls


NO_MUTANT = "none is given, so nothing shows that the test can fail"
NOTHING_ACCEPTED = "none is given, so nothing shows that the test can pass"


_PLAN_RULE = "must have a plan under statistics in the registry exactly if its kind is statistical"


def check_agreement(check: CrossCheck) -> str:
    """Empty if our implementations agree and the comparison tells mutants apart; else what went wrong."""
    found = check.measure(check.truth)
    if found.shows != "supports":
        return f"cross-check {check.quantity!r}: {found.value:.3g}, asked {found.relation} {found.bound:.3g}"
    for name, mutant in check.mutants.items():
        if check.measure(mutant).shows != "contradicts":
            return f"cross-check {check.quantity!r}: mutant {name!r} was not rejected"
    return ""
