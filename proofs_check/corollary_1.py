"""Corollary 1: attention, loss and gradient of the constructed circuit.

With x = e^-gamma, S1 and the last row of S2 are within O(x) of one-hot, L1a and L2 are O(x), and so are their
gradients. Eq. 3 holds a third part, L1b, which is gamma - log 3 + o(1) and whose gradient keeps a norm between
2 / sqrt(3) and 4 / 3, by edge order (Corollary 2). So L of Eq. 3 is not O(x) but gamma / 4 - (log 3) / 4 + o(1),
and its gradient keeps a quarter of that norm. The proof's slip: a softmax Jacobian of size O(x) is divided by
f1(Z') . e_{u_end}, which is O(x) too.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flint import arb

from circuits.disentangled import literal
from circuits.disentangled.circuit import circuit
from circuits.disentangled.objective import objective
from circuits.disentangled.weights import norm
from proofs_check import ball, setting
from proofs_check.ball import Range
from proofs_check.circuit_evidence import (
    CASES,
    CONSTANT,
    ORDERS,
    at_gamma,
    decays,
    everywhere,
    not_squared,
    small,
)
from proofs_check.circuit_sweep import EXHAUSTIVE_GAMMA, exhaustive, mean_gradients, other_rows, sweep
from proofs_check.evidence import Control, Evidence, Findings, at_most, ball_at_most, identity
from proofs_check.gradient_check import objective_against_autodiff

T = setting.T
EQ_8_GAMMAS = (5.0, 20.0, 100.0, 500.0, 700.0)


def attention() -> Findings:
    """S1[t] for every t > 1, and S2[T], are within O(e^-gamma) of one-hot; S1 is Eq. 8 to the letter."""

    def layer_2(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
        return ball.layer_2_deviation(box, tokens, end)

    def eq_8(visible: int) -> float:
        return float(np.max([_eq_8_gap(gamma, visible) for gamma in EQ_8_GAMMAS]))

    swept = sweep()
    quantity = "max |S1 / Eq. 8 - 1| of the literal model"
    return Findings(
        (
            identity("simulated", quantity, eq_8(visible=0), len(EQ_8_GAMMAS)),
            ball_at_most(
                "e^gamma (1 - S1[t, t-1]), every t and gamma >= 5",
                ball.hull(lambda box, *_: ball.layer_1_deviation(box)),
                T,
                CASES,
            ),
            ball_at_most("e^gamma (1 - S2[T, t_end]), every gamma >= 5", ball.hull(layer_2), 2 * T, CASES),
            decays("1 - S1[t, t-1]", swept.attention_1),
            decays("1 - S2[T, t_end]", swept.attention_2),
            everywhere("e^gamma (1 - S2[T, t_end])", "attention_2", layer_2),
        ),
        (
            Control("S2 one-hot in every row, not only T", decays("1 - max S2[t], all t", other_rows())),
            Control("no self-mask in Layer 2", decays("1 - S2[T, t_end]", sweep(self_mask=0.0).attention_2)),
            Control("W0^(2) = (gamma / 2) I", decays("1 - S2[T, t_end]", sweep(content=0.5).attention_2)),
            Control("S2 within O(e^-2 gamma)", not_squared("1 - S2[T, t_end]", layer_2)),
            Control("one more visible key in Eq. 8", identity("simulated", quantity, eq_8(visible=1), 1)),
        ),
    )


def loss() -> Findings:
    """L1a and L2 are O(e^-gamma), L1b is gamma + O(1): so L of Eq. 3 is not O(e^-gamma) but gamma / 4 + O(1)."""
    swept = sweep()
    from_20 = ((20, 40), (40, None))
    tail = ball.hull(_multi_token_beyond_quarter, from_20) + arb(3).log() / 4

    def beyond_limit(box: Range, *case: Any) -> arb:
        return abs(_multi_token_beyond_quarter(box, *case) + arb(3).log() / 4) / box.u

    return Findings(
        (
            *small("L1a", plan_loss, swept.plan, of="amended"),
            *small("L2", goal_loss, swept.goal, of="amended"),
            decays("L1b", swept.replay),
            decays("L of Eq. 3", swept.multi_token),
            ball_at_most("e^gamma L of Eq. 3, at gamma = 20", at_gamma(20, _multi_token), CONSTANT, ORDERS),
            *small("L1a / 4 + L2 / 2", _planning_loss, 0.25 * swept.plan + 0.5 * swept.goal, of="amended"),
            ball_at_most(
                "|L - gamma / 4 + (log 3) / 4|, every gamma >= 20", abs(tail), 1e-6, ORDERS, of="amended", spans=True
            ),
            ball_at_most(
                "the same over gamma e^-gamma, gamma 5 to 20",
                ball.hull(beyond_limit, ball.SPANS[:-1]),
                CONSTANT,
                CASES,
                of="amended",
            ),
            *(_right_everywhere(name, field) for name, field in (("L1a", "plan"), ("L2", "goal"))),
            everywhere("e^gamma L1a", "plan", plan_loss, of="amended"),
            everywhere("e^gamma L2", "goal", goal_loss, of="amended"),
            everywhere(
                "L - gamma / 4",
                "multi_token",
                _multi_token_beyond_quarter,
                scale=1.0,
                shift=-EXHAUSTIVE_GAMMA / 4,
                of="amended",
            ),
        ),
        (
            Control("no self-mask in Layer 2: L1a", decays("L1a", sweep(self_mask=0.0).plan)),
            Control("W0^(2) = (gamma / 2) I: L1a", decays("L1a", sweep(content=0.5).plan)),
            Control("L1a = O(e^-2 gamma)", not_squared("L1a", plan_loss)),
            Control("L2 = O(e^-2 gamma)", not_squared("L2", goal_loss)),
            Control(
                "correction without its log 3",
                ball_at_most("|L - gamma / 4|", abs(tail - arb(3).log() / 4), 1e-6, ORDERS),
            ),
        ),
        _losses_of_the_example(),
    )


def gradient() -> Findings:
    """The gradients of L1a and L2 are O(e^-gamma); those of L1b and of Eq. 3 do not vanish."""
    swept = sweep()
    from_20 = ball.hull(_multi_token_gradient, ((20, 40), (40, None)))
    return Findings(
        (
            *small("|grad L1a|", plan_gradient, swept.plan_gradient, of="amended"),
            *small("|grad L2|", goal_gradient, swept.goal_gradient, of="amended"),
            decays("|grad L1b|", swept.replay_gradient),
            decays("|grad L| of Eq. 3", swept.multi_token_gradient),
            ball_at_most("|grad L| of Eq. 3, every gamma >= 20", from_20, 1e-3, ORDERS, of="intended", spans=True),
            at_most(
                "simulated",
                "least |mean grad L| of Eq. 3 over all 725,760 sequences, gamma 5 to 500",
                min(mean_gradients().multi_token),
                1e-3,
                len(mean_gradients().multi_token),
                of="intended",
            ),
            objective_against_autodiff("multi_token", lambda gradient: gradient, of="amended"),
            everywhere("e^gamma |grad L1a|", "plan_gradient", plan_gradient, of="amended"),
            everywhere("e^gamma |grad L2|", "goal_gradient", goal_gradient, of="amended"),
            everywhere("|grad L| of Eq. 3", "multi_token_gradient", _multi_token_gradient, scale=1.0, of="amended"),
        ),
        (
            Control("no self-mask in Layer 2: L1a", decays("|grad L1a|", sweep(self_mask=0.0).plan_gradient)),
            Control("W0^(2) = (gamma / 2) I: L1a", decays("|grad L1a|", sweep(content=0.5).plan_gradient)),
            Control("|grad L1a| = O(e^-2 gamma)", not_squared("|grad L1a|", plan_gradient)),
            Control("|grad L2| = O(e^-2 gamma)", not_squared("|grad L2|", goal_gradient)),
            Control("|grad L| of Eq. 3 below 1/4 from gamma = 20", ball_at_most("|grad L|", from_20, 0.25, ORDERS)),
        ),
        _gradients_of_the_example(),
    )


def _right_everywhere(name: str, field: str) -> Evidence:
    """A loss below log 2 on every sequence: its target has more than half of the probability."""
    _, greatest, count = exhaustive()
    quantity = f"greatest {name} of every sequence at gamma = {EXHAUSTIVE_GAMMA:g}, below log 2: the head is right"
    return at_most("exhaustive", quantity, float(getattr(greatest, field)), math.log(2), count, of="amended")


def plan_loss(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
    """e^gamma L1a."""
    return ball.near_loss(box, tokens, end, v)


def goal_loss(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
    """e^gamma L2."""
    return ball.shallow(box, tokens, end).loss


def plan_gradient(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
    """e^gamma |grad L1a|."""
    return ball.near(box, tokens, end, v).gradient.norm


def goal_gradient(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
    """e^gamma |grad L2|."""
    return ball.shallow(box, tokens, end).gradient.norm


def _planning_loss(*case: Any) -> arb:
    return plan_loss(*case) / 4 + goal_loss(*case) / 2


def _multi_token_beyond_quarter(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
    """L of Eq. 3 minus gamma / 4."""
    replay = ball.far_found(box, [*tokens[:-1], v], end, end)
    return box.x * _planning_loss(box, tokens, v, end) - replay.log() / 4


def _multi_token(box: Range, *case: Any) -> arb:
    """e^gamma L of Eq. 3, for gamma a single value."""
    return (_multi_token_beyond_quarter(box, *case) - box.x.log() / 4) / box.x


def _multi_token_gradient(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
    """|grad L| of Eq. 3, by the triangle inequality around a quarter of |grad L1b|."""
    replay = ball.far(box, [*tokens[:-1], v], end, end).gradient.norm / 4
    case = box, tokens, v, end
    rest = box.x * (plan_gradient(*case) / 4 + goal_gradient(*case) / 2)
    return replay + rest.union(-rest)


def _eq_8_gap(gamma: float, visible: int) -> float:
    """S1 of the literal model over Eq. 8 entry by entry; a mutant counts ``visible`` more keys."""
    tokens, _, _ = setting.example()
    pattern = np.asarray(literal.forward(circuit(gamma, setting.N, T), tokens).attention[0])
    gaps = []
    for t in range(2, T + 1):
        whole = 1 + (t - 1 + visible) * math.exp(-gamma)
        stated = np.where(np.arange(1, t + 1) == t - 1, 1.0, math.exp(-gamma)) / whole
        gaps.append(np.max(np.abs(pattern[t - 1, :t] / stated - 1)))
    return float(np.max(gaps))


def _losses_of_the_example() -> str:
    tokens, y1, y2 = setting.example()
    rows = []
    for gamma in (5.0, 50.0, 500.0):
        found = jax.jit(objective)(circuit(gamma, setting.N, T), tokens, y1, y2)
        plan, replay, goal = (float(part) for part in found.losses)
        rows.append(
            f"gamma = {gamma:g}: L1a = {plan:.3g}, L1b = {replay:.4f}, L2 = {goal:.3g}, "
            f"L = {float(found.multi_token[0]):.4f}"
        )
    return f"On {list(setting.EXAMPLE)}, " + "; ".join(rows) + ". L grows as gamma / 4, by its part L1b."


def _gradients_of_the_example() -> str:
    tokens, y1, y2 = setting.example()
    rows = []
    for gamma in (5.0, 50.0, 500.0):
        found = jax.jit(objective)(circuit(gamma, setting.N, T), tokens, y1, y2)
        plan, replay, goal = (float(norm(part)) for part in found.gradients)
        rows.append(
            f"gamma = {gamma:g}: |grad L1a| = {plan:.3g}, |grad L1b| = {replay:.6f}, |grad L2| = {goal:.3g}, "
            f"|grad L| = {float(norm(found.multi_token[1])):.6f}"
        )
    return f"On {list(setting.EXAMPLE)}, " + "; ".join(rows) + ". The limits are 4/3 for L1b and 1/3 for L."
