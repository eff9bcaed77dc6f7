"""The reduced and the full model behind one small interface, on one sequence or a batch as each function says."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from circuits.disentangled import closed_form, full, losses, weights
from circuits.disentangled.full import FullWeights
from circuits.disentangled.losses import Losses
from circuits.disentangled.weights import Weights
from circuits.training.disentangled import reduced_batch
from circuits.training.disentangled.config import Mix, TrainConfig
from circuits.typing import AnyArray, OverLabels, OverPositions, Position, Scalar, Tokens

Params = Any
"""``Weights`` of the reduced model or ``FullWeights``: a tree of arrays."""
Prompts = Int[AnyArray, "B T"]
Answers = Int[AnyArray, " B"]


class Reading(NamedTuple):
    """What evaluation looks at, on one sequence: S1, the last row of S2, and what the heads predict.

    ``first`` and ``second`` are the distributions over labels of the next token and of the one after.
    """

    attention_1: Position
    attention_2: OverPositions
    first: OverLabels
    second: OverLabels


class Model(NamedTuple):
    """What training needs of a model.

    names     of the parameters, in the order of the tree's leaves
    initial   random parameters for a key
    gradient  the batch mean of the objective, in nats, and its gradient
    losses    L1a, L1b and L2 of one prompt with targets y1 and y2
    read      the ``Reading`` of one sequence
    """

    names: tuple[str, ...]
    initial: Callable[[Key[Array, ""]], Params]
    gradient: Callable[[Params, Prompts, Answers, Answers], tuple[Scalar, Params]]
    losses: Callable[..., Losses]
    read: Callable[[Params, Tokens], Reading]


def model_for(config: TrainConfig) -> Model:
    """The model, its initialisation and its objective, in float32."""
    return reduced(config) if config.model == "reduced" else whole(config)


def reduced(config: TrainConfig) -> Model:
    """The paper's reduced model, with hand gradients. A held W0 of Layer 1 starts at 0 and gets no gradient."""
    length = config.graphs.sequence_length

    def held(params: Weights) -> Weights:
        first, second = params
        return (first._replace(content=jnp.zeros_like(first.content)) if config.hold_content_1 else first, second)

    def initial(key: Key[Array, ""]) -> Weights:
        return held(weights.random(key, 2, config.labels, length, config.init_scale, jnp.float32))

    def gradient(params: Weights, tokens: Prompts, y1: Answers, y2: Answers) -> tuple[Scalar, Weights]:
        loss, slopes = reduced_batch.loss_and_gradient(params, tokens, y1, y2, config.mix)
        return loss, held(slopes)

    names = ("content_1", "position_1", "content_2", "position_2")
    return Model(names, initial, gradient, losses.losses, read_reduced)


def whole(config: TrainConfig) -> Model:
    """The full model, differentiated by jax."""
    length, mix = config.graphs.sequence_length, config.mix

    def initial(key: Key[Array, ""]) -> FullWeights:
        return full.random(key, config.labels, length, config.init_scale, jnp.float32)

    def objective(params: FullWeights, tokens: Prompts, y1: Answers, y2: Answers) -> Scalar:
        parts = jax.vmap(partial(full.losses, params))(tokens, y1, y2)
        return jnp.mean(weighted(mix, parts))

    return Model(FullWeights._fields, initial, jax.value_and_grad(objective), full.losses, read_full)


def weighted(mix: Mix, parts: Losses) -> Float[Array, "..."]:
    """The objective from its parts. Those of weight 0 do not enter, so that they need not be computed."""
    return jnp.asarray(sum(weight * part for weight, part in zip(mix, parts, strict=True) if weight))


def read_reduced(params: Weights, tokens: Tokens) -> Reading:
    """f1 is the head on Layer 2 and predicts the next token; f2, on Layer 1, the one after."""
    acts = closed_form.forward(params, tokens, last_row_only=True)
    return Reading(acts.attention[0], acts.attention[1][-1], acts.outputs[1], acts.outputs[0])


def read_full(params: FullWeights, tokens: Tokens) -> Reading:
    """The heads' softmaxes."""
    acts = full.forward(params, tokens, last_row_only=True)
    return Reading(acts.attention[0], acts.attention[1][-1], *(jax.nn.softmax(logits) for logits in acts.logits))
