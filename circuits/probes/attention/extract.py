"""Attention maps of a model: averaged over planning problems, or on one text."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.probes.attention.maps import ALIGNED, AttentionMaps
from circuits.probes.layout import Layout, aligned_names, problem_layout, query_position
from circuits.probes.patterns import attention_patterns
from circuits.probes.streaming import OnProgress, cached_partial, standard_errors, stream
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.model import Predictor

WRITTEN = "positions as written: u to v an edge, g goal, s start, n1, ... the answer"


def attention_maps(
    model: Predictor,
    problems: Int[np.ndarray, "n T"],
    format: TokenFormat,
    *,
    query: int | None = None,
    title: str = "",
    per_head: bool = True,
    aligned: bool = True,
    keep_examples: int = 0,
    on_progress: OnProgress | None = None,
) -> AttentionMaps:
    """Return the mean attention over planning problems while a token of the answer is predicted.

    Memory does not grow with the number of problems.

    Args:
        model: a transformer that reads problems in this format.
        problems: token ids with answers, [n, T].
        format: how the problems are written.
        query: the query position; by default that of the branching token (``query_position``).
        title: for figures and pages.
        per_head: whether to return every attention head, or only the mean over heads.
        aligned: whether to sort positions into the aligned order of ``Layout.order``. Otherwise rows and columns are
            positions as written, at which different problems have different parts of the graph.
        keep_examples: number of problems, from the first, whose own patterns are returned too.
        on_progress: called with the number of problems done.

    Returns:
        Patterns [L, H, Q, Q] up to the query position, with standard errors if there are at least two problems; see
        ``circuits.plotting.attention`` for figures and ``circuits.plotting.page`` for a page.

    Raises:
        ValueError: if there is no problem, there are fewer than ``keep_examples``, or problems or query do not fit the
            format.

    Example:
        >>> from circuits.probes import attention_maps, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> maps = attention_maps(model, problems, format)
        >>> maps.patterns.shape, maps.tokens[:4]
        ((1, 2, 10, 10), ('s', 'n1', 'n1', 'g'))
    """
    checks.require(len(problems) > 0, "problems", "must be at least one", len(problems))
    checks.integer("keep_examples", keep_examples, min_value=0, max_value=len(problems))
    query = query_position(format) if query is None else query
    tokens = np.asarray(problems, np.int32)
    function = cached_partial(_patterns, format=format, query=query, per_head=per_head, aligned=aligned)
    moments = stream(function, model, (tokens,), on_progress=on_progress)
    first = jax.tree.map(np.asarray, problem_layout(jnp.asarray(tokens[0]), format, query))
    names, roles = aligned_names(first) if aligned else _written_names(format, first)
    errors = standard_errors(moments) if len(tokens) > 1 else None
    notes: dict[str, object] = {
        "examples": len(tokens),
        "predicted token": f"token {query + 1 - format.prompt_length} of the answer (counted from 0)",
        "rows and columns": ALIGNED if aligned else WRITTEN,
    }
    mean = np.clip(np.asarray(moments.mean), 0, 1)  # sums in float32 may exceed 1 by rounding
    single = [stream(function, model, (one[None],)).mean for one in tokens[:keep_examples]]
    examples = np.clip(np.stack([np.asarray(one) for one in single]), 0, 1) if single else None
    return AttentionMaps(mean, names, roles, query, _head_names(model, per_head), title, notes, errors, None, examples)


def text_attention_maps(
    model: Predictor, ids: Int[np.ndarray, " T"], words: Sequence[str], *, title: str = "", per_head: bool = True
) -> AttentionMaps:
    """Return the attention of a language model on one text; the query is the last position.

    Args:
        model: a language model.
        ids: token ids, [T].
        words: the text of each token, T strings.
        title: for figures and pages.
        per_head: whether to return every attention head, or only the mean over heads.

    Returns:
        Patterns [L, H, T, T], without standard errors.

    Raises:
        ValueError: if words and tokens differ in number, or the model does not accept the tokens.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import text_attention_maps, tiny_planning_model
        >>> model, _, _ = tiny_planning_model()
        >>> maps = text_attention_maps(model, np.array([3, 1, 4]), ["c", "a", "d"])
        >>> maps.patterns.shape, maps.query
        ((1, 2, 3, 3), 2)
    """
    checks.require(len(words) == len(ids), "words", f"must be {len(ids)}, one for each token", len(words))
    patterns = np.asarray(attention_patterns(model, jnp.asarray(ids, jnp.int32)), np.float64)
    patterns = np.clip(patterns if per_head else patterns.mean(axis=1, keepdims=True), 0, 1)
    roles, heads = ("",) * len(words), _head_names(model, per_head)
    return AttentionMaps(patterns, tuple(words), roles, len(words) - 1, heads, title, {"examples": 1})


def _patterns(
    model: Predictor, tokens: Int[Array, " T"], format: TokenFormat, query: int, per_head: bool, aligned: bool
) -> Float[Array, "L H Q Q"]:
    patterns = attention_patterns(model, tokens[: query + 1])
    patterns = patterns if per_head else jnp.mean(patterns, axis=1, keepdims=True)
    if not aligned:
        return patterns
    order = problem_layout(tokens, format, query).order
    return patterns[..., order, :][..., order]


def _written_names(format: TokenFormat, layout: Layout) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names and roles of the positions as written, which are the same in every problem."""
    parents = np.asarray(layout.listed_parents)
    names = np.full(len(layout.tokens), "·", dtype="<U8")
    names[parents], names[parents + 1] = "u", "v"
    names[int(layout.start)], names[int(layout.goal)] = "s", "g"
    answer = np.arange(format.prompt_length, len(names))
    names[answer] = [f"n{position - format.prompt_length + format.path_offset}" for position in answer]
    roles = {"·": "symbol", "u": "edges", "v": "edges", "s": "start", "g": "goal"}
    return tuple(names.tolist()), tuple(roles.get(name, "answer") for name in names.tolist())


def _head_names(model: Predictor, per_head: bool) -> tuple[str, ...]:
    count = model.config.heads
    return tuple(map(str, range(count))) if per_head else (f"mean of {count}",)
