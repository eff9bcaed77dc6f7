"""Theorem 1: the gradients where attention is exactly the circuit's.

The two conditions, for an edge list that has the edge (v, u_end) at positions (t_v, t_end):

    1. S1[T] = e_{T-1}  and  S1[t_end] = e_{t_v}
    2. S2[T] = e_{t_end}

Everything else, the other rows of S1 and the scores A2, is free, and is drawn at random as rationals.

**L1b has no stationary point there, not even in the limit.** Under the conditions (on Z', where L1b is evaluated) the
output f1(Z') is exactly e_v, so f1(Z') . e_{u_end} = 0 and L1b is infinite. Approach them by any weights, and
write a = 1 - S2[T, t_end], b = 1 - S1[T, T-1], s = S1[t_end, t_end], f = f1(Z') . e_{u_end}, and alpha = S2[T, t_end] s
/ f for the share of f that runs through row t_end, which sees u_end only at itself. Two blocks of the gradient (Lemma
3, corrected) are then

    dL1b/dW1^(1)[t_end, t_end]                     = -alpha (1 - s)
    - sum over j != t_end of dL1b/dW1^(2)[T-1, j]  = (1 - b) ((1 - alpha) - a)

so the absolute values of these entries alone, one of W1^(1) and T - 1 of W1^(2), add up to at least
alpha (1 - s) + (1 - b)(1 - alpha - a). This is linear in alpha between 0 and 1, hence at least 1 - max(s, b) - a, which
tends to 1.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, partial
from typing import Any, Final, NamedTuple

import numpy as np

from proofs_check.ledger import CrossCheck, Findings, Outcome, Test, at_least, at_most, equal, every
from proofs_check.methods import exact, library
from proofs_check.methods.exact import DISTANCES, EQ_3, L1A, L1B, L2, WITHOUT_L1B, Arrange, Attention, Parts
from proofs_check.methods.star import T, Tokens, goal_position, next_label, positions, replayed
from proofs_check.methods.star import goal as goal_label

COMPARED: Final = 8
"""Number of cases in which the library is compared with the chain rule of ``exact``, which is slow on floats."""
CONSTANT: Final = T**2
"""Constant of a gradient that is small where attention is nearly one-hot; the paper's proofs have O(T^2 e^-gamma)."""
Rows = Callable[[Tokens], Sequence[int] | None]
"""Rows of W1^(1); None for the gradient in all weights."""


def goal() -> Findings:
    """Under Condition 1 the gradient of L2 vanishes."""
    split, near = exact.split_query, exact.near(DISTANCES[0])
    mutants = {"S1[T] split between T-1 and T": split, "1/100 off the conditions": near}
    name, measure = "the gradient of L2 is exactly 0", partial(_vanishes, L2)
    test = Test("exact", name, measure, printed=exact.circuit, mutants=mutants)
    return Findings((test,), (_agrees("goal"),))


def plan() -> Findings:
    """Under Conditions 1 and 2 the gradient of L1a vanishes."""
    mutants = {
        "Condition 2 dropped": exact.without_condition_2,
        "Condition 1 dropped at t_end": exact.without_condition_1,
        "S2[T] split between t_end and T-1": exact.split_layer_2,
    }
    name, measure = "the gradient of L1a is exactly 0", partial(_vanishes, L1A)
    test = Test("exact", name, measure, printed=exact.circuit, mutants=mutants)
    return Findings((test,), (_agrees("plan"),))


def replay() -> Findings:
    """Under the conditions the gradient of L1b vanishes? It does not exist, and none of its limits is 0."""
    mutants = {"L1a": Bound(L1A), "a bound one tenth higher": Bound(L1B, Fraction(11, 10))}
    vanishing = "the gradient of L1b is exactly 0"
    decaying = "sum of |gradient| of the loss of Eq. 3, over the distance from the conditions"
    blocks = "sum of two blocks of |gradient of L1b|, above 1 - max(s, b) - a near the conditions and far from them"
    return Findings(
        (
            Test("exact", vanishing, _vanishes, printed=L1B, accepted={"L1a": L1A}),
            Test("exact", decaying, _decays, intended=EQ_3, accepted={"without L1b": WITHOUT_L1B}),
            Test("exact", blocks, _above_bound, amended=Bound(L1B), mutants=mutants),
        ),
        (_agrees("replay"),),
        "Under the conditions, on Z', f1(Z') . e_{u_end} is exactly 0 on each of the 24 edge orders: L1b is "
        "infinite and has no gradient. However they are approached, two blocks of it add up to at least 1 - max(s, b) "
        "- a, which tends to 1 (proof in proofs_check/planning/theorem_1.py).",
    )


