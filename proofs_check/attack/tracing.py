"""Trace a check: the library functions that it calls, the values that they return, and the lines that it runs."""

import inspect
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from time import process_time
from types import FrameType
from typing import Any, NamedTuple

from proofs_check.attack import engine
from proofs_check.attack.engine import Outcome, Target
from proofs_check.attack.replacing import attacks

_INSPECTED = 8
"""Number of results of one function that are inspected."""


class Trace(NamedTuple):
    """One run of a check.

    outcome    without an attack; a claim that is not "green" cannot be attacked
    functions  "module:name" of each library function that was called, with the attacks that apply to its result
    lines      line numbers that ran in each file of the library, by path relative to it
    seconds    processor time
    """

    outcome: Outcome
    functions: dict[str, list[str]]
    lines: dict[str, list[int]]
    seconds: float


def time_limit(trace: Trace) -> float:
    """Return a wall-clock limit in seconds for deciding the claim, generous for a busy machine."""
    return 120 + 20 * trace.seconds


def trace(target: Target, name: str) -> Iterator[Trace]:
    """Decide a claim and trace it, threads included. Needs a fresh process without cached results."""
    [claim], root = engine.load(target, [name]), f"{engine.root(target)}/"
    returned: dict[str, list[Any]] = defaultdict(list)
    lines: dict[str, set[int]] = defaultdict(set)

    def called(frame: FrameType, event: str, argument: Any) -> Any:
        return within if frame.f_code.co_filename.startswith(root) else None

    def within(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        lines[code.co_filename.removeprefix(root)].update((code.co_firstlineno, frame.f_lineno))
        # Nested functions belong to the enclosing one; a class body is not a function.
        if event == "return" and "<" not in code.co_qualname and code.co_flags & inspect.CO_OPTIMIZED:
            results = returned[f"{frame.f_globals['__name__']}:{code.co_qualname}"]
            if len(results) < _INSPECTED:
                results.append(argument)
        return within

    start = process_time()
    threading.settrace(called)
    sys.settrace(called)
    try:
        outcome = engine.outcome(claim)
    finally:
        sys.settrace(None)
        threading.settrace(None)  # pyright: ignore[reportArgumentType]
    functions = {function: attacks(results) for function, results in sorted(returned.items())}
    yield Trace(outcome, functions, {file: sorted(run) for file, run in lines.items()}, process_time() - start)
