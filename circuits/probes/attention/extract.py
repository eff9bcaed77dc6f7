"""Attention maps out of a model: averages over planning problems, or one text."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.probes.attention.maps import AttentionMaps
from circuits.probes.layout import Layout, layout, place_names
from circuits.probes.patterns import attention_patterns
from circuits.probes.streaming import errors, stream
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.model import Predictor

ALIGNED = "parts of the graph: s start, n1, n2, ... the path, g goal, x1, x2, ... nodes off the path"
WRITTEN = "positions as written: u to v an edge, g goal, s start, n1, ... the answer"


def planning_maps(
    model: Predictor,
    format: TokenFormat,
    problems: Int[np.ndarray, "n T"],
    query: int,
    *,
    title: str,
    per_head: bool = True,
    aligned: bool = True,
    show: Callable[[int], None] | None = None,
) -> AttentionMaps:
    """Mean attention over problems, given with their answers, while the token after position ``query`` is predicted.

    ``aligned`` puts the edges of each problem into the common order of ``Layout.order``; else rows and columns are
    positions as they are written, where the list of edges mixes everything. ``per_head``: every head, or their mean.
    Memory does not grow with n. Raises ValueError for no problem, and for what ``layout`` refuses.
    """
    checks.require(len(problems) > 0, "problems", "must be at least one", len(problems))
    tokens = np.asarray(problems, np.int32)
    found = stream(partial(_patterns, format, query, per_head, aligned), model, (tokens,), show=show)
    first = jax.tree.map(np.asarray, layout(format, jnp.asarray(tokens[0]), query))
    names, roles = place_names(first) if aligned else _written(format, first)
    spread = errors(found) if len(tokens) > 1 else None
    heads = tuple(str(head + 1) for head in range(model.config.heads)) if per_head else (_mean_of(model),)
    notes: dict[str, object] = {
        "examples": len(tokens),
        "chosen token": f"number {query - format.prompt_length + 2} of the answer",
        "rows and columns": ALIGNED if aligned else WRITTEN,
    }
    mean = np.clip(np.asarray(found.mean), 0, 1)  # sums in float32 may exceed 1 by rounding
    return AttentionMaps(mean, names, roles, query, heads, title, notes, spread)


def text_maps(
    model: Predictor, ids: Int[np.ndarray, " T"], words: Sequence[str], *, title: str, per_head: bool = True
) -> AttentionMaps:
    """Attention on one sequence, whose tokens are written ``words``; the last position is the chosen one.

    Raises ValueError unless there is a word for each token, and for tokens that the model does not take.
    """
    checks.require(len(words) == len(ids), "words", f"must be {len(ids)}, one for each token", len(words))
    patterns = np.asarray(attention_patterns(model, jnp.asarray(ids, jnp.int32)), np.float64)
    patterns = patterns if per_head else patterns.mean(axis=1, keepdims=True)
    heads = tuple(str(head + 1) for head in range(model.config.heads)) if per_head else (_mean_of(model),)
    blank = ("",) * len(words)
    return AttentionMaps(np.clip(patterns, 0, 1), tuple(words), blank, len(words) - 1, heads, title, {"examples": 1})


def _patterns(
    format: TokenFormat, query: int, per_head: bool, aligned: bool, model: Predictor, tokens: Int[Array, " T"]
) -> Float[Array, "L H Q Q"]:
    patterns = attention_patterns(model, tokens[: query + 1])
    patterns = patterns if per_head else jnp.mean(patterns, axis=1, keepdims=True)
    if not aligned:
        return patterns
    order = layout(format, tokens, query).order
    return patterns[..., order, :][..., order]


def _written(format: TokenFormat, first: Layout) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and roles of positions as written: what is the same in every problem there."""
    tails = np.asarray(first.listed)
    names = np.full(len(first.tokens), "·", dtype="<U8")
    names[tails], names[tails + 1] = "u", "v"
    names[int(first.start)], names[int(first.goal)] = "s", "g"
    answer = np.arange(format.prompt_length, len(names))
    names[answer] = [f"n{place - format.prompt_length + format.first_node}" for place in answer]
    roles = {"·": "symbol", "u": "edges", "v": "edges", "s": "start", "g": "goal"}
    return tuple(names.tolist()), tuple(roles.get(name, "answer") for name in names.tolist())


def _mean_of(model: Predictor) -> str:
    return f"mean of {model.config.heads}"
