"""Effects of an intervention on the predicted token: its cross-entropy, and whether it has the largest logit."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks, display
from circuits.display import Figure
from circuits.probes.interventions.axes import Axis, unnamed
from circuits.probes.interventions.sites import last_logits
from circuits.probes.interventions.variants import map_in_blocks
from circuits.probes.streaming import OnProgress, Tree, cached_partial, standard_errors, stream
from circuits.transformer.layers import upcast
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Edit
from circuits.typing import AnyArray


class Effects(NamedTuple):
    """Means over examples: arrays in the shape of the sweep for its variants, numbers for the unchanged run."""

    loss: Float[np.ndarray, "..."]
    """Cross-entropy at the predicted token, in nats."""
    accuracy: Float[np.ndarray, "..."]
    """Share of examples in which the correct token has the largest logit."""
    loss_change: Float[np.ndarray, "..."]
    """Relative to the unchanged run."""
    loss_error: Float[np.ndarray, "..."]
    """The standard error of that change; runs are paired by example."""
    accuracy_change: Float[np.ndarray, "..."]
    accuracy_error: Float[np.ndarray, "..."]
    base_loss: float
    base_accuracy: float
    examples: int
    axes: tuple[Axis, ...] = ()
    """Name and labels of each axis of the sweep; () if they are unknown."""

    _repr_html_ = display.html

    def plot(self, field: str = "accuracy_change", *, entry: int = 0, title: str = "") -> Figure:
        """Draw the effects: bars for a sweep over one axis, otherwise a heatmap over the last two.

        Args:
            field: "accuracy_change", "loss_change", "accuracy", "loss", "accuracy_error" or "loss_error".
            entry: which matrix to draw if there are more than two axes, counted over the leading ones.
            title: above the figure.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: if there is no such field or entry, or nothing was swept over.

        Example:
            >>> from circuits.probes.interventions.axes import numbered
            >>> effects = Effects(*[np.array([0.1, 0.9])] * 6, 0.5, 1.0, examples=8, axes=(numbered("layer", 2),))
            >>> effects.plot("loss_change").axes[0].get_xlabel()
            'layer'
        """
        checks.choice("field", field, self._fields[:6])
        axes, values = self.axes or unnamed(self.loss.shape), getattr(self, field)
        change, label = field.endswith("change"), field.replace("_", " ")
        return display.plotting.sweep_figure(values, axes, entry=entry, title=title, label=label, diverging=change)


class Change(NamedTuple):
    """One example: its tokens, the correct answer, and the edits of each variant."""

    tokens: Int[AnyArray, " Q"]
    answer: Int[AnyArray, ""]
    edits: Callable[[Any], dict[str, Edit]]


def measure_effects(
    model: Predictor,
    examples: tuple,
    variants: Tree,
    change: Callable[..., Change],
    shape: tuple[int, ...],
    *,
    values: Tree = None,
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    on_progress: OnProgress | None = None,
) -> Effects:
    """Return the effects of each variant, averaged over examples that ``change(model, values, *example)`` describes.

    ``values`` are arrays that all examples share. ``change`` must be the same object in each call, or every call
    compiles anew. Raises ValueError if the model does not have prediction head ``head``.
    """
    checks.integer("head", head, min_value=0, max_value=model.config.prediction_heads - 1)
    function = cached_partial(_one_example, change=change, head=head, block=block)
    moments = stream(function, model, examples, shared=(variants, values), chunk=chunk, on_progress=on_progress)
    mean, error = moments.mean, standard_errors(moments)

    def swept(values: AnyArray) -> Float[np.ndarray, "..."]:
        return np.asarray(values, np.float64).reshape(shape)

    return Effects(
        loss=swept(mean["loss"]),
        accuracy=swept(mean["accuracy"]),
        loss_change=swept(mean["loss_change"]),
        loss_error=swept(error["loss_change"]),
        accuracy_change=swept(mean["accuracy_change"]),
        accuracy_error=swept(error["accuracy_change"]),
        base_loss=float(mean["base_loss"]),
        base_accuracy=float(mean["base_accuracy"]),
        examples=len(jax.tree.leaves(examples)[0]),
    )


def _one_example(
    model: Predictor, variants: Tree, values: Tree, *example: Any, change: Callable[..., Change], head: int, block: int
) -> dict[str, Array]:
    tokens, answer, edits = change(model, values, *example)
    base_loss, base_accuracy = _loss_and_accuracy(last_logits(model, tokens, head=head), answer)
    logits = map_in_blocks(lambda variant: last_logits(model, tokens, edits(variant), head), variants, block)
    loss, accuracy = _loss_and_accuracy(logits, answer)
    means = {"loss": loss, "accuracy": accuracy, "base_loss": base_loss, "base_accuracy": base_accuracy}
    return means | {"loss_change": loss - base_loss, "accuracy_change": accuracy - base_accuracy}


def _loss_and_accuracy(
    logits: Float[Array, "*n V"], answer: Int[AnyArray, ""]
) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    logits = upcast(logits)
    correct = (jnp.argmax(logits, axis=-1).astype(answer.dtype) == answer).astype(logits.dtype)
    return -jax.nn.log_softmax(logits)[..., answer], correct
