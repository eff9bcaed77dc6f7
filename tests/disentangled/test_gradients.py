"""Every hand-derived gradient, leaf by leaf: against autodiff, finite differences, and sums over indices."""

from fractions import Fraction
from functools import partial
from random import Random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import FAMILIES, by_autodiff, by_hand, literal_loss
from jax.flatten_util import ravel_pytree

from circuits.disentangled import deep_head, shallow_head
from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import Activations
from circuits.disentangled.losses import losses
from circuits.disentangled.objective import batch_objective, objective
from circuits.disentangled.weights import zeros
from circuits.tasks.star.graph import replay_context
from proofs_check.methods import exact
from tests.cases import FAST_TO_COMPILE, PAPER, assert_close, example, prompt, weights_for

PARTS = ("plan", "replay", "goal")


@pytest.mark.parametrize("spec", FAMILIES)
def test_every_leaf_is_the_gradient_of_the_literal_loss(spec):
    for seed in range(3):
        (tokens, y1, y2), weights = prompt(spec, seed), weights_for(spec, seed)
        ours = by_hand(weights, tokens, y1, y2)
        cases = {"plan": (tokens, y1, 1), "replay": (replay_context(tokens, y1), y2, 1), "goal": (tokens, y2, 0)}
        for part, (context, target, layer) in cases.items():
            loss, gradient = literal_loss(weights, context, target, layer)
            assert_close(getattr(ours.losses, part), loss, atol=1e-10, rtol=1e-12)
            assert_close(getattr(ours.gradients, part), gradient, atol=1e-10)


def test_finite_differences():
    """Central differences of each loss along every single entry of every block."""
    weights, step = weights_for(PAPER, seed=11), 1e-5
    flat, rebuild = ravel_pytree(weights)
    nudged = jax.jit(jax.vmap(lambda entries: losses(rebuild(entries), *example())))
    forth, back = (nudged(flat[None] + sign * step * np.eye(len(flat))) for sign in (1, -1))
    gradients = by_hand(weights, *example()).gradients
    for part in PARTS:
        slopes = (getattr(forth, part) - getattr(back, part)) / (2 * step)
        assert_close(getattr(gradients, part), rebuild(slopes), atol=1e-9)
        assert float(jnp.max(jnp.abs(slopes))) > 0.05


@pytest.mark.parametrize("gamma", [0.0, 1.0, 10.0, 40.0, 200.0, 700.0, 2000.0])
def test_autodiff_agrees_at_any_sharpness(gamma):
    weights = circuit(gamma, 10, 10) if gamma else zeros(2, 10, 10)
    ours, (_, truth) = by_hand(weights, *example()), by_autodiff(weights, *example())
    for part in PARTS:
        assert_close(getattr(ours.gradients, part), getattr(truth, part), atol=1e-10)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(ours))


def test_exact_sums_over_indices_agree():
    """The rational twin of the claim checks, applied to attention that is not a softmax."""
    random = Random(7)
    tokens, y1, _ = example()
    hit = [int(token) == int(y1) for token in tokens]

    @partial(jax.jit, compiler_options=FAST_TO_COMPILE)
    def all_gradients(acts):
        return (
            deep_head.deep_logits_1(acts, tokens, y1),
            deep_head.deep_query_logits(acts, tokens, y1),
            shallow_head.shallow_query_logits(acts, tokens, y1),
            deep_head.softmax_rows_gradient(acts.attention[0], deep_head.deep_attention_1(acts, tokens, y1)),
        )

    for _ in range(5):
        attention = exact.random_attention(random)
        truth, shallow = exact.deep(attention, hit), exact.shallow(attention, hit)
        assert truth is not None
        assert shallow is not None
        logits_1, logits_2, shallow_logits, through = all_gradients(_as_activations(attention))
        assert_close(logits_1, _floats(truth.logits_1), atol=1e-12)
        assert_close(logits_2, _floats(truth.logits_2), atol=1e-12)
        assert_close(shallow_logits, _floats(shallow.logits_1)[-1], atol=1e-12)
        assert_close(through, _floats(truth.logits_1), atol=1e-11)


@pytest.mark.parametrize("size", [2, 9])
def test_jacobian_product_is_the_matrix(size):
    rng = np.random.default_rng(size)
    s, v = rng.dirichlet(np.full(size, 0.3), size=40), rng.normal(size=(40, size))
    assert 5 < np.sum(s.max(axis=1) > 0.5) < 41
    truth = [(np.diag(a) - np.outer(a, a)) @ b for a, b in zip(s, v, strict=True)]
    assert_close(jax.jit(jax.vmap(deep_head.jacobian_product))(s, v), np.stack(truth), 1e-14)


