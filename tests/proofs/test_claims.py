"""The registry against the list of claims to decide, and its checks against one another."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.circuit import circuit
from circuits.disentangled.objective import objective
from circuits.disentangled.weights import norm
from circuits.tasks.star_graph import replay_context
from proofs_check import ball, exact, setting
from proofs_check.circuit_evidence import decays
from proofs_check.circuit_sweep import GAMMAS, exponent, sweep
from proofs_check.ledger import decide
from proofs_check.registry import own, select

FORWARD = {"lemma-1.forward", "lemma-1.layer-2-logits", "definition-2.dimensions"}
GRADIENTS = {
    "lemma-2.paths",
    "lemma-3.attention-1",
    "lemma-3.logits-1",
    "lemma-3.content-1",
    "lemma-3.position-1",
    "lemma-3.content-2",
    "lemma-3.position-2",
    "lemma-4.differential",
    "lemma-4.decoupling",
    "lemma-5.content-1",
    "lemma-5.position-1",
}
CIRCUIT = {
    "theorem-1.goal",
    "theorem-1.plan",
    "theorem-1.replay",
    "theorem-1.free-rows",
    "corollary-1.attention",
    "corollary-1.loss",
    "corollary-1.gradient",
    "corollary-2.output",
    "corollary-2.loss",
    "corollary-2.gradient",
}
PHASE_1 = {
    f"theorem-2.phase-1.{name}"
    for name in ("distribution", "field", "toeplitz", "gap-positive", "initial-gap", "limit")
}
PHASE_2 = {
    f"theorem-2.phase-2.{name}"
    for name in (
        "single-target",
        "gradients",
        "sparsity",
        "distractor-gap",
        "self-gap",
        "diagonal",
        "off-diagonal",
        "self-mask",
        "other-positions",
        "attention",
    )
}
NEXT_TOKEN = {
    f"theorem-3.{name}"
    for name in (
        "distribution",
        "row-regimes",
        "mean-probability",
        "polynomial",
        "log-step",
        "predecessor",
        "context",
        "next-token-loss",
        "flow",
    )
}
TRAINED = {"section-5.phenomenon", "figure-3.predecessor"}
STANDARD = {"appendix-e3.accuracy", "appendix-e3.attention", "figure-2.star", "figure-2.tree"}

TRANSFER = {
    f"transfer.{name}" for name in ("next-token-signs", "transfer-signs", "backbone-signs", "power", "multi-hop")
}
SECONDARY = TRANSFER | {"speculative.expected-tokens"}


def test_the_registry_holds_every_claim_and_no_other():
    every = FORWARD | GRADIENTS | CIRCUIT | PHASE_1 | PHASE_2 | NEXT_TOKEN | TRAINED | STANDARD | SECONDARY
    assert {claim.id for claim in own()} == every


@pytest.mark.parametrize("claim", own(), ids=lambda claim: claim.id)
def test_each_entry_can_be_read_and_its_check_found(claim):
    assert claim.formula
    assert claim.setting
    assert callable(claim.check)


@pytest.mark.parametrize(
    "name",
    [
        "theorem-1.goal",
        # The first notebook decides these as well, but for the last, which is measured as theorem-1.replay is.
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("lemma-3.content-2", "theorem-1.plan", "theorem-1.replay", "theorem-1.free-rows")
        ),
    ],
)
def test_cheap_claims_agree_with_their_record(name):
    (claim,) = select(own(), [name])
    result = decide(claim)
    assert result.agrees, result.complaint


_on_each_order = jax.jit(jax.vmap(objective, in_axes=(None, 0, 0, 0)))
_norms = jax.jit(jax.vmap(norm))


@pytest.mark.parametrize("gamma", [5.0, 9.0, 30.0])
def test_balls_hold_the_float64_library(gamma):
    """The scaled ball arithmetic against the library, which shares none of it, on all 24 edge orders."""
    tokens, v, end = setting.orders()
    found = _on_each_order(circuit(gamma, 10, 10), tokens, v, end)
    norms = [np.asarray(_norms(gradient)) for gradient in found.gradients]
    scale = math.exp(gamma)
    for index, (row, y1, y2) in enumerate(ball.edge_orders()):
        replayed = np.asarray(replay_context(np.asarray(row, np.int32), y1)).tolist()
        near, far, goal = (
            ball.near(ball.at(gamma), row, y2, y1),
            ball.far(ball.at(gamma), replayed, y2, y2),
            ball.shallow(ball.at(gamma), row, y2),
        )
        inside(near.loss, scale * float(found.losses.plan[index]))
        inside(goal.loss, scale * float(found.losses.goal[index]))
        inside(gamma - far.found.log(), float(found.losses.replay[index]))
        inside(near.gradient.norm, scale * norms[0][index])
        inside(far.gradient.norm, norms[1][index])
        inside(goal.gradient.norm, scale * norms[2][index])


def inside(enclosure, value):
    slack = 1e-11 * abs(value)
    assert float(enclosure.lower()) - slack <= value <= float(enclosure.upper()) + slack


def test_a_range_of_gamma_holds_its_points():
    tokens, v, end = ball.edge_orders()[5]
    wide = ball.near(ball.over(6.0, 6.5), tokens, end, v)
    for gamma in (6.0, 6.2, 6.5):
        point = ball.near(ball.at(gamma), tokens, end, v)
        assert wide.loss.contains(point.loss)
        assert wide.gradient.norm.contains(point.gradient.norm)
    with pytest.raises(AssertionError, match="stands before u_end"):
        ball.near(ball.at(6.0), tokens, end, end)


def test_fitted_exponents_find_polynomial_factors():
    """gamma e^-gamma and e^(-0.98 gamma) are not taken for e^-gamma."""
    gammas = jnp.repeat(jnp.asarray(GAMMAS)[:, None], 2, axis=1)
    assert decays("exact", 3 * jnp.exp(-gammas)).shows == "supports"
    assert decays("slow", jnp.exp(-0.99 * gammas)).shows == "contradicts"
    assert decays("with a factor gamma", gammas * jnp.exp(-gammas)).shows == "contradicts"
    assert exponent(sweep().goal) == pytest.approx(-1, abs=1e-4)


@pytest.mark.parametrize("place", [0, 1])
def test_a_nan_anywhere_is_no_small_gap(place):
    ours = [jnp.zeros(3), jnp.zeros(2)]
    assert setting.gap(ours, [jnp.zeros(3), jnp.zeros(2)]) == 0
    ours[place] = ours[place].at[1].set(jnp.nan)
    assert math.isnan(setting.gap(ours, [jnp.zeros(3), jnp.zeros(2)]))


def test_exact_gradients_vanish_only_where_they_should():
    zero = exact.one_hot(3, 1)
    gradients = exact.Gradients([zero, [zero[0]] * 3], [zero[0]] * 3)
    assert not exact.vanishes(gradients)
    assert exact.vanishes(gradients, rows=[1])
    assert not exact.vanishes(None)
