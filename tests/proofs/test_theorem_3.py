"""Theorem 3: independent twins of its numbers, and mutants that change its verdicts.

The twin is numpy on the definition: it enumerates edge orders itself, takes softmax at complex weights, and reads
derivatives off the imaginary part, exact to rounding. It shares no code and no formula with the checks.
"""

import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.objective import objective
from circuits.disentangled.weights import zeros
from circuits.flow.population import mean_exhaustive
from proofs_check import evidence, setting, theorem_3, theorem_3_flow, theorem_3_loss
from proofs_check.evidence import Findings, decided
from proofs_check.theorem_3_flow import NEXT_TOKEN, PLAN, Path, Point

T = 10
CHECKS = {
    theorem_3.distribution: "amended",
    theorem_3.row_regimes: "amended",
    theorem_3.mean_probability: "amended",
    theorem_3.polynomial: "amended",
    theorem_3_loss.log_step: "fails",
    theorem_3_loss.predecessor: "fails",
    theorem_3_loss.context: "fails",
    theorem_3_loss.next_token_loss: "fails",
}
START, V, END, OTHER, LEAF = 7, 4, 0, 9, 2


def contexts():
    """Z and Z' of every edge order, with labels unlike those of the checks."""
    for order in itertools.permutations([(START, V), (V, END), (START, OTHER), (OTHER, LEAF)]):
        edges = [node for edge in order for node in edge]
        yield [*edges, END, START], [*edges, END, V]


def softmax(row):
    powers = np.exp(row - row.real.max())
    return powers / powers.sum()


def found(tokens, target, w, match=0.0, position_2=None):
    """f1 . e_target by Lemma 1, at any complex weights."""
    s1 = np.zeros((T, T), complex)
    for r in range(T):
        s1[r, : r + 1] = softmax(np.array([w[r - j] for j in range(r + 1)], complex))
    scores = match * np.equal.outer(tokens, tokens) + (np.zeros((T, T)) if position_2 is None else position_2)
    s2 = softmax((s1[-1] @ scores).astype(complex))
    return s2 @ s1 @ np.equal(tokens, target)


def twin_loss(w, shares, match=0.0, position_2=None):
    total = 0.0
    for z, replayed in contexts():
        plan = -np.log(found(np.array(z), V, w, match, position_2))
        replay = -np.log(found(np.array(replayed), END, w, match, position_2))
        total = total + shares[0] * plan + shares[1] * replay
    return total / 24


def derivative(function, at, index):
    """By the complex step: no difference is taken, so nothing cancels."""
    step = np.zeros_like(at, complex)
    step[index] = 1e-30j
    return function(at + step).imag / 1e-30


@pytest.fixture(autouse=True)
def _fresh():
    """A mutant must not meet, or leave behind, a value that was cached."""
    cached = (theorem_3.indicators, theorem_3.expected, theorem_3_loss.by_formula, theorem_3_loss.chained)
    for function in (*cached, theorem_3_flow.pulls):
        function.cache_clear()
    yield
    for function in (*cached, theorem_3_flow.pulls):
        getattr(function, "cache_clear", lambda: None)()


def reached(check, limit=False):
    findings = check()
    assert isinstance(findings, Findings)
    return evidence.verdict(findings.evidence, limit=limit)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_verdicts_controls_and_examples(check):
    findings = check()
    assert evidence.verdict(findings.evidence) == CHECKS[check]
    assert len(findings.controls) >= 3
    assert [control.name for control in findings.controls if not control.rejected] == []
    assert findings.example


def test_the_prior_by_counting():
    counts = np.sum([np.equal(z, V) for z, _ in contexts()], axis=0)
    assert counts.tolist() == [6] * 8 + [0, 0]
    assert [24 * value for value in theorem_3.expected()] == counts.tolist()


def test_mu_and_its_derivatives_by_complex_steps():
    w = np.zeros(T)
    ours = sorted(float(found(np.array(z), V, w).real) for z, _ in contexts())
    theirs = sorted(float(theorem_3.probability(u)) for u in theorem_3.indicators())
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)
    for k in range(T):
        slopes = [derivative(lambda w, z=z: found(np.array(z), V, w), w, k) for z, _ in contexts()]
        assert np.mean(slopes) == pytest.approx(float(theorem_3.slope(theorem_3.expected(), k)), abs=1e-15)
    assert [theorem_3.slope(theorem_3.expected(), k) for k in (1, 2, 8, 9)] == [
        Fraction(-137, 81000),
        Fraction(131, 162000),
        Fraction(131, 162000),
        Fraction(1, 2000),
    ]


def test_loss_slopes_by_complex_steps():
    """The headline: the derivative of both losses at w = 0, and its sign at k = 1."""
    for shares, slopes in ((PLAN, theorem_3_loss.plan()), (NEXT_TOKEN, theorem_3_loss.whole())):
        ours = [derivative(lambda w, shares=shares: twin_loss(w, shares), np.zeros(T), k) for k in range(T)]
        np.testing.assert_allclose(ours, [float(value) for value in slopes], rtol=0, atol=1e-15)
        assert ours[1] < -0.007
    exactly = Fraction(-109143245571227175831190234406141487193, 14039034711229548592357915388288728258560)
    assert theorem_3_loss.plan()[1] == theorem_3_loss.chained()[1] == exactly


