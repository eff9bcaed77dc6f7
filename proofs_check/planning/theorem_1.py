"""Theorem 1: the gradients where attention is exactly the circuit's.

The two conditions, for an edge list that holds the edge (v, u_end) at positions (t_v, t_end):

    1. S1[T] = e_{T-1}  and  S1[t_end] = e_{t_v}
    2. S2[T] = e_{t_end}

Everything else, the other rows of S1 and the scores A2, is free, and is drawn at random as rationals.

**L1b has no stationary point there, not even in the limit.** Under the conditions (on Z', where L1b is evaluated) the
output f1(Z') is exactly e_v, so f1(Z') . e_{u_end} = 0 and L1b is infinite. Approach them by any weights
whatever, and write a = 1 - S2[T, t_end], b = 1 - S1[T, T-1], s = S1[t_end, t_end], f = f1(Z') . e_{u_end},
and alpha = S2[T, t_end] s / f for the share of f that runs through row t_end, which sees u_end only at itself.
Two blocks of the gradient (Lemma 3, corrected) are then

    dL1b/dW1^(1)[t_end, t_end]                     = -alpha (1 - s)
    - sum over j != t_end of dL1b/dW1^(2)[T-1, j]  = (1 - b) ((1 - alpha) - a)

so the absolute values of these entries alone, one of W1^(1) and T - 1 of W1^(2), add up to at least
alpha (1 - s) + (1 - b)(1 - alpha - a). This is linear in alpha between 0 and 1, hence at least
1 - max(s, b) - a, which tends to 1.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, partial
from typing import Any, Final, NamedTuple

import numpy as np

from proofs_check.ledger.evidence import CrossCheck, Findings, Test
from proofs_check.ledger.outcome import Outcome, at_least, at_most, equal, every
from proofs_check.methods import conditions, edge_orders, exact, library
from proofs_check.methods.conditions import DISTANCES, EQ_3, L1A, L1B, L2, WITHOUT_L1B, Arrange, Parts
from proofs_check.methods.edge_orders import T, Tokens, goal_position
from proofs_check.methods.exact import Attention

COMPARED: Final = 8
"""Cases in which the library is held against rational arithmetic, which is slow on floats."""
CONSTANT: Final = T**2
"""Of a gradient that is small where attention is nearly one-hot; the paper's proofs have O(T^2 e^-gamma)."""


def goal() -> Findings:
    """Under Condition 1 the gradient of L2 vanishes."""
    return Findings(
        (
            Test(
                "exact",
                "the gradient of L2 is exactly 0",
                partial(_vanishes, L2),
                printed=conditions.circuit,
                mutants={
                    "S1[T] split between T-1 and T": conditions.split_query,
                    "1/100 off the conditions": conditions.near(DISTANCES[0]),
                },
            ),
        ),
        (_agrees("goal"),),
    )


def plan() -> Findings:
    """Under Conditions 1 and 2 the gradient of L1a vanishes."""
    return Findings(
        (
            Test(
                "exact",
                "the gradient of L1a is exactly 0",
                partial(_vanishes, L1A),
                printed=conditions.circuit,
                mutants={
                    "Condition 2 dropped": conditions.without_condition_2,
                    "Condition 1 dropped at t_end": conditions.without_condition_1,
                    "S2[T] split between t_end and T-1": conditions.split_layer_2,
                },
            ),
        ),
        (_agrees("plan"),),
    )


def replay() -> Findings:
    """Under the conditions the gradient of L1b vanishes? It does not exist, and none of its limits is 0."""
    return Findings(
        (
            Test(
                "exact",
                "the gradient of L1b is exactly 0",
                lambda parts: _vanishes(parts, conditions.circuit),
                printed=L1B,
                accepted={"L1a": L1A},
            ),
            Test(
                "exact",
                "sum of |gradient| of the loss of Eq. 3, over the distance from the conditions",
                _decays,
                intended=EQ_3,
                accepted={"without L1b": WITHOUT_L1B},
            ),
            Test(
                "exact",
                "sum of two blocks of |gradient of L1b|, above 1 - max(s, b) - a near the conditions and far from them",
                _above_bound,
                amended=Bound(L1B),
                mutants={"L1a": Bound(L1A), "a bound one tenth higher": Bound(L1B, Fraction(11, 10))},
            ),
        ),
        (_agrees("replay"),),
        "Under the conditions, on Z', f1(Z') . e_{u_end} is exactly 0 on each of the 24 edge orders: L1b is infinite "
        "and has no gradient. On any way there two blocks of it can't add up to less than 1 - max(s, b) - a, which "
        "tends to 1 (proof in proofs_check/planning/theorem_1.py).",
    )


