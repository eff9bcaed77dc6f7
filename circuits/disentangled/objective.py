"""The losses of Eq. 3 and their hand-derived gradients, on one sequence or a batch."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Int

from circuits import checks, display
from circuits.disentangled.closed_form import forward
from circuits.disentangled.deep_head import deep_loss_and_gradient
from circuits.disentangled.losses import Losses, multi_token_loss, next_token_loss, require_two_layers
from circuits.disentangled.shallow_head import shallow_loss_and_gradient
from circuits.disentangled.weights import Weights, check_label, check_prompt, norm, sizes
from circuits.display import Figure
from circuits.tasks.star.graph import replay_context
from circuits.typing import AnyArray, Label, Scalar, Tokens

BLOCK = 1024
"""Prompts of a batch that are evaluated together: their intermediates, about 5 MB, fit in a core's cache."""


class PartGradients(NamedTuple):
    """The gradient of each loss, with the structure of the weights."""

    plan: Weights
    replay: Weights
    goal: Weights

    _repr_html_ = display.html


class Objective(NamedTuple):
    """The losses L1a, L1b and L2, and the gradient of each.

    Args:
        losses: the losses, in nats.
        gradients: the gradient of each loss in all weights.
    """

    losses: Losses
    gradients: PartGradients

    def plot(self, loss: str = "multi_token", *, title: str | None = None) -> Figure:
        """Draw the gradient of a loss in every block of the weights, on one colour scale with white at 0.

        Args:
            loss: "multi_token", "next_token", "plan", "replay" or "goal".
            title: above all blocks; by default the loss.

        Returns:
            A figure with one axes for each block, and a colour bar.

        Raises:
            ValueError: for an unknown loss, a batch, or a gradient that is not finite.

        Example:
            >>> from circuits.disentangled.weights import zeros
            >>> gradient = zeros(2, labels=10, length=10)
            >>> figure = Objective(Losses(*jnp.ones(3)), PartGradients(gradient, gradient, gradient)).plot("goal")
            >>> [ax.get_title() for ax in figure.axes[:2]]
            ['content_1', 'position_1']
        """
        parts = self.gradients._fields
        checks.choice("loss", loss, ("multi_token", "next_token", *parts))
        gradient = getattr(self.gradients, loss) if loss in parts else getattr(self, loss)[1]
        panels = [  # names quote the paper, which counts from 1
            (f"{block}_{number}", matrix)
            for number, layer in enumerate(gradient, start=1)
            for block, matrix in layer._asdict().items()
        ]
        text = f"gradient of the {loss.replace('_', '-')} loss" if title is None else title
        return display.plotting.weight_heatmaps(panels, title=text)

    @display.safe
    def _repr_html_(self) -> str:
        names = ("L1a, plan", "L1b, replay", "L2, goal", "L, multi-token (Eq. 3)")
        loss, gradient = self.multi_token
        values, gradients = (*self.losses, loss), (*self.gradients, gradient)
        rows = [(n, float(v), float(norm(g))) for n, v, g in zip(names, values, gradients, strict=True)]
        head = ("loss", "nats", "Euclidean norm of the gradient")
        return display.table("Losses and gradients", head, rows) + display.picture(self.plot())

    @property
    def multi_token(self) -> tuple[Scalar, Weights]:
        """The multi-token loss (Eq. 3) and its gradient."""
        return multi_token_loss(*self.losses), jax.tree.map(multi_token_loss, *self.gradients)

    @property
    def next_token(self) -> tuple[Scalar, Weights]:
        """The next-token part of Eq. 3, (1/2) (L1a + L1b), and its gradient."""
        return next_token_loss(*self.losses[:2]), jax.tree.map(next_token_loss, *self.gradients[:2])


def objective(weights: Weights, tokens: Tokens, y1: Label, y2: Label) -> Objective:
    """Return all losses and gradients on one prompt, by Lemmas 3 and 5; vmap over a batch, or use ``batch_objective``.

    Args:
        weights: of a model with two layers.
        tokens: node labels of the prompt [T].
        y1: label of the next token.
        y2: label of the token after it.

    Returns:
        Losses in nats and their gradients. If no position holds a target, its loss is infinite and its gradient NaN.

    Raises:
        ValueError: unless the depth is 2, the weights fit the prompt and are finite, and all labels are in range(N).

    Example:
        >>> from circuits.disentangled.weights import zeros
        >>> prompt = jnp.asarray([3, 7, 6, 0, 7, 2, 3, 6, 0, 3])  # the path is 3, 6, 0
        >>> loss, gradient = jax.jit(objective)(zeros(2, labels=10, length=10), prompt, 6, 0).multi_token
        >>> round(float(loss), 3), gradient[1].position.shape
        (1.747, (10, 10))
    """
    _check(weights, tokens, y1, y2)
    # Z and Z' go through the deep head together: half as many operations, each twice as large.
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
    """Return ``objective`` for one set of weights and a batch of prompts; every leaf has the batch as its first axis.

    Args:
        weights: of a model with two layers.
        tokens: node labels of the prompts [B, T].
        y1: labels of the next tokens [B].
        y2: labels of the tokens after them [B].

    Raises:
        ValueError: as ``objective`` does.

    Example:
        >>> from circuits.disentangled.weights import zeros
        >>> prompts = jnp.asarray([[3, 7, 6, 0, 7, 2, 3, 6, 0, 3], [6, 0, 3, 7, 3, 6, 7, 2, 0, 3]])
        >>> y1, y2 = jnp.asarray([6, 6]), jnp.asarray([0, 0])
        >>> jax.eval_shape(batch_objective, zeros(2, 10, 10), prompts, y1, y2).losses.plan.shape
        (2,)
    """
    _check(weights, tokens, y1, y2)
    return jax.lax.map(lambda prompt: objective(weights, *prompt), (tokens, y1, y2), batch_size=BLOCK)


def _check(
    weights: Weights, tokens: Int[AnyArray, "*B T"], y1: Int[AnyArray, "*B"] | int, y2: Int[AnyArray, "*B"] | int
) -> None:
    """Check arguments while their values are known: ``vmap`` and ``map`` trace them."""
    require_two_layers(weights)
    check_prompt(weights, tokens)
    for argument, label in (("y1", y1), ("y2", y2)):
        check_label(argument, label, sizes(weights)[0])
