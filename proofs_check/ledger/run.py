"""Deciding claims: one, or several in parallel, with a time limit for each."""

import multiprocessing
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import jax

from circuits import checks, display
from proofs_check.ledger.claim import Claim
from proofs_check.ledger.data import check_data
from proofs_check.ledger.evidence import STATEMENTS, Control, Evidence, Findings, Verdict, run_cross_check, run_test
from proofs_check.ledger.reference import Reference
from proofs_check.ledger.verdict import verdict

WORDS = ("holds", "amended", "fails", "open", "error")
"""Verdicts without the mark ", numerically"."""


@dataclass(frozen=True, repr=False)
class Result:
    """The decision on one claim.

    Args:
        claim: the claim.
        verdict: one of the verdicts, or "error".
        reason: why the verdict is open, if it is.
        evidence: outcomes of the tests on the statements.
        controls: their outcomes on mutants and on accepted variants.
        cross_checks: quantities on which our own implementations agree.
        example: the correction or a counterexample, with its numbers.
        error: the exception that the check raised, in one line followed by the traceback; empty if there is none.
        seconds: processor time.
        reused: whether it comes from the cache.

    Example:
        >>> test = Test("exact", "2 + 2", lambda total: equal([2 + 2], [total]), printed=4, mutants={"five": 5})
        >>> claim = Claim("notes.sum", "p. 1", "2 + 2 = 4", "Integers.", "holds", lambda: Findings((test,)))
        >>> decide(claim).agrees
        True
    """

    claim: Claim
    verdict: Verdict | Literal["error"]
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()
    controls: tuple[Control, ...] = ()
    cross_checks: tuple[str, ...] = ()
    example: str = ""
    error: str = ""
    seconds: float = 0.0
    reused: bool = False

    def __repr__(self) -> str:
        status = f"but {self.complaint}" if self.complaint else "as recorded"
        passed = f"{self.controls_passed.replace('/', ' of ')} controls passed"
        lines = [f"{self.claim.id}: {self.verdict}, {status}; {passed}", *map(describe, self.evidence)]
        return "\n  ".join(lines)

    @property
    def word(self) -> str:
        """The verdict without the mark ", numerically"."""
        return self.verdict.partition(",")[0]

    @property
    def agrees(self) -> bool:
        """Whether the verdict is the recorded one and every control came out as expected."""
        return not self.complaint

    @property
    def complaint(self) -> str:
        """Why the result does not agree with the record, in one line; empty if it does."""
        if self.verdict == "error":
            return self.error.splitlines()[0]
        reasons = []
        if self.verdict != self.claim.recorded:
            why = f" ({self.reason})" if self.reason else ""
            reasons.append(f"verdict {self.verdict}{why}, recorded {self.claim.recorded}")
        for control in self.controls:
            if not control.passed:
                done = "rejected" if control.expected == "contradicts" else "accepted"
                reasons.append(f"control {control.name!r} was not {done} ({control.outcome.shows})")
        return "; ".join(reasons)

    @property
    def controls_passed(self) -> str:
        """Number of controls that came out as expected, of all: "2/3"."""
        return f"{sum(control.passed for control in self.controls)}/{len(self.controls)}"

    @display.safe
    def _repr_html_(self) -> str:
        from proofs_check.ledger.report_inline import result_card

        return result_card(self)


@dataclass(frozen=True, repr=False)
class Verification:
    """The results of several claims, in their order; prints as a table, and is one in a notebook.

    Args:
        results: the results.

    Example:
        >>> test = Test("exact", "2 + 2", lambda total: equal([2 + 2], [total]), printed=4, mutants={"five": 5})
        >>> claim = Claim("notes.sum", "p. 1", "2 + 2 = 4", "Integers.", "holds", lambda: Findings((test,)))
        >>> results = Verification((decide(claim),))
        >>> results["notes.sum"].verdict, results.agrees
        ('holds', True)
    """

    results: tuple[Result, ...]

    def __repr__(self) -> str:
        width = max((len(result.claim.id) for result in self.results), default=0)
        rows = [
            f"{'✓' if result.agrees else '✗'} {result.claim.id:<{width}}  {result.verdict:<20}  "
            f"{result.controls_passed:>7}  {result.complaint or result.reason}".rstrip()
            for result in self.results
        ]
        return "\n".join([*rows, summary(self.results)])

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, id: str) -> Result:
        """Return the result of the claim with this id."""
        return {result.claim.id: result for result in self.results}[id]

    @property
    def agrees(self) -> bool:
        """Whether every result agrees with the record."""
        return all(result.agrees for result in self.results)

    @display.safe
    def _repr_html_(self) -> str:
        from proofs_check.ledger.report_inline import results_table

        return results_table(self.results)


