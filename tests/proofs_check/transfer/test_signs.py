"""The gradients of the one-layer model: helpers by hand, and a library whose gradient is wrong."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import sympy

from circuits.one_layer import losses
from circuits.one_layer.parameters import Parameters
from proofs_check.ledger.evidence import check_agreement
from proofs_check.ledger.registry import load, select
from proofs_check.ledger.run import decide
from proofs_check.transfer import backbone, exact, library, signs

CLAIMS = Path(signs.__file__).with_name("claims.yaml")
WRONG = {
    "NaN": lambda x: x * np.nan,
    "zero": lambda x: x * 0,
    "sign": lambda x: -x,
    "transpose": lambda x: np.swapaxes(x, -1, -2),
}


@pytest.fixture
def fresh():
    """No gradient that was computed before, or with the library as it was changed."""
    for each in (library.gradients.cache_clear, library._library.clear_cache):  # pyright: ignore
        each()
    yield
    for each in (library.gradients.cache_clear, library._library.clear_cache):  # pyright: ignore
        each()


@pytest.fixture(scope="module")
def right():
    """The library's gradients without and with injection, as arrays by step and name."""
    return {injection: library.gradients(injection) for injection in (False, True)}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    ("block", "step", "blocks", "injection"),
    [
        ("content", 1, ("content", "value"), False),
        ("value", 1, ("content", "value"), False),
        ("transfers", 2, ("transfers",), True),
        ("content", 2, ("content", "value"), False),
        ("value", 2, ("content", "value"), False),
    ],
)
def test_a_wrong_block_of_the_librarys_gradient_is_seen(monkeypatch, right, change, block, step, blocks, injection):
    ours, twin = right[injection]
    changed = ours | {(step, block): change(ours[step, block])}
    for found, fine in ((ours, True), (changed, False)):
        monkeypatch.setattr(library, "gradients", lambda _, found=found: (found, twin))
        assert bool(check_agreement(library.agreement(step, blocks, injection))) != fine


def test_a_library_that_returns_nan_for_the_value_matrix_makes_an_error_of_the_claim(monkeypatch, fresh):
    """max([1e-16, nan]) of Python is 1e-16, so that this once went unseen."""
    gradient = losses._gradient

    def nowhere(*arguments) -> Parameters:
        found = gradient(*arguments)
        return found._replace(value=found.value * np.nan)

    parts = signs.parts
    monkeypatch.setattr(signs, "parts", lambda *given: parts(*given)[:1])  # the cross-check is what matters here
    monkeypatch.setattr(losses, "_gradient", nowhere)
    (claim,) = select(load(CLAIMS), ["transfer.next-token-signs"])
    result = decide(replace(claim, limit=()))
    assert result.verdict == "error"
    assert "cross-check 'gradient of step 1" in result.error


def test_the_twin_by_hand():
    """The path 0 1 with target 1, end 2: at zero weights each of three tokens has a third."""
    lines = np.array([[0, 1, 0, 1, 2]])
    found = library.naive(np.zeros((3, 3, 3)), lines, pad=3, scale=1.0)
    third = 1 / 3
    np.testing.assert_allclose(found[1, "content"], [[third, -2 * third, third], [third, third, -2 * third], [0, 0, 0]])
    np.testing.assert_allclose(found[1, "value"][1], [2 * third, -third, -third])
    np.testing.assert_allclose(found[2, "transfers"], [[0, 0, 0], [third, third, -2 * third], [0, 0, 0]])


def test_a_derivative_by_hand():
    """One context, N = (3, 0, 2), odds 1 : 2 : 2."""
    counted = {(0, 0): [3, 0, 2]}
    whole = exact.loss(counted, exact.first_logits)
    odds = {exact.exponential(exact.weight("M", 0, 1)): 2, exact.exponential(exact.weight("V", 0, 2)): 2}
    found = [exact.derivative(whole, exact.weight("M", 0, b)) for b in range(3)]
    values = [each.xreplace(odds).subs(dict.fromkeys(each.free_symbols, 1)) for each in found]
    assert [Fraction(str(value)) for value in values] == [Fraction(1) - 3, 2, 0]


def test_only_entries_that_exercise_a_part_are_counted():
    """Once each of 1,701 entries counted as a case of each part, most of which did not speak of it."""
    for measure in (signs.zero, signs.positive, signs.limit):
        outcome = measure(signs.first("M"))
        assert (outcome.shows, outcome.cases, outcome.trivial) == ("supports", 6, 0)


def test_a_limit_is_one_in_symbols_and_one_wrong_entry_is_enough():
    right = signs.transfer(signs.one_hot)
    assert signs.limit(right).unbounded
    assert signs.positive(right).unbounded
    at = (1, 2)
    wrong = right._replace(entry=lambda r, b: right.entry(r, b) * (-1 if (r, b) == at else 1))
    for measure in (signs.positive, signs.limit):
        assert (measure(wrong).shows, measure(wrong).value) == ("contradicts", 1)
    extra = right._replace(entry=lambda r, b: right.entry(r, b) + sympy.Symbol("x") * int((r, b) == at))
    assert signs.zero(extra).value == 1


def test_graphs_of_three_nodes():
    assert len(backbone.graphs(3)) == 8
    assert len(backbone.leading()) == 4 + 4 + 2  # half of the graphs: 0 -> 1, or 0 -> 2, or 1 -> 2


def test_what_a_line_raises_by_hand():
    """The path 0 1 3 in a graph with 2 -> 3 too: for target 3 nodes 1 and 2 are raised, and 2 was never next."""
    edges = np.zeros((4, 4), bool)
    edges[[0, 1, 2], [1, 3, 3]] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbone, "_paths", lambda: iter([(edges, [0, 1, 3])]))
        backbone.raised.cache_clear()
        found = backbone.raised(exact.TARGET, backbone.Lines())
        alone = backbone.raised(exact.TARGET, backbone.Lines(seen_alone=True))
    backbone.raised.cache_clear()
    assert found.linked.tolist() == [True, True]
    assert found.next.tolist() == [True, False]
    assert alone.next.tolist() == [True]
