"""Deciding claims: one, or many side by side, with a time limit for each."""

import multiprocessing
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from circuits import checks
from proofs_check.ledger.claim import Claim
from proofs_check.ledger.data import check_data
from proofs_check.ledger.evidence import Control, Evidence, Findings, Verdict, carry_out, check_agreement
from proofs_check.ledger.reference import Reference
from proofs_check.ledger.verdict import verdict

WORDS = ("holds", "amended", "fails", "open", "error")


@dataclass(frozen=True)
class Result:
    """What came of one check.

    reason       why the verdict is open, if it is
    cross_checks the quantities on which our own implementations agree
    error        empty, or what the check raised in one line and below it the traceback
    seconds      of processor time
    reused       whether it was decided earlier, by the same code on the same data
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

    @property
    def word(self) -> str:
        """The verdict without its mark for numbers."""
        return self.verdict.partition(",")[0]

    @property
    def agrees(self) -> bool:
        """The verdict is the recorded one, and every control came out as it must."""
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
                done = "rejected" if control.must == "contradicts" else "accepted"
                reasons.append(f"control {control.name!r} was not {done} ({control.outcome.shows})")
        return "; ".join(reasons)

    @property
    def controls_passed(self) -> str:
        """How many controls came out as they must, of how many: "2/3"."""
        return f"{sum(control.passed for control in self.controls)}/{len(self.controls)}"


def decide(claim: Claim, time_limit: int | float | None = None) -> Result:
    """Run one check and compute its verdict. What the check raises becomes part of the result.

    Args:
        claim: the claim.
        time_limit: seconds of wall clock after which the check is stopped, as soon as Python regains control.
    """
    start = time.process_time()
    try:
        with _limited(time_limit):
            check_data(claim.data)
            found = claim.check()
            if not isinstance(found, Findings):
                raise TypeError(f"check: must return Findings, got {found!r}")
            evidence: list[Evidence] = []
            controls: list[Control] = []
            for test in found.tests:
                pieces, against = carry_out(test, claim.statistics.get(test.quantity))
                evidence += pieces
                controls += against
            unused = sorted(set(claim.statistics) - {test.quantity for test in found.tests})
            checks.require(not unused, "statistics", "must name quantities that are tested", unused)
            failed = [message for check in found.cross_checks if (message := check_agreement(check))]
            decided, reason = verdict(evidence, decided_by=claim.decided_by, limit=claim.limit)
    except (Exception, SystemExit, _OutOfTime) as error:  # a check may fail in any way, and the others must still run
        return Result(claim, "error", error=_describe(error), seconds=time.process_time() - start)
    agreed = tuple(check.quantity for check in found.cross_checks)
    seconds = time.process_time() - start
    given = (tuple(evidence), tuple(controls), agreed, found.example)
    if failed:
        return Result(claim, "error", "", *given, "; ".join(failed), seconds)
    return Result(claim, decided, reason, *given, "", seconds)


def run(
    claims: Sequence[Claim],
    jobs: int = 1,
    time_limit: int | float | None = None,
    start: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """Decide claims, each as it is asked for, or ``jobs`` of them side by side; in their own order.

    Args:
        claims: what to decide; a check that is a function of a Python file is run in this process all the same.
        jobs: processes.
        time_limit: seconds for each claim.
        start: called first in this process and in each other, to set up what the checks need.
    """
    if start is not None:
        start()
    if jobs == 1:
        yield from (decide(claim, time_limit) for claim in claims)
        return
    context = multiprocessing.get_context("spawn")  # jax does not survive a fork
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=start) as pool:
        portable = [isinstance(claim.check, Reference) for claim in claims]
        pending = [
            pool.submit(decide, claim, time_limit) if fine else None
            for claim, fine in zip(claims, portable, strict=True)
        ]
        try:
            for claim, each in zip(claims, pending, strict=True):
                yield decide(claim, time_limit) if each is None else _awaited(claim, each)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _awaited(claim: Claim, pending: Future[Result]) -> Result:
    """A process may die, of too little memory for example; then its claims are errors, and the others' results stay."""
    try:
        return pending.result()
    except Exception as error:
        return Result(claim, "error", error=_describe(error))


def counts(results: Iterable[Result]) -> dict[str, int]:
    """How many results have each verdict, in the order of ``WORDS``."""
    found = Counter(result.word for result in results)
    return {word: found[word] for word in WORDS}


def summary(results: Sequence[Result]) -> str:
    """One line: claims by verdict, agreement with the record, controls, processor time."""
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


class _OutOfTime(BaseException):
    """No ``Exception``, so that a check that handles those does not swallow it."""


@contextmanager
def _limited(seconds: int | float | None) -> Iterator[None]:
    """Raise ``_OutOfTime`` in the main thread after some seconds."""
    if seconds is None:
        yield
        return

    def stop(*_: object) -> None:
        raise _OutOfTime(f"took longer than the time limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _counted(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _describe(error: BaseException) -> str:
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    inner = error.__traceback__.tb_next if error.__traceback__ else None  # from the check on, not from decide
    return f"the check raised {line}\n" + "".join(traceback.format_exception(type(error), error, inner))
