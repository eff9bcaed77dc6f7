"""Gradient flows on exact population losses.

    theta' = -dL/dtheta / multiplicity,     L(theta) = E[loss], over all edge orders and labelings

The expectation over labelings needs no sum. In these coordinates content weights are a I + b (1 1^T - I), so renaming
the labels does not change a loss, and its mean over one labeling of each edge order is the mean over all.
``population.mean_exhaustive`` is the oracle.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from circuits.disentangled.closed_form import forward
from circuits.disentangled.losses import head_loss
from circuits.disentangled.weights import Weights
from circuits.flow.coordinates import Coordinates, Theta
from circuits.tasks.star.enumeration import canonical_problems
from circuits.tasks.star.graph import StarGraph, encode_prompt, replay_context, targets
from circuits.typing import Label, Scalar, Tokens

Field = Callable[[Theta], Theta]
"""The velocity at every point of an autonomous flow."""
Mixture = tuple[float | Scalar, float | Scalar, float | Scalar]
"""Coefficients of L1a, L1b and L2 in a training loss. A loss whose coefficient is the number 0 is not computed."""

PLAN: Mixture = (1.0, 0.0, 0.0)
REPLAY: Mixture = (0.0, 1.0, 0.0)
GOAL: Mixture = (0.0, 0.0, 1.0)
NEXT_TOKEN: Mixture = (0.5, 0.5, 0.0)
"""(1/2) (L1a + L1b)"""
MULTI_TOKEN: Mixture = (0.25, 0.25, 0.5)
"""Eq. 3"""


def population_loss(
    coordinates: Coordinates, mixture: Mixture, spec: StarGraph, query: str = "goal-start"
) -> Callable[[Theta], Scalar]:
    """Return the exact expectation of a training loss as a function of theta, in nats.

    Args:
        coordinates: the weights as a function of theta.
        mixture: coefficients of L1a, L1b and L2, such as ``MULTI_TOKEN``.
        spec: the family of star graphs.
        query: order of the query, "goal-start" or "start-goal".

    Raises:
        ValueError: for paths of fewer than 3 nodes.

    Example:
        >>> from circuits.flow.coordinates import coordinates, toeplitz
        >>> graphs = StarGraph(paths=2, nodes=3, labels=10)
        >>> loss = population_loss(coordinates(graphs, position_1=toeplitz(10)), GOAL, graphs)
        >>> round(float(loss(jnp.zeros(10))), 3)  # -log(2/10): u_end is at 2 of the 10 positions
        1.609
    """
    problems = canonical_problems(spec)
    tokens = jax.vmap(lambda problem: encode_prompt(problem, query))(problems)
    y1, y2 = targets(problems)

    def loss(theta: Theta) -> Scalar:
        weights = coordinates.embed(theta)
        return jnp.mean(jax.vmap(lambda *prompt: mixed_loss(weights, mixture, *prompt))(tokens, y1, y2))

    return loss


def gradient_flow(coordinates: Coordinates, mixture: Mixture, spec: StarGraph, query: str = "goal-start") -> Field:
    """Return the gradient flow of the population loss, as a function from theta to its velocity.

    Every entry of the weights moves at minus its derivative of the loss.

    Args:
        coordinates: the weights as a function of theta.
        mixture: coefficients of L1a, L1b and L2, such as ``MULTI_TOKEN``.
        spec: the family of star graphs.
        query: order of the query, "goal-start" or "start-goal".

    Raises:
        ValueError: for paths of fewer than 3 nodes.

    Example:
        >>> from circuits.flow.coordinates import coordinates, toeplitz
        >>> graphs = StarGraph(paths=2, nodes=3, labels=10)
        >>> field = gradient_flow(coordinates(graphs, position_1=toeplitz(10)), GOAL, graphs)
        >>> int(jax.jit(field)(jnp.zeros(10)).argmax())  # from zero, the weight of offset 1 grows fastest
        1
    """
    gradient = jax.grad(population_loss(coordinates, mixture, spec, query))
    return lambda theta: -gradient(theta) / coordinates.multiplicity


def mixed_loss(weights: Weights, mixture: Mixture, tokens: Tokens, y1: Label, y2: Label) -> Scalar:
    """Return the mixture of the three losses on one prompt; see ``losses`` for each of them."""
    plan, replay, goal = mixture
    parts = []
    if _is_present(plan) or _is_present(goal):
        prompt = forward(weights, tokens, last_row_only=True)
        if _is_present(plan):
            parts.append(plan * head_loss(prompt, tokens, y1, layer=1))
        if _is_present(goal):
            parts.append(goal * head_loss(prompt, tokens, y2, layer=0))
    if _is_present(replay):
        replayed = replay_context(tokens, y1)
        parts.append(replay * head_loss(forward(weights, replayed, last_row_only=True), replayed, y2, layer=1))
    return sum(parts, jnp.zeros((), weights[0].position.dtype))


def _is_present(coefficient: float | Scalar) -> bool:
    return not (isinstance(coefficient, float | int) and coefficient == 0)
