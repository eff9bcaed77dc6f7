"""Find the planning circuit in a model: scores of every attention head, with intervals and null hypotheses."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from circuits import checks, display
from circuits.display import Figure
from circuits.probes.attention.scores import BY_HOP, READS_LABELS, CircuitScores, attention_scores
from circuits.probes.layout import problem_layout, query_position
from circuits.probes.nulls import familywise_p_values, p_values_above_zero, single_head, untrained_scores
from circuits.probes.patterns import attention_patterns
from circuits.probes.streaming import Interval, Moments, OnProgress, cached_partial, confidence_interval, stream
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor

NULL_EXAMPLES = 64
"""Problems on which each untrained model is scored."""
MIN_LEVEL = 0.005
"""A lower level takes too long: it needs about 20 / level untrained models."""
MAX_ROWS = 16
"""Attention heads in a displayed table."""


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

    def plot(self, *, hop: int | None = None, title: str = "") -> Figure:
        """Draw the score of every attention head, layers down and heads across, with a dot on significant ones.

        Args:
            hop: of a score by hop; by default the highest of all hops, and a dot for any of them.
            title: above the matrix.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: if there is no such hop, or a score is undefined for some head.

        Example:
            >>> from circuits.probes import Interval
            >>> mean = np.array([[0.1, 0.9]])  # one layer, two heads
            >>> finding = Finding(Interval(mean, mean, mean), 0 * mean, 1 - mean, None, None, mean > 0.5)
            >>> finding.plot(title="goal").axes[0].get_ylabel()
            'layer'
        """
        scores, significant = self.score.mean, self.significant
        if scores.ndim == 3 and hop is None:
            scores, significant = np.fmax.reduce(scores, axis=-1), np.asarray(significant.any(axis=-1))
        elif scores.ndim == 3:
            checks.integer("hop", hop, min_value=0, max_value=scores.shape[-1] - 1)
            scores, significant = scores[..., hop], significant[..., hop]
        return display.plotting.head_score_heatmap(scores, title, significant=significant)

    @display.safe
    def _repr_html_(self) -> str:
        return _table("Attention heads", {"": self}) + display.picture(self.plot())


class CircuitFindings(dict[str, Finding]):
    """A ``Finding`` for each field of ``CircuitScores``, by name; displayed as one table of the significant heads."""

    def plot(self, score: str = "backward_trace", *, hop: int | None = None, title: str | None = None) -> Figure:
        """Draw one score of every attention head, as ``Finding.plot``.

        Args:
            score: a field of ``CircuitScores``.
            hop: of a score by hop; by default the highest of all hops.
            title: by default the score's name in words.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: for an unknown score, and as ``Finding.plot``.

        Example:
            >>> from circuits.probes import Interval
            >>> mean = np.array([[0.1, 0.9]])  # one layer, two heads
            >>> finding = Finding(Interval(mean, mean, mean), 0 * mean, 1 - mean, None, None, mean > 0.5)
            >>> CircuitFindings(goal_in_query=finding).plot("goal_in_query").get_suptitle()
            'goal in query'
        """
        checks.choice("score", score, tuple(self))
        return self[score].plot(hop=hop, title=score.replace("_", " ") if title is None else title)

    @display.safe
    def _repr_html_(self) -> str:
        steps = [display.picture(self.plot(score)) for score in ("goal_in_query", "backward_trace")]
        return _table("Attention heads of the circuit", self) + display.beside(steps)


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
) -> CircuitFindings:
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
    few = tokens[:NULL_EXAMPLES]
    null = _null_scores(scored, single_head(model.config), few.tobytes(), len(few), models or min_models, seed)
    tests = model.config.layers * model.config.heads * families
    intervals = confidence_interval(own, 1 - level, tests)
    shuffled, distractor = (p_values_above_zero(part, tests) for part in (over_shuffled, over_distractor))
    findings = CircuitFindings()
    for name in CircuitScores._fields:
        fresh = getattr(null, name)
        score = getattr(intervals, name)
        p_values = (
            np.minimum(1.0, families * _against_untrained(score.mean, fresh)),
            getattr(shuffled, name) if name in READS_LABELS else None,
            distractor if name == "backward_trace" else None,
        )
        significant = np.all([p <= level for p in p_values if p is not None], axis=0)
        findings[name] = Finding(score, fresh.mean(axis=0), *p_values, significant)
    return findings


def _table(caption: str, findings: Mapping[str, Finding]) -> display.Markup:
    """Return the significant attention heads, strongest first; or the strongest few if none is significant."""
    results = {name: np.argwhere(finding.significant).tolist() for name, finding in findings.items()}
    total = sum(map(len, results.values()))
    if not total:
        results = {name: np.argwhere(np.isfinite(finding.score.mean)).tolist() for name, finding in findings.items()}
    entries = [(findings[name], name, tuple(index)) for name, indices in results.items() for index in indices]
    entries.sort(key=lambda entry: -entry[0].score.mean[entry[2]])
    named, by_hop = any(findings), any(len(index) == 3 for _, _, index in entries)
    columns = ["head", *["score of"] * named, *["hop"] * by_hop, "score", "interval", "untrained mean"]
    columns += ["p, untrained", "p, other layout", "p, distractor", "significant"]
    rows = []
    for finding, name, index in entries[:MAX_ROWS]:
        p_values = (finding.untrained, finding.shuffled, finding.distractor)
        where = [*[name.replace("_", " ")] * named, *["" if len(index) == 2 else index[2]] * by_hop]
        ends = f"{finding.score.low[index]:.2f} to {finding.score.high[index]:.2f}"
        numbers = [f"{finding.score.mean[index]:.2f}", ends, f"{finding.baseline[index]:.2f}"]
        tests = ["" if p is None else f"{p[index]:.2g}" for p in p_values]
        rows.append((f"L{index[0]}H{index[1]}", *where, *numbers, *tests, bool(finding.significant[index])))
    if not total:
        caption += ": none is significant; the strongest"
    elif total > MAX_ROWS:
        caption += f": the {MAX_ROWS} strongest of {total} significant scores"
    return display.table(caption, columns, rows)


@lru_cache(maxsize=4)
def _null_scores(
    score: Callable[..., CircuitScores], config: TransformerConfig, problems: bytes, count: int, models: int, seed: int
) -> CircuitScores:
    """Return the scores of untrained models, in float64; models of one architecture share them."""
    tokens = np.frombuffer(problems, np.int32).reshape(count, -1)
    null = untrained_scores(score, config, (tokens,), models=models, seed=seed)
    return jax.tree.map(lambda values: np.asarray(values, np.float64), null)


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
