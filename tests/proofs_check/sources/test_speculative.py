"""Expected tokens of a pass, by hand."""

from fractions import Fraction

import pytest

from proofs_check.sources.speculative import in_order, outcomes

HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("rates", "tokens"),
    [((), 1), ((HALF,), Fraction(3, 2)), ((HALF, Fraction(0), HALF), Fraction(3, 2)), ((1, 1, 1), 4)],
)
def test_expected_tokens(rates, tokens):
    assert in_order(rates) == outcomes(rates) == tokens
