"""Corollary 2: what the circuit does with the context Z', in which v already stands at the end.

Nothing that steers the circuit has changed, so f1(Z') still says v. The loss against the target u_end is
L1b = gamma - log 3 + o(1): three routes of weight e^-gamma each reach u_end. Its gradient is not small. The
Jacobians are O(e^-gamma), but they are divided by f1(Z') . e_{u_end} = 3 e^-gamma + ..., and what remains is the
posterior over the three routes: a third each. It raises the self-logit of t_end in Layer 1 and, in Layer 2, the
logits of the two positions behind a u_end.
"""

import math
from collections.abc import Sequence

import jax
import numpy as np
from flint import arb

from circuits.disentangled.circuit import circuit, context_positions
from circuits.disentangled.losses import losses
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
from proofs_check.circuit_sweep import EXHAUSTIVE_GAMMA, GAMMAS, mean_gradients, sweep
from proofs_check.evidence import Control, Evidence, Findings, at_most, ball_at_least, ball_at_most

T = setting.T
STEP = 1.0
"""The step of gradient descent that the example takes."""


def output() -> Findings:
    """f1(Z') -> e_v, at the rate e^-gamma."""
    return Findings(
        (
            *small("(1 - f1(Z') . e_v)", _output, sweep().output),
            everywhere("e^gamma (1 - f1(Z') . e_v)", "output", _output),
        ),
        (
            Control("no self-mask in Layer 2", decays("1 - f1(Z') . e_v", sweep(self_mask=0.0).output)),
            Control("f1(Z') -> e_{u_end}", decays("-log f1(Z') . e_{u_end}", sweep().replay)),
            Control("at the rate e^-2 gamma", not_squared("1 - f1(Z') . e_v", _output)),
        ),
    )


def loss() -> Findings:
    """L1b = gamma + O(1); the constant is -log 3."""

    def near_line(slope: float) -> Evidence:
        gap = np.max(np.abs(np.asarray(sweep().replay) - slope * GAMMAS[:, None]))
        cases = len(GAMMAS) * ORDERS
        return at_most("simulated", f"max |L1b - {slope:g} gamma|, gamma 5 to 500", float(gap), math.log(T), cases)

    beyond = ball.hull(_replay_beyond_gamma)
    tail = ball.hull(_replay_beyond_gamma, ((20, 40), (40, None))) + arb(3).log()
    return Findings(
        (
            ball_at_most("|L1b - gamma|, every gamma >= 5", abs(beyond), math.log(T), CASES, spans=True),
            ball_at_most("|L1b - gamma + log 3|, every gamma >= 20", abs(tail), 1e-6, ORDERS),
            near_line(1.0),
            everywhere("L1b - gamma", "replay", _replay_beyond_gamma, scale=1.0, shift=-EXHAUSTIVE_GAMMA),
        ),
        (
            Control("L1b = 2 gamma + O(1)", near_line(2.0)),
            Control("L1b = gamma / 2 + O(1)", near_line(0.5)),
            Control("L1b = O(e^-gamma)", decays("L1b", sweep().replay)),
            Control(
                "the constant -log 2",
                ball_at_most("|L1b - gamma + log 2|", abs(tail + arb(2).log() - arb(3).log()), 1e-6, ORDERS),
            ),
        ),
    )


def gradient() -> Findings:
    """|grad L1b| = O(e^-gamma)? It stays between 2 / sqrt(3) and 4 / 3 in the limit: the error is not trapped."""
    everything = ball.hull(_replay_gradient, ball.FINE_SPANS)
    from_20 = ball.hull(_replay_gradient, ((20, 40), (40, None)))
    return Findings(
        (
            decays("|grad L1b|", sweep().replay_gradient),
            ball_at_most(
                "e^gamma |grad L1b|, at gamma = 20",
                at_gamma(20, _replay_gradient) * arb(20).exp(),
                CONSTANT,
                ORDERS,
            ),
            ball_at_most("|grad L1b|, every gamma >= 20", from_20, 1e-3, ORDERS, of="intended", spans=True),
            at_most(
                "simulated",
                "least |mean grad L1b| over all 725,760 sequences (24 orders, all relabelings), gamma 5 to 500",
                min(mean_gradients().replay),
                1e-3,
                len(mean_gradients().replay),
                of="intended",
            ),
            at_most(
                "simulated",
                f"fall of L1b in one step of size {STEP:g} down its gradient, at gamma = 500",
                _fall(500.0),
                1e-3,
                1,
                of="intended",
            ),
            ball_at_least("|grad L1b|, every gamma >= 5", everything, 1.0, len(ball.FINE_SPANS) * ORDERS, of="amended"),
            ball_at_most(
                "distance of |grad L1b| from its limit, 4/3 or, if the goal's edge is last, 2 / sqrt 3, gamma >= 20",
                ball.hull(_beyond_limit, ((20, 40), (40, None))),
                1e-6,
                ORDERS,
                of="amended",
            ),
            everywhere("|grad L1b|", "replay_gradient", _replay_gradient, scale=1.0, of="amended"),
        ),
        (
            Control("|grad L1b| above 3/2", ball_at_least("|grad L1b|", everything, 1.5, CASES)),
            Control("|grad L1b| below 1", ball_at_most("|grad L1b|", from_20, 1.0, ORDERS)),
        ),
        _example(),
    )


def _output(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
    """-e^gamma log f1(Z') . e_v."""
    return ball.near_loss(box, [*tokens[:-1], v], end, v)


def _replay_beyond_gamma(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
    """L1b - gamma."""
    return -ball.far_found(box, [*tokens[:-1], v], end, end).log()


def _replay_gradient(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
    """|grad L1b|."""
    return ball.far(box, [*tokens[:-1], v], end, end).gradient.norm


def _beyond_limit(box: Range, tokens: Sequence[int], v: int, end: int) -> arb:
    """||grad L1b| - its limit|. In the last edge u_end stands at T - 2, and two of the three routes share a label."""
    _, at_end = context_positions(tokens, end)
    limit = 2 / arb(3).sqrt() if at_end == T - 3 else arb(4) / 3
    return abs(_replay_gradient(box, tokens, v, end) - limit)


def _fall(gamma: float) -> float:
    """How much L1b falls in one step of gradient descent from the circuit, on the running example."""
    weights = circuit(gamma, setting.N, T)
    before = jax.jit(objective)(weights, *setting.example())
    stepped = jax.tree.map(lambda w, g: w - STEP * g, weights, before.gradients.replay)
    return float(before.losses.replay - jax.jit(losses)(stepped, *setting.example()).replay)


def _example() -> str:
    found = jax.jit(objective)(circuit(500.0, setting.N, T), *setting.example())
    first, second = found.gradients.replay
    entries = [
        f"{name}[{row}, {column}] {float(block[row, column]):+.4f}"
        for name, block in (("W1^(1)", first.position), ("W1^(2)", second.position))
        for row, column in np.argwhere(np.abs(np.asarray(block)) > 1e-3)
    ]
    return (
        f"On {list(setting.EXAMPLE)} at gamma = 500: L1b = {float(found.losses.replay):.4f}, "
        f"|grad L1b| = {float(norm(found.gradients.replay)):.6f}. Entries above 0.001 (rows and columns from 0): "
        f"{', '.join(entries)}, and their images in W0. One step of size {STEP:g} lowers L1b by "
        f"{_fall(500.0):.4f}. The gradients of different graphs do not cancel: the norm of their mean over all of them "
        f"is {mean_gradients().replay[-1]:.6f}."
    )
