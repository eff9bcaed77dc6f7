"""The number of tokens that a forward pass yields under speculative decoding with draft tokens verified in order.

The model's own next token always counts. Draft i = 2, 3, .. counts if it and every draft before it is accepted; with
a_i the probability that draft i is accepted given that those before it were,

    E[tokens] = 1 + a_2 + a_2 a_3 + a_2 a_3 a_4 + ..
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import accumulate, product
from math import prod
from operator import mul
from typing import Any, Final

import sympy

from proofs_check.ledger import Findings, Outcome, Test, at_most, same

RATES: Final = (Fraction(7, 10), Fraction(4, 10), Fraction(2, 10))
HALF_A_DIGIT: Final = {2: Fraction(1, 200), 1: Fraction(1, 20)}
"""The largest change by rounding to so many decimals."""
Number = Any
"""A fraction, or a symbol."""
Formula = Callable[[Sequence[Number]], Number]


def expected_tokens() -> Findings:
    """1 + 0.7 + 0.7 x 0.4 + 0.7 x 0.4 x 0.2 against 1.74, and the average against "1.7 tokens per forward pass"."""

    def is_mean(formula: Formula) -> Outcome:
        return same([(formula(rates), outcomes(rates)) for rates in symbols()])

    def gap(formula: Formula, digits: int) -> Callable[[Fraction], Outcome]:
        return lambda value: at_most([abs(formula(RATES) - value)], HALF_A_DIGIT[digits])

    mutants = {
        "rates added": lambda rates: 1 + sum(rates),
        "the model's own token left out": lambda rates: in_order(rates) - 1,
        "only the run of all drafts": lambda rates: 1 + prod(rates),
        "rates in reverse order": lambda rates: in_order(rates[::-1]),
    }
    mean = {"the mean of these rates": Fraction(2036, 1000)}
    printed, average = "gap between the sum and its printed value", Fraction(17, 10)
    claimed = "gap between the average yield of a pass and the average claimed"
    tests = (
        Test("symbolic", "the formula, for any rates", is_mean, printed=in_order, mutants=mutants),
        Test("exact", printed, gap(in_order, digits=2), printed=Fraction(174, 100), accepted=mean),
        Test("exact", claimed, gap(outcomes, digits=1), intended=average, accepted=mean),
    )
    return Findings(
        tests,
        example=f"1 + 0.7 + 0.28 + 0.056 = {float(in_order(RATES))}. If the rates were those of each position by "
        "itself, not given that those before were accepted, it would be 1 + 0.7 + 0.4 + 0.2 = "
        f"{float(1 + sum(RATES))}.",
    )


def symbols() -> list[tuple[Any, ...]]:
    """Return rates of two and three drafts. For one draft all formulas except one agree."""
    rates = sympy.symbols("a b c", positive=True)
    return [rates[:2], rates]


def in_order(rates: Sequence[Number]) -> Number:
    """Return 1 + a_2 + a_2 a_3 + .., the sum of cumulative products."""
    return 1 + sum(accumulate(rates, mul), Fraction(0))


def outcomes(rates: Sequence[Number]) -> Number:
    """Return the mean number of tokens over every way to accept and reject, up to the first rejection."""
    total: Number = 0
    for accepted in product((True, False), repeat=len(rates)):
        chance = prod(rate if kept else 1 - rate for rate, kept in zip(rates, accepted, strict=True))
        total += chance * (1 + (accepted.index(False) if False in accepted else len(accepted)))
    return total
