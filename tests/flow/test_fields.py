"""The reduced fields against the hand gradients of every sequence, averaged with no symmetry; what they conserve."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.losses import Losses
from circuits.disentangled.objective import PartGradients, objective
from circuits.disentangled.weights import Weights
from circuits.flow.coordinates import (
    Coordinates,
    Theta,
    all_entries,
    causal_entries,
    coordinates,
    orbits,
    toeplitz,
)
from circuits.flow.fields import (
    GOAL,
    MULTI_TOKEN,
    NEXT_TOKEN,
    PLAN,
    REPLAY,
    gradient_flow,
    population_loss,
)
from circuits.flow.population import mean_by_symmetry, mean_exhaustive, relabeled_mean
from circuits.tasks.star.enumeration import num_problems
from circuits.tasks.star.graph import StarGraph
from circuits.typing import Scalar
from tests.cases import PAPER, assert_close

# Each mixture beside what it says of (plan, replay, goal), from the definitions of the losses.
MIXTURES = {
    "plan": (PLAN, lambda plan, replay, goal: plan),
    "replay": (REPLAY, lambda plan, replay, goal: replay),
    "goal": (GOAL, lambda plan, replay, goal: goal),
    "next-token": (NEXT_TOKEN, lambda plan, replay, goal: (plan + replay) / 2),
    "multi-token": (MULTI_TOKEN, lambda plan, replay, goal: ((plan + replay) / 2 + goal) / 2),
}
TOEPLITZ = "toeplitz"
FREE = "free"


def moving(spec: StarGraph, position_1: str) -> Coordinates:
    """Everything moves; position_1 as tied or as free entries."""
    first = {TOEPLITZ: toeplitz, FREE: causal_entries}[position_1](spec.sequence_length)
    return coordinates(spec, orbits(spec.labels), first, orbits(spec.labels), all_entries(spec.sequence_length))


def somewhere(coordinates: Coordinates, seed: int) -> Theta:
    return jax.random.normal(jax.random.key(seed), (len(coordinates.names),))


def reduced(
    coordinates: Coordinates, spec: StarGraph, theta: Theta, query: str = "goal-start", names: Iterable[str] = MIXTURES
) -> tuple[dict[str, Scalar], dict[str, Theta]]:
    """The loss and the velocity of each mixture, in one program: they share nearly all of it."""
    cases = {name: (coordinates, MIXTURES[name][0], spec, query) for name in names}
    losses = {name: population_loss(*case) for name, case in cases.items()}
    fields = {name: gradient_flow(*case) for name, case in cases.items()}
    return jax.jit(lambda point: jax.tree.map(lambda function: function(point), (losses, fields)))(theta)


def require_row_sums_stay(coordinates: Coordinates, theta: Theta, velocity: Theta, sums: int) -> None:
    _, change = jax.jvp(coordinates.row_sums, (theta,), (velocity,))
    assert_close(change, jnp.zeros(sums), atol=1e-12)
    # The test can fail: column sums, and rows weighted by their columns, do move.
    position = coordinates.embed(velocity)[0].position
    assert float(jnp.max(jnp.abs(jnp.sum(position, axis=0)))) > 1e-3
    assert float(jnp.max(jnp.abs(position @ jnp.arange(10.0)))) > 1e-3


def exhaustive(weights: Weights, spec: StarGraph, query: str = "goal-start") -> tuple[Losses, PartGradients]:
    mean = mean_exhaustive(objective, weights, spec, query)
    return mean.losses, mean.gradients


def unreduced(name: str, gradients: PartGradients) -> Weights:
    """Minus the gradient of a mixture, in every entry by itself."""
    return jax.tree.map(lambda *parts: -MIXTURES[name][1](*parts), *gradients)


def test_the_field_is_that_of_all_725760_sequences():
    """Each entry of the unreduced gradient is the velocity of the coordinate that stands for it."""
    assert num_problems(PAPER) == 725_760
    chart = moving(PAPER, FREE)
    theta = somewhere(chart, seed=0)
    losses, gradients = exhaustive(chart.embed(theta), PAPER)
    by_symmetry = mean_by_symmetry(objective, chart.embed(theta), PAPER)
    assert_close((by_symmetry.losses, by_symmetry.gradients), (losses, gradients), atol=1e-12)
    ours, fields = reduced(chart, PAPER, theta)
    assert_close(ours, {name: combine(*losses) for name, (_, combine) in MIXTURES.items()}, atol=1e-12)
    for name, velocity in fields.items():
        truth = unreduced(name, gradients)
        assert_close(chart.embed(velocity), truth, atol=1e-12)
        for layer in truth:
            # All N diagonal entries alike, and all N (N - 1) others: a coordinate speaks for each of them.
            assert_close(layer.content, relabeled_mean(layer.content), atol=1e-12)
        require_row_sums_stay(chart, theta, velocity, sums=10 + 10 + 10 + 10)
        assert float(jnp.max(jnp.abs(truth[0].position))) > 1e-3, name
        if name != "goal":  # no gradient of L2 reaches Layer 2
            assert float(jnp.min(jnp.abs(velocity[chart.of("content_2")]))) > 1e-6, name


@pytest.mark.parametrize(
    ("labels", "seed", "query", "names"),
    [(5, 1, "goal-start", ("goal", "next-token")), (6, 2, "start-goal", ("multi-token",))],
)
def test_fields_of_small_families(labels, seed, query, names):
    """Tied weights move by the sum along their diagonal, free ones each by its own entry; losses agree too.

    Of two mixtures and of one: how losses are mixed is above, and has nothing to do with what is tied.
    """
    spec = StarGraph(2, 3, labels)
    tied = moving(spec, TOEPLITZ)
    theta = somewhere(tied, seed)
    weights = tied.embed(theta)
    losses, gradients = exhaustive(weights, spec, query)
    ours, fields = reduced(tied, spec, theta, query, names)
    assert_close(ours, {name: MIXTURES[name][1](*losses) for name in names}, atol=1e-12)
    offset = np.subtract.outer(np.arange(10), np.arange(10))
    for name, velocity in fields.items():
        first, second = unreduced(name, gradients)
        moved = tied.embed(velocity)
        assert_close((moved[0].content, moved[1]), (first.content, second), atol=1e-12)
        diagonals = [np.sum(np.asarray(first.position)[offset == k]) for k in range(10)]
        assert_close(velocity[tied.of("position_1")], np.array(diagonals), atol=1e-12)
        # The sum over an orbit is the multiplicity times the velocity.
        sums = [jnp.trace(first.content), jnp.sum(first.content) - jnp.trace(first.content)]
        assert_close((tied.multiplicity * velocity)[:2], jnp.stack(sums), atol=1e-11)
        require_row_sums_stay(tied, theta, velocity, sums=labels + 1 + labels + 10)
        assert float(jnp.max(jnp.abs(velocity[:2]))) > 1e-4, name


def test_paths_of_two_nodes_have_no_second_token():
    spec = StarGraph(2, 2, 5)
    with pytest.raises(ValueError, match=r"problem.path: two-token targets need paths of at least 3 nodes"):
        gradient_flow(coordinates(spec, position_1=toeplitz(spec.sequence_length)), GOAL, spec)
