"""Corollary 1: attention, loss and gradient of the constructed circuit.

With x = e^-gamma, S1 and the last row of S2 are within O(x) of one-hot, L1a and L2 are O(x), and so are their
gradients. Eq. 3 has a third part, L1b, which is gamma - log 3 + o(1), and whose gradient keeps a norm between 2 /
sqrt(3) and 4 / 3, depending on the edge order (Corollary 2). So L of Eq. 3 is not O(x) but gamma / 4 - (log 3) / 4 +
o(1), and its gradient keeps a quarter of that norm. The error in the proof: a softmax Jacobian of size O(x) is divided
by f1(Z') . e_{u_end}, which is O(x) too.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import sympy
from flint import arb

from proofs_check.ledger import Findings, Outcome, Test, balls_at_least, same
from proofs_check.methods import ball, ball_gradients, circuit_bounds, library
from proofs_check.methods.ball import FROM_5, FROM_20, Layer2, Quantity, Range
from proofs_check.methods.circuit_bounds import BOUND, EQ_3, WITHOUT_L1B, Parts, decays
from proofs_check.methods.star import T, Tokens, replayed

WRONG_LAYER_2: Final = {"no self-mask in Layer 2": Layer2(mask=0.0), "W0^(2) = (gamma / 2) I": Layer2(match=0.5)}
EXP_GAMMA: Final = sympy.Symbol("E", positive=True)


def attention() -> Findings:
    """S1[t] for every t > 1, and S2[T], are within O(e^-gamma) of one-hot; S1 is exactly Eq. 8."""

    def formula(main: int, total: int) -> Callable[[int, int], Any]:
        return lambda t, j: (EXP_GAMMA if j == t + main else 1) / (EXP_GAMMA + t + total)

    wrong = {"t in place of t - 1": formula(-1, 0), "the diagonal in place of the predecessor": formula(0, -1)}
    name = "softmax(MASK(gamma L)) = Eq. 8, in each entry"
    return Findings(
        (
            Test("symbolic", name, _eq_8, printed=formula(-1, -1), mutants=wrong),
            decays("(1 - S1[t, t-1])", ball.layer_1_miss, cases=range(1, T)),
            decays("(1 - S2[T, t_end])", ball.layer_2_miss, _with_wrong_layer_2(ball.layer_2_miss)),
        ),
        (circuit_bounds.agrees("S1 and S2[T]", circuit_bounds.attention()),),
    )


def loss() -> Findings:
    """L1a and L2 are O(e^-gamma), L1b is gamma + O(1): so L of Eq. 3 is not O(e^-gamma) but gamma / 4 + O(1)."""

    def likelihood(parts: Parts) -> Outcome:
        return balls_at_least(ball.cells(partial(_likelihood, parts), FROM_20), (-4 * BOUND).exp())

    def probabilities(steps: tuple[Quantity, ...]) -> Outcome:
        return balls_at_least([cell for step in steps for cell in ball.cells(step, FROM_5)], 0.5)

    exponential = "e^(-4 L) for the L of Eq. 3, at least e^(-4 T^2 e^-20), every gamma >= 20"
    path = "probability of each next token of the path from the first head, every gamma >= 5"
    at_once = {"both tokens at once, each from its own head": (_next_from_deep, _goal_from_shallow)}
    first_head = (_next_from_deep, _goal_from_deep)
    return Findings(
        (
            decays("L1a", ball.plan_loss, _with_wrong_layer_2(ball.plan_loss)),
            decays("L2", ball.goal_loss),
            Test("certified", exponential, likelihood, printed=EQ_3, accepted={"without L1b": WITHOUT_L1B}),
            Test("certified", path, probabilities, intended=first_head, accepted=at_once),
        ),
        (circuit_bounds.agrees("L1a, L1b and L2", circuit_bounds.losses(), library.WRONG_NUMBERS),),
        "L1a and L2 are O(e^-gamma), L1b is gamma - log 3 + o(1): the loss of Eq. 3 grows as gamma / 4. On every graph "
        "f1(Z) predicts v and f2(Z) predicts u_end; f1(Z') predicts v again.",
    )


def gradient() -> Findings:
    """The gradients of L1a and L2 are O(e^-gamma); those of L1b and of Eq. 3 do not vanish."""
    parts = ("plan", "replay", "goal")
    agree = (circuit_bounds.agrees(f"the gradient of {part}", circuit_bounds.gradients(part)) for part in parts)
    return Findings(
        (
            decays("|gradient of L1a|", _norm(ball_gradients.plan), {"L1b": _norm_of_replay}),
            decays("|gradient of L2|", _norm(ball_gradients.shallow), {"L1b": _norm_of_replay}),
            *circuit_bounds.gradients_small("Eq. 3", EQ_3, {"without L1b": WITHOUT_L1B}),
        ),
        tuple(agree),
    )


def _eq_8(formula: Callable[[int, int], Any]) -> Outcome:
    """Compare row t of softmax(MASK(gamma L)): key t-1 has weight e^gamma, each other of the first t keys has 1."""
    pairs = []
    for t in range(2, T + 1):
        weights = {j: EXP_GAMMA if j == t - 1 else sympy.Integer(1) for j in range(1, t + 1)}
        pairs += [(weight / sum(weights.values()), formula(t, j)) for j, weight in weights.items()]
    return same(pairs)


def _with_wrong_layer_2(quantity: Callable[..., arb]) -> Mapping[str, Quantity]:
    return {name: partial(quantity, layer_2=layer_2) for name, layer_2 in WRONG_LAYER_2.items()}


def _norm(gradient: Callable[[Range, Tokens], ball_gradients.Gradient]) -> Quantity:
    return lambda box, tokens: ball_gradients.square(gradient(box, tokens)).sqrt()


def _norm_of_replay(box: Range, tokens: Tokens) -> arb:
    """e^gamma |gradient of L1b|, at one gamma."""
    return _norm(ball_gradients.replay)(box, tokens) / box.x


def _likelihood(parts: Parts, box: Range, tokens: Tokens) -> arb:
    """e^(-4 L), a product of powers of the three probabilities: L itself has no bound as gamma grows."""
    outputs = (_next_from_deep, _goal_from_deep, _goal_from_shallow)
    plan, replay, goal = (output(box, tokens) ** int(4 * part) for output, part in zip(outputs, parts, strict=True))
    return plan * replay * goal


def _next_from_deep(box: Range, tokens: Tokens) -> arb:
    """f1(Z) . e_v."""
    return 1 - box.x * ball.next_miss(box, tokens)


def _goal_from_deep(box: Range, tokens: Tokens) -> arb:
    """f1(Z') . e_{u_end}."""
    return box.x * ball.goal_output(box, replayed(tokens))


def _goal_from_shallow(box: Range, tokens: Tokens) -> arb:
    """f2(Z) . e_{u_end}."""
    return 1 - box.x * ball.shallow_miss(box, tokens)
