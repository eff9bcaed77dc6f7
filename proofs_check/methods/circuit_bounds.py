"""Tests of Corollaries 1 and 2: a quantity of the circuit is O(e^-gamma), and the library agrees with the balls."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final, NamedTuple

import jax
import numpy as np
from flint import arb

from proofs_check.ledger.certified import Cell, balls_at_most
from proofs_check.ledger.evidence import CrossCheck, Test
from proofs_check.ledger.outcome import equal
from proofs_check.methods import ball, ball_gradients, library
from proofs_check.methods.ball import AT_20, FROM_5, FROM_20, Quantity, Range
from proofs_check.methods.edge_orders import T, Tokens, edge_orders, goal, goal_position, next_label, replayed
from proofs_check.methods.setting import N

CONSTANT: Final = T**2
"""The constant of e^-gamma that the paper's proofs give: O(T^2 e^-gamma)."""
BELOW: Final = CONSTANT * arb(-20).exp()
"""What T^2 e^-gamma is at most from gamma = 20 on."""

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
    """The printed statement that a quantity is at most T^2 e^-gamma, for every gamma >= 5.

    Args:
        name: of the quantity.
        quantity: a function of the range of gamma and a case; over e^-gamma.
        mutants: wrong ones, over e^-gamma at gamma = 20. The wrong rate and weights half as large are added.
        cases: every context Z if not given.
    """
    wrong: dict[str, Quantity] = {
        **(mutants or {}),
        "at the rate e^(-2 gamma)": lambda box, case: quantity(box, case) / box.x,
        "all weights half as large": ball.halved(quantity),
    }
    variants = [(quantity, FROM_5), *((each, AT_20) for each in wrong.values())]
    measured = [partial(ball.cells, each, spans, cases) for each, spans in variants]
    return Test(
        "certified",
        f"e^gamma {name}, every gamma >= 5",
        lambda variant: balls_at_most(variant(), CONSTANT),
        printed=measured[0],
        mutants=dict(zip(wrong, measured[1:], strict=True)),
    )


def gradient_small(name: str, parts: Parts, accepted: Mapping[str, Parts]) -> Test:
    """The printed statement that the gradient of a sum of losses is at most T^2 e^-20, for every gamma >= 20.

    Squares are compared: the square root of a ball that reaches 0 is none.
    """

    def squared(chosen: Parts) -> list[Cell]:
        return ball.cells(lambda box, tokens: ball_gradients.square(ball_gradients.total(box, tokens, chosen)), FROM_20)

    return Test(
        "certified",
        f"|gradient of {name}|^2, every gamma >= 20",
        lambda chosen: balls_at_most(squared(chosen), BELOW * BELOW),
        printed=parts,
        accepted=accepted,
    )


def mean_gradient_small(name: str, parts: Parts, accepted: Mapping[str, Parts]) -> Test:
    """What is intended: that the gradient of the loss over all graphs is at most T^2 e^-20, for every gamma >= 20."""
    return Test(
        "certified",
        f"|mean over all graphs of the gradient of {name}|^2, in W1 alone, every gamma >= 20",
        lambda chosen: balls_at_most(_mean_squared(chosen), BELOW * BELOW),
        intended=parts,
        accepted=accepted,
    )


def _mean_squared(parts: Parts) -> list[Cell]:
    """Relabeling a graph leaves the gradient in W1 as it is, so the edge orders give the mean over all graphs."""

    def mean(box: Range, orders: Sequence[Tokens]) -> arb:
        gradients = [ball_gradients.total(box, tokens, parts) for tokens in orders]
        sums = [np.sum([gradient[block] for gradient in gradients], axis=0) for block in (1, 3)]
        return ball_gradients.square(total / arb(len(orders)) for total in sums)

    return ball.cells(mean, FROM_20, [edge_orders()])


class Compared(NamedTuple):
    """The library's arrays and the midpoints of our balls, cases first, with e^-gamma taken out."""

    library: Any
    ours: Any


def agrees(quantity: str, found: Compared, wrong: Mapping[str, Callable[[Any], Any]] = library.WRONG) -> CrossCheck:
    """The library in float64 against the balls, on each edge order at each gamma of ``library.GAMMAS``."""

    def measure(change: Callable[[Any], Any]) -> Any:
        return equal(jax.tree.map(change, found.library), found.ours)

    return CrossCheck(f"{quantity}, of the library at gamma from 5 to 500", measure, lambda array: array, wrong)


_PREDECESSOR = (np.arange(T)[:, None] - 1).clip(0) == np.arange(T)
"""Where S1 is near 1; the first row sees itself alone."""


@cache
def attention() -> Compared:
    """S1 and S2[T] with the entries off the circuit times e^gamma; and the sums of those entries, row by row."""
    run = library.at_circuit()
    layer_1, layer_2 = run.prompt.attention[0], run.prompt.attention[1][:, -1:]
    at_end = np.array([goal_position(tokens) for tokens in run.tokens])[:, None, None]
    grow = np.exp(run.gamma)[:, None, None]
    blocks, sums = [], []
    for where, block in ((_PREDECESSOR, layer_1), (np.arange(T) == at_end, layer_2)):
        beside = np.where(where, 0, grow * block)
        blocks.append(beside + np.where(where, block, 0))
        sums.append(beside.sum(axis=2))
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
    """e^gamma (1 - f1(Z') . e_v), as the sum of what the other labels get, and e^gamma f1(Z') . e_{u_end}."""
    run = library.at_circuit()
    found = run.replay.outputs[1] * np.exp(run.gamma)[:, None]
    labels = np.arange(N) == np.array([[next_label(tokens)] for tokens in run.tokens])
    hit = np.arange(N) == np.array([[goal(tokens)] for tokens in run.tokens])
    ours = [
        [float(f(box, replayed(tokens)).mid()) for f in (ball.next_miss, ball.goal_found)]
        for box, tokens in _points(run)
    ]
    sums = [np.sum(np.where(kept, found, 0), axis=1) for kept in (~labels, hit)]
    return Compared(np.stack(sums, axis=1), np.array(ours))


@cache
def gradients(part: str) -> Compared:
    """The gradient of plan, replay or goal, all four blocks."""
    run = library.at_circuit()
    ours_of = {"plan": ball_gradients.plan, "replay": ball_gradients.replay, "goal": ball_gradients.shallow}[part]
    scale = 1.0 if part == "replay" else np.exp(run.gamma)[:, None, None]
    ours = [[_mid(block) for block in ours_of(box, tokens)] for box, tokens in _points(run)]
    found = jax.tree.leaves(getattr(run.objective.gradients, part))
    return Compared(tuple(scale * leaf for leaf in found), _by_array(ours))


def _by_array(cases: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
    """The arrays of each case, stacked array by array."""
    return tuple(np.array(each) for each in zip(*cases, strict=True))


def _points(run: library.Run) -> list[tuple[Range, Tokens]]:
    return [(ball.over(gamma, gamma), tokens) for gamma, tokens in zip(run.gamma.tolist(), run.tokens, strict=True)]


def _mid(block: np.ndarray) -> np.ndarray:
    return np.array([[float(entry.mid()) for entry in row] for row in block])
