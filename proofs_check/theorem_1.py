"""Theorem 1: the gradients where attention is exactly the circuit's.

The two conditions, for an edge list that holds the edge (v, u_end) at positions (t_v, t_end):

    1. S1[T] = e_{T-1}  and  S1[t_end] = e_{t_v}
    2. S2[T] = e_{t_end}

Everything else, the other rows of S1 and the scores A2, is free, and is drawn at random as rationals.

**L1b has no stationary point there, not even in the limit.** Under the conditions (on Z', where L1b lives) the
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

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from random import Random

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from circuits.disentangled.circuit import context_positions
from circuits.disentangled.closed_form import forward
from circuits.disentangled.losses import losses
from circuits.disentangled.weights import Layer, Weights, random
from circuits.tasks.star_graph import replay_context
from proofs_check import exact, setting
from proofs_check.evidence import Control, Evidence, Findings, Of, at_least, at_most, decided
from proofs_check.exact import Attention, Gradients

T = setting.T
GATES = (6.0, 10.0, 14.0, 18.0)
"""Logits added at the circuit's places; attention is within about e^-gate of the conditions."""


class Place:
    """One edge order: its tokens, targets, the positions of the edge (v, u_end), and indicators of a label."""

    def __init__(self, tokens: list[int], v: int, end: int) -> None:
        self.tokens, self.v, self.end = tokens, v, end
        self.at_v, self.at_end = context_positions(np.asarray(tokens), end)

    def hits(self, label: int, last: int | None = None) -> list[bool]:
        """Where the label stands in Z, or in Z' whose last token is ``last``."""
        tokens = self.tokens if last is None else [*self.tokens[:-1], last]
        return [token == label for token in tokens]

    @property
    def free_rows(self) -> list[int]:
        return [t for t in range(T) if t not in (self.at_end, T - 1)]

    def circuit(self, attention: Attention) -> Attention:
        """Conditions 1 and 2 imposed on any attention."""
        rows = {T - 1: exact.one_hot(T, T - 2), self.at_end: exact.one_hot(T, self.at_v)}
        return exact.replaced(attention, rows, exact.one_hot(T, self.at_end))


Mutant = Callable[[Place, Attention], Attention]


def goal() -> Findings:
    """Under Condition 1 the gradient of L2 vanishes."""
    return Findings(
        (_exact("L2", _goal), _saturated("goal")),
        _controls("L2", _goal, {"S1[T] split between T - 1 and T": _split_query}),
    )


def plan() -> Findings:
    """Under Conditions 1 and 2 the gradient of L1a vanishes."""
    return Findings(
        (_exact("L1a", _plan), _saturated("plan")),
        _controls(
            "L1a",
            _plan,
            {
                "Condition 2 dropped": _without_condition_2,
                "Condition 1 dropped at t_end": _without_condition_1,
                "S2[T] split between t_end and T - 1": _split_layer_2,
            },
        ),
    )


