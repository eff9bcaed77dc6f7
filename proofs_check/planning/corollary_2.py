"""Corollary 2: the output, loss and gradient of the circuit on the context Z', whose last token is v.

The circuit's attention does not depend on the last token, so f1(Z') still predicts v. The loss for the target u_end is
L1b = gamma - log 3 + o(1), because three routes of weight e^-gamma each reach u_end. Its gradient is not small. The
Jacobians are O(e^-gamma), but they are divided by f1(Z') . e_{u_end} = 3 e^-gamma + ..., and what remains is the
posterior over the three routes: a third each. It raises the self-logit of t_end in Layer 1 and, in Layer 2, the logits
of the two positions after a u_end.
"""

import math
from functools import partial

from flint import arb

from proofs_check.ledger import Cell, Findings, Test, balls_at_most
from proofs_check.methods import ball, circuit_bounds, library
from proofs_check.methods.ball import AT_20, CIRCUIT, FROM_5, Layer2, Range
from proofs_check.methods.circuit_bounds import L1A, L1B, decays
from proofs_check.methods.star import T, Tokens, replayed


def output() -> Findings:
    """f1(Z') -> e_v, at the rate e^-gamma."""
    mutants = {
        "no self-mask in Layer 2": partial(_missed, layer_2=Layer2(mask=0.0)),
        "W0^(2) = (gamma / 2) I": partial(_missed, layer_2=Layer2(match=0.5)),
        "f1(Z') -> e_{u_end}": lambda box, tokens: 1 / box.x - ball.goal_output(box, replayed(tokens)),
    }
    agreement = circuit_bounds.agrees("f1(Z')", circuit_bounds.replay_output(), library.WRONG_NUMBERS)
    return Findings((decays("(1 - f1(Z') . e_v)", _missed, mutants),), (agreement,))


def loss() -> Findings:
    """L1b = gamma + O(1)."""

    def distance(slope: float) -> list[Cell]:
        """Enclose |L1b - slope gamma|; gamma itself has no bound, so other slopes are taken at gamma = 20."""

        def at(box: Range, tokens: Tokens) -> arb:
            excess = ball.replay_excess(box, tokens)
            return abs(excess if slope == 1 else excess + arb(1 - slope) * box.u / box.x)

        return ball.cells(at, FROM_5 if slope == 1 else AT_20)

    wrong = {"2 gamma": 2.0, "gamma / 2": 0.5, "no multiple of gamma": 0.0}
    name = "|L1b - gamma|, every gamma >= 5"
    test = Test("certified", name, lambda x: balls_at_most(distance(x), math.log(T)), printed=1.0, mutants=wrong)
    return Findings((test,), (circuit_bounds.agrees("L1b", circuit_bounds.losses(), library.WRONG_NUMBERS),))


def gradient() -> Findings:
    """|grad L1b| = O(e^-gamma)? It tends to 4 / 3, or 2 / sqrt(3): the error is not trapped."""
    return Findings(
        circuit_bounds.gradients_small("L1b", L1B, {"L1a": L1A}),
        (circuit_bounds.agrees("the gradient of replay", circuit_bounds.gradients("replay")),),
        "Each of three routes to u_end carries a third of the vanishing f1(Z') . e_{u_end}. The gradient of L1b raises "
        "the self-logit of t_end in Layer 1 and the logits of the two positions after a u_end in Layer 2.",
    )


def _missed(box: Range, tokens: Tokens, layer_2: Layer2 = CIRCUIT) -> arb:
    """e^gamma (1 - f1(Z') . e_v)."""
    return ball.next_miss(box, replayed(tokens), layer_2)
