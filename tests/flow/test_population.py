"""Exact averages: brute force over every sequence is the oracle of the symmetry reduction."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.closed_form import forward
from circuits.disentangled.losses import Losses, losses
from circuits.disentangled.objective import objective
from circuits.disentangled.weights import Layer, Weights
from circuits.flow.population import extremes_exhaustive, mean_by_symmetry, mean_exhaustive, relabeled_mean
from circuits.tasks.star.enumeration import num_problems
from circuits.tasks.star.graph import StarGraph
from tests.cases import PAPER, assert_close, weights_for

SMALL = [StarGraph(2, 3, 5), StarGraph(2, 3, 6)]


def symmetric_weights(spec: StarGraph, seed: int) -> Weights:
    return tuple(Layer(relabeled_mean(layer.content), layer.position) for layer in weights_for(spec, seed))


@pytest.mark.parametrize("query", ["goal-start", "start-goal"])
@pytest.mark.parametrize("spec", SMALL)
def test_the_reduction_is_brute_force(spec, query):
    weights = symmetric_weights(spec, seed=1)
    reduced = mean_by_symmetry(objective, weights, spec, query)
    assert_close(reduced, mean_exhaustive(objective, weights, spec, query, chunk=60), atol=1e-12)
    assert float(jnp.max(jnp.abs(reduced.gradients.plan[0].content))) > 1e-3


@pytest.mark.slow  # test_fields goes through all of them as well, with weights of a flow
def test_the_reduction_is_brute_force_over_all_725760_sequences():
    weights = symmetric_weights(PAPER, seed=2)
    assert num_problems(PAPER) == 725_760
    assert_close(mean_by_symmetry(objective, weights, PAPER), mean_exhaustive(objective, weights, PAPER), atol=1e-12)


def test_brute_force_is_a_plain_loop_for_any_weights():
    """Every edge order and labeling by itertools."""
    spec = StarGraph(2, 3, 5)
    weights = weights_for(spec, seed=3)
    rows = []
    for labels in itertools.permutations(range(5)):
        start, v, goal, other, leaf = labels
        for edges in itertools.permutations([(start, v), (v, goal), (start, other), (other, leaf)]):
            rows.append([*itertools.chain(*edges), goal, start, v])
    prompts = jnp.asarray(rows, jnp.int32)

    def part_losses(w: Weights, *prompt: jax.Array) -> Losses:
        return objective(w, *prompt).losses

    each = jax.jit(jax.vmap(part_losses, in_axes=(None, 0, 0, 0)))(
        weights, prompts[:, :10], prompts[:, 10], prompts[:, 8]
    )
    least, greatest, total = extremes_exhaustive(part_losses, weights, spec)
    assert total == len(prompts) == 24 * 120
    assert_close(mean_exhaustive(part_losses, weights, spec), jax.tree.map(jnp.mean, each), atol=1e-12)
    assert_close(least, jax.tree.map(jnp.min, each), atol=1e-13)
    assert_close(greatest, jax.tree.map(jnp.max, each), atol=1e-13)


def test_chunks_do_not_matter():
    spec = SMALL[0]
    weights = weights_for(spec, seed=4)
    assert_close(mean_exhaustive(losses, weights, spec, chunk=50), mean_exhaustive(losses, weights, spec), atol=1e-13)


def test_relabeled_mean_is_the_mean_over_permutations():
    content = weights_for(SMALL[0], seed=5)[0].content
    total = sum(np.asarray(content)[np.ix_(p, p)] for p in map(list, itertools.permutations(range(5))))
    assert_close(relabeled_mean(content), total / 120, atol=1e-13)


def test_gradients_pass_through_the_averages():
    """The gradient of a mean is the mean of the gradients."""
    spec = SMALL[0]
    weights = symmetric_weights(spec, seed=7)
    for mean in (mean_exhaustive, mean_by_symmetry):
        slope = jax.grad(lambda w, mean=mean: mean(lambda v, *p: losses(v, *p).plan, w, spec))(weights)
        assert_close(slope[0].position, mean(objective, weights, spec).gradients.plan[0].position, atol=1e-12)


def test_errors():
    spec = SMALL[0]
    with pytest.raises(ValueError, match=r"quantity: must not depend on which label is which, at \[0\]; it changes by"):
        mean_by_symmetry(lambda w, tokens, y1, y2: (forward(w, tokens).outputs[0],), symmetric_weights(spec, 6), spec)
    with pytest.raises(ValueError, match=r"content_1: must be a I \+ b 1 1\^T .* off by at most .*, got"):
        mean_by_symmetry(objective, weights_for(spec, seed=6), spec)
    with pytest.raises(ValueError, match=r"content_1: must have shape \(5, 5\), got \(10, 10\)"):
        mean_exhaustive(objective, weights_for(PAPER, seed=6), spec)
    with pytest.raises(ValueError, match="query: must be one of goal-start, start-goal, got 'start'"):
        mean_by_symmetry(objective, symmetric_weights(spec, seed=6), spec, query="start")
    with pytest.raises(ValueError, match="chunk: must be an integer at least 1, got 0"):
        mean_exhaustive(objective, weights_for(spec, seed=6), spec, chunk=0)
