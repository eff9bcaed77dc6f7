"""The balls of Corollary 1's circuit: a range encloses its points, and wrong circuits are what their names say."""

import numpy as np
import pytest

from proofs_check.methods import ball, ball_gradients, circuit_bounds, star
from proofs_check.methods.circuit_bounds import EQ_3
from proofs_check.methods.star import T, edge_orders, goal, goal_position, next_label, replayed

ORDER = edge_orders()[7]
QUANTITIES = {
    "layer 1": lambda box: ball.layer_1_miss(box, 9),
    "layer 2": lambda box: ball.layer_2_miss(box, ORDER),
    "plan": lambda box: ball.plan_loss(box, ORDER),
    "replay": lambda box: ball.replay_excess(box, ORDER),
    "goal": lambda box: ball.goal_loss(box, ORDER),
    "plan gradient": lambda box: ball_gradients.square(ball_gradients.plan(box, ORDER)),
    "replay gradient": lambda box: ball_gradients.square(ball_gradients.replay(box, ORDER)),
    "goal gradient": lambda box: ball_gradients.square(ball_gradients.shallow(box, ORDER)),
}


def test_edge_orders_are_those_of_the_library() -> None:
    tokens, y1, y2 = (np.asarray(array).tolist() for array in star.prompts())
    theirs = {tuple(row): (v, end) for row, v, end in zip(tokens, y1, y2, strict=True)}
    assert {order: (next_label(order), goal(order)) for order in edge_orders()} == theirs
    assert all(order[goal_position(order)] == goal(order) for order in edge_orders())
    assert replayed(ORDER) == (*ORDER[:-1], next_label(ORDER))


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_range_encloses_its_points(name: str) -> None:
    quantity = QUANTITIES[name]
    for low, high in ball.FROM_5:
        whole = quantity(ball.over(low, high))
        for gamma in np.linspace(low, high or 200.0, 5).tolist():
            assert whole.contains(quantity(ball.over(gamma, gamma)).mid()), (low, high, gamma)


@pytest.mark.parametrize("layer_2", [ball.Layer2(), ball.Layer2(mask=0.0), ball.Layer2(match=0.5)], ids=str)
def test_wrong_circuits_are_lemma_1_with_their_weights(layer_2: ball.Layer2) -> None:
    gamma, box = 5.0, ball.over(5.0, 5.0)
    visible = np.tril(np.ones((T, T)))
    attention_1 = _normalised(visible * np.exp(gamma * np.eye(T, k=-1)))
    same_label = np.equal.outer(ORDER, ORDER)
    scores = gamma * layer_2.match * same_label
    scores[T - 2, T - 2] -= gamma * layer_2.mask
    attention_2 = _normalised(visible * np.exp(attention_1 @ scores))[-1]
    missed = 1 - attention_2[goal_position(ORDER)]
    assert float(ball.layer_2_miss(box, ORDER, layer_2) * box.x) == pytest.approx(missed, rel=1e-12)
    missed = 1 - attention_2 @ attention_1 @ (np.array(ORDER) == next_label(ORDER))
    assert float(ball.next_miss(box, ORDER, layer_2) * box.x) == pytest.approx(missed, rel=1e-12)


def _normalised(rows: np.ndarray) -> np.ndarray:
    return rows / rows.sum(axis=1, keepdims=True)


def test_halved_weights() -> None:
    at_10, at_20 = ball.over(10.0, 10.0), ball.over(20.0, 20.0)
    whole = ball.halved(ball.layer_2_miss)(at_20, ORDER) * at_20.x
    assert float(whole) == pytest.approx(float(ball.layer_2_miss(at_10, ORDER) * at_10.x))


def test_the_mean_gradient_is_that_of_the_edge_orders() -> None:
    def blocks(order):
        gradients = [
            by_hand(box, order) for by_hand in (ball_gradients.plan, ball_gradients.replay, ball_gradients.shallow)
        ]
        scales = (box.x, 1, box.x)  # plan and shallow are divided by e^-gamma
        return [sum(w * scale * g[n] for w, scale, g in zip(EQ_3, scales, gradients, strict=True)) for n in (1, 3)]

    box = ball.over(20.0, 20.0)
    sums = [np.sum(each, axis=0) / 24 for each in zip(*map(blocks, edge_orders()), strict=True)]
    squared = sum(float(value.mid()) ** 2 for block in sums for value in block.ravel())
    from_20, beyond = circuit_bounds.mean_squared(EQ_3)
    assert (from_20.low, beyond.high) == (20, None)
    assert from_20.ball.contains(squared)
