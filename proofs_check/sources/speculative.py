"""How many tokens a forward pass yields under speculative decoding with draft tokens that are verified in order.

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

from proofs_check.ledger.certified import same
from proofs_check.ledger.evidence import Findings, Test
from proofs_check.ledger.outcome import at_most

RATES: Final = (Fraction(7, 10), Fraction(4, 10), Fraction(2, 10))
HALF_A_DIGIT: Final = {2: Fraction(1, 200), 1: Fraction(1, 20)}
"""What rounding to so many decimals may change."""
Number = Any
"""A fraction, or a symbol."""
Formula = Callable[[Sequence[Number]], Number]


def expected_tokens() -> Findings:
    """1 + 0.7 + 0.7 x 0.4 + 0.7 x 0.4 x 0.2 against 1.74, and the average against "1.7 tokens per forward pass"."""
    mean = {"the mean of these rates": Fraction(2036, 1000)}
    return Findings(
        (
            Test(
                "symbolic",
                "the formula, for any rates",
                lambda formula: same([(formula(each), outcomes(each)) for each in symbols()]),
                printed=in_order,
                mutants={
                    "rates added": lambda rates: 1 + sum(rates),
                    "the model's own token left out": lambda rates: in_order(rates) - 1,
                    "only the run of all drafts": lambda rates: 1 + prod(rates),
                    "rates in reverse order": lambda rates: in_order(rates[::-1]),
                },
            ),
            Test(
                "exact",
                "gap between the sum and its printed value",
                lambda value: at_most([abs(in_order(RATES) - value)], HALF_A_DIGIT[2]),
                printed=Fraction(174, 100),
                accepted=mean,
            ),
            Test(
                "exact",
                "gap between the average yield of a pass and the average claimed",
                lambda claimed: at_most([abs(outcomes(RATES) - claimed)], HALF_A_DIGIT[1]),
                intended=Fraction(17, 10),
                accepted=mean,
            ),
        ),
        example=f"1 + 0.7 + 0.28 + 0.056 = {float(in_order(RATES))}. Were the rates those of each position by itself, "
        f"not given that those before were accepted, it would be 1 + 0.7 + 0.4 + 0.2 = {float(1 + sum(RATES))}.",
    )


def symbols() -> list[tuple[Any, ...]]:
    """Rates of one, two and three drafts. Of one draft all formulas but one agree."""
    rates = sympy.symbols("a b c", positive=True)
    return [rates[:2], rates]


def in_order(rates: Sequence[Number]) -> Number:
    """1 + a_2 + a_2 a_3 + .., the cumulative products."""
    return 1 + sum(accumulate(rates, mul), Fraction(0))


def outcomes(rates: Sequence[Number]) -> Number:
    """The mean number of tokens over every way to accept and reject: those up to the first rejection count."""
    total: Number = 0
    for accepted in product((True, False), repeat=len(rates)):
        chance = prod(rate if kept else 1 - rate for rate, kept in zip(rates, accepted, strict=True))
        total += chance * (1 + (accepted.index(False) if False in accepted else len(accepted)))
    return total
