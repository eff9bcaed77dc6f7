"""Exact averages: brute force over every sequence is the oracle of the symmetry reduction."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.closed_form import forward
from circuits.disentangled.losses import losses
from circuits.disentangled.objective import objective
from circuits.disentangled.weights import Layer, Weights, zeros
from circuits.flow.population import mean_by_symmetry, mean_exhaustive, relabeled_mean
from circuits.tasks.star.enumeration import num_problems
from circuits.tasks.star.graph import StarGraph
from tests.cases import PAPER, assert_close, weights_for

FIVE, SIX = StarGraph(2, 3, 5), StarGraph(2, 3, 6)
"""A label for each node, and one more."""


def symmetric_weights(spec: StarGraph, seed: int) -> Weights:
    return tuple(Layer(relabeled_mean(layer.content), layer.position) for layer in weights_for(spec, seed))


@pytest.mark.parametrize("query", ["goal-start", "start-goal"])
def test_the_reduction_is_brute_force(query):
    weights = symmetric_weights(SIX, seed=1)
    reduced = mean_by_symmetry(objective, weights, SIX, query)
    assert_close(reduced, mean_exhaustive(objective, weights, SIX, query), atol=1e-12)
    assert float(jnp.max(jnp.abs(reduced.gradients.plan[0].content))) > 1e-6  # far above the tolerance


def test_brute_force_is_a_plain_loop_for_any_weights_and_chunk():
    """Every edge order and labeling by itertools."""
    weights = weights_for(FIVE, seed=3)
    rows = []
    for labels in itertools.permutations(range(5)):
        start, v, goal, other, leaf = labels
        for edges in itertools.permutations([(start, v), (v, goal), (start, other), (other, leaf)]):
            rows.append([*itertools.chain(*edges), goal, start, v])
    prompts = jnp.asarray(rows, jnp.int32)
    each = jax.jit(jax.vmap(losses, in_axes=(None, 0, 0, 0)))(weights, prompts[:, :10], prompts[:, 10], prompts[:, 8])
    assert len(prompts) == num_problems(FIVE) == 24 * 120
    mean = mean_exhaustive(losses, weights, FIVE)
    assert_close(mean, jax.tree.map(jnp.mean, each), atol=1e-12)
    assert_close(mean_exhaustive(losses, weights, FIVE, chunk=50), mean, atol=1e-13)


def test_relabeled_mean_is_the_mean_over_permutations():
    content = weights_for(FIVE, seed=5)[0].content
    total = sum(np.asarray(content)[np.ix_(p, p)] for p in map(list, itertools.permutations(range(5))))
    assert_close(relabeled_mean(content), total / 120, atol=1e-13)


def test_gradients_pass_through_the_averages():
    """The gradient of a mean is the mean of the gradients."""
    weights = symmetric_weights(SIX, seed=7)
    truth = mean_exhaustive(objective, weights, SIX).gradients.goal[0].position

    def goal_loss(weights, tokens, y1, y2):
        return losses(weights, tokens, y1, y2).goal

    for mean in (mean_exhaustive, mean_by_symmetry):
        slope = jax.grad(lambda w, mean=mean: mean(goal_loss, w, SIX))(weights)
        assert_close(slope[0].position, truth, atol=1e-12)


def _layer_of_labels(weights, tokens, y1, y2):
    """A content block that does not change with the labels, where a gradient's rows and columns would be permuted."""
    return Layer(weights[0].content.at[0, 1].set(1.0), weights[0].position)


@pytest.mark.parametrize(
    ("quantity", "where"),
    [
        (lambda w, tokens, y1, y2: (y1 - y2) ** 2, "its value"),  # a reflection of all labels leaves it as it is
        (lambda w, tokens, y1, y2: y1 == 3, "its value"),
        (lambda w, tokens, y1, y2: {"edge": tokens[:2]}, r"\['edge'\]"),
        (lambda w, tokens, y1, y2: (forward(w, tokens).outputs[0],), r"\[0\]"),
        (_layer_of_labels, ".content"),
    ],
    ids=["squared difference", "one label", "a token", "outputs", "layer"],
)
def test_a_quantity_that_depends_on_labels_is_an_error(quantity, where):
    with pytest.raises(ValueError, match=f"quantity: must not change by more than .*, at {where}"):
        mean_by_symmetry(quantity, symmetric_weights(FIVE, seed=6), FIVE)


def test_quantities_that_do_not_depend_on_labels_have_the_mean_of_brute_force():
    def quantity(weights, tokens, y1, y2):
        return {
            "int": jnp.argmax(tokens == y2),
            "bool": tokens[1] == y2,
            "inf": jnp.where(tokens[1] == y2, jnp.inf, 0.0),
        }

    mean = mean_by_symmetry(quantity, zeros(2, 5, 10), FIVE)
    assert_close(mean, mean_exhaustive(quantity, zeros(2, 5, 10), FIVE), atol=1e-12)
    assert float(mean["bool"]) == 0.25


def test_float32_weights_are_averaged_too():
    weights = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), symmetric_weights(FIVE, seed=2))

    def outputs_at_goal(weights, tokens, y1, y2):
        return forward(weights, tokens).outputs[0][y2]

    assert mean_by_symmetry(outputs_at_goal, weights, FIVE).dtype == jnp.float32


def test_errors():
    weights = symmetric_weights(FIVE, seed=6)
    with pytest.raises(ValueError, match=r"content_1: must be a I \+ b 1 1\^T"):
        mean_by_symmetry(losses, weights_for(FIVE, seed=6), FIVE)
    with pytest.raises(ValueError, match="content_1: must have shape"):
        mean_exhaustive(losses, weights_for(PAPER, seed=6), FIVE)
    with pytest.raises(ValueError, match="query: must be one of goal-start, start-goal"):
        mean_by_symmetry(losses, weights, FIVE, query="start")
    with pytest.raises(ValueError, match="chunk: must be an integer at least 1"):
        mean_exhaustive(losses, weights, FIVE, chunk=0)
