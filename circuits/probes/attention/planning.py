"""The reverse reasoning circuit in a model that plans: scores of every head, with intervals and nulls."""

from collections.abc import Callable
from functools import cache, partial
from math import ceil
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from circuits import checks
from circuits.probes.attention.scores import READS_CONTENT, Scores, scores
from circuits.probes.layout import layout
from circuits.probes.nulls import above_zero, familywise, untrained
from circuits.probes.patterns import attention_patterns
from circuits.probes.streaming import Interval, Moments, interval, stream
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.model import Predictor

NULL_EXAMPLES = 64
"""Problems on which each untrained model is scored."""
LEAST_LEVEL = 0.005
"""A lower one takes more untrained models than anyone waits for: some 20 divided by the level."""
BY_HOP = ("trace", "astray", "link")


class Finding(NamedTuple):
    """One score of every layer and head, [L, H] or [L, H, hops], and whether it is more than chance.

    p-values hold for all heads, hops and scores at once. ``significant``: all that are not None are at most the level.
    """

    score: Interval
    baseline: Float[np.ndarray, "..."]
    """Mean over untrained models."""
    untrained: Float[np.ndarray, "..."]
    """p-values against the highest head of untrained models."""
    shuffled: Float[np.ndarray, "..."] | None
    """p-values against another problem's layout; None for scores on which labels have no bearing."""
    astray: Float[np.ndarray, "..."] | None
    """p-values of trace against astray: is the path to the goal read more than the others? None for other scores."""
    significant: Bool[np.ndarray, "..."]


def scores_of(format: TokenFormat, query: int, model: Predictor, tokens: Int[Array, " T"]) -> Scores:
    """Every score of a model on one problem, given with its answer, of which it sees what stands up to ``query``."""
    return scores(attention_patterns(model, tokens[: query + 1]), layout(format, tokens, query))


def find_circuit(
    model: Predictor,
    format: TokenFormat,
    problems: Int[np.ndarray, "n T"],
    query: int,
    *,
    level: float = 0.05,
    models: int = 0,
    seed: int = 0,
    show: Callable[[int], None] | None = None,
) -> dict[str, Finding]:
    """A ``Finding`` for each of ``Scores``, from at least 2 problems with their answers.

    It is compared with ``models`` untrained ones; 0 takes as few as can reach the level. Raises ValueError for fewer
    problems or models, a level below ``LEAST_LEVEL``, and for what ``layout`` refuses.
    """
    checks.require(len(problems) >= 2, "problems", "must be at least 2", len(problems))
    checks.require(LEAST_LEVEL <= level < 1, "level", f"must be at least {LEAST_LEVEL} and below 1", level)
    families = len(Scores._fields) - len(BY_HOP) + len(BY_HOP) * (format.family.nodes - 1)
    least = ceil(families / level)
    checks.require(models == 0 or models >= least, "models", f"must be 0, or at least {least} at this level", models)
    tokens = np.asarray(problems, np.int32)
    others = np.roll(tokens, 1, axis=0)
    found = stream(_about(_compared, format, query), model, (tokens, others), show=show)
    few = (tokens[:NULL_EXAMPLES],)
    null = untrained(_about(scores_of, format, query), model.config, few, models=models or least, seed=seed)
    tests = model.config.layers * model.config.heads * families
    own, against_others, against_astray = (Moments(*(part[i] for part in found)) for i in range(3))
    intervals, shuffled = interval(own, 1 - level, tests), above_zero(against_others, tests)
    astray = above_zero(against_astray, tests)
    findings = {}
    for name in Scores._fields:
        fresh = np.asarray(getattr(null, name), np.float64)
        score = getattr(intervals, name)
        nulls = (
            np.minimum(1.0, families * _beyond(score.mean, fresh)),
            getattr(shuffled, name) if name in READS_CONTENT else None,
            astray if name == "trace" else None,
        )
        significant = np.all([null <= level for null in nulls if null is not None], axis=0)
        findings[name] = Finding(score, fresh.mean(axis=0), *nulls, significant)
    return findings


@cache
def _about(function: Callable, format: TokenFormat, query: int) -> Callable:
    """The same partial function for the same arguments, so that what is compiled for it serves again."""
    return partial(function, format, query)


def _compared(
    format: TokenFormat, query: int, model: Predictor, tokens: Int[Array, " T"], other: Int[Array, " T"]
) -> tuple[Scores, Scores, Float[Array, "L H hops"]]:
    """The scores, how much higher they are than with another problem's layout, and than off the path."""
    patterns = attention_patterns(model, tokens[: query + 1])
    own, shuffled = (scores(patterns, layout(format, row, query)) for row in (tokens, other))
    return own, jax.tree.map(jnp.subtract, own, shuffled), own.trace - own.astray


def _beyond(score: Float[np.ndarray, "L H *hops"], null: Float[np.ndarray, "R L H *hops"]) -> np.ndarray:
    """p-values of one score, hop by hop if it has hops."""
    if score.ndim == 2:
        return familywise(score, null)
    return np.stack([familywise(score[..., i], null[..., i]) for i in range(score.shape[-1])], axis=-1)
