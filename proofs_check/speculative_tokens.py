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
from typing import Any

import sympy

from proofs_check.evidence import Control, Evidence, Findings, Of, at_most, decided

PRINTED_RATES = (Fraction(7, 10), Fraction(4, 10), Fraction(2, 10))
PRINTED_SUM = Fraction(174, 100)
TRUE_SUM = Fraction(2036, 1000)
HALF_A_DIGIT = Fraction(5, 1000)
"""Two decimals are printed."""
Number = Any
"""A fraction, or a symbol."""
Formula = Callable[[Sequence[Fraction]], Number]


def expected_tokens() -> Findings:
    """1 + 0.7 + 0.7 x 0.4 + 0.7 x 0.4 x 0.2 against 1.74, and against a count of all outcomes."""
    marginal = 1 + sum(PRINTED_RATES)
    return Findings(
        (
            equals("the printed sum", in_order(PRINTED_RATES), PRINTED_SUM, HALF_A_DIGIT),
            equals("the printed sum", in_order(PRINTED_RATES), TRUE_SUM, of="amended"),
            equals("expected tokens over all outcomes", enumerated(PRINTED_RATES), TRUE_SUM, of="amended"),
            counts_outcomes(in_order),
            for_all_rates(),
        ),
        (
            Control("the sum is 1.74", equals("enumerated", enumerated(PRINTED_RATES), PRINTED_SUM, HALF_A_DIGIT)),
            Control("rates added, as if they were marginal", counts_outcomes(lambda rates: 1 + sum(rates))),
            Control("the model's own token left out", counts_outcomes(lambda rates: in_order(rates) - 1)),
            Control("only the run of all drafts", counts_outcomes(lambda rates: 1 + prod(rates))),
            Control("rates in reverse order", counts_outcomes(lambda rates: in_order(rates[::-1]))),
            Control("rejected drafts skipped, not the end", counts_outcomes(in_order, stops=False)),
        ),
        f"1 + 0.7 + 0.28 + 0.056 = {float(in_order(PRINTED_RATES))} = {in_order(PRINTED_RATES)}, not 1.74. Were the "
        f"rates those of each place by itself, not given that the places before were accepted, it would be 1 + 0.7 + "
        f"0.4 + 0.2 = {float(marginal)}. 1.74 is neither.",
    )


def in_order(rates: Sequence[Number]) -> Number:
    """1 + a_2 + a_2 a_3 + .., the cumulative products."""
    return 1 + sum(accumulate(rates, mul), Fraction(0))


def enumerated(rates: Sequence[Number], stops: bool = True) -> Number:
    """The mean number of tokens over every way to accept and reject: those up to the first rejection count."""
    total: Number = Fraction(0)
    for outcome in product((True, False), repeat=len(rates)):
        chance = prod(
            (rate if kept else 1 - rate for rate, kept in zip(rates, outcome, strict=True)), start=Fraction(1)
        )
        first = outcome.index(False) if False in outcome else len(outcome)
        total += chance * (1 + (first if stops else sum(outcome)))
    return total


def equals(
    name: str, found: Fraction, stated: Fraction, within: Fraction = Fraction(0), of: Of = "printed"
) -> Evidence:
    """A number is as stated."""
    quantity = f"|{name} - {float(stated)}|"
    return at_most("exact", quantity, float(abs(found - stated)), float(within), 1, of=of, detail=str(found))


def counts_outcomes(formula: Formula, stops: bool = True) -> Evidence:
    """A formula gives the mean number of tokens, for one to four drafts and all rates in tenths of a grid."""
    grid = [Fraction(tenths, 10) for tenths in (0, 2, 4, 7, 10)]
    cases = [rates for drafts in (1, 2, 3) for rates in product(grid, repeat=drafts)]
    gap = max(abs(formula(rates) - enumerated(rates, stops)) for rates in cases)
    return at_most("exhaustive", "max |formula - mean over outcomes|", float(gap), 0, len(cases), of="amended")


def for_all_rates() -> Evidence:
    """The same for three drafts with any rates, in symbols."""
    rates = sympy.symbols("a b c")
    gap = sympy.expand(enumerated(rates) - in_order(rates))
    return decided(
        "symbolic", "1 + a + ab + abc is the mean over all outcomes", gap == 0, 1, of="amended", detail=str(gap)
    )