def replay() -> Findings:
    """Under the conditions the gradient of L1b vanishes? It does not exist, and none of its limits is 0."""
    near = {gate: _approached(gate) for gate in GATES}
    cases = len(GATES) * len(_places())
    norm, blocks, bound, plan_norm = (
        np.array([found[name] for found in near.values()]) for name in ("replay", "blocks", "bound", "plan")
    )
    listed = ", ".join(f"{least:.4f}" for least in norm.min(axis=1))

    def above(factor: float) -> Evidence:
        quantity = f"least of (the two blocks of |gradient of L1b|) - {factor:g} (1 - max(s, b) - a)"
        return at_least("autodiff", quantity, float(np.min(blocks - factor * bound)), 0.0, cases, of="amended")

    return Findings(
        (
            _exact("L1b", _replay),
            at_most(
                "autodiff",
                "least sum |gradient of L1b| near the conditions",
                float(norm.min()),
                1e-3,
                cases,
                of="intended",
                detail=f"{listed} at gates {GATES}",
            ),
            above(factor=1.0),
            at_most(
                "autodiff",
                "the same measure of L1a at the largest gate (it must vanish)",
                float(plan_norm[-1].max()),
                1e-3,
                len(_places()),
                of="amended",
            ),
        ),
        (
            Control("a lower bound one tenth above the proved one", above(factor=1.1)),
            *_controls("L1b", _replay, {"the conditions not imposed": lambda place, attention: attention}),
        ),
        "Under the conditions, on Z', f1(Z') . e_{u_end} is exactly 0 on each of the 24 edge orders: L1b is infinite "
        "and has no gradient. Approached through random weights plus logits of "
        f"{', '.join(f'{gate:g}' for gate in GATES)} at the circuit's places, the sum of the absolute values of its "
        f"gradient is at least {listed}. Two blocks of it alone can't add up to less than 1 - max(s, b) - a, which "
        "tends to 1 (proof in proofs_check/theorem_1.py), so no approach makes it vanish.",
    )


def free_rows() -> Findings:
    """The gradient does not depend on the other rows of S1, and vanishes for them: so for L2 and L1a, not L1b."""
    signal = [_approached(gate)["free rows"].max() for gate in GATES]
    parts = [_exact(name, gradients, free=True, of="amended") for name, gradients in (("L2", _goal), ("L1a", _plan))]
    return Findings(
        (
            *parts,
            at_most(
                "autodiff",
                "greatest |entry| of dL1b/dW1^(1) in the free rows, near the conditions",
                float(min(signal)),
                1e-3,
                len(GATES) * len(_places()),
                detail=", ".join(f"{value:.4f} at gate {gate:g}" for gate, value in zip(GATES, signal, strict=True)),
            ),
        ),
        _controls(
            "L1a",
            _plan,
            {
                "Condition 2 dropped": _without_condition_2,
                "S2[T] split evenly over all positions": _even_layer_2,
            },
            free=True,
        ),
        "L2 and L1a give the rows of S1 other than T and t_end a gradient of exactly 0, whatever they hold. L1b does "
        "not: as the conditions are approached, a free row that still sees u_end carries a fixed share of the "
        f"vanishing f1(Z') . e_u_end, and its largest gradient entry stays at {signal[-1]:.4f}.",
    )


def _goal(place: Place, attention: Attention) -> Gradients | None:
    return exact.shallow(attention, place.hits(place.end))


def _plan(place: Place, attention: Attention) -> Gradients | None:
    return exact.deep(attention, place.hits(place.v))


def _replay(place: Place, attention: Attention) -> Gradients | None:
    return exact.deep(attention, place.hits(place.end, last=place.v))


def _without_condition_2(place: Place, attention: Attention) -> Attention:
    return place.circuit(attention)._replace(s2=attention.s2)


def _without_condition_1(place: Place, attention: Attention) -> Attention:
    return exact.replaced(place.circuit(attention), {place.at_end: attention.s1[place.at_end]})


def _split_layer_2(place: Place, attention: Attention) -> Attention:
    halves = [Fraction(t in (place.at_end, T - 2), 2) for t in range(T)]
    return place.circuit(attention)._replace(s2=halves)


def _even_layer_2(place: Place, attention: Attention) -> Attention:
    return place.circuit(attention)._replace(s2=[Fraction(1, T)] * T)


def _split_query(place: Place, attention: Attention) -> Attention:
    halves = [Fraction(t in (T - 2, T - 1), 2) for t in range(T)]
    return exact.replaced(place.circuit(attention), {T - 1: halves})


