"""Every hand-derived gradient, leaf by leaf: against autodiff, finite differences, and sums over indices."""

from fractions import Fraction
from functools import partial
from random import Random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from circuits.disentangled import deep_head, literal, shallow_head
from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import Activations, forward
from circuits.disentangled.losses import losses
from circuits.disentangled.objective import batch_objective, objective
from circuits.disentangled.weights import zeros
from circuits.tasks.star.graph import replay_context
from proofs_check.methods import exact
from tests.cases import PAPER, assert_close, example, prompt, seeds, weights_for

PARTS = ("plan", "replay", "goal")


by_hand = jax.jit(objective)
by_autodiff = jax.jit(jax.jacrev(losses))


@pytest.mark.parametrize("spec", FAMILIES)
@settings(max_examples=3)
@given(seed=seeds)
def test_every_leaf_is_the_gradient_of_the_literal_loss(spec, seed):
    (tokens, y1, y2), weights = prompt(spec, seed), weights_for(spec, seed)
    ours = by_hand(weights, tokens, y1, y2)
    cases = {"plan": (tokens, y1, 2), "replay": (replay_context(tokens, y1), y2, 2), "goal": (tokens, y2, 1)}
    for part, (context, target, layer) in cases.items():
        loss, gradient = _literal_loss(weights, context, target, layer)
        assert_close(getattr(ours.losses, part), loss, atol=1e-10, rtol=1e-12)
        assert_close(getattr(ours.gradients, part), gradient, atol=1e-10)


def test_finite_differences():
    """Central differences of each loss along every single entry of every block."""
    weights, step = weights_for(PAPER, seed=11), 1e-5
    flat, rebuild = ravel_pytree(weights)
    nudged = jax.jit(jax.vmap(lambda entries: losses(rebuild(entries), *example())))
    ahead, behind = (nudged(flat + sign * step * np.eye(len(flat))) for sign in (1, -1))
    gradients = by_hand(weights, *example()).gradients
    for part in PARTS:
        slopes = (getattr(ahead, part) - getattr(behind, part)) / (2 * step)
        assert_close(getattr(gradients, part), rebuild(slopes), atol=1e-9)
        assert float(jnp.max(jnp.abs(slopes))) > 0.05


@pytest.mark.parametrize("gamma", [0.0, 1.0, 10.0, 40.0, 200.0, 700.0, 2000.0])
def test_autodiff_agrees_at_any_sharpness(gamma):
    weights = circuit(gamma, 10, 10) if gamma else zeros(2, 10, 10)
    ours, truth = by_hand(weights, *example()), by_autodiff(weights, *example())
    for part in PARTS:
        assert_close(getattr(ours.gradients, part), getattr(truth, part), atol=1e-10)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(ours))


def test_exact_sums_over_indices_agree():
    """The rational twin of the claim checks, fed attention that no softmax made."""
    random = Random(7)
    tokens, y1, _ = example()
    hit = [int(token) == int(y1) for token in tokens]
    for _ in range(5):
        attention = exact.random_attention(random, 10)
        truth = exact.deep(attention, hit)
        shallow = exact.shallow(attention, hit)
        assert truth is not None
        assert shallow is not None
        acts = _as_activations(attention)
        assert_close(deep_head.deep_logits_1(acts, tokens, y1), _floats(truth.logits_1), atol=1e-12)
        assert_close(deep_head.deep_query_logits(acts, tokens, y1), _floats(truth.logits_2), atol=1e-12)
        assert_close(shallow_head.shallow_query_logits(acts, tokens, y1), _floats(shallow.logits_1)[-1], atol=1e-12)
        through = deep_head.softmax_rows_gradient(acts.attention[0], deep_head.deep_attention_1(acts, tokens, y1))
        assert_close(through, _floats(truth.logits_1), atol=1e-11)


@settings(max_examples=30)
@given(seed=seeds, size=st.integers(2, 12))
def test_jacobian_product_is_the_matrix(seed, size):
    rng = np.random.default_rng(seed)
    s, v = rng.dirichlet(np.ones(size)), rng.normal(size=size)
    assert_close(deep_head.jacobian_product(jnp.asarray(s), jnp.asarray(v)), (np.diag(s) - np.outer(s, s)) @ v, 1e-14)


@pytest.mark.parametrize("gamma", [50.0, 300.0, 500.0])
def test_small_gradients_keep_their_relative_accuracy(gamma):
    """e^gamma times a gradient entry tends to a constant, down to e^-500; autodiff loses the largest entry."""
    near, far = (by_hand(circuit(g, 10, 10), *example()).gradients for g in (30.0, gamma))
    scaled = [jax.tree.map(lambda leaf, g=g: leaf * np.exp(g), tree) for g, tree in ((30.0, near), (gamma, far))]
    assert_close(scaled[0].plan, scaled[1].plan, atol=1e-8)
    assert_close(scaled[0].goal, scaled[1].goal, atol=1e-8)