def decide(claim: Claim, time_limit: int | float | None = None) -> Result:
    """Run the check of a claim in float64 and compute its verdict. An exception of the check is part of the result.

    Args:
        claim: the claim.
        time_limit: seconds of wall-clock time after which the check is stopped, as soon as Python regains control.

    Returns:
        The result.

    Example:
        >>> test = Test("exact", "2 + 2", lambda total: equal([2 + 2], [total]), printed=5, accepted={"four": 4})
        >>> decide(Claim("notes.sum", "p. 1", "2 + 2 = 5", "Integers.", "holds", lambda: Findings((test,))))
        notes.sum: open, but verdict open (contradicted, intent not tested), recorded holds; 1 of 1 controls passed
          contradicts the claim word for word, in its own setting (exact): 2 + 2: 1, expected <= 0, 1 cases
    """
    start = time.process_time()
    try:
        with _limited(time_limit), jax.enable_x64(True):
            check_data(claim.data)
            findings = claim.check()
            if not isinstance(findings, Findings):
                raise TypeError(f"check: must return Findings, got {findings!r}")
            measured = [run_test(test, claim.statistics.get(test.quantity)) for test in findings.tests]
            evidence = tuple(item for items, _ in measured for item in items)
            controls = tuple(item for _, items in measured for item in items)
            unused = sorted(set(claim.statistics) - {test.quantity for test in findings.tests})
            checks.require(not unused, "statistics", "must list quantities that are tested", unused)
            failed = [message for check in findings.cross_checks if (message := run_cross_check(check))]
            decided: tuple[Verdict | Literal["error"], str]
            decided = verdict(evidence, decided_by=claim.decided_by, limit=claim.limit) if not failed else ("error", "")
    except (Exception, SystemExit, _OutOfTime) as error:  # a check may fail in any way, and the others must still run
        return Result(claim, "error", error=_describe_error(error), seconds=time.process_time() - start)
    agreed = tuple(check.quantity for check in findings.cross_checks)
    seconds = time.process_time() - start
    return Result(claim, *decided, evidence, controls, agreed, findings.example, "; ".join(failed), seconds)


def decide_all(claims: Sequence[Claim], jobs: int = 1, time_limit: int | float | None = None) -> Iterator[Result]:
    """Yield the results of claims in order: each computed when it is requested, or ``jobs`` of them in parallel.

    A check that is a function of a Python file is always run in this process.
    """
    if jobs == 1:
        yield from (decide(claim, time_limit) for claim in claims)
        return
    context = multiprocessing.get_context("spawn")  # jax does not survive a fork
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        pending = [
            pool.submit(decide, claim, time_limit) if isinstance(claim.check, Reference) else None for claim in claims
        ]
        try:
            for claim, future in zip(claims, pending, strict=True):
                yield decide(claim, time_limit) if future is None else _awaited(claim, future)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _awaited(claim: Claim, pending: Future[Result]) -> Result:
    """Return a result, which is an error if its process died, for example for lack of memory."""
    try:
        return pending.result()
    except Exception as error:
        return Result(claim, "error", error=_describe_error(error))


def counts(results: Iterable[Result]) -> dict[str, int]:
    """Return the number of results with each verdict, in the order of ``WORDS``."""
    number = Counter(result.word for result in results)
    return {word: number[word] for word in WORDS}


def summary(results: Sequence[Result]) -> str:
    """Return one line: claims by verdict, agreement with the record, controls, processor time."""
    number = counts(results)
    verdicts = [
        _counted(number["holds"], "holds", "hold"),
        f"{number['amended']} amended",
        _counted(number["fails"], "fails", "fail"),
        f"{number['open']} open",
    ]
    if number["error"]:
        verdicts.append(_counted(number["error"], "error", "errors"))
    if numerical := sum(result.verdict.endswith("numerically") for result in results):
        verdicts.append(f"{numerical} of these numerically")
    bad = sum(not result.agrees for result in results)
    agreement = f"{_counted(bad, 'claim', 'claims')} not as recorded" if bad else "every verdict as recorded"
    controls = [control for result in results for control in result.controls]
    passed = f"{sum(control.passed for control in controls)} of {len(controls)} controls passed"
    fresh = [result for result in results if not result.reused]
    seconds = f"{sum(result.seconds for result in fresh):.0f} processor-seconds"
    if reused := len(results) - len(fresh):
        seconds += f", {_counted(reused, 'result', 'results')} reused"
    total = f"{_counted(len(results), 'claim', 'claims')}: {', '.join(verdicts)}"
    return " · ".join((total, agreement, passed, seconds))


def describe(item: Evidence | Control) -> str:
    """Return one line on a piece of evidence or a control, with its numbers."""
    outcome = item.outcome
    detail = f" ({outcome.detail})" if outcome.detail else ""
    measured = f"{outcome.value:.6g}, expected {outcome.relation} {outcome.bound:.6g}, {outcome.cases} cases{detail}"
    if isinstance(item, Control):
        shows = outcome.shows if item.passed else f"{outcome.shows}, expected {item.expected}"
        return f"control {item.name!r} of {item.quantity}: {shows}: {measured}"
    return f"{outcome.shows} {STATEMENTS[item.statement]} ({item.kind}): {item.quantity}: {measured}"


class _OutOfTime(BaseException):
    """Derived from ``BaseException``: a check that handles ``Exception`` must not swallow it."""


@contextmanager
def _limited(seconds: int | float | None) -> Iterator[None]:
    """Raise ``_OutOfTime`` in the main thread after some seconds."""
    if seconds is None:
        yield
        return

    def stop(*_: object) -> None:
        raise _OutOfTime(f"exceeded the time limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _counted(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"


def _describe_error(error: BaseException) -> str:
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    inner = error.__traceback__.tb_next if error.__traceback__ else None  # leaves out the frame of decide
    return f"the check raised {line}\n" + "".join(traceback.format_exception(type(error), error, inner))
