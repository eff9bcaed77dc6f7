"""Theorem 2's checks against plain twins, and what becomes of a verdict when one formula of a check is changed."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.circuit import circuit
from circuits.disentangled.weights import Layer, Weights, random
from circuits.flow.printed import phase_1
from proofs_check import (
    exact,
    setting,
    theorem_2_exact,
    theorem_2_flows,
    theorem_2_phase_1,
    theorem_2_phase_1_gap,
    theorem_2_phase_1_limit,
    theorem_2_phase_2,
    theorem_2_phase_2_gap,
    theorem_2_phase_2_limit,
)
from proofs_check.evidence import Findings, at_most, verdict
from proofs_check.theorem_2_exact import UNIFORM, contexts, logit_velocity, pull, random_rows, vertices
from proofs_check.theorem_2_flows import Path, phase_1_twin, phase_2_twin

T = setting.T
CHEAP: dict[str, Callable[[], Findings]] = {
    "distribution": theorem_2_phase_1.distribution,
    "field": theorem_2_phase_1.field,
    "toeplitz": theorem_2_phase_1.toeplitz_structure,
    "gap-positive": theorem_2_phase_1_gap.gap_positive,
    "initial-gap": theorem_2_phase_1_gap.initial_gap,
    "single-target": theorem_2_phase_2.single_target,
    "gradients": theorem_2_phase_2.gradients,
    "sparsity": theorem_2_phase_2.sparsity,
    "distractor-gap": theorem_2_phase_2_gap.distractor_gap,
    "self-gap": theorem_2_phase_2_gap.self_gap,
}
LIMITS: dict[str, tuple[Callable[[], Findings], str]] = {
    "limit": (theorem_2_phase_1_limit.limit, "holds"),
    "diagonal": (theorem_2_phase_2_limit.diagonal, "holds"),
    "off-diagonal": (theorem_2_phase_2_limit.off_diagonal, "fails"),
    "self-mask": (theorem_2_phase_2_limit.self_mask, "holds"),
    "other-positions": (theorem_2_phase_2_limit.other_positions, "fails"),
    "attention": (theorem_2_phase_2_limit.attention_limit, "holds"),
}


def sequences() -> list[list[int]]:
    """All 24 shuffles of start>v>end and start>other>leaf, written out here."""
    start, v, end, other, leaf = 5, 7, 2, 9, 0
    edges = [(start, v), (v, end), (start, other), (other, leaf)]
    return [[*itertools.chain(*order), end, start] for order in itertools.permutations(edges)]


def goal_loss(w: np.ndarray) -> float:
    """E[L2] at offset weights w, as in Definition 1 with W0 = 0."""
    s = np.exp(w[::-1]) / np.exp(w).sum()
    return float(np.mean([-np.log(sum(s[j] for j in range(T) if row[j] == 2)) for row in sequences()]))


def plan_loss(theta: np.ndarray) -> float:
    """E[L1a] at (a, b, row), where each position hands on the label before it, and the first its own."""
    total = 0.0
    for row in sequences():
        logits = [theta[0] if row[j] == 2 else theta[1] for j in range(T)] + theta[2:]
        s = np.exp(logits) / np.exp(logits).sum()
        total -= np.log(sum(s[j] for j in range(T) if row[max(j - 1, 0)] == 7))
    return total / 24


def slopes(loss: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    return np.array([(loss(at + d) - loss(at - d)) / (2 * step) for d in step * np.eye(len(at))])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_twins_are_minus_the_slopes_of_plain_losses(seed):
    rng = np.random.default_rng(seed)
    w, theta = rng.normal(size=10), rng.normal(size=12)
    np.testing.assert_allclose(phase_1_twin(w), -slopes(goal_loss, w), atol=1e-8)
    shares = np.array([10, 90, *[1] * 10])
    np.testing.assert_allclose(phase_2_twin(theta), -slopes(plan_loss, theta) / shares, atol=1e-8)


def test_rational_and_float_fields_are_one():
    s = random_rows(1, seed=4)[0]
    w = np.log(np.array(s, float))
    np.testing.assert_allclose(np.array(theorem_2_phase_1.velocity(s), float), phase_1_twin(w), atol=1e-14)
    np.testing.assert_allclose(
        np.array(theorem_2_phase_2_limit._start(), float), phase_2_twin(np.zeros(12)), atol=1e-16
    )


def test_velocities_at_zero():
    sixth, fortieth, ninetieth = Fraction(-1, 60), Fraction(1, 40), Fraction(1, 90)
    row = [sixth, sixth, fortieth, fortieth, ninetieth, fortieth, ninetieth, fortieth, ninetieth, Fraction(-1, 10)]
    assert theorem_2_phase_2_limit._start() == [Fraction(133, 3600), Fraction(-133, 32400), *row]
    expected = [Fraction(-1, 10), Fraction(2, 5), *[Fraction(1, 40), Fraction(-1, 10)] * 4]
    assert theorem_2_phase_1.velocity(UNIFORM) == expected


def test_the_printed_field_is_that_of_the_library():
    p, c, q = Fraction(3, 10), Fraction(1, 16), Fraction(1, 5)
    ours = theorem_2_phase_1.printed_field([q, p, *[c] * 8])
    theirs = phase_1(jnp.log(jnp.array([p, c, q], float)))
    np.testing.assert_allclose(np.array([ours[1], ours[2], ours[0]], float), np.asarray(theirs), atol=1e-15)
    assert len(set(ours[2:])) == 1


def test_the_pull_is_the_gradient_of_theorem_1():
    """With one-hot S1 as the predecessor, against the rational chain rule that Theorem 1 is checked with."""
    s = random_rows(1, seed=5)[0]
    s1 = [exact.one_hot(T, max(t - 1, 0)) for t in range(T)]
    for context in contexts():
        hit = [token == context.v for token in context.tokens]
        found = exact.deep(exact.Attention(s1, s, [UNIFORM] * T), hit)
        assert found is not None
        assert [-entry for entry in found.logits_2] == pull(s, context.reads_v)


def test_logits_move_as_the_literal_model_says():
    """Their derivative along minus the gradient of L1a in both blocks of Layer 2."""
    context = contexts()[7]
    tokens = jnp.array(context.tokens, jnp.int32)
    first, layer = circuit(800.0, 10, 10)[0], random(jax.random.key(2), 2, 10, 10)[1]

    def logits(moved: Layer) -> jax.Array:
        return moved.content[context.end, tokens] + moved.position[T - 2]

    def loss(moved: Layer) -> jax.Array:
        weights: Weights = (first, moved)
        return setting.literal_loss(weights, tokens, jnp.int32(context.v))

    velocity = jax.jvp(logits, (layer,), (jax.tree.map(jnp.negative, jax.jit(jax.grad(loss))(layer)),))[1]
    s = [Fraction(float(mass)) for mass in jax.nn.softmax(logits(layer))]
    found = logit_velocity(context, pull(s, context.reads_v))
    np.testing.assert_allclose(np.array(found, float), np.asarray(velocity), atol=1e-14)


def test_the_pull_of_one_target_is_linear():
    context = contexts()[0]
    for s in random_rows(3):
        assert pull(s, context.only_end) == [hit - mass for hit, mass in zip(context.only_end, s, strict=True)]
    assert [sum(row) for row in vertices()] == [1] * T


def test_the_printed_gap_has_a_negative_value():
    """x = 1/16, s_c = 1/100, in plain floats."""
    x, s = 1 / 16, 1 / 100
    assert -s * (x - 1) + (x - 1 / 8) / (x + 1) == pytest.approx(-269 / 5440)
    for x in (1 / 8, 0.3, 1.0, 40.0):
        assert all(-s * (x - 1) + (x - 1 / 8) / (x + 1) > 0 for s in np.linspace(1e-9, 1 / (x + 8), 50))


@pytest.mark.parametrize("name", CHEAP)
def test_cheap_verdicts(name):
    found = CHEAP[name]()
    assert verdict(found.evidence) == "amended"
    assert found.controls
    assert all(control.rejected for control in found.controls)


MUTANTS: dict[str, tuple[str, ModuleType, str, Callable[..., object]]] = {
    "u_end also at sources": (
        "distribution",
        theorem_2_phase_1,
        "contexts",
        lambda: tuple(c._replace(tokens=(c.end, *c.tokens[1:])) for c in contexts()),
    ),
    "the field of the printed prior": (
        "field",
        theorem_2_phase_1,
        "parity_field",
        lambda s, **_: theorem_2_phase_1.printed_field(s),
    ),
    "a gradient in every row": (
        "toeplitz",
        theorem_2_phase_1,
        "free_velocity",
        lambda s: [s] * T,
    ),
    "the softmax term dropped": (
        "gap-positive",
        theorem_2_phase_1_gap,
        "printed_gap",
        lambda x, s, m, prior=None, sign=1: (x - 1 / m) / (x + 1),
    ),
    "Eq. 10's prior 2/(T - 2)": (
        "initial-gap",
        theorem_2_phase_1_gap,
        "printed_gap",
        lambda x, s, m: -s * (x - 1) + (x - 2 / m) / (x + 1),
    ),
    "one target after all": (
        "single-target",
        theorem_2_phase_2,
        "contexts",
        lambda: tuple(c._replace(v=c.end) for c in contexts()),
    ),
    "a bound on other distractors": (
        "distractor-gap",
        theorem_2_phase_2_gap,
        "logit_velocity",
        lambda context, g: g,
    ),
    "the query at T": (
        "self-gap",
        theorem_2_phase_2_gap,
        "logit_velocity",
        lambda context, g: g[::-1],
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_formula_changes_the_verdict(name, monkeypatch):
    check, module, attribute, changed = MUTANTS[name]
    monkeypatch.setattr(module, attribute, changed)
    assert verdict(CHEAP[check]().evidence) != "amended"


@pytest.mark.parametrize(
    ("check", "leaf"), [("gradients", "content"), ("gradients", "position"), ("sparsity", "position")]
)
def test_a_transposed_gradient_changes_the_verdict(check, leaf, monkeypatch):
    values = dict(theorem_2_phase_2._on_graphs())
    truth = values["autodiff"]
    values["autodiff"] = truth._replace(**{leaf: np.swapaxes(getattr(truth, leaf), 1, 2)})
    monkeypatch.setattr(theorem_2_phase_2, "_on_graphs", lambda: values)
    assert verdict(CHEAP[check]().evidence) != "amended"


def path_of(velocity: Callable[[np.ndarray], np.ndarray], size: int, until: float) -> Path:
    """A path by the twin, with the loss that belongs to it."""
    path = theorem_2_flows.changed(velocity, size, until)
    loss = -np.log1p(-_missed(path)) if size == 12 else _phase_1_loss(path.theta)
    return path._replace(loss=loss)


def _missed(path: Path) -> np.ndarray:
    read = np.array([context.reads_v for context in contexts()])
    missed = np.array([np.sum(theorem_2_flows.attention(theta) * ~read, axis=1) for theta in path.theta])
    return -np.expm1(np.log1p(-missed).mean(axis=1))


def _phase_1_loss(theta: np.ndarray) -> np.ndarray:
    s = np.exp(theta - theta.max(axis=1, keepdims=True))
    others = np.where(np.arange(T) == 1, 0, s)
    missed = (others.sum(axis=1, keepdims=True) - others[:, 2::2]) / s.sum(axis=1, keepdims=True)
    return -np.log1p(-missed).mean(axis=1)


def settle(monkeypatch, one: Callable[[np.ndarray], np.ndarray], two: Callable[[np.ndarray], np.ndarray], until: float):
    """The checks see the paths of the twins, to t = 1e12 and 1e20, or of changed fields."""
    first, second = path_of(one, 10, min(until, 1e12)), path_of(two, 12, until)
    monkeypatch.setattr(theorem_2_phase_1_limit, "phase_1", lambda: first)
    monkeypatch.setattr(theorem_2_phase_2_limit, "phase_2", lambda: second)


def test_limits_on_the_paths_of_the_twins(monkeypatch):
    settle(monkeypatch, phase_1_twin, phase_2_twin, until=1e20)
    for check, expected in LIMITS.values():
        found = check()
        assert verdict(found.evidence, limit=True) == expected
        assert all(control.rejected for control in found.controls)


def test_limits_of_changed_flows_are_not_those_recorded(monkeypatch):
    """a and b as one parameter each, and the printed prior in Phase I."""

    def printed(w: np.ndarray) -> np.ndarray:
        s = np.exp(w - w.max()) / np.exp(w - w.max()).sum()
        prior = np.array([0, 1, *[1 / 8] * 8])
        return s * (prior / (s[1] + s[2]) - 1)

    settle(monkeypatch, printed, lambda theta: phase_2_twin(theta, entries=(1, 1)), until=1e5)
    for name in ("limit", "diagonal", "off-diagonal", "other-positions"):
        assert verdict(LIMITS[name][0]().evidence, limit=True) == "open", name


FLOW_CONTROLS = [
    *((phase_1_twin, 10, mutant) for mutant in theorem_2_phase_1_limit.MUTANTS),
    *((phase_2_twin, 12, mutant) for listed in theorem_2_phase_2_limit.MUTANTS.values() for mutant in listed),
]


@pytest.mark.parametrize(("field", "size", "mutant"), FLOW_CONTROLS)
def test_a_control_rejects_its_mutant_for_the_mutation(field, size, mutant):
    """Not for its horizon: the unchanged field passes the same test at the same time."""
    assert mutant.unchanged(field, size).shows == "supports"
    assert mutant.control(size).rejected


def test_bounded_entries_are_told_from_a_slow_drift(monkeypatch):
    found = path_of(phase_2_twin, 12, 1e20)
    drift = np.zeros(12)
    drift[theorem_2_phase_2_limit.LEVELS] = 0.005
    monkeypatch.setattr(
        theorem_2_phase_2_limit,
        "phase_2",
        lambda: found._replace(theta=found.theta + drift * np.log1p(found.times)[:, None]),
    )
    assert verdict(theorem_2_phase_2_limit.other_positions().evidence, limit=True) == "open"


def test_a_path_that_stops_growing_has_no_limit():
    times = np.asarray(theorem_2_flows.log_times(1e8))
    level = Path(times, np.minimum(np.log1p(times), 10)[:, None], np.zeros(len(times)))
    grows = Path(times, np.log1p(times)[:, None], np.zeros(len(times)))
    assert theorem_2_flows.has_slope("x", level, level.theta, 1.0, 1e-3).shows == "contradicts"
    assert theorem_2_flows.has_slope("x", grows, grows.theta, 1.0, 1e-3).shows == "supports"


def test_evidence_from_fractions_keeps_its_sign():
    tiny = Fraction(1, 10**200)
    assert theorem_2_exact.at_most("x", tiny, 0, 1).shows == "contradicts"
    assert theorem_2_exact.at_least("x", -tiny, 0, 1).shows == "contradicts"
    assert theorem_2_exact.at_most("x", Fraction(0), 0, 1) == at_most("exact", "x", 0, 0, 1)
    assert math.isfinite(theorem_2_exact.at_least("x", tiny, 0, 1).value)
