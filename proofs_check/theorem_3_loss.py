"""Theorem 3, second half of its proof: from mu to the losses L1a = -log mu and (1/2)(L1a + L1b), at w = 0.

The print divides E[dmu/dw(k)] by one number mu0. But at w = 0 mu is no constant: it depends on the edge order, from
1417/12600 = 0.112 where v is listed last to 5071/12600 = 0.402 where it is listed first. What is true is

    E[dL1a/dw(k)] = -E[(1/mu) dmu/dw(k)] = -E[1/mu] E[dmu/dw(k)] - Cov(1/mu, dmu/dw(k))

and the covariance turns the signs. Take k = 1. Where v is listed late, few rows see it, mu is small, and rows that
look one back gain: dmu/dw(1) > 0 on each of the 12 orders with mu < 0.21, by 0.0066 in the mean. Where it is listed
early every later row sees it already, mu is large, and they lose: by 0.0100 in the mean of the 12 orders with
mu > 0.24. So E[dmu/dw(1)] = -0.0017. But 1/mu makes the late ones count more, and E[(1/mu) dmu/dw(1)] = +0.0078:
gradient descent raises w(1). Every number here is a sum of 24 fractions, so this is a proof.

It does not rest on v standing twice. Were the target listed once, at a uniform place of the context, as the print
assumes, E[dL1a/dw(1)] would be -0.042.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from circuits.disentangled.weights import Layer, zeros
from circuits.flow.coordinates import toeplitz
from circuits.tasks.star_graph import replay_context
from proofs_check import exact, setting
from proofs_check.evidence import Control, Evidence, Findings, Of, at_least, at_most, identity
from proofs_check.theorem_3 import indicators, mean, probability, slope, uniform

T = setting.T
PLAN, REPLAY, BOTH = "v", "u_end in Z'", "both"
"""The indicators whose -log mu are L1a and L1b, and a name for the loss (1/2)(L1a + L1b)."""
Slopes = tuple[Fraction, ...]
"""E[dL/dw(k)] for k = 0 .. T - 1."""


def log_step() -> Findings:
    """E[dL1a/dw(k)] = -(1/mu0) E[dmu/dw(k)] for some mu0 > 0, or at least the same signs?"""
    true, of_mu = plan(), [mean([slope(u, k) for u in indicators()]) for k in range(T)]
    mus = [probability(u) for u in indicators()]
    inverse = mean([1 / mu for mu in mus])
    asked = {k: -of_mu[k] / true[k] for k in range(1, T) if true[k]}
    agree = [k for k in range(1, T) if true[k] * of_mu[k] < 0]

    def equal(stated: Sequence[Fraction], of: Of, quantity: str) -> Evidence:
        gap = max(abs(chained()[k] - stated[k]) for k in range(1, T))
        return at_most("exact", f"max |E[dL1a/dw(k)] - {quantity}|, k >= 1", float(gap), 0, len(mus), of=of)

    return Findings(
        (
            equal([-value / mean(mus) for value in of_mu], "printed", "(-1/E[mu]) E[dmu/dw(k)]"),
            at_least("exact", "least mu0 that an offset k >= 1 asks for", float(min(asked.values())), 0, T - 1),
            at_most(
                "exact",
                "distance of the mu0 that k = 2 and k = 3 ask for",
                float(abs(asked[2] - asked[3])),
                0,
                2,
            ),
            at_least(
                "exact",
                "offsets k >= 1 where E[dL1a/dw(k)] has the sign of -E[dmu/dw(k)]",
                len(agree),
                T - 1,
                T - 1,
                of="intended",
                detail=f"k = {', '.join(map(str, agree))}",
            ),
            equal(true, "amended", "(-E[(1/mu) dmu/dw(k)])"),
        ),
        (
            Control(
                "1/E[mu] in place of 1/mu", equal([-x / mean(mus) for x in of_mu], "amended", "(-E[dmu/dw(k)] / E[mu])")
            ),
            Control("E[1/mu] taken apart", equal([-x * inverse for x in of_mu], "amended", "(-E[1/mu] E[dmu/dw(k)])")),
            Control("the other sign", equal([-x for x in true], "amended", "E[(1/mu) dmu/dw(k)]")),
            Control("one offset further", equal([*true[1:], true[0]], "amended", "(-E[(1/mu) dmu/dw(k + 1)])")),
        ),
        f"At w = 0 mu runs from {min(mus)} to {max(mus)} over the 24 edge orders, with mean {mean(mus)}. One mu0 for "
        "all offsets would have to be "
        + ", ".join(f"{float(mu):.3f} (k = {k})" for k, mu in asked.items())
        + f": negative at seven offsets. Only k = {' and '.join(map(str, agree))} keep the sign.",
    )


def predecessor() -> Findings:
    """E[dL1a/dw(1)] > 0? It is negative: gradient descent raises w(1)."""
    once = [tuple(Fraction(r == place) for r in range(T)) for place in range(T - 2)]
    unweighted = -mean([slope(u, 1) for u in indicators()]) / mean([probability(u) for u in indicators()])

    def falls(quantity: str, value: Fraction) -> Evidence:
        return at_most("exact", quantity, float(value), 0, len(indicators()), of="amended")

    name = "E[dL1a/dw(1)]"
    return Findings(
        (
            *_everyhow(name, PLAN, lambda slopes: slopes[1], at_least),
            at_most(
                "exact",
                "dS1[T, T-1]/dt at w = 0 under gradient descent of L1a",
                float(attention_rate(plan(), [1])),
                0,
                len(indicators()),
                of="intended",
            ),
            at_least(
                "exact",
                f"{name} if the target stood once, at a uniform place of the context",
                float(mean([loss_slope(u, 1) for u in once])),
                0,
                len(once),
                of="intended",
            ),
            falls(name, plan()[1]),
            _routes_agree(PLAN),
        ),
        (
            Control("1/E[mu] in place of 1/mu, as the print has it", falls(name, unweighted)),
            Control("the loss with the other sign", falls(name, -plan()[1])),
            Control("offset T - 1 in place of 1", falls(name, plan()[T - 1])),
            Control("offset 4 in place of 1", falls(name, plan()[4])),
        ),
        _two_orders(),
    )


def context() -> Findings:
    """E[dL1a/dw(k)] < 0 for every k >= 2? So at k = 2 and 3, not beyond."""

    def rises_from(first: int, slopes: Slopes) -> Evidence:
        quantity = f"least E[dL1a/dw(k)] over k = {first} to {T - 1}"
        return at_least("exact", quantity, float(min(slopes[first:])), 0, T - first, of="amended")

    return Findings(
        (
            *_everyhow("greatest E[dL1a/dw(k)] over k >= 2", PLAN, lambda slopes: max(slopes[2:]), at_most),
            _context_rate("L1a", plan()),
            rises_from(4, plan()),
            at_most(
                "exact",
                "greatest E[dL1a/dw(k)] over k = 2 and 3",
                float(max(plan()[2:4])),
                0,
                2,
                of="amended",
            ),
            _routes_agree(PLAN),
        ),
        (
            Control("from k = 3 on", rises_from(3, plan())),
            Control("the loss with the other sign", rises_from(4, tuple(-value for value in plan()))),
            Control("offsets taken one later", rises_from(4, (plan()[-1], *plan()[:-1]))),
        ),
        f"E[dL1a/dw(k)] for k = 2 to 9: {_listed(plan()[2:])}. Gradient descent raises w(2) and w(3) and lowers w(4) "
        "to w(9). The query's attention to all of the context falls, at the rate "
        f"{float(attention_rate(plan(), range(2, T))):.5f}.",
    )


def next_token_loss() -> Findings:
    """Both signs for (1/2)(L1a + L1b). Wrong at k = 1, and right at no k >= 2 but 2."""

    def signs(found: Slopes) -> Evidence:
        """k = 1 and 2 negative, the others positive, as one number."""
        worst = max(*found[1:3], *(-value for value in found[3:]))
        return at_most("exact", "E[dL/dw(k)] < 0 at k = 1, 2 and > 0 beyond", float(worst), 0, T - 1, of="amended")

    true = whole()
    return Findings(
        (
            *_everyhow("E[d(L1a + L1b)/2/dw(1)]", BOTH, lambda slopes: slopes[1], at_least),
            *_everyhow("greatest E[d(L1a + L1b)/2/dw(k)] over k >= 2", BOTH, lambda slopes: max(slopes[2:]), at_most),
            at_most(
                "exact",
                "dS1[T, T-1]/dt at w = 0 under gradient descent of (L1a + L1b)/2",
                float(attention_rate(true, [1])),
                0,
                len(indicators()),
                of="intended",
            ),
            _context_rate("(L1a + L1b)/2", true),
            signs(true),
            _routes_agree(BOTH),
        ),
        (
            Control("L1a alone", signs(plan())),
            Control("L1a - L1b", signs(tuple(a - b for a, b in zip(plan(), by_formula(REPLAY), strict=True)))),
            Control("the loss with the other sign", signs(tuple(-value for value in true))),
            Control("offsets taken one later", signs((true[-1], *true[:-1]))),
        ),
        f"E[d(L1a + L1b)/2/dw(k)] for k = 0 to 9: {_listed(true)}. Gradient descent raises w(0), w(1) and w(2) and "
        "lowers the rest. L1b is the greater part: its target u_end stands at T - 1, where row T finds it one back.",
    )


def loss_slope(u: Sequence[Fraction], k: int) -> Fraction:
    """d(-log mu)/dw(k) at w = 0."""
    return -slope(tuple(u), k) / probability(tuple(u))


@cache
def by_formula(label: str) -> Slopes:
    """E[dL/dw(k)] by Eq. 13 on every edge order; the mean over labelings is the same."""
    return tuple(mean([loss_slope(u, k) for u in indicators(label)]) for k in range(T))


@cache
def chained(label: str = PLAN) -> Slopes:
    """The same by the chain rule through both attentions, summed along diagonals."""
    found = [exact.deep(uniform(), [bool(hit) for hit in u]) for u in indicators(label)]
    matrices = [gradients.logits_1 for gradients in found if gradients is not None]
    return tuple(mean([sum((m[r][r - k] for r in range(k, T)), Fraction(0)) for m in matrices]) for k in range(T))


def plan() -> Slopes:
    return by_formula(PLAN)


def whole() -> Slopes:
    """Of the next-token loss (1/2)(L1a + L1b)."""
    return tuple((a + b) / 2 for a, b in zip(by_formula(PLAN), by_formula(REPLAY), strict=True))


def attention_rate(slopes: Slopes, offsets: Sequence[int]) -> Fraction:
    """d/dt of the query's attention at these offsets, at w = 0 and w' = -slopes: S (1 - S) and -S S of softmax."""
    return sum((mean(slopes) - slopes[k] for k in offsets), Fraction(0)) / T


@cache
def differentiated() -> dict[str, np.ndarray]:
    """The same slopes by autodiff of Definitions 1 and 2 as they stand, in float64."""
    tokens, v, end = setting.orders()
    below = zeros(2, setting.N, T)

    def loss(w: Array, prompt: Array, target: Array) -> Array:
        weights = (Layer(below[0].content, toeplitz(T).embed(w)), below[1])
        return setting.literal_loss(weights, prompt, target)

    slopes = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0, 0)))
    found = {
        PLAN: slopes(jnp.zeros(T), tokens, v),
        REPLAY: slopes(jnp.zeros(T), jax.vmap(replay_context)(tokens, v), end),
    }
    means = {name: np.asarray(values).mean(axis=0) for name, values in found.items()}
    return {**means, BOTH: (means[PLAN] + means[REPLAY]) / 2}


def _everyhow(
    name: str, label: str, read: Callable[[Any], Fraction | float], relation: Callable[..., Evidence]
) -> tuple[Evidence, ...]:
    """One number by three routes, against 0."""
    halves = (PLAN, REPLAY) if label == BOTH else (label,)
    count = len(indicators()) * len(halves)

    def averaged(route: Callable[[str], Slopes]) -> Slopes:
        return tuple(mean(values) for values in zip(*map(route, halves), strict=True))

    return (
        relation("exact", f"{name}, by Eq. 13 on each edge order", float(read(averaged(by_formula))), 0, count),
        relation("exact", f"{name}, by the chain rule", float(read(averaged(chained))), 0, count),
        relation("autodiff", f"{name}, literal model", float(read(differentiated()[label])), 0, count),
    )


def _routes_agree(label: str) -> Evidence:
    found = whole() if label == BOTH else by_formula(label)
    gap = float(np.max(np.abs(differentiated()[label] - np.asarray([float(value) for value in found]))))
    quantity = "max |Eq. 13 on each edge order - autodiff of the literal model|, every k"
    return identity("autodiff", quantity, gap, len(indicators()), of="amended")


def _context_rate(name: str, slopes: Slopes) -> Evidence:
    quantity = f"d/dt of S1[T, 1] + .. + S1[T, T-2] at w = 0 under gradient descent of {name}"
    rate = float(attention_rate(slopes, range(2, T)))
    return at_least("exact", quantity, rate, 0, len(indicators()), of="intended")


def _two_orders() -> str:
    cases = sorted((probability(u), slope(u, 1)) for u in indicators())
    (late, up), (early, down) = cases[0], min(cases, key=lambda case: case[1])
    apart = mean([1 / mu for mu, _ in cases]) * mean([value for _, value in cases])
    return (
        f"E[dL1a/dw(1)] = {plan()[1]} = {float(plan()[1]):.7f}. Where both edges of v are listed last, mu = "
        f"{float(late):.3f}, dmu/dw(1) = {float(up):+.4f} and dL1a/dw(1) = {float(-up / late):+.4f}; where they are "
        f"listed first, (start, v) before (v, u_end), mu = {float(early):.3f}, dmu/dw(1) = {float(down):+.4f} and "
        f"dL1a/dw(1) = {float(-down / early):+.4f}: more in mu, but less in -log mu. In all, E[1/mu] E[dmu/dw(1)] = "
        f"{float(apart):+.4f} is outweighed by Cov(1/mu, dmu/dw(1)) = {float(-plan()[1] - apart):+.4f}."
    )


def _listed(values: Sequence[Fraction]) -> str:
    return ", ".join(f"{float(value):+.5f}" for value in values)