def test_one_step_of_gradient_descent_raises_the_pointer():
    """No derivative at all: take the step, and compare S1[T, T-1] and the loss before and after."""
    for shares, slopes in ((PLAN, theorem_3_loss.plan()), (NEXT_TOKEN, theorem_3_loss.whole())):
        step = -0.5 * np.array([float(value) for value in slopes])
        assert softmax(step.astype(complex)).real[1] > 0.1
        assert softmax(step.astype(complex)).real[2:].sum() < 0.8
        assert twin_loss(step, shares).real < twin_loss(np.zeros(T), shares).real
        only = np.zeros(T)
        only[1] = 0.1
        assert twin_loss(only, shares).real < twin_loss(np.zeros(T), shares).real


def test_velocity_of_the_flow_by_complex_steps():
    """All 111 moving coordinates at a random point, for both losses, and none of Layer 2 where it is held."""
    rng = np.random.default_rng(0)
    w, match, position = rng.normal(size=T), 0.7, rng.normal(size=(T, T))
    for shares, moves in ((PLAN, 1.0), (NEXT_TOKEN, 0.0)):
        point = Point(*map(jnp.asarray, (w, match, position, shares, moves)))
        ours = jax.jit(theorem_3_flow.velocity)(point)
        by_w = [derivative(lambda w, s=shares: twin_loss(w, s, match, position), w, k) for k in range(T)]
        np.testing.assert_allclose(ours.offsets, -np.array(by_w), rtol=0, atol=1e-14)
        by_match = derivative(lambda m, s=shares: twin_loss(w, s, m[0], position), np.array([match]), 0)
        assert float(ours.match) == pytest.approx(-moves * by_match / 9, abs=1e-15)
        for place in ((8, 8), (0, 3), (9, 9), (4, 0)):
            entry = derivative(lambda p, s=shares: twin_loss(w, s, match, p), position, place)
            assert float(ours.position_2[place]) == pytest.approx(-moves * entry, abs=1e-14)
        assert not np.any(ours.shares)
        assert not np.any(ours.moves)


@pytest.mark.parametrize("shares", [PLAN, NEXT_TOKEN])
def test_pulls_near_the_pointer_by_small_weights(shares):
    """C_k from the loss itself, with all weights but two switched off."""
    small, off = 1e-7, -200.0
    w = np.full(T, off)
    w[1] = 0
    limit = twin_loss(w, shares).real
    for k in (0, *range(2, T)):
        near = w.copy()
        near[k] = np.log(small)
        pull = (limit - twin_loss(near, shares).real) / small
        assert pull == pytest.approx(float(theorem_3_flow.pulls(shares)[k]), abs=1e-5)


MUTANTS = {
    "row_slope, sign": (
        (theorem_3, "row_slope", lambda real: lambda u, r, k: -real(u, r, k)),
        ("row_regimes", "mean_probability", "log_step", "predecessor", "context", "next_token_loss"),
    ),
    "row_slope, offset": (
        (theorem_3, "row_slope", lambda real: lambda u, r, k: real(u, r, k + 1)),
        ("row_regimes", "mean_probability", "log_step", "predecessor", "context", "next_token_loss"),
    ),
    "row_slope, row T dropped": (
        (theorem_3, "row_slope", lambda real: lambda u, r, k: Fraction(0) if r == len(u) else real(u, r, k)),
        ("row_regimes", "mean_probability", "log_step", "predecessor", "context", "next_token_loss"),
    ),
    "mu a constant, as printed": (
        (theorem_3_loss, "probability", lambda real: lambda u: Fraction(109, 450)),
        ("log_step", "predecessor", "context", "next_token_loss"),
    ),
    "loss_slope, sign": (
        (theorem_3_loss, "loss_slope", lambda real: lambda u, k: -real(u, k)),
        ("log_step", "predecessor", "context", "next_token_loss"),
    ),
    "attention_rate, sign": (
        (theorem_3_loss, "attention_rate", lambda real: lambda slopes, offsets: -real(slopes, offsets)),
        ("predecessor", "context", "next_token_loss"),
    ),
    "the amended rows are the printed ones": (
        (theorem_3, "_true_row", lambda real: theorem_3._printed_row),
        ("row_regimes", "mean_probability"),
    ),
    "v counted once": (
        (theorem_3, "indicators", lambda real: lambda *given: real("v at odd positions", *given[1:])),
        ("distribution", "row_regimes", "mean_probability"),
    ),
    "decimals, numerator": (
        (theorem_3, "_decimals", lambda real: lambda first, second: real(first + 1, second)),
        ("polynomial",),
    ),
}


@pytest.mark.parametrize(("mutant", "name"), [(m, name) for m, (_, names) in MUTANTS.items() for name in names])
def test_a_changed_formula_changes_the_verdict(monkeypatch, mutant, name):
    (module, attribute, change), _ = MUTANTS[mutant]
    check = next(check for check in CHECKS if check.__name__ == name)
    monkeypatch.setattr(module, attribute, change(getattr(module, attribute)))
    assert reached(check) != CHECKS[check]