def test_the_shallow_head_leaves_layer_2_alone():
    gradient = by_hand(weights_for(PAPER, seed=3), *example()).gradients.goal
    assert float(max(jnp.max(jnp.abs(leaf)) for leaf in gradient[1])) == 0.0
    assert float(jnp.max(jnp.abs(gradient[0].position[:-1]))) == 0.0
    assert float(jnp.max(jnp.abs(gradient[0].position[-1]))) > 1e-3


def test_batches_are_single_prompts():
    rows = [prompt(PAPER, seed) for seed in range(5)]
    weights = weights_for(PAPER, seed=4)
    together = jax.jit(batch_objective)(weights, *(jnp.stack(column) for column in zip(*rows, strict=True)))
    for index, row in enumerate(rows):
        assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], together), by_hand(weights, *row), atol=1e-13)


def test_combinations_are_equation_3_and_its_next_token_part():
    found = by_hand(weights_for(PAPER, seed=6), *example())
    plan, replay, goal = found.gradients
    loss, gradient = found.multi_token
    assert_close(loss, 0.25 * found.losses.plan + 0.25 * found.losses.replay + 0.5 * found.losses.goal, atol=1e-15)
    assert_close(gradient, jax.tree.map(lambda a, b, c: 0.25 * a + 0.25 * b + 0.5 * c, plan, replay, goal), atol=1e-15)
    loss, gradient = found.next_token
    assert_close(loss, 0.5 * (found.losses.plan + found.losses.replay), atol=1e-15)
    assert_close(gradient, jax.tree.map(lambda a, b: 0.5 * (a + b), plan, replay), atol=1e-15)


def test_float32_stays_near_float64():
    weights = weights_for(PAPER, seed=8)
    single = by_hand(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), weights), *example())
    double = by_hand(weights, *example())
    assert single.gradients.plan[0].content.dtype == jnp.float32
    assert_close(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), single), double, atol=1e-5)


@pytest.mark.parametrize("function", [objective, losses])
@pytest.mark.parametrize(("y1", "y2", "name"), [(12, 0, "y1"), (-1, 0, "y1"), (6, 10, "y2")])
def test_targets_out_of_range_are_named(function, y1, y2, name):
    with pytest.raises(ValueError, match=rf"{name}: must be a label between 0 and 9, got {y1 if name == 'y1' else y2}"):
        function(weights_for(PAPER, seed=0), example()[0], y1, y2)


def test_a_batch_with_one_bad_target_is_an_error():
    tokens, y1, y2 = (jnp.stack([array, array]) for array in example())
    with pytest.raises(ValueError, match="y2: must be a label between 0 and 9, got 11"):
        batch_objective(weights_for(PAPER, seed=0), tokens, y1, y2.at[1].set(11))


def test_an_infinite_loss_has_no_gradient():
    found = by_hand(weights_for(PAPER, seed=0), example()[0], *(jnp.asarray(y, jnp.int32) for y in (6, 9)))
    assert float(found.losses.replay) == float(found.losses.goal) == float("inf")
    assert bool(jnp.isnan(found.gradients.replay[1].position).any())
    assert bool(jnp.isnan(found.gradients.goal[0].position).any())
    assert bool(jnp.isfinite(found.gradients.plan[1].position).all())


def test_depth_other_than_two_is_an_error():
    with pytest.raises(ValueError, match="weights: must have 2 layers for the heads f1 and f2, got 1"):
        objective(weights_for(PAPER, seed=0, depth=1), *example())


@partial(jax.jit, static_argnums=3)
@jax.value_and_grad
def _literal_loss(weights, tokens, target, layer):
    return -jnp.log(literal.forward(weights, tokens).outputs[layer - 1][target])


def _floats(rows: list) -> np.ndarray:
    return np.array(rows, dtype=object).astype(float)


def _as_activations(attention: exact.Attention) -> Activations:
    """The given attention in a record, with only the last row of S2."""
    s1, a2 = jnp.asarray(_floats(attention.s1)), jnp.asarray(_floats(attention.a2))
    s2 = jnp.zeros((10, 10)).at[-1].set(jnp.asarray(_floats(attention.s2)))
    tokens, _, _ = example()
    outputs = forward(zeros(2, 10, 10), tokens).outputs
    assert sum(attention.s2) == Fraction(1)
    return Activations((a2, a2), (a2, a2), (jnp.log(s1), jnp.log(s2)), (s1, s2), outputs)
