"""Eq. 3 with all its parts: every loss and every hand-derived gradient, on one sequence or a batch."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Int

from circuits.disentangled.closed_form import forward
from circuits.disentangled.deep_head import deep_loss_and_gradient
from circuits.disentangled.losses import Losses, multi_token_loss, next_token_loss, require_two_layers
from circuits.disentangled.shallow_head import shallow_loss_and_gradient
from circuits.disentangled.weights import Weights, check_label, check_prompt, sizes
from circuits.tasks.star.graph import replay_context
from circuits.typing import AnyArray, Label, Scalar, Tokens

BLOCK = 1024
"""Prompts of a batch that go through together: their intermediates, about 5 MB, stay in a core's cache."""


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

    Where a target is at no position its loss is infinite and its gradient NaN. Raises ValueError unless the model
    has two layers, its entries are finite, its shapes fit the sequence and it holds all labels.
    """
    _check(weights, tokens, y1, y2)
    # Z and Z' go through the deep head side by side: half as many operations, each twice as large.
    contexts = jnp.stack([jnp.asarray(tokens), replay_context(tokens, y1)])
    answers = jnp.stack([jnp.asarray(label, contexts.dtype) for label in (y1, y2)])
    acts = jax.vmap(partial(forward, last_row_only=True), in_axes=(None, 0))(weights, contexts)
    deep_losses, deep_gradients = jax.vmap(deep_loss_and_gradient)(acts, contexts, answers)
    prompt = jax.tree.map(lambda leaf: leaf[0], acts)
    goal_loss, goal_gradient = shallow_loss_and_gradient(prompt, contexts[0], answers[1])
    plan_gradient, replay_gradient = (jax.tree.map(lambda leaf, i=i: leaf[i], deep_gradients) for i in (0, 1))
    return Objective(
        Losses(deep_losses[0], deep_losses[1], goal_loss),
        PartGradients(plan_gradient, replay_gradient, goal_gradient),
    )


def batch_objective(
    weights: Weights, tokens: Int[AnyArray, "B T"], y1: Int[AnyArray, " B"], y2: Int[AnyArray, " B"]
) -> Objective:
    """``objective`` for one set of weights and a batch of prompts; every leaf has the batch as its first axis.

    Raises ValueError as ``objective`` does.
    """
    _check(weights, tokens, y1, y2)
    return jax.lax.map(lambda prompt: objective(weights, *prompt), (tokens, y1, y2), batch_size=BLOCK)


def _check(
    weights: Weights, tokens: Int[AnyArray, "*B T"], y1: Int[AnyArray, "*B"] | int, y2: Int[AnyArray, "*B"] | int
) -> None:
    """Values are looked at here, before a ``vmap`` or ``map`` hides them."""
    require_two_layers(weights)
    check_prompt(weights, tokens)
    for argument, label in (("y1", y1), ("y2", y2)):
        check_label(argument, label, sizes(weights)[0])
