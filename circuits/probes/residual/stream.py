"""Which nodes the residual stream names after each layer: by the model's own prediction heads.

Stream 0 is the embedding, stream l what leaves block l (counted from 1), so S = L + 1 of them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.probes.layout import Layout
from circuits.probes.streaming import Show, errors, stream
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.layers import wide
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps


class Lens(NamedTuple):
    """Means over examples for the k prediction heads, L + 1 streams and K = E + 1 nodes of the graph.

    Nodes are in the common order: the path from the start to the goal, then the others by level.
    """

    probability: Float[np.ndarray, "k S K"]
    """That a prediction head gives to the node, over the whole vocabulary."""
    rank: Float[np.ndarray, "k S K"]
    """How many tokens have a larger logit; 0 is the best."""
    top: Float[np.ndarray, "k S K"]
    """Share of examples in which the node is the best token."""
    probability_error: Float[np.ndarray, "k S K"]
    """Standard errors."""
    top_error: Float[np.ndarray, "k S K"]


def logit_lens(
    model: Predictor,
    format: TokenFormat,
    layouts: Layout,
    where: str | int = "query",
    *,
    chunk: int = 64,
    show: Show | None = None,
) -> Lens:
    """Final norm and prediction heads applied to the stream after each layer, at one place (see ``position``).

    Of heads that are not linear only the first is: the others do not read this stream.

    Raises ValueError for a place that there is not.
    """
    total, config = len(layouts.tokens), model.config
    heads = config.prediction_heads if config.head_kind == "linear" else 1

    def one(model: Predictor, layout: Layout) -> dict[str, Array]:
        states = streams(model, layout.tokens)[:, position(layout, where)]
        final = model.transformer.norm(states)
        logits = wide(jnp.stack([model.logits(final, m) for m in range(heads)]))
        own = logits[..., nodes(format, layout)]
        rank = jnp.sum(logits[..., None, :] > own[..., None], axis=-1, dtype=logits.dtype)
        probability = jax.nn.softmax(logits, axis=-1)[..., nodes(format, layout)]
        return {"probability": probability, "rank": rank, "top": (rank == 0).astype(logits.dtype)}

    moments = stream(one, model, (layouts,), chunk=chunk, show=None if show is None else lambda done: show(done, total))
    mean, error = moments.mean, errors(moments)
    parts = (mean["probability"], mean["rank"], mean["top"], error["probability"], error["top"])
    return Lens(*(np.asarray(part, np.float64) for part in parts))


def position(layout: Layout, where: str | int) -> Int[Array, ""]:
    """The position of a place of one problem: "query", "goal in query", "start in query", "edge k tail", "edge k head"
    for k = 1 .. M - 1 of the path, or a number i for place i of the common order.

    Raises ValueError for another place.
    """
    edges = layout.tails.shape[0]
    found = {"query": layout.query, "goal in query": layout.goal, "start in query": layout.start}
    for k in range(edges):
        found |= {f"edge {k + 1} tail": layout.tails[k], f"edge {k + 1} head": layout.heads[k]}
    if isinstance(where, str):
        checks.choice("where", where, tuple(found))
        return found[where]
    checks.integer("where", where, min_value=0, max_value=layout.order.shape[0] - 1)
    return layout.order[where]


def streams(model: Predictor, tokens: Int[Array, " T"]) -> Float[Array, "S T d"]:
    """The residual stream at the embedding and after each block."""
    _, cache = model(tokens, Taps(capture=["embed", "blocks.*.resid_post"]))
    return jnp.stack([cache["embed"], *(cache[f"blocks.{i}.resid_post"] for i in range(model.config.layers))])


def nodes(format: TokenFormat, layout: Layout) -> Int[Array, " K"]:
    """Every node of the graph once: the path from the start, then the others as they come in the common order."""
    heads = np.arange(format.family.edge_count) * (3 if format.style == "text" else 2) + 1
    return jnp.concatenate([layout.tokens[layout.start][None], layout.tokens[layout.order[heads]]])


def targets(layout: Layout) -> Int[Array, "... M"]:
    """The nodes n_0 .. n_{M-1} of the path, of one problem or a batch."""
    at = jnp.concatenate([layout.tails[..., :1], layout.heads], axis=-1)
    return jnp.take_along_axis(layout.tokens, at, axis=-1)
