"""Tests of the steps of a proof. A step is a function whose default arguments are the values that the proof states."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proofs_check.ledger import Outcome, Test
from proofs_check.ledger.evidence import Kind, Statement

Changes = dict[str, Any]
"""A variant of a step: the arguments that differ from its defaults."""


def varied(step: Callable[..., Outcome]) -> Callable[[Changes], Outcome]:
    """Return the measure of a test whose variants change arguments of a step."""
    return lambda changes: step(**changes)


def step_test(
    kind: Kind,
    quantity: str,
    step: Callable[..., Outcome],
    statements: Iterable[Statement],
    mutants: Mapping[str, Changes],
    **others: Changes,
) -> Test:
    """Return the test of a step that counts for one or several statements; ``others`` are statements of a variant."""
    stated: dict[str, Any] = {**{name: {} for name in statements}, **others}
    return Test(kind, quantity, varied(step), **stated, mutants=mutants)
