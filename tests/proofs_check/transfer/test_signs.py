"""The gradients of the one-layer model: helpers by hand, and a library whose gradient is wrong."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sympy

from circuits.one_layer import losses
from circuits.one_layer.parameters import Parameters
from proofs_check.ledger import decide
from proofs_check.ledger.evidence import run_cross_check
from proofs_check.transfer import backbone, exact, library, signs
from proofs_check.verification import own_claims

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
def test_a_wrong_block_of_the_librarys_gradient_is_seen(monkeypatch, change, block, step, blocks, injection):
    names = [(n, name) for n in (1, 2) for name in ("content", "value", "transfers")]
    twin = dict(zip(names, np.random.default_rng(0).normal(size=(6, 2, 5, 5)), strict=True))
    changed = twin | {(step, block): change(twin[step, block])}
    for gradients, fine in ((twin, True), (changed, False)):
        monkeypatch.setattr(library, "gradients", lambda _, ours=gradients: (ours, twin))
        assert bool(run_cross_check(library.agreement(step, blocks, injection))) != fine


def test_a_library_that_returns_nan_for_the_value_matrix_makes_an_error_of_the_claim(monkeypatch, fresh):
    """Python's max([1e-16, nan]) is 1e-16: an earlier check missed this."""
    gradient = losses._gradient

    def nowhere(*arguments) -> Parameters:
        right = gradient(*arguments)
        return right._replace(value=right.value * np.nan)

    parts = signs.parts
    monkeypatch.setattr(
        signs, "parts", lambda *arguments: parts(*arguments)[:1]
    )  # the cross-check is what matters here
    monkeypatch.setattr(losses, "_gradient", nowhere)
    (claim,) = (claim for claim in own_claims() if claim.id == "transfer.next-token-signs")
    result = decide(replace(claim, limit=()))
    assert result.verdict == "error"
    assert "cross-check 'gradient of step 1" in result.error


def test_the_twin_by_hand():
    """The path 0 1 with target 1, end 2: at zero weights each of three tokens has a third."""
    lines = np.array([[0, 1, 0, 1, 2]])
    gradients = library.naive(np.zeros((3, 3, 3)), lines, pad=3, scale=1.0)
    third = 1 / 3
    np.testing.assert_allclose(
        gradients[1, "content"], [[third, -2 * third, third], [third, third, -2 * third], [0, 0, 0]]
    )
    np.testing.assert_allclose(gradients[1, "value"][1], [2 * third, -third, -third])
    np.testing.assert_allclose(gradients[2, "transfers"], [[0, 0, 0], [third, third, -2 * third], [0, 0, 0]])


def test_a_derivative_by_hand():
    """One context, N = (3, 0, 2), odds 1 : 2 : 2."""
    counted = {(0, 0): [3, 0, 2]}
    whole = exact.loss(counted, exact.first_logits)
    odds = {exact.exponential(exact.weight("M", 0, 1)): 2, exact.exponential(exact.weight("V", 0, 2)): 2}
    derivatives = [exact.derivative(whole, exact.weight("M", 0, b)) for b in range(3)]
    values = [each.xreplace(odds).subs(dict.fromkeys(each.free_symbols, 1)) for each in derivatives]
    assert [Fraction(str(value)) for value in values] == [Fraction(1) - 3, 2, 0]


def test_limits_are_proved_in_symbols_and_refuted_by_one_wrong_entry():
    right = signs.transfer(signs.one_hot)
    for measure, unbounded in ((signs.zero, False), (signs.positive, True), (signs.limit, True)):
        outcome = measure(right)
        assert (outcome.shows, outcome.cases, outcome.trivial, outcome.unbounded) == ("supports", 6, 0, unbounded)
    at = (1, 2)
    wrong = right._replace(entry=lambda r, b: right.entry(r, b) * (-1 if (r, b) == at else 1))
    for measure in (signs.positive, signs.limit):
        assert (measure(wrong).shows, measure(wrong).value) == ("contradicts", 1)
    extra = right._replace(entry=lambda r, b: right.entry(r, b) + sympy.Symbol("x") * int((r, b) == at))
    assert signs.zero(extra).value == 1


def test_graphs_of_three_nodes():
    assert len(backbone.graphs(3)) == 8
    assert len(backbone.leading()) == 4 + 4 + 2  # half of the graphs: 0 -> 1, or 0 -> 2, or 1 -> 2


def test_the_nodes_that_a_line_increases_by_hand():
    """The path 0 1 3 in a graph with 2 -> 3 too: for target 3 nodes 1 and 2 are increased, and 2 never came next."""
    edges = np.zeros((4, 4), bool)
    edges[[0, 1, 2], [1, 3, 3]] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbone, "_paths", lambda: iter([(edges, [0, 1, 3])]))
        backbone.increased.cache_clear()
        both = backbone.increased(exact.TARGET, backbone.Lines())
        alone = backbone.increased(exact.TARGET, backbone.Lines(line_alone=True))
    backbone.increased.cache_clear()
    assert both.linked.tolist() == [True, True]
    assert both.next.tolist() == [True, False]
    assert alone.next.tolist() == [True]
