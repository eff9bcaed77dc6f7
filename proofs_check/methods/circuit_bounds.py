"""Tests of Corollaries 1 and 2: a quantity of the circuit is O(e^-gamma), and the library agrees with the balls."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final, NamedTuple

import jax
import numpy as np
from flint import arb

from proofs_check.ledger import Cell, CrossCheck, Outcome, Statement, Test, balls_at_most, equal
from proofs_check.methods import ball, ball_gradients, library
from proofs_check.methods.ball import AT_20, FROM_5, FROM_20, Quantity, Range
from proofs_check.methods.star import N, T, Tokens, edge_orders, goal, goal_position, next_label, replayed

CONSTANT: Final = T**2
"""The constant of e^-gamma that the paper's proofs give: O(T^2 e^-gamma)."""
BOUND: Final = CONSTANT * arb(-20).exp()
"""The largest value of T^2 e^-gamma from gamma = 20 on."""

Parts = tuple[float, float, float]
"""Weights of L1a, L1b and L2 in a sum."""
L1A: Final[Parts] = (1, 0, 0)
L1B: Final[Parts] = (0, 1, 0)
EQ_3: Final[Parts] = (0.25, 0.25, 0.5)
WITHOUT_L1B: Final[Parts] = (0.25, 0, 0.5)


def decays(
    name: str,
    quantity: Quantity,
    mutants: Mapping[str, Quantity] | None = None,
    cases: Sequence[Any] | None = None,
) -> Test:
    """Test the printed statement that a quantity is at most T^2 e^-gamma, for every gamma >= 5.

    Args:
        name: name of the quantity.
        quantity: a function of the range of gamma and a case, divided by e^-gamma.
        mutants: wrong ones, divided by e^-gamma at gamma = 20. The wrong rate and halved weights are added.
        cases: cases of the quantity; every context Z by default.
    """
    wrong: dict[str, Quantity] = {
        **(mutants or {}),
        "at the rate e^(-2 gamma)": lambda box, case: quantity(box, case) / box.x,
        "all weights half as large": ball.halved(quantity),
    }
    return Test(
        "certified",
        f"e^gamma {name}, every gamma >= 5",
        lambda variant: balls_at_most(variant(), CONSTANT),
        printed=partial(ball.cells, quantity, FROM_5, cases),
        mutants={mutant: partial(ball.cells, each, AT_20, cases) for mutant, each in wrong.items()},
    )


def gradients_small(name: str, parts: Parts, accepted: Mapping[str, Parts]) -> tuple[Test, Test]:
    """Test that the gradient of a sum of losses is at most T^2 e^-20, for every gamma >= 20.

    Printed for each graph, intended for the mean over all graphs. Squares are compared, because a ball that reaches 0
    has no square root.
    """

    def test(statement: Statement, quantity: str, cells: Callable[[Parts], list[Cell]]) -> Test:
        stated: dict[str, Any] = {statement: parts}
        measure = partial(_below_bound, cells)
        return Test("certified", f"{quantity}, every gamma >= 20", measure, **stated, accepted=accepted)

    mean = f"|mean over all graphs of the gradient of {name}|^2, in W1 alone"
    return test("printed", f"|gradient of {name}|^2", _squared), test("intended", mean, mean_squared)


def mean_squared(parts: Parts) -> list[Cell]:
    """Enclose the square of the mean gradient in W1. It does not depend on labels, so the edge orders give the mean."""

    def mean(box: Range, orders: Sequence[Tokens]) -> arb:
        gradients = [ball_gradients.total(box, tokens, parts) for tokens in orders]
        sums = [np.sum([gradient[block] for gradient in gradients], axis=0) for block in (1, 3)]
        return ball_gradients.square(total / arb(len(orders)) for total in sums)

    return ball.cells(mean, FROM_20, [edge_orders()])


def _squared(parts: Parts) -> list[Cell]:
    return ball.cells(lambda box, tokens: ball_gradients.square(ball_gradients.total(box, tokens, parts)), FROM_20)


def _below_bound(cells: Callable[[Parts], list[Cell]], parts: Parts) -> Outcome:
    return balls_at_most(cells(parts), BOUND * BOUND)


class Compared(NamedTuple):
    """The library's arrays and the midpoints of our balls, with cases on the first axis and e^-gamma taken out."""

    library: Any
    ours: Any


