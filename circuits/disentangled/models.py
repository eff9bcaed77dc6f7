"""The reduced and the full model behind one interface for training, and the prompts they are trained on."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from circuits.disentangled import closed_form, full, losses, reduced_batch, weights
from circuits.disentangled.full import FullWeights
from circuits.disentangled.losses import Losses
from circuits.disentangled.mix import Mix
from circuits.disentangled.weights import Weights
from circuits.tasks.sampling import sample
from circuits.tasks.star.graph import StarGraph, encode_prompt, targets
from circuits.typing import AnyArray, OverLabels, OverPositions, Position, Scalar, Tokens

Params = Any
"""``Weights`` of the reduced model or ``FullWeights``: a tree of arrays."""
Prompts = Int[AnyArray, "B T"]
Answers = Int[AnyArray, " B"]


class Reading(NamedTuple):
    """The activations of one sequence that metrics need: S1, the last row of S2, and the predictions of both heads.

    ``first`` and ``second`` are distributions over labels, of the next token and of the token after it.
    """

    attention_1: Position
    attention_2: OverPositions
    first: OverLabels
    second: OverLabels


class Model(NamedTuple):
    """The interface of a model for training.

    names     names of the parameters, in the order of the tree's leaves
    initial   random parameters for a key
    gradient  batch mean of the objective, in nats, and its gradient
    losses    L1a, L1b and L2 of one prompt with targets y1 and y2
    read      the ``Reading`` of one sequence
    """

    names: tuple[str, ...]
    initial: Callable[[Key[Array, ""]], Params]
    gradient: Callable[[Params, Prompts, Answers, Answers], tuple[Scalar, Params]]
    losses: Callable[..., Losses]
    read: Callable[[Params, Tokens], Reading]


def reduced_model(graphs: StarGraph, mix: Mix, init_scale: float, hold_content_1: bool = False) -> Model:
    """Return the paper's reduced model in float32, with hand gradients. With ``hold_content_1`` W0^(1) stays 0."""

    def held(params: Weights) -> Weights:
        first, second = params
        return (first._replace(content=jnp.zeros_like(first.content)) if hold_content_1 else first, second)

    def initial(key: Key[Array, ""]) -> Weights:
        return held(weights.random(key, 2, graphs.labels, graphs.sequence_length, init_scale, jnp.float32))

    def gradient(params: Weights, tokens: Prompts, y1: Answers, y2: Answers) -> tuple[Scalar, Weights]:
        loss, slopes = reduced_batch.loss_and_gradient(params, tokens, y1, y2, mix)
        return loss, held(slopes)

    names = ("content_1", "position_1", "content_2", "position_2")
    return Model(names, initial, gradient, losses.losses, read_reduced)


def full_model(graphs: StarGraph, mix: Mix, init_scale: float) -> Model:
    """Return the full model in float32, with gradients by automatic differentiation."""

    def initial(key: Key[Array, ""]) -> FullWeights:
        return full.random(key, graphs.labels, graphs.sequence_length, init_scale, jnp.float32)

    def objective(params: FullWeights, tokens: Prompts, y1: Answers, y2: Answers) -> Scalar:
        parts = jax.vmap(partial(full.losses, params))(tokens, y1, y2)
        return jnp.mean(weighted(mix, parts))

    return Model(FullWeights._fields, initial, jax.value_and_grad(objective), full.losses, read_full)


def weighted(mix: Mix, parts: Losses) -> Float[Array, "..."]:
    """Return the weighted sum of the losses, without those of weight 0, which jit then does not compute."""
    return jnp.asarray(sum(weight * part for weight, part in zip(mix, parts, strict=True) if weight))


def read_reduced(params: Weights, tokens: Tokens) -> Reading:
    """Return the reading of the reduced model. f1 is the head on Layer 2, f2 that on Layer 1."""
    acts = closed_form.forward(params, tokens, last_row_only=True)
    return Reading(acts.attention[0], acts.attention[1][-1], acts.outputs[1], acts.outputs[0])


def read_full(params: FullWeights, tokens: Tokens) -> Reading:
    """Return the reading of the full model, with the softmax of its heads."""
    acts = full.forward(params, tokens, last_row_only=True)
    return Reading(acts.attention[0], acts.attention[1][-1], *(jax.nn.softmax(logits) for logits in acts.logits))


def prompts(
    graphs: StarGraph, key: Key[Array, ""], count: int
) -> tuple[Int[Array, "B T"], Int[Array, " B"], Int[Array, " B"]]:
    """Return the prompts of random star graphs, with their targets y1 and y2."""
    problems = sample(graphs, key, count)
    return jax.vmap(encode_prompt)(problems), *targets(problems)