TRUE_ENDS = {name: offset for name, (_, _, offset) in theorem_3_flow.FLOWS.items()}
HELD, CIRCUIT = theorem_3_flow.HELD, theorem_3_flow.CIRCUIT


def made_up(ends, highest=0.2):
    """Solutions whose query moves from 1/10 everywhere to one offset like 1/t; S1[T, T-1] is ``highest`` once."""
    left = 1 / (1 + np.asarray(theorem_3_flow.TIMES))
    paths = {}
    for name, offset in ends.items():
        attention = left[:, None] / T + (1 - left[:, None]) * (np.arange(T) == offset)
        w = np.log(attention)
        attention[20, 1] = highest
        blank = jnp.zeros(len(w))
        points = Point(jnp.asarray(w - w.mean(axis=1, keepdims=True)), blank, blank, blank, blank)
        paths[name] = Path(points, attention, 1e-3 * left)
    return paths


@pytest.mark.parametrize(
    ("paths", "verdict"),
    [
        (made_up(TRUE_ENDS), "fails"),
        (made_up({**TRUE_ENDS, HELD: 2}), "open"),
        (made_up({**TRUE_ENDS, CIRCUIT: 2}), "open"),
        (made_up(dict.fromkeys(TRUE_ENDS, 2), highest=0.05), "open"),
        (made_up(TRUE_ENDS, highest=0.05), "open"),
    ],
    ids=["as found", "NTP repelled", "L1a misses the circuit", "all repelled", "L1a never raises it"],
)
def test_the_verdict_on_the_flow_follows_the_solutions(monkeypatch, paths, verdict):
    monkeypatch.setattr(theorem_3_flow, "_path", lambda name: paths[name])
    monkeypatch.setattr(theorem_3_flow, "path", lambda shares, moves: paths[CIRCUIT if moves else HELD])
    agrees = decided("autodiff", "left out here", True, 1, of="amended")
    monkeypatch.setattr(theorem_3_flow, "_against_library", lambda: agrees)
    assert reached(theorem_3_flow.flow, limit=True) == verdict


def test_pulls_of_the_other_sign_change_the_verdict_on_the_flow(monkeypatch):
    paths, real = made_up(TRUE_ENDS), theorem_3_flow.pulls
    monkeypatch.setattr(theorem_3_flow, "_path", lambda name: paths[name])
    monkeypatch.setattr(theorem_3_flow, "path", lambda shares, moves: paths[CIRCUIT if moves else HELD])
    monkeypatch.setattr(
        theorem_3_flow, "_against_library", lambda: decided("autodiff", "left out here", True, 1, of="amended")
    )
    monkeypatch.setattr(theorem_3_flow, "pulls", lambda shares: tuple(-value for value in real(shares)))
    assert reached(theorem_3_flow.flow, limit=True) == "open"


@pytest.mark.slow
def test_the_four_flows():
    findings = theorem_3_flow.flow()
    assert evidence.verdict(findings.evidence, limit=True) == "fails"
    assert all(control.rejected for control in findings.controls)


@pytest.mark.slow
def test_loss_slopes_over_all_725760_sequences():
    """The library's gradients, averaged over every labeling and edge order and summed along diagonals."""

    def slopes(weights, *prompt):
        found = objective(weights, *prompt).gradients
        first = [part[0].position for part in (found.plan, found.replay)]
        return jnp.stack([jnp.stack([jnp.trace(matrix, offset=-k) for k in range(T)]) for matrix in first])

    plan, replay = mean_exhaustive(slopes, zeros(2, T, T), setting.SPEC)
    for found, stated in ((plan, theorem_3_loss.plan()), ((plan + replay) / 2, theorem_3_loss.whole())):
        np.testing.assert_allclose(found, [float(value) for value in stated], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("paths", "nodes"), [(2, 3), (3, 3), (2, 4), (4, 3)])
def test_the_sign_of_the_predecessor_is_no_accident_of_one_size(paths, nodes):
    """E[dL1a/dw(1)] < 0 while E[dmu/dw(1)] < 0 too, over all edge orders, by sums written out."""
    names = [["start", *((path, step) for step in range(1, nodes))] for path in range(paths)]
    edges = [(path[step], path[step + 1]) for path in names for step in range(nodes - 1)]
    v = np.array([[end == (0, 1) for end in edge] for edge in edges], float)
    orders = np.array(list(itertools.permutations(range(len(edges)))))
    u = np.concatenate([v[orders].reshape(len(orders), -1), np.zeros((len(orders), 2))], axis=1)
    length = u.shape[1]
    rows = np.arange(1, length + 1)
    means = np.cumsum(u, axis=1) / rows  # row r of S1 u
    mu = means.mean(axis=1)
    moved = np.sum((u[:, :-1] - means[:, 1:]) / rows[1:], axis=1) / length  # r = 2 .. T, u_{r-1}
    assert np.mean(moved) < -1e-5
    assert np.mean(-moved / mu) < -1e-3
