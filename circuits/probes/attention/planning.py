"""Find the planning circuit in a model: scores of every attention head, with intervals and null hypotheses."""

from math import ceil
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from circuits import checks
from circuits.probes.attention.scores import BY_HOP, READS_LABELS, CircuitScores, attention_scores
from circuits.probes.layout import problem_layout, query_position
from circuits.probes.nulls import familywise_p_values, p_values_above_zero, untrained_scores
from circuits.probes.patterns import attention_patterns
from circuits.probes.streaming import Interval, Moments, OnProgress, cached_partial, confidence_interval, stream
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.model import Predictor

NULL_EXAMPLES = 64
"""Problems on which each untrained model is scored."""
MIN_LEVEL = 0.005
"""A lower level takes too long: it needs about 20 / level untrained models."""


class Finding(NamedTuple):
    """One score of every layer and attention head, [L, H] or [L, H, hops], with tests against chance.

    p-values are corrected for all heads, hops and scores together.
    """

    score: Interval
    baseline: Float[np.ndarray, "..."]
    """The mean over untrained models."""
    untrained: Float[np.ndarray, "..."]
    """p-values against the highest head of untrained models."""
    shuffled: Float[np.ndarray, "..."] | None
    """p-values against the layout of another problem; None for scores that do not depend on labels."""
    distractor: Float[np.ndarray, "..."] | None
    """p-values of backward-trace scores against distractor attention; None for other scores."""
    significant: Bool[np.ndarray, "..."]
    """Whether all p-values are at most the level."""


def problem_scores(model: Predictor, tokens: Int[Array, " T"], format: TokenFormat, query: int) -> CircuitScores:
    """Return every score of a model on one problem. Works under jit and vmap.

    Args:
        model: a transformer; it reads the tokens up to the query position.
        tokens: ids of the whole problem, answer included, [T].
        format: how the problem is written.
        query: the query position.

    Returns:
        Scores [L, H] or [L, H, hops].

    Example:
        >>> from functools import partial
        >>> from circuits.probes import problem_scores, stream, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> moments = stream(partial(problem_scores, format=format, query=9), model, (problems,))
        >>> moments.mean.backward_trace.shape  # layers, attention heads, hops
        (1, 2, 2)
    """
    return attention_scores(attention_patterns(model, tokens[: query + 1]), problem_layout(tokens, format, query))


def find_circuit(
    model: Predictor,
    problems: Int[np.ndarray, "n T"],
    format: TokenFormat,
    *,
    query: int | None = None,
    level: float = 0.05,
    models: int = 0,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> dict[str, Finding]:
    """Score every attention head for the parts of the planning circuit, and test each score against chance.

    Args:
        model: a transformer that reads problems in this format.
        problems: token ids of held-out problems with answers, [n, T], n ≥ 2.
        format: how the problems are written.
        query: the query position; by default that of the branching token (``query_position``).
        level: familywise error rate over all heads, hops and scores.
        models: number of untrained models to compare with; 0 for the fewest that can reach the level.
        seed: of the untrained models.
        on_progress: called with the number of problems done.

    Returns:
        A ``Finding`` for each field of ``CircuitScores``, by name.

    Raises:
        ValueError: if problems or models are too few, the level is below 0.005, or problems or query do not fit the
            format.

    Example:
        >>> from circuits.probes import find_circuit, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> findings = find_circuit(model, problems, format, level=0.5)
        >>> findings["backward_trace"].score.mean.shape  # layers, attention heads, hops
        (1, 2, 2)
    """
    checks.require(len(problems) >= 2, "problems", "must be at least 2", len(problems))
    checks.require(MIN_LEVEL <= level < 1, "level", f"must be at least {MIN_LEVEL} and below 1", level)
    query = query_position(format) if query is None else query
    families = len(CircuitScores._fields) - len(BY_HOP) + len(BY_HOP) * (format.family.nodes - 1)
    min_models = ceil(families / level)
    rule = f"must be 0, or at least {min_models} at this level"
    checks.require(models == 0 or models >= min_models, "models", rule, models)
    tokens = np.asarray(problems, np.int32)
    pairs = (tokens, np.roll(tokens, 1, axis=0))
    compared, scored = (cached_partial(f, format=format, query=query) for f in (_compared, problem_scores))
    own, over_shuffled, over_distractor = _split(stream(compared, model, pairs, on_progress=on_progress))
    few = (tokens[:NULL_EXAMPLES],)
    null = untrained_scores(scored, model.config, few, models=models or min_models, seed=seed)
    tests = model.config.layers * model.config.heads * families
    intervals = confidence_interval(own, 1 - level, tests)
    shuffled, distractor = (p_values_above_zero(part, tests) for part in (over_shuffled, over_distractor))
    findings = {}
    for name in CircuitScores._fields:
        fresh = np.asarray(getattr(null, name), np.float64)
        score = getattr(intervals, name)
        p_values = (
            np.minimum(1.0, families * _against_untrained(score.mean, fresh)),
            getattr(shuffled, name) if name in READS_LABELS else None,
            distractor if name == "backward_trace" else None,
        )
        significant = np.all([p <= level for p in p_values if p is not None], axis=0)
        findings[name] = Finding(score, fresh.mean(axis=0), *p_values, significant)
    return findings


def _compared(
    model: Predictor, tokens: Int[Array, " T"], other: Int[Array, " T"], format: TokenFormat, query: int
) -> tuple[CircuitScores, CircuitScores, Float[Array, "L H hops"]]:
    """Return the scores, their excess over those with another problem's layout, and over distractor attention."""
    patterns = attention_patterns(model, tokens[: query + 1])
    own, shuffled = (attention_scores(patterns, problem_layout(row, format, query)) for row in (tokens, other))
    return own, jax.tree.map(jnp.subtract, own, shuffled), own.backward_trace - own.distractor_attention


def _split(moments: Moments) -> list[Moments]:
    """Return moments of a tuple as a list of moments."""
    return [Moments(*parts) for parts in zip(*moments, strict=True)]


def _against_untrained(
    score: Float[np.ndarray, "L H *hops"], null: Float[np.ndarray, "models L H *hops"]
) -> Float[np.ndarray, "L H *hops"]:
    """Return p-values of one score, hop by hop if it has hops."""
    if score.ndim == 2:
        return familywise_p_values(score, null)
    return np.stack([familywise_p_values(score[..., i], null[..., i]) for i in range(score.shape[-1])], axis=-1)