def agrees(quantity: str, values: Compared, wrong: Mapping[str, Callable[[Any], Any]] = library.WRONG) -> CrossCheck:
    """Compare the library in float64 with the balls, on each edge order at each gamma of ``library.GAMMAS``."""

    def measure(change: Callable[[Any], Any]) -> Any:
        return equal(jax.tree.map(change, values.library), values.ours)

    return CrossCheck(f"{quantity}, of the library at gamma from 5 to 500", measure, lambda array: array, wrong)


@cache
def attention() -> Compared:
    """S1 and S2[T] with the entries off the circuit times e^gamma, and the sums of those entries, row by row."""
    run = library.at_circuit()
    layer_1, layer_2 = run.prompt.attention[0], run.prompt.attention[1][:, -1:]
    predecessor = (np.arange(T)[:, None] - 1).clip(0) == np.arange(T)  # where S1 is near 1
    at_end = np.array([goal_position(tokens) for tokens in run.tokens])[:, None, None]
    grow = np.exp(run.gamma)[:, None, None]
    blocks, sums = [], []
    for main, block in ((predecessor, layer_1), (np.arange(T) == at_end, layer_2)):
        off_circuit = np.where(main, 0, grow * block)
        blocks.append(off_circuit + np.where(main, block, 0))
        sums.append(off_circuit.sum(axis=2))
    ours = []
    for box, tokens in _points(run):
        misses = [float(ball.layer_1_miss(box, t).mid()) for t in range(T)]
        last = [float(ball.layer_2_miss(box, tokens).mid())]
        ours.append([*(_mid(block) for block in ball.attention(box, tokens)), np.array(misses), np.array(last)])
    return Compared((*blocks, *sums), _by_array(ours))


@cache
def losses() -> Compared:
    """e^gamma L1a, L1b - gamma and e^gamma L2."""
    run = library.at_circuit()
    grow = np.exp(run.gamma)
    plan, replay, shallow = run.objective.losses
    ours = [
        [float(f(box, tokens).mid()) for f in (ball.plan_loss, ball.replay_excess, ball.goal_loss)]
        for box, tokens in _points(run)
    ]
    return Compared(np.stack([grow * plan, replay - run.gamma, grow * shallow], axis=1), np.array(ours))


@cache
def replay_output() -> Compared:
    """e^gamma (1 - f1(Z') . e_v), as a sum over the other labels, and e^gamma f1(Z') . e_{u_end}."""
    run = library.at_circuit()
    outputs = run.replay.outputs[1] * np.exp(run.gamma)[:, None]
    labels = np.arange(N) == np.array([[next_label(tokens)] for tokens in run.tokens])
    hit = np.arange(N) == np.array([[goal(tokens)] for tokens in run.tokens])
    ours = [
        [float(f(box, replayed(tokens)).mid()) for f in (ball.next_miss, ball.goal_output)]
        for box, tokens in _points(run)
    ]
    sums = [np.sum(np.where(mask, outputs, 0), axis=1) for mask in (~labels, hit)]
    return Compared(np.stack(sums, axis=1), np.array(ours))


@cache
def gradients(part: str) -> Compared:
    """The gradient of plan, replay or goal, all four blocks."""
    run = library.at_circuit()
    by_hand = {"plan": ball_gradients.plan, "replay": ball_gradients.replay, "goal": ball_gradients.shallow}[part]
    scale = 1.0 if part == "replay" else np.exp(run.gamma)[:, None, None]
    ours = [[_mid(block) for block in by_hand(box, tokens)] for box, tokens in _points(run)]
    leaves = jax.tree.leaves(getattr(run.objective.gradients, part))
    return Compared(tuple(scale * leaf for leaf in leaves), _by_array(ours))


def _by_array(cases: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
    """Stack the arrays of all cases, array by array."""
    return tuple(np.array(each) for each in zip(*cases, strict=True))


def _points(run: library.Run) -> list[tuple[Range, Tokens]]:
    return [(ball.over(gamma, gamma), tokens) for gamma, tokens in zip(run.gamma.tolist(), run.tokens, strict=True)]


def _mid(block: np.ndarray) -> np.ndarray:
    return np.array([[float(value.mid()) for value in row] for row in block])
