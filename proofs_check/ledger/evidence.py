"""Tests, the evidence and controls that they produce, and the kinds of evidence.

A check never states a verdict; it returns tests. A test measures a *variant*: a formula, a field, a model: the subject
of the statement. Evidence is the measurement of the statement itself. Controls are the same measurement of wrong
variants (mutants), which the test must contradict, or of other right ones, which it must support. Nothing else produces
evidence or controls.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from circuits import checks, display
from proofs_check.ledger.outcome import Outcome, Shows
from proofs_check.ledger.statistics import Plan, Sample, judge

Kind = Literal["exact", "symbolic", "certified", "exhaustive", "autodiff", "simulated", "statistical"]
Statement = Literal["printed", "amended", "intended"]
Verdict = Literal[
    "holds", "holds, numerically", "amended", "amended, numerically", "fails", "fails, numerically", "open"
]

KINDS: Final[dict[Kind, str]] = {
    "exact": "rational arithmetic",
    "symbolic": "an identity or inequality in symbols, for all their values",
    "certified": "an inequality proved in ball arithmetic, over a whole range",
    "exhaustive": "every case of a finite set",
    "autodiff": "compared with automatic differentiation of the literal definition",
    "simulated": "float64 at chosen points",
    "statistical": "sampled or measured, with an interval",
}
STATEMENTS: Final[dict[Statement, str]] = {
    "printed": "the claim word for word, in its own setting",
    "amended": "the stated correction",
    "intended": "what the claim was meant to establish, as its registry entry says",
}
NO_MUTANT = "none is given, so nothing shows that the test can fail"
NOTHING_ACCEPTED = "none is given, so nothing shows that the test can pass"


ABSENT: Final = object()
"""The default of a statement that a test does not make; None may be a variant."""


@dataclass(frozen=True)
class Test:
    """One measurement and every variant that it is applied to.

    A test that supports a statement needs mutants, and one that supports none needs an accepted variant; otherwise
    nothing shows that it could have gone the other way, and its claim does not agree with the record.

    Args:
        kind: one of ``KINDS``.
        quantity: the measured quantity, in words; unique among the tests of a claim. The claim's fields ``decided_by``,
            ``limit`` and ``statistics`` refer to it.
        measure: a function of a variant. It returns an ``Outcome`` (from ``equal``, ``every``, ``at_most``,
            ``at_least``, ``balls_at_most``, ``balls_at_least``, ``same`` or ``nonnegative``) or, in a statistical test,
            a sample (``Counts``, ``Mean`` or ``Intervals``).
        printed: the variant that the claim states word for word.
        amended: the variant that the correction states.
        intended: the variant that the claim was meant to establish.
        mutants: wrong variants by name; the test must contradict each of them.
        accepted: right variants by name; the test must support each of them.

    Raises:
        ValueError: for an unknown kind, an empty quantity, no statement, or a control that is named twice.

    Example:
        >>> squares = [n * n for n in range(1, 9)]
        >>> def measure(formula):
        ...     return equal([sum(squares[:n]) for n in range(1, 9)], [formula(n) for n in range(1, 9)])
        >>> def printed(n):
        ...     return n * (n + 1) * (2 * n + 1) // 6
        >>> mutants = {"n - 1 for n": lambda n: printed(n - 1)}
        >>> test = Test("exhaustive", "sum of n squares, n = 1 to 8", measure, printed=printed, mutants=mutants)
        >>> test.measure(test.printed).shows
        'supports'
    """

    kind: Kind
    quantity: str
    measure: Callable[[Any], Outcome | Sample]
    printed: Any = ABSENT
    amended: Any = ABSENT
    intended: Any = ABSENT
    mutants: Mapping[str, Any] = field(default_factory=dict)
    accepted: Mapping[str, Any] = field(default_factory=dict)

    _repr_html_ = display.html

    __test__ = False  # not a test of pytest's

    def __post_init__(self) -> None:
        checks.choice("kind", self.kind, list(KINDS))
        checks.require(bool(self.quantity.strip()), "quantity", "must not be empty", self.quantity)
        checks.require(bool(self.statements), self.quantity, "must state printed, amended or intended", None)
        distinct = not set(self.mutants) & set(self.accepted)
        checks.require(distinct, self.quantity, "must not name a control twice", sorted(self.mutants))

    @property
    def statements(self) -> dict[Statement, Any]:
        """The variants of the statements that it tests."""
        return {name: getattr(self, name) for name in STATEMENTS if getattr(self, name) is not ABSENT}


@dataclass(frozen=True)
class CrossCheck:
    """A comparison of two implementations of our own, such as a library function and its naive twin.

    It is no evidence. If it does not agree, or agrees with a mutant, its claim is an error.

    Args:
        quantity: the compared quantity, in words.
        measure: a function of one implementation's values that compares them with the other's.
        truth: the values, which must agree.
        mutants: wrong values by name, which must not; at least one.

    Raises:
        ValueError: if no mutant is given.

    Example:
        >>> import numpy as np
        >>> x = np.arange(1.0, 4)
        >>> twin = CrossCheck("x squared", lambda values: equal(values, x**2), x * x, {"negated": -x * x})
        >>> twin.measure(twin.truth).shows, twin.measure(twin.mutants["negated"]).shows
        ('supports', 'contradicts')
    """

    quantity: str
    measure: Callable[[Any], Outcome]
    truth: Any
    mutants: Mapping[str, Any]

    _repr_html_ = display.html

    def __post_init__(self) -> None:
        checks.require(bool(self.mutants), self.quantity, "must have a mutant", dict(self.mutants))


@dataclass(frozen=True)
class Findings:
    """The tests and cross-checks that a check returns.

    Args:
        tests: at least one. A claim is the conjunction of its parts, one test per part.
        cross_checks: agreement of our own implementations, on which the tests rest.
        example: the correction or the smallest counterexample, with its numbers.

    Raises:
        ValueError: if there is no test, or two tests measure the same quantity.

    Example:
        >>> test = Test("exact", "2 + 2", lambda total: equal([2 + 2], [total]), printed=4, mutants={"five": 5})
        >>> Findings((test,), example="2 + 2 = 4").tests[0].quantity
        '2 + 2'
    """

    tests: tuple[Test, ...]
    cross_checks: tuple[CrossCheck, ...] = ()
    example: str = ""

    _repr_html_ = display.html

    def __post_init__(self) -> None:
        checks.require(bool(self.tests), "tests", "must not be empty", self.tests)
        names = [test.quantity for test in (*self.tests, *self.cross_checks)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        checks.require(not repeated, "quantity", "must be measured by one test only", repeated)


@dataclass(frozen=True)
class Evidence:
    """The outcome of one test on one statement."""

    kind: Kind
    statement: Statement
    quantity: str
    outcome: Outcome


@dataclass(frozen=True)
class Control:
    """The outcome of a test on a variant that it must contradict, or support."""

    quantity: str
    name: str
    expected: Shows
    outcome: Outcome

    @property
    def passed(self) -> bool:
        return self.outcome.shows == self.expected


def run_test(test: Test, plan: Plan | None = None) -> tuple[list[Evidence], list[Control]]:
    """Measure every variant of a test; a statistical one is judged by its plan."""
    rule = "must have a plan under statistics in the registry exactly if its kind is statistical"
    checks.require((test.kind == "statistical") == (plan is not None), test.quantity, rule, test.kind)

    def measured(variant: Any) -> Outcome:
        result = test.measure(variant)
        if plan is not None:
            checks.require(isinstance(result, Sample), test.quantity, "must measure Counts, Mean or Intervals", result)
            return judge(result, plan)  # pyright: ignore[reportArgumentType]
        checks.require(isinstance(result, Outcome), test.quantity, "must measure an Outcome", result)
        return result  # pyright: ignore[reportReturnType]

    evidence = [Evidence(test.kind, name, test.quantity, measured(v)) for name, v in test.statements.items()]
    controls = [Control(test.quantity, name, "contradicts", measured(v)) for name, v in test.mutants.items()]
    controls += [Control(test.quantity, name, "supports", measured(v)) for name, v in test.accepted.items()]
    shows = {item.outcome.shows for item in evidence}
    if "supports" in shows and not test.mutants:
        controls.append(Control(test.quantity, NO_MUTANT, "contradicts", evidence[0].outcome))
    if shows == {"contradicts"} and not test.accepted:
        controls.append(Control(test.quantity, NOTHING_ACCEPTED, "supports", evidence[0].outcome))
    return evidence, controls


def run_cross_check(check: CrossCheck) -> str:
    """Return why a cross-check fails, or "" if the implementations agree and its mutants are rejected."""
    outcome = check.measure(check.truth)
    if outcome.shows != "supports":
        values = f"{outcome.value:.3g}, expected {outcome.relation} {outcome.bound:.3g}"
        return f"cross-check {check.quantity!r}: {values}"
    accepted = [name for name, mutant in check.mutants.items() if check.measure(mutant).shows != "contradicts"]
    return f"cross-check {check.quantity!r}: mutant {accepted[0]!r} was not rejected" if accepted else ""