def free_rows() -> Findings:
    """The gradient does not depend on the other rows of S1, and vanishes for them: true of L2 and L1a, not of L1b."""
    mutants = {
        "Condition 2 dropped": exact.without_condition_2,
        "1/100 off the conditions": exact.near(DISTANCES[0]),
    }
    without_l1b, of_l1b = partial(_vanishes, WITHOUT_L1B, rows=_free_rows), partial(_vanishes, rows=_free_rows)
    name = "the gradient of {} in the other rows of S1 is exactly 0"
    decaying = "sum of |gradient| of the loss of Eq. 3 in the other rows of S1, over the distance from the conditions"
    decays, accepted = partial(_decays, rows=_free_rows), {"without L1b": WITHOUT_L1B}
    return Findings(
        (
            Test("exact", name.format("L1a/4 + L2/2"), without_l1b, printed=exact.circuit, mutants=mutants),
            Test("exact", name.format("L1b"), of_l1b, printed=L1B, accepted={"L1a": L1A}),
            Test("exact", decaying, decays, intended=EQ_3, accepted=accepted),
        ),
        (_agrees("plan"), _agrees("replay")),
        "L2 and L1a give the rows of S1 other than T and t_end a gradient of exactly 0, whatever they are. L1b does "
        "not: as the conditions are approached, a free row that still attends to u_end carries a fixed share of the "
        "vanishing f1(Z') . e_{u_end}.",
    )


def _free_rows(tokens: Tokens) -> list[int]:
    return [t for t in range(T) if t not in (goal_position(tokens), T - 1)]


def _all_weights(tokens: Tokens) -> None:
    """Return None, for the gradient in all weights."""


def _vanishes(parts: Parts, arrange: Arrange = exact.circuit, rows: Rows = _all_weights) -> Outcome:
    """The gradient exists and is exactly zero. A case is trivial if it is zero under the drawn attention too."""
    holds = []
    for tokens, attention in exact.drawn():
        gradient = exact.gradient(tokens, arrange(tokens, attention), parts)
        holds.append(gradient is not None and exact.size(gradient, rows(tokens)) == 0)
    return every(holds, nontrivial=_not_zero(parts, rows))


@cache
def _not_zero(parts: Parts, rows: Rows) -> list[bool]:
    """Return for each case whether the gradient under the drawn attention is not zero."""
    gradients = ((tokens, exact.gradient(tokens, attention, parts)) for tokens, attention in exact.drawn())
    return [part is not None and exact.size(part, rows(tokens)) > 0 for tokens, part in gradients]


def _decays(parts: Parts, rows: Rows = _all_weights) -> Outcome:
    """The gradient is at most T^2 times the distance from the conditions."""
    values = []
    for distance in DISTANCES:
        for tokens, attention in exact.drawn():
            gradient = exact.gradient(tokens, exact.near(distance)(tokens, attention), parts)
            assert gradient is not None, "every position receives some attention"
            values.append(exact.size(gradient, rows(tokens)) / distance)
    return at_most(values, CONSTANT)


class Bound(NamedTuple):
    """A lower bound of the gradient of ``parts``: ``factor`` (1 - max(s, b) - a)."""

    parts: Parts
    factor: Fraction = Fraction(1)


def _above_bound(bound: Bound) -> Outcome:
    values = []
    for distance in (*DISTANCES, Fraction(1)):
        for tokens, free in exact.drawn():
            attention, at_end = exact.near(distance)(tokens, free), goal_position(tokens)
            gradient = exact.gradient(tokens, attention, bound.parts)
            assert gradient is not None, "every position receives some attention"
            others = sum(abs(entry) for j, entry in enumerate(gradient.logits_2) if j != at_end)
            blocks = abs(gradient.logits_1[at_end][at_end]) + attention.s1[-1][-2] * others
            worst = max(attention.s1[at_end][at_end], 1 - attention.s1[-1][-2])
            values.append(blocks - bound.factor * (attention.s2[at_end] - worst))
    return at_least(values, 0)


def _agrees(part: str) -> CrossCheck:
    """Compare the library's gradient in W1^(1) and W1^(2) with the chain rule, at the attention of random weights."""
    run = library.at_random()
    acts = run.replay if part == "replay" else run.prompt
    first, second = getattr(run.objective.gradients, part)
    expected = []
    for case, tokens in enumerate(run.tokens[:COMPARED]):
        s1, s2, a2 = acts.attention[0][case], acts.attention[1][case, -1], acts.scores[1][case]
        attention: Any = Attention(s1.tolist(), s2.tolist(), a2.tolist())
        context = replayed(tokens) if part == "replay" else tokens
        hit = positions(context, (next_label if part == "plan" else goal_label)(tokens))
        gradients = (exact.shallow if part == "goal" else exact.deep)(attention, hit)
        assert gradients is not None, "random weights reach every target"
        logits_1, logits_2 = (np.array(block, float) for block in gradients)
        expected.append([logits_1, np.outer(s1[-1], logits_2)])

    def measure(change: Callable[[Any], Any]) -> Outcome:
        return equal([[change(first.position[n]), change(second.position[n])] for n in range(len(expected))], expected)

    return CrossCheck(f"the library's gradient of {part} = the chain rule", measure, lambda array: array, library.WRONG)
