"""The reduced fields against the hand gradients of every sequence, averaged without symmetry; what they conserve."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.losses import losses
from circuits.disentangled.objective import PartGradients, objective
from circuits.disentangled.weights import Weights
from circuits.flow.coordinates import Coordinates, Theta, all_entries, causal_entries, coordinates, orbits, toeplitz
from circuits.flow.fields import (
    GOAL,
    MULTI_TOKEN,
    NEXT_TOKEN,
    PLAN,
    REPLAY,
    gradient_flow,
    mixed_loss,
    population_loss,
)
from circuits.flow.population import mean_by_symmetry, mean_exhaustive, relabeled_mean
from circuits.tasks.star.graph import StarGraph
from circuits.typing import Scalar
from tests.cases import PAPER, assert_close, example, weights_for

# Each mixture with its formula in (plan, replay, goal), from the definitions of the losses.
MIXTURES = {
    "plan": (PLAN, lambda plan, replay, goal: plan),
    "replay": (REPLAY, lambda plan, replay, goal: replay),
    "goal": (GOAL, lambda plan, replay, goal: goal),
    "next-token": (NEXT_TOKEN, lambda plan, replay, goal: (plan + replay) / 2),
    "multi-token": (MULTI_TOKEN, lambda plan, replay, goal: ((plan + replay) / 2 + goal) / 2),
}
SMALL = StarGraph(2, 3, 6)


def moving(spec: StarGraph, tied: bool) -> Coordinates:
    """Everything moves; position_1 as tied or as free entries."""
    length = spec.sequence_length
    first = toeplitz(length) if tied else causal_entries(length)
    return coordinates(spec, orbits(spec.labels), first, orbits(spec.labels), all_entries(length))


def somewhere(coordinates: Coordinates, seed: int) -> Theta:
    return jnp.asarray(np.random.default_rng(seed).normal(size=len(coordinates.names)))


def reduced(
    coordinates: Coordinates, spec: StarGraph, theta: Theta, names: Iterable[str], query: str = "goal-start"
) -> tuple[dict[str, Scalar], dict[str, Theta]]:
    """The loss and the velocity of each mixture, in one program: they share nearly all of it."""
    cases = {name: (coordinates, MIXTURES[name][0], spec, query) for name in names}
    loss = {name: population_loss(*case) for name, case in cases.items()}
    fields = {name: gradient_flow(*case) for name, case in cases.items()}
    return jax.jit(lambda point: jax.tree.map(lambda function: function(point), (loss, fields)))(theta)


def require_row_sums_stay(coordinates: Coordinates, theta: Theta, velocity: Theta, sums: int) -> None:
    _, change = jax.jvp(coordinates.row_sums, (theta,), (velocity,))
    assert_close(change, jnp.zeros(sums), atol=1e-12)
    # The test can fail: column sums, and rows weighted by their columns, do move.
    position = coordinates.embed(velocity)[0].position
    assert float(jnp.max(jnp.abs(jnp.sum(position, axis=0)))) > 1e-3
    assert float(jnp.max(jnp.abs(position @ jnp.arange(10.0)))) > 1e-3


def require_unreduced(
    chart: Coordinates, ours: dict[str, Scalar], fields: dict[str, Theta], mean_losses: tuple, gradients: PartGradients
) -> dict[str, Weights]:
    """Each entry of the unreduced gradient is minus the velocity of the coordinate that describes it."""
    assert_close(ours, {name: MIXTURES[name][1](*mean_losses) for name in ours}, atol=1e-12)
    truth = {
        name: jax.tree.map(lambda *parts, combine=MIXTURES[name][1]: -combine(*parts), *gradients) for name in ours
    }
    for name, velocity in fields.items():
        moved, (first, second) = chart.embed(velocity), truth[name]
        assert_close((moved[0].content, moved[1]), (first.content, second), atol=1e-12)
        for layer in truth[name]:
            # All N diagonal entries alike, and all N (N - 1) others: a coordinate stands for each of them.
            assert_close(layer.content, relabeled_mean(layer.content), atol=1e-12)
        assert float(jnp.max(jnp.abs(first.position))) > 1e-3, name
        if name != "goal":  # no gradient of L2 reaches Layer 2
            assert float(jnp.min(jnp.abs(velocity[chart.slice_of("content_2")]))) > 1e-6, name
    return truth


def test_tied_weights_move_by_the_sum_along_their_diagonal():
    chart = moving(SMALL, tied=True)
    theta = somewhere(chart, seed=1)
    mean = mean_exhaustive(objective, chart.embed(theta), SMALL)
    ours, fields = reduced(chart, SMALL, theta, ("plan", "replay", "goal"))
    truth = require_unreduced(chart, ours, fields, mean.losses, mean.gradients)
    offset = np.subtract.outer(np.arange(10), np.arange(10))
    for name, velocity in fields.items():
        first, _ = truth[name]
        diagonals = [np.sum(np.asarray(first.position)[offset == k]) for k in range(10)]
        assert_close(velocity[chart.slice_of("position_1")], np.array(diagonals), atol=1e-12)
        # The sum over an orbit is the multiplicity times the velocity.
        sums = [jnp.trace(first.content), jnp.sum(first.content) - jnp.trace(first.content)]
        assert_close((chart.multiplicity * velocity)[:2], jnp.stack(sums), atol=1e-11)
        require_row_sums_stay(chart, theta, velocity, sums=6 + 1 + 6 + 10)
        assert float(jnp.max(jnp.abs(velocity[:2]))) > 1e-4, name


def test_free_weights_move_by_their_own_entry_with_the_query_in_either_order():
    chart = moving(SMALL, tied=False)
    theta = somewhere(chart, seed=2)
    mean = mean_exhaustive(objective, chart.embed(theta), SMALL, "start-goal")
    ours, fields = reduced(chart, SMALL, theta, ("multi-token",), "start-goal")
    truth = require_unreduced(chart, ours, fields, mean.losses, mean.gradients)
    assert_close(chart.embed(fields["multi-token"])[0], truth["multi-token"][0], atol=1e-12)
    require_row_sums_stay(chart, theta, fields["multi-token"], sums=6 + 10 + 6 + 10)


def test_mixtures_are_what_they_are_called():
    weights = weights_for(PAPER, seed=0)

    @jax.jit
    def both(weights):
        return losses(weights, *example()), {n: mixed_loss(weights, m, *example()) for n, (m, _) in MIXTURES.items()}

    parts, mixed = both(weights)
    assert_close(mixed, {name: combine(*parts) for name, (_, combine) in MIXTURES.items()}, atol=1e-14)


@pytest.mark.slow
def test_the_field_is_that_of_all_725760_sequences():
    chart = moving(PAPER, tied=False)
    theta = somewhere(chart, seed=0)
    mean = mean_exhaustive(objective, chart.embed(theta), PAPER)
    assert_close(mean_by_symmetry(objective, chart.embed(theta), PAPER), mean, atol=1e-12)
    ours, fields = reduced(chart, PAPER, theta, MIXTURES)
    truth = require_unreduced(chart, ours, fields, mean.losses, mean.gradients)
    for name, velocity in fields.items():
        assert_close(chart.embed(velocity), truth[name], atol=1e-12)
        require_row_sums_stay(chart, theta, velocity, sums=10 + 10 + 10 + 10)


def test_paths_of_two_nodes_have_no_second_token():
    spec = StarGraph(2, 2, 5)
    with pytest.raises(ValueError, match=r"problem\.path: two-token targets need paths of at least 3 nodes"):
        gradient_flow(coordinates(spec, position_1=toeplitz(spec.sequence_length)), GOAL, spec)
