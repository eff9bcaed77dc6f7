"""Theorem 1's conditions, imposed on random rational attention, and the gradients of the losses under it."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from random import Random
from typing import Final, NamedTuple

from proofs_check.methods import exact
from proofs_check.methods.edge_orders import (
    T,
    Tokens,
    edge_orders,
    goal,
    goal_position,
    next_label,
    positions,
    replayed,
)
from proofs_check.methods.exact import Attention, Gradients

Arrange = Callable[[Tokens, Attention], Attention]
"""Imposes conditions on random attention."""


class Parts(NamedTuple):
    """A sum of the three losses with these weights."""

    plan: Fraction = Fraction(0)
    replay: Fraction = Fraction(0)
    goal: Fraction = Fraction(0)


L1A, L1B, L2 = Parts(plan=Fraction(1)), Parts(replay=Fraction(1)), Parts(goal=Fraction(1))
EQ_3: Final = Parts(Fraction(1, 4), Fraction(1, 4), Fraction(1, 2))
WITHOUT_L1B: Final = EQ_3._replace(replay=Fraction(0))
DISTANCES: Final = (Fraction(1, 10**2), Fraction(1, 10**6))
"""Shares of each constrained row that are moved elsewhere, to approach the conditions."""


def gradient(tokens: Tokens, attention: Attention, parts: Parts) -> Gradients | None:
    """Of a sum of the losses where Z and Z' have the same attention; None where one of them is infinite."""
    losses = (
        (exact.deep, positions(tokens, next_label(tokens))),
        (exact.deep, positions(replayed(tokens), goal(tokens))),
        (exact.shallow, positions(tokens, goal(tokens))),
    )
    weighted = zip(parts, losses, strict=True)
    return exact.combined([(weight, loss(attention, hit)) for weight, (loss, hit) in weighted if weight])


@cache
def drawn() -> list[tuple[Tokens, Attention]]:
    """Each edge order with random attention and scores."""
    random = Random(0)
    return [(tokens, exact.random_attention(random, T)) for tokens in edge_orders()]


def circuit(tokens: Tokens, attention: Attention) -> Attention:
    """Conditions 1 and 2, exactly."""
    return near(Fraction(0))(tokens, attention)


def near(distance: Fraction) -> Arrange:
    """The conditions, with this share of each row that they name left as it was drawn."""

    def arrange(tokens: Tokens, attention: Attention) -> Attention:
        at_end, s1 = goal_position(tokens), list(attention.s1)
        for row, sees in ((T - 1, T - 2), (at_end, at_end - 1)):
            s1[row] = exact.mixed(exact.one_hot(T, sees), s1[row], distance)
        return Attention(s1, exact.mixed(exact.one_hot(T, at_end), attention.s2, distance), attention.a2)

    return arrange


def without_condition_2(tokens: Tokens, attention: Attention) -> Attention:
    return circuit(tokens, attention)._replace(s2=attention.s2)


def without_condition_1(tokens: Tokens, attention: Attention) -> Attention:
    imposed, at_end = circuit(tokens, attention), goal_position(tokens)
    return imposed._replace(s1=[attention.s1[t] if t == at_end else row for t, row in enumerate(imposed.s1)])


def split_layer_2(tokens: Tokens, attention: Attention) -> Attention:
    halves = [Fraction(t in (goal_position(tokens), T - 2), 2) for t in range(T)]
    return circuit(tokens, attention)._replace(s2=halves)


def split_query(tokens: Tokens, attention: Attention) -> Attention:
    imposed = circuit(tokens, attention)
    return imposed._replace(s1=[*imposed.s1[:-1], [Fraction(t >= T - 2, 2) for t in range(T)]])
