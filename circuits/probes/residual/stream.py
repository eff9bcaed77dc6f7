"""Logit lens: the nodes that the model's own prediction heads read from the residual stream after each layer.

There are L + 1 streams: stream 0 is the embedding, and stream i + 1 is the output of block i.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks, display
from circuits.display import Figure
from circuits.probes.layout import Layout
from circuits.probes.positions import position_of
from circuits.probes.streaming import OnProgress, cached_partial, standard_errors, stream
from circuits.transformer.layers import upcast
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps
from circuits.typing import AnyArray


class LogitLens(NamedTuple):
    """Means over examples for the k prediction heads, L + 1 streams and E + 1 nodes of the graph.

    Nodes are in the aligned order: the path from the start to the goal, then the others by depth.
    """

    probability: Float[np.ndarray, "k streams nodes"]
    """The probability of the node, over the whole vocabulary."""
    rank: Float[np.ndarray, "k streams nodes"]
    """The number of tokens with a larger logit; 0 is the best."""
    top: Float[np.ndarray, "k streams nodes"]
    """Share of examples in which the node has the largest logit."""
    probability_error: Float[np.ndarray, "k streams nodes"]
    """The standard error of ``probability``."""
    top_error: Float[np.ndarray, "k streams nodes"]
    """The standard error of ``top``."""

    _repr_html_ = display.html

    def plot(
        self, field: str = "probability", *, head: int = 0, names: Sequence[object] = (), title: str = ""
    ) -> Figure:
        """Draw what one prediction head reads: streams down, nodes across.

        Args:
            field: "probability", "rank" or "top".
            head: a prediction head from 0.
            names: of the nodes, in the aligned order; by default 0, 1, ...
            title: above the matrix.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: if there is no such field or prediction head, or there are other numbers of names.

        Example:
            >>> lens = LogitLens(*[np.full((1, 2, 5), 0.5)] * 5)  # one prediction head, two streams, five nodes
            >>> [tick.get_text() for tick in lens.plot().axes[0].get_yticklabels()]
            ['embedding', '0']
        """
        checks.choice("field", field, self._fields[:3])
        checks.integer("head", head, min_value=0, max_value=len(self.rank) - 1)
        values = getattr(self, field)[head]
        axes = {"row_name": "after layer", "column_name": "node, in the aligned order", "label": field}
        columns = names or range(values.shape[1])
        return display.plotting.effect_heatmap(
            values, stream_names(len(values)), columns, title=title, diverging=False, **axes
        )


def logit_lens(
    model: Predictor,
    layouts: Layout,
    position: str | int = "query",
    *,
    chunk: int = 64,
    on_progress: OnProgress | None = None,
) -> LogitLens:
    """Return the predictions that the prediction heads make from the residual stream after each layer.

    The final norm is applied before the heads.

    Args:
        model: a transformer of planning problems.
        layouts: of a batch of problems: ``PlanningTwins.layout``, or ``problem_layout`` under vmap.
        position: a name such as "query", "goal in query" or "edge 0 child", or an entry of the aligned order.
        chunk: examples computed at once.
        on_progress: called with the number of examples done.

    Returns:
        Means over examples [k, L + 1, E + 1]. Unless the prediction heads are linear, k = 1: the other ones do not read
        this stream.

    Raises:
        ValueError: for an unknown position.

    Example:
        >>> import jax
        >>> from circuits.probes import logit_lens, planning_twins, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> twins = planning_twins(problems, format, jax.random.key(0))
        >>> logit_lens(model, twins.layout).rank.shape  # heads, streams, nodes
        (1, 2, 5)
    """
    function = cached_partial(_one_example, position=position)
    moments = stream(function, model, (layouts,), chunk=chunk, on_progress=on_progress)
    mean, error = moments.mean, standard_errors(moments)
    parts = (mean["probability"], mean["rank"], mean["top"], error["probability"], error["top"])
    return LogitLens(*(np.asarray(part, np.float64) for part in parts))


def _one_example(model: Predictor, layout: Layout, position: str | int) -> dict[str, Array]:
    heads = model.config.prediction_heads if model.config.head_kind == "linear" else 1
    states = residual_streams(model, layout.tokens)[:, position_of(layout, position)]
    final = model.transformer.norm(states)
    logits = upcast(jnp.stack([model.logits(final, head) for head in range(heads)]))
    nodes = graph_nodes(layout)
    rank = jnp.sum(logits[..., None, :] > logits[..., nodes][..., None], axis=-1, dtype=logits.dtype)
    probability = jax.nn.softmax(logits, axis=-1)[..., nodes]
    return {"probability": probability, "rank": rank, "top": (rank == 0).astype(logits.dtype)}


def stream_names(count: int) -> list[str]:
    """Return names of the streams: "embedding", then the number of the layer before each."""
    return ["embedding", *map(str, range(count - 1))]


def residual_streams(model: Predictor, tokens: Int[AnyArray, " T"]) -> Float[Array, "streams T d"]:
    """Return the residual stream at the embedding and after each block.

    Args:
        model: a transformer.
        tokens: ids of one sequence, [T].

    Returns:
        [L + 1, T, d]: entry 0 is the embedding, entry i + 1 the output of block i.

    Example:
        >>> import jax
        >>> from circuits.probes import residual_streams, tiny_planning_model
        >>> model, problems, _ = tiny_planning_model()
        >>> jax.jit(lambda tokens: residual_streams(model, tokens))(problems[0]).shape
        (2, 12, 8)
    """
    _, cache = model(jnp.asarray(tokens), Taps(capture=["embed", "blocks.*.resid_post"]))
    return jnp.stack([cache["embed"], *(cache[f"blocks.{i}.resid_post"] for i in range(model.config.layers))])


def graph_nodes(layout: Layout) -> Int[Array, " nodes"]:
    """Return every node of the graph once: the path from the start, then the others in the aligned order."""
    return jnp.concatenate([layout.tokens[layout.start][None], layout.tokens[layout.order[layout.listed_parents + 1]]])


def path_nodes(layout: Layout) -> Int[Array, "... M"]:
    """Return the nodes n_0 .. n_{M-1} of the path, for one problem or a batch."""
    positions = jnp.concatenate([layout.parents[..., :1], layout.children], axis=-1)
    return jnp.take_along_axis(layout.tokens, positions, axis=-1)
