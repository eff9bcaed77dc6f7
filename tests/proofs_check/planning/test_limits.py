"""The limits of Theorem 2, Phase I, and Theorem 3: the enclosed path, and the steps of the proofs, against float64."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import sympy
from flint import arb
from scipy.integrate import solve_ivp

from proofs_check.ledger import Test, same
from proofs_check.methods.star import T, edge_orders, goal, next_label, positions, replayed
from proofs_check.planning import theorem_2_phase_1_limit as phase_1
from proofs_check.planning import theorem_3_flow_enclosure as enclosure
from proofs_check.planning import theorem_3_flow_field as field
from proofs_check.planning import theorem_3_flow_proof as proof

LOSSES = {"next token": field.NEXT_TOKEN, "plan": field.PLAN}


OFFSET = np.subtract.outer(np.arange(T), np.arange(T))
HITS = np.array([(positions(z, next_label(z)), positions(replayed(z), goal(z))) for z in edge_orders()], float)


def twin(w: np.ndarray, shares: field.Shares) -> np.ndarray:
    """w' of Theorem 3's flow in numpy, through S1 as a matrix and the Jacobian of softmax."""
    s1 = np.where(OFFSET >= 0, np.exp(w[np.abs(OFFSET)] - w.max()), 0.0)
    s1 /= s1.sum(axis=1, keepdims=True)
    reached = HITS @ s1.T
    by_logit = s1 * (HITS[..., None, :] - reached[..., None]) / reached.sum(axis=-1)[..., None, None]
    mean = np.tensordot([float(share) for share in shares], by_logit.mean(axis=0), 1)
    return np.array([np.trace(mean, -k) for k in range(T)])


@pytest.mark.parametrize("shares", LOSSES.values(), ids=LOSSES)
def test_the_enclosed_path_holds_an_independent_solution(shares):
    pieces = enclosure.path(shares, 12)
    times = [piece.end for piece in pieces]
    options = {"method": "LSODA", "rtol": 1e-12, "atol": 1e-12, "t_eval": times}
    solution = solve_ivp(lambda _, w: twin(w, shares), (0, times[-1]), np.zeros(T), **options).y.T
    for piece, w in zip(pieces, solution, strict=True):
        gaps = [abs(float(ball.mid()) - value) for ball, value in zip(piece.w, w, strict=True)]
        assert max(gaps) < float(piece.error) + 1e-9
        assert max(gaps) < 1e-6
    assert np.abs(solution[-1]).max() > 0.1


@pytest.fixture(scope="module")
def piece() -> Iterator[list[list[arb]]]:
    """A piece that starts away from zero."""
    cap = enclosure.ctx.cap
    yield enclosure._polynomial([arb(k) / 7 for k in range(T)], field.goals(field.NEXT_TOKEN))
    enclosure.ctx.cap = cap


@pytest.mark.parametrize("length", [0.3, 2.0, 5.0])
def test_the_defect_bounds_every_sample_of_it(piece, length):
    bound = float(enclosure._defect(piece, length, field.goals(field.NEXT_TOKEN)))
    missed = []
    for t in np.linspace(0, length, 15):
        w = np.array([np.polyval([float(c) for c in reversed(row)], t) for row in piece])
        slopes = [np.polyval(np.polyder([float(c) for c in reversed(row)]), t) for row in piece]
        missed.append(np.abs(slopes - twin(w, field.NEXT_TOKEN)).max())
    assert max(missed) <= bound + 1e-14  # the rounding of the twin


def test_the_growth_bounds_the_logarithmic_norm(piece):
    length, step = 2.0, 1e-5
    bound = float(enclosure._growth(piece, length, field.goals(field.NEXT_TOKEN)).upper())
    norms = []
    for t in np.linspace(0, length, 15):
        w = np.array([np.polyval([float(c) for c in reversed(row)], t) for row in piece])
        columns = [twin(w + step * e, field.NEXT_TOKEN) - twin(w - step * e, field.NEXT_TOKEN) for e in np.eye(T)]
        jacobian = np.array(columns).T / (2 * step)
        norms.append(np.max(np.diag(jacobian) + np.abs(jacobian).sum(axis=1) - np.abs(np.diag(jacobian))))
    sampled = length * np.mean(np.maximum(norms, 0))
    assert 0.01 < sampled <= bound < 2 * sampled


def test_a_path_without_a_field_is_refused(monkeypatch):
    monkeypatch.setattr(enclosure, "field", lambda x, targets: [each * arb("nan") for each in x])
    with pytest.raises(ValueError, match="step"):
        enclosure.path.__wrapped__(field.PLAN, 1)


def test_the_last_step_shows_nothing_if_one_before_it_fails():
    symbol = sympy.Symbol("a")
    right, wrong = (
        Test("symbolic", "a", lambda other: same([(symbol, other)]), amended=stated, mutants={"b": 1 - stated})
        for stated in (symbol, -symbol)
    )
    last = same([(symbol, symbol)])
    assert proof.resting_on((right, right), last).shows == "supports"
    assert proof.resting_on((right, wrong), last).shows == "undecided"


def test_phase_1_descends_l2_and_keeps_its_bounds():
    velocity = sympy.lambdify([phase_1.WEIGHTS], phase_1.velocity())
    hits = np.array([positions(z, goal(z)) for z in edge_orders()])

    def loss(w: np.ndarray) -> complex:
        s = np.exp(w)[::-1] / np.exp(w).sum()
        return -np.log(hits @ s).mean()

    w, step = np.random.default_rng(0).standard_normal(T), 1e-30
    slopes = [loss(w + 1j * step * e).imag / step for e in np.eye(T)]
    np.testing.assert_allclose(velocity(np.exp(w)), [-slope for slope in slopes], rtol=0, atol=1e-14)

    times = np.array([1.0, 10.0, 100.0])
    options = {"method": "LSODA", "t_eval": times, "rtol": 1e-9, "atol": 1e-9}
    solution = solve_ivp(lambda _, w: velocity(np.exp(w)), (0, 100), np.zeros(T), **options)
    gaps = solution.y[1] - solution.y
    for rate, offsets in ((3 / 8, phase_1.EVEN), (1 / 2, phase_1.OTHERS)):
        assert (gaps[list(offsets)] >= np.log1p(rate * times)).all()
        assert np.ptp(gaps[list(offsets)], axis=0).max() < 1e-6


def test_the_gains_of_the_losses_near_the_pointer():
    """C_k of docs/theory/dynamics.md: near the pointer, to first order, what looking k back, not one, gains a loss."""

    def gain(context, label, k):
        u = positions(context, label)
        total = sum(u[r - k - 1] - u[r - 2] for r in range(max(k, 1) + 1, T + 1))
        return Fraction(total, u[0] + sum(u[: T - 1]))

    def means(k):
        parts = [(gain(z, next_label(z), k), gain(replayed(z), goal(z), k)) for z in edge_orders()]
        return [sum(part) / len(parts) for part in zip(*parts, strict=True)]

    plan, replay = zip(*(means(k) for k in range(T)), strict=True)
    assert plan[0] == Fraction(-1, 12)
    assert plan[2:] == (Fraction(1, 12), *[Fraction(7, 72)] * 6, Fraction(1, 12))
    both = [(a + b) / 2 for a, b in zip(plan, replay, strict=True)]
    assert both[0] == Fraction(-1, 24)
    assert both[2:] == [Fraction(-5, 24), *[Fraction(-29, 144)] * 6, Fraction(-5, 24)]
