"""Gradients in rational arithmetic, and Theorem 1's conditions."""

from fractions import Fraction

from proofs_check.methods import exact
from proofs_check.methods.exact import EQ_3, L1A, L1B, L2
from proofs_check.methods.star import T, goal_position

TOKENS, ATTENTION = exact.drawn()[5]


def test_gradients_of_logits_sum_to_zero_in_each_row() -> None:
    for parts in (L1A, L1B, L2):
        gradients = exact.gradient(TOKENS, ATTENTION, parts)
        assert gradients is not None
        assert {sum(row) for row in (*gradients.logits_1, gradients.logits_2)} == {0}
        assert exact.size(gradients) > 0


def test_a_sum_of_losses_has_the_sum_of_their_gradients() -> None:
    whole, *parts = (exact.gradient(TOKENS, ATTENTION, each) for each in (EQ_3, L1A, L1B, L2))
    assert whole is not None
    entries = [part.logits_1[-1][3] for part in parts if part is not None]
    assert whole.logits_1[-1][3] == sum(w * entry for w, entry in zip(EQ_3, entries, strict=True))


def test_no_gradient_where_the_loss_is_infinite() -> None:
    circuit = exact.circuit(TOKENS, ATTENTION)
    assert exact.gradient(TOKENS, circuit, L1B) is None
    assert exact.gradient(TOKENS, circuit, EQ_3) is None
    assert exact.deep(circuit, [False] * T) is None
    assert exact.shallow(circuit, [False] * T) is None


def test_attention_near_the_conditions() -> None:
    at_end = goal_position(TOKENS)
    share = Fraction(1, 100)
    near = exact.near(share)(TOKENS, ATTENTION)
    assert {sum(row) for row in (*near.s1, near.s2)} == {1}
    assert near.s2[at_end] == 1 - share + share * ATTENTION.s2[at_end]
    free = [t for t in range(T) if t not in (at_end, T - 1)]
    assert [near.s1[t] for t in free] == [ATTENTION.s1[t] for t in free]
