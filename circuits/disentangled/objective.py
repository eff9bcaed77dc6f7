"""Eq. 3 with all its parts: every loss and every hand-derived gradient, on one sequence or a batch."""

from typing import NamedTuple

import jax

from circuits.disentangled.closed_form import forward
from circuits.disentangled.deep_head import deep_loss_and_gradient
from circuits.disentangled.losses import Losses, multi_token_loss, next_token_loss, require_two_layers
from circuits.disentangled.shallow_head import shallow_loss_and_gradient
from circuits.disentangled.weights import Weights
from circuits.tasks.star_graph import replay_context
from circuits.typing import Label, Scalar, Tokens


class PartGradients(NamedTuple):
    """The gradient of each loss, each in the form of the weights."""

    plan: Weights
    replay: Weights
    goal: Weights


class Objective(NamedTuple):
    """The losses L1a, L1b and L2 and the gradient of each."""

    losses: Losses
    gradients: PartGradients

    @property
    def multi_token(self) -> tuple[Scalar, Weights]:
        """Eq. 3 and its gradient."""
        return multi_token_loss(*self.losses), jax.tree.map(multi_token_loss, *self.gradients)

    @property
    def next_token(self) -> tuple[Scalar, Weights]:
        """Its next-token part, (1/2) (L1a + L1b), and the gradient of that."""
        return next_token_loss(*self.losses[:2]), jax.tree.map(next_token_loss, *self.gradients[:2])


def objective(weights: Weights, tokens: Tokens, y1: Label, y2: Label) -> Objective:
    """All losses and gradients of one prompt with targets y1 and y2, by Lemmas 3 and 5.

    Raises ValueError unless the model has two layers and its shapes fit the sequence.
    """
    require_two_layers(weights)
    replayed = replay_context(tokens, y1)
    prompt, replay = forward(weights, tokens), forward(weights, replayed)
    plan_loss, plan_gradient = deep_loss_and_gradient(prompt, tokens, y1)
    replay_loss, replay_gradient = deep_loss_and_gradient(replay, replayed, y2)
    goal_loss, goal_gradient = shallow_loss_and_gradient(prompt, tokens, y2)
    return Objective(
        Losses(plan_loss, replay_loss, goal_loss),
        PartGradients(plan_gradient, replay_gradient, goal_gradient),
    )


batch_objective = jax.vmap(objective, in_axes=(None, 0, 0, 0))
"""``objective`` for one set of weights and a batch: tokens (B, T), y1 (B,), y2 (B,)."""