@pytest.mark.parametrize("gamma", [50.0, 300.0, 500.0])
def test_small_gradients_keep_their_relative_accuracy(gamma):
    """e^gamma times a gradient entry tends to a constant, down to e^-500; autodiff loses the largest entry."""
    near, far = (by_hand(circuit(g, 10, 10), *example()).gradients for g in (30.0, gamma))
    scaled = [jax.tree.map(lambda leaf, g=g: leaf * np.exp(g), tree) for g, tree in ((30.0, near), (gamma, far))]
    assert_close(scaled[0].plan, scaled[1].plan, atol=1e-8)
    assert_close(scaled[0].goal, scaled[1].goal, atol=1e-8)


def test_the_shallow_head_has_no_gradient_in_layer_2():
    gradient = by_hand(weights_for(PAPER, seed=3), *example()).gradients.goal
    assert not any(np.any(leaf) for leaf in gradient[1])
    assert not np.any(gradient[0].position[:-1])
    assert float(jnp.max(jnp.abs(gradient[0].position[-1]))) > 1e-3


def test_batches_are_single_prompts():
    rows = [prompt(PAPER, seed) for seed in range(5)]
    weights = weights_for(PAPER, seed=4)
    batch = jax.jit(batch_objective)(weights, *(jnp.stack(column) for column in zip(*rows, strict=True)))
    for index, row in enumerate(rows):
        assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], batch), by_hand(weights, *row), atol=1e-13)


def test_combinations_are_equation_3_and_its_next_token_part():
    value = by_hand(weights_for(PAPER, seed=6), *example())
    plan, replay, goal = value.gradients
    loss, gradient = value.multi_token
    assert_close(loss, 0.25 * value.losses.plan + 0.25 * value.losses.replay + 0.5 * value.losses.goal, atol=1e-15)
    assert_close(gradient, jax.tree.map(lambda a, b, c: 0.25 * a + 0.25 * b + 0.5 * c, plan, replay, goal), atol=1e-15)
    loss, gradient = value.next_token
    assert_close(loss, 0.5 * (value.losses.plan + value.losses.replay), atol=1e-15)
    assert_close(gradient, jax.tree.map(lambda a, b: 0.5 * (a + b), plan, replay), atol=1e-15)


def test_float32_stays_near_float64():
    weights = weights_for(PAPER, seed=8)
    single = by_hand(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), weights), *example())
    assert single.gradients.plan[0].content.dtype == jnp.float32
    double = by_hand(weights, *example())
    assert_close(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), single), double, atol=1e-5)


@pytest.mark.parametrize("function", [objective, losses])
@pytest.mark.parametrize(("y1", "y2", "message"), [(12, 0, "y1: .*got 12"), (-1, 0, "y1: .*got -1"), (6, 10, "y2: ")])
def test_targets_out_of_range_are_named(function, y1, y2, message):
    with pytest.raises(ValueError, match=message):
        function(weights_for(PAPER, seed=0), example()[0], y1, y2)


def test_a_batch_with_one_bad_target_is_an_error():
    tokens, y1, y2 = (jnp.stack([array, array]) for array in example())
    with pytest.raises(ValueError, match="y2: must be a label between 0 and 9, got 11"):
        batch_objective(weights_for(PAPER, seed=0), tokens, y1, y2.at[1].set(11))


def test_an_infinite_loss_has_no_gradient():
    value = by_hand(weights_for(PAPER, seed=0), example()[0], *(jnp.asarray(y, jnp.int32) for y in (6, 9)))
    assert float(value.losses.replay) == float(value.losses.goal) == float("inf")
    assert bool(jnp.isnan(value.gradients.replay[1].position).any())
    assert bool(jnp.isnan(value.gradients.goal[0].position).any())
    assert bool(jnp.isfinite(value.gradients.plan[1].position).all())


def test_depth_other_than_two_is_an_error():
    with pytest.raises(ValueError, match="weights: must have 2 layers"):
        objective(weights_for(PAPER, seed=0, depth=1), *example())


def _floats(rows: list) -> np.ndarray:
    return np.array(rows, dtype=object).astype(float)


def _as_activations(attention: exact.Attention) -> Activations:
    """The given attention in a record, with only the last row of S2."""
    s1, a2, s2 = (_floats(part) for part in (attention.s1, attention.a2, attention.s2))
    assert sum(attention.s2) == Fraction(1)
    last_row = np.zeros((10, 10))
    last_row[-1] = s2
    with np.errstate(divide="ignore"):
        log_attention = (jnp.asarray(np.log(s1)), jnp.asarray(np.log(last_row)))
    scores, outputs = (jnp.asarray(a2),) * 2, (jnp.zeros(10),) * 2
    return Activations(scores, scores, log_attention, (jnp.asarray(s1), jnp.asarray(last_row)), outputs)
