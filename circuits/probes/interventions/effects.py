"""What a change of the run does to the chosen token: its cross-entropy, and whether it is still the best."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.probes.interventions.sites import last_logits
from circuits.probes.interventions.variants import counted, in_blocks
from circuits.probes.streaming import Show, Tree, errors, stream
from circuits.transformer.layers import wide
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Edit


class Effects(NamedTuple):
    """Means over examples, of each variant in the shape swept over; those of the unchanged run are one number each."""

    loss: Float[np.ndarray, "..."]
    """Cross-entropy at the chosen token, in nats."""
    accuracy: Float[np.ndarray, "..."]
    """Share of examples in which the chosen token is the best, from 0 to 1."""
    loss_change: Float[np.ndarray, "..."]
    """Against the unchanged run."""
    loss_error: Float[np.ndarray, "..."]
    """The standard error of that change; it is small where examples change alike, for runs are compared in pairs."""
    accuracy_change: Float[np.ndarray, "..."]
    accuracy_error: Float[np.ndarray, "..."]
    base_loss: float
    base_accuracy: float
    examples: int


class Change(NamedTuple):
    """One example: what is read, which token is right, and the edits of each variant."""

    tokens: Int[Array, " Q"]
    wanted: Int[Array, ""]
    edits: Callable[[Any], dict[str, Edit]]


def effects(
    model: Predictor,
    examples: tuple,
    variants: Tree,
    change: Callable[..., Change],
    shape: tuple[int, ...],
    *,
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    show: Show | None = None,
) -> Effects:
    """Effects of each variant, over examples of which ``change(model, *example)`` says how they are changed.

    Raises ValueError for a prediction head that the model has not.
    """
    checks.integer("head", head, min_value=0, max_value=model.config.prediction_heads - 1)

    def one(model: Predictor, *example: Any) -> dict[str, Array]:
        tokens, wanted, edits = change(model, *example)
        loss, right = _scored(last_logits(model, tokens, head=head), wanted)
        changed = in_blocks(lambda variant: last_logits(model, tokens, edits(variant), head), variants, block)
        new_loss, new_right = _scored(changed, wanted)
        scores = {"loss": new_loss, "accuracy": new_right, "base_loss": loss, "base_accuracy": right}
        return scores | {"loss_change": new_loss - loss, "accuracy_change": new_right - right}

    total = len(jax.tree.leaves(examples)[0])
    moments = stream(one, model, examples, chunk=chunk, show=counted(show, total))
    mean, error = moments.mean, errors(moments)

    def shaped(part: dict[str, Any], name: str) -> np.ndarray:
        return np.asarray(part[name], np.float64).reshape(shape)

    return Effects(
        loss=shaped(mean, "loss"),
        accuracy=shaped(mean, "accuracy"),
        loss_change=shaped(mean, "loss_change"),
        loss_error=shaped(error, "loss_change"),
        accuracy_change=shaped(mean, "accuracy_change"),
        accuracy_error=shaped(error, "accuracy_change"),
        base_loss=float(mean["base_loss"]),
        base_accuracy=float(mean["base_accuracy"]),
        examples=total,
    )


def _scored(logits: Float[Array, "*n V"], wanted: Int[Array, ""]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    logits = wide(logits)
    right = (jnp.argmax(logits, axis=-1).astype(wanted.dtype) == wanted).astype(logits.dtype)
    return -jax.nn.log_softmax(logits)[..., wanted], right