def _exact(
    name: str,
    gradients: Callable[[Place, Attention], Gradients | None],
    arrange: Mutant = Place.circuit,
    free: bool = False,
    of: Of = "printed",
) -> Evidence:
    """Whether the gradient is exactly zero on all 24 edge orders, for three draws of everything free."""
    random, outcomes = Random(0), []
    for place in _places():
        for _ in range(3):
            found = gradients(place, arrange(place, exact.random_attention(random, T)))
            outcomes.append(exact.vanishes(found, place.free_rows if free else None))
    where = " in the free rows" if free else ""
    quantity = f"gradient of {name}{where} is exactly 0 in every case"
    return decided("exact", quantity, all(outcomes), len(outcomes), of=of, detail=f"{sum(outcomes)} of {len(outcomes)}")


def _controls(
    name: str,
    gradients: Callable[[Place, Attention], Gradients | None],
    mutants: dict[str, Mutant],
    free: bool = False,
) -> tuple[Control, ...]:
    return tuple(Control(label, _exact(name, gradients, mutant, free)) for label, mutant in mutants.items())


@cache
def _places() -> list[Place]:
    tokens, y1, y2 = setting.orders()
    return [Place(*row) for row in zip(tokens.tolist(), y1.tolist(), y2.tolist(), strict=True)]


def _saturated(part: str) -> Evidence:
    """The gradient by autodiff with weights so large that float64 attention is exactly one-hot."""
    weights, tokens, y1, y2 = _gated(1e4)

    def largest(weights: Weights, *prompt: Array) -> Array:
        gradient = jax.grad(lambda w: getattr(losses(w, *prompt), part))(weights)
        return jnp.max(jnp.abs(ravel_pytree(gradient)[0]))

    value = float(jnp.max(jax.jit(jax.vmap(largest))(weights, tokens, y1, y2)))
    return at_most("autodiff", "max |gradient| with saturated float64 attention", value, 0.0, len(_places()))


@cache
def _approached(gate: float) -> dict[str, np.ndarray]:
    """Per edge order, near the conditions: sums of |gradient| of L1b and L1a, and the proved lower bound."""
    weights, tokens, y1, y2 = _gated(gate)
    at_end = jnp.asarray([place.at_end for place in _places()])
    free = jnp.asarray([[t in place.free_rows for t in range(T)] for place in _places()])

    def measure(w: Weights, g: Array, v: Array, end: Array, t_end: Array, is_free: Array) -> dict[str, Array]:
        plan, replay, _ = (jax.grad(lambda w, i=i: losses(w, g, v, end)[i])(w) for i in range(3))
        acts = forward(w, replay_context(g, v))
        s1, s2 = acts.attention[0], acts.attention[1][-1]
        worst = jnp.maximum(s1[t_end, t_end], 1 - s1[-1, -2])
        return {
            "plan": jnp.sum(jnp.abs(ravel_pytree(plan)[0])),
            "blocks": jnp.abs(replay[0].position[t_end, t_end])
            + jnp.sum(jnp.abs(replay[1].position[-2]).at[t_end].set(0)),
            "replay": jnp.sum(jnp.abs(ravel_pytree(replay)[0])),
            "bound": 1 - worst - (1 - s2[t_end]),
            "free rows": jnp.max(jnp.where(is_free[:, None], jnp.abs(replay[0].position), 0)),
        }

    found = jax.jit(jax.vmap(measure))(weights, tokens, y1, y2, at_end, free)
    return {name: np.asarray(values) for name, values in found.items()}


def _gated(gate: float) -> tuple[Weights, Array, Array, Array]:
    """Random weights for each edge order, plus ``gate`` on the logits that the conditions ask for."""
    tokens, y1, y2 = setting.orders()
    keys = jax.random.split(jax.random.key(3), len(tokens))

    def opened(key: Array, t_end: Array) -> Weights:
        first, second = random(key, 2, setting.N, T)
        return (
            Layer(first.content, first.position.at[-1, -2].add(gate).at[t_end, t_end - 1].add(gate)),
            Layer(second.content, second.position.at[-2, t_end].add(gate)),
        )

    at_end = jnp.asarray([place.at_end for place in _places()])
    return jax.vmap(opened)(keys, at_end), tokens, y1, y2