def free_rows() -> Findings:
    """The gradient does not depend on the other rows of S1, and vanishes for them: so for L2 and L1a, not L1b."""
    return Findings(
        (
            Test(
                "exact",
                "the gradient of L1a/4 + L2/2 in the other rows of S1 is exactly 0",
                partial(_vanishes, WITHOUT_L1B, rows=_free_rows),
                printed=conditions.circuit,
                mutants={
                    "Condition 2 dropped": conditions.without_condition_2,
                    "1/100 off the conditions": conditions.near(DISTANCES[0]),
                },
            ),
            Test(
                "exact",
                "the gradient of L1b in the other rows of S1 is exactly 0",
                lambda parts: _vanishes(parts, conditions.circuit, rows=_free_rows),
                printed=L1B,
                accepted={"L1a": L1A},
            ),
            Test(
                "exact",
                "sum of |gradient| of the loss of Eq. 3 in the other rows of S1, over the distance from the conditions",
                partial(_decays, rows=_free_rows),
                intended=EQ_3,
                accepted={"without L1b": WITHOUT_L1B},
            ),
        ),
        (_agrees("plan"), _agrees("replay")),
        "L2 and L1a give the rows of S1 other than T and t_end a gradient of exactly 0, whatever they hold. L1b does "
        "not: as the conditions are approached, a free row that still sees u_end carries a fixed share of the "
        "vanishing f1(Z') . e_{u_end}.",
    )


Rows = Callable[[Tokens], Sequence[int] | None]
"""Rows of W1^(1); None for the gradient in all weights."""


def _free_rows(tokens: Tokens) -> list[int]:
    return [t for t in range(T) if t not in (goal_position(tokens), T - 1)]


def _all(tokens: Tokens) -> None:
    """No choice of rows."""


def _vanishes(parts: Parts, arrange: Arrange, rows: Rows = _all) -> Outcome:
    """Whether the gradient exists and is exactly zero; it tells where it is not zero under the drawn attention."""
    holds = []
    for tokens, attention in conditions.drawn():
        found = conditions.gradient(tokens, arrange(tokens, attention), parts)
        holds.append(found is not None and exact.size(found, rows(tokens)) == 0)
    return every(holds, nontrivial=_not_zero(parts, rows))


@cache
def _not_zero(parts: Parts, rows: Rows) -> list[bool]:
    """Whether the gradient under the drawn attention is other than zero."""
    found = ((tokens, conditions.gradient(tokens, attention, parts)) for tokens, attention in conditions.drawn())
    return [part is not None and exact.size(part, rows(tokens)) > 0 for tokens, part in found]


def _decays(parts: Parts, rows: Rows = _all) -> Outcome:
    """The gradient is at most T^2 times the distance from the conditions."""
    values = []
    for distance in DISTANCES:
        for tokens, attention in conditions.drawn():
            found = conditions.gradient(tokens, conditions.near(distance)(tokens, attention), parts)
            assert found is not None, "every position has some attention"
            values.append(exact.size(found, rows(tokens)) / distance)
    return at_most(values, CONSTANT)


class Bound(NamedTuple):
    """A lower bound of the gradient of ``parts``: ``factor`` (1 - max(s, b) - a)."""

    parts: Parts
    factor: Fraction = Fraction(1)


def _above_bound(bound: Bound) -> Outcome:
    values = []
    for distance in (*DISTANCES, Fraction(1)):
        for tokens, free in conditions.drawn():
            attention, at_end = conditions.near(distance)(tokens, free), goal_position(tokens)
            found = conditions.gradient(tokens, attention, bound.parts)
            assert found is not None, "every position has some attention"
            beside = sum(abs(entry) for j, entry in enumerate(found.logits_2) if j != at_end)
            blocks = abs(found.logits_1[at_end][at_end]) + attention.s1[-1][-2] * beside
            worst = max(attention.s1[at_end][at_end], 1 - attention.s1[-1][-2])
            values.append(blocks - bound.factor * (attention.s2[at_end] - worst))
    return at_least(values, 0)


def _agrees(part: str) -> CrossCheck:
    """The library's gradient in W1^(1) and W1^(2) against this module's, at the attention of random weights."""
    run = library.at_random()
    acts = run.replay if part == "replay" else run.prompt
    first, second = getattr(run.objective.gradients, part)
    expected = []
    for case, tokens in enumerate(run.tokens[:COMPARED]):
        s1, s2, a2 = acts.attention[0][case], acts.attention[1][case, -1], acts.scores[1][case]
        given: Any = Attention(s1.tolist(), s2.tolist(), a2.tolist())
        context = edge_orders.replayed(tokens) if part == "replay" else tokens
        target = (edge_orders.next_label if part == "plan" else edge_orders.goal)(tokens)
        found = (exact.shallow if part == "goal" else exact.deep)(given, edge_orders.positions(context, target))
        assert found is not None, "random weights hit every target"
        logits_1, logits_2 = (np.array(block, float) for block in found)
        expected.append([logits_1, np.outer(s1[-1], logits_2)])

    def measure(change: Callable[[Any], Any]) -> Outcome:
        return equal([[change(first.position[n]), change(second.position[n])] for n in range(len(expected))], expected)

    return CrossCheck(f"the library's gradient of {part} = the chain rule", measure, lambda array: array, library.WRONG)
