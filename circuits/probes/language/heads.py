"""Attention heads of language models: previous-token, duplicate-token and induction heads.

Each kind is defined by the positions s to which a query position t should attend, its targets:

    previous     s = t - 1
    duplicate    s < t with the token of t
    induction    s ≤ t such that position s - 1 has the token of t: the token that followed it before

In a sequence of n different tokens written twice, a query t ≥ n has one target: t - n for duplicate and t - (n - 1) for
induction. A score is the attention on the targets, averaged over the queries that have any. There are two null
hypotheses: that the position does not matter (targets are shuffled among the positions to which the query can attend),
and that the repetition does not matter (the same positions, on a sequence whose second half has fresh tokens).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from circuits import checks, display
from circuits.display import Figure
from circuits.probes.patterns import attention_patterns
from circuits.probes.streaming import Interval, cached_partial, confidence_interval, stream
from circuits.typing import AnyArray, Tokens

Patterns = Float[AnyArray, "L H T T"]
"""Attention of every layer and head, from query down to key across."""
Targets = Bool[AnyArray, "T T"]
"""Which keys each query should attend to."""
HeadScores = Float[Array, "L H"]
Evidence = tuple[HeadScores, HeadScores, HeadScores | None]
KINDS = ("previous", "duplicate", "induction")
MAX_ROWS = 5
"""Displayed attention heads of each kind."""


class RepeatedSequences(NamedTuple):
    """Sequences of different tokens written twice, and the same first halves continued with other tokens."""

    repeated: Int[np.ndarray, "B T"]
    fresh: Int[np.ndarray, "B T"]

    _repr_html_ = display.html


class HeadEvidence(NamedTuple):
    """The evidence for one kind of head: intervals [L, H] over sequences."""

    score: Interval
    over_shuffled: Interval
    """The score minus that with shuffled targets, from -1 to 1."""
    over_fresh: Interval | None
    """The score minus that on fresh tokens; None for "previous", which does not depend on tokens."""

    def plot(self, *, margin: float = 0.1, title: str = "") -> Figure:
        """Draw the score of every attention head, with a dot on those of ``heads_above_nulls``.

        Args:
            margin: minimum lower end of the intervals of both excesses.
            title: above the matrix.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: if a score is not finite.

        Example:
            >>> from circuits.probes import HeadEvidence, Interval
            >>> mean = np.array([[0.9, 0.2]])  # one layer, two heads
            >>> interval = Interval(mean, mean - 0.15, mean + 0.15)
            >>> HeadEvidence(interval, interval, None).plot(title="previous").get_suptitle()
            'previous'
        """
        significant = np.zeros(self.score.mean.shape, bool)
        for head in heads_above_nulls(self, margin):
            significant[head.layer, head.head] = True
        return display.plotting.head_score_heatmap(self.score.mean, title, significant=significant)

    @display.safe
    def _repr_html_(self) -> str:
        return _table({"": self}) + display.picture(self.plot())


class LanguageEvidence(dict[str, HeadEvidence]):
    """A ``HeadEvidence`` for each kind of head, by name; displayed as one table of the heads above both nulls."""

    def plot(self, kind: str = "induction", *, margin: float = 0.1, title: str | None = None) -> Figure:
        """Draw the evidence for one kind of head, as ``HeadEvidence.plot``.

        Args:
            kind: "previous", "duplicate" or "induction".
            margin: minimum lower end of the intervals of both excesses.
            title: by default the kind.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: for an unknown kind.

        Example:
            >>> from circuits.probes import HeadEvidence, Interval
            >>> mean = np.array([[0.9, 0.2]])
            >>> evidence = HeadEvidence(Interval(mean, mean, mean), Interval(mean, mean, mean), None)
            >>> LanguageEvidence(previous=evidence).plot("previous").axes[0].get_xlabel()
            'head'
        """
        checks.choice("kind", kind, tuple(self))
        return self[kind].plot(margin=margin, title=kind if title is None else title)

    @display.safe
    def _repr_html_(self) -> str:
        return _table(self) + display.beside(display.picture(self.plot(kind)) for kind in self)


class LanguageHead(NamedTuple):
    """An attention head, with its mean score."""

    layer: int
    head: int
    score: float

    @display.safe
    def _repr_html_(self) -> str:
        return display.paragraph(f"L{self.layer}H{self.head}, score {self.score:.2f}")


def repeated_sequences(
    ids: int | Sequence[int] | Int[np.ndarray, " V"], length: int, count: int, seed: int, start: int | None = None
) -> RepeatedSequences:
    """Return random sequences of different tokens, each written twice, with controls.

    Args:
        ids: the token ids to draw from, or the number V of ids 0 .. V - 1.
        length: number of tokens in each half.
        count: number of sequences.
        seed: of the draws.
        start: a token to prepend to each sequence, for models that were trained with one.

    Returns:
        Ids [count, 2 length], or one token more with ``start``.

    Raises:
        ValueError: if ``length`` or ``count`` is not positive, or the ids contain duplicates or are fewer than
            2 ``length``.

    Example:
        >>> from circuits.probes import repeated_sequences
        >>> repeated_sequences(ids=50, length=3, count=4, seed=0).repeated.shape
        (4, 6)
    """
    for name, value in (("length", length), ("count", count)):
        checks.integer(name, value, min_value=1)
    pool = np.arange(ids) if isinstance(ids, int | np.integer) else np.asarray(ids)
    checks.require(len(np.unique(pool)) == len(pool), "ids", "must differ", ids)
    checks.require(2 * length <= len(pool), "length", f"must be at most half of the {len(pool)} ids", length)
    rng = np.random.default_rng(seed)
    fresh = np.stack([rng.choice(pool, 2 * length, replace=False) for _ in range(count)]).astype(np.int32)
    repeated = np.concatenate([fresh[:, :length], fresh[:, :length]], axis=1)
    first = np.full((count, 0 if start is None else 1), 0 if start is None else start, np.int32)
    return RepeatedSequences(*(np.concatenate([first, part], axis=1) for part in (repeated, fresh)))


def target_mask(kind: str, tokens: Tokens) -> Targets:
    """Return the targets of each query position for a kind of head. Raises ValueError for an unknown kind."""
    checks.choice("kind", kind, KINDS)
    position = jnp.arange(tokens.shape[0])
    query, key = position[:, None], position[None, :]
    if kind == "previous":
        return key == query - 1
    same = jnp.asarray(tokens)[None, :] == jnp.asarray(tokens)[:, None]
    if kind == "duplicate":
        return same & (key < query)
    return jnp.roll(same, 1, axis=1).at[:, 0].set(False) & (key <= query)


def attention_on(patterns: Patterns, targets: Targets) -> HeadScores:
    """Return the attention on the targets, Σ_s A[t, s], averaged over the queries that have any; NaN if none has."""
    return _over_queries(_mass(patterns, targets), targets)


def shuffled_score(patterns: Patterns, targets: Targets) -> HeadScores:
    """Return the expected ``attention_on`` if each query's targets are redrawn among the other positions s ≤ t.

    It is exact: Σ_s A[t, s] over the others, times the number of targets, divided by the number of others.
    """
    others = jnp.tri(targets.shape[0], dtype=bool) & ~jnp.asarray(targets)
    number = jnp.maximum(others.sum(axis=1), 1).astype(patterns.dtype)
    share = jnp.asarray(targets).sum(axis=1).astype(patterns.dtype) / number
    return _over_queries(_mass(patterns, others) * share[None, None], targets)


def previous_token_score(patterns: Patterns) -> HeadScores:
    """Return each head's mean attention from a token to the one before, from 0 to 1.

    Args:
        patterns: of one sequence, [L, H, T, T]; see ``attention_patterns``.

    Example:
        >>> import jax.numpy as jnp
        >>> from circuits.probes import previous_token_score
        >>> float(previous_token_score(jnp.eye(4, k=-1)[None, None])[0, 0])
        1.0
    """
    return attention_on(patterns, target_mask("previous", jnp.zeros(patterns.shape[-1], jnp.int32)))


def duplicate_token_score(patterns: Patterns, tokens: Tokens) -> HeadScores:
    """Return each head's mean attention from a repeated token to its earlier occurrences, from 0 to 1.

    Args:
        patterns: of one sequence, [L, H, T, T].
        tokens: its ids, [T].

    Returns:
        [L, H]; NaN where no token is repeated.

    Example:
        >>> import jax.numpy as jnp
        >>> from circuits.probes import duplicate_token_score
        >>> two_back = jnp.eye(4, k=-2)[None, None]
        >>> float(duplicate_token_score(two_back, jnp.array([5, 8, 5, 8]))[0, 0])
        1.0
    """
    return attention_on(patterns, target_mask("duplicate", tokens))


def induction_score(patterns: Patterns, tokens: Tokens) -> HeadScores:
    """Return each head's mean attention from a repeated token to the token that followed it before, from 0 to 1.

    Args:
        patterns: of one sequence, [L, H, T, T].
        tokens: its ids, [T].

    Returns:
        [L, H]; NaN where no token is repeated.

    Example:
        >>> import jax.numpy as jnp
        >>> from circuits.probes import induction_score
        >>> tokens = jnp.array([5, 8, 5, 8])
        >>> one_back = jnp.eye(4, k=-1)[None, None]  # 5 and 8 were followed by the token just before this one
        >>> float(induction_score(one_back, tokens)[0, 0])
        1.0
    """
    return attention_on(patterns, target_mask("induction", tokens))


def head_evidence(patterns: Patterns, tokens: Tokens, fresh_patterns: Patterns) -> dict[str, Evidence]:
    """Return the fields of ``HeadEvidence`` for each kind, on one repeated sequence.

    ``fresh_patterns`` are those of its control, scored at the same positions.
    """
    evidence = {}
    for kind in KINDS:
        targets = target_mask(kind, tokens)
        score = attention_on(patterns, targets)
        over_fresh = None if kind == "previous" else score - attention_on(fresh_patterns, targets)
        evidence[kind] = (score, score - shuffled_score(patterns, targets), over_fresh)
    return evidence


def measure_language_heads(
    model: nnx.Module,
    sequences: RepeatedSequences,
    *,
    patterns_of: Callable[..., Array] = attention_patterns,
    confidence: float = 0.99,
    chunk: int = 4,
) -> LanguageEvidence:
    """Measure how far each attention head is a previous-token, duplicate-token or induction head.

    Args:
        model: a language model.
        sequences: at least two, from ``repeated_sequences``.
        patterns_of: maps the model and the ids of one sequence to patterns [L, H, T, T].
        confidence: of all intervals together, over kinds and heads (Student's t with Bonferroni's correction).
        chunk: sequences computed at once, whose patterns are held in memory.

    Returns:
        For "previous", "duplicate" and "induction": intervals [L, H] over sequences.

    Raises:
        ValueError: if there are fewer than two sequences, or the two parts differ in shape.

    Example:
        >>> from circuits import probes
        >>> model, _, _ = probes.tiny_planning_model()
        >>> sequences = probes.repeated_sequences(ids=14, length=5, count=4, seed=0)
        >>> evidence = probes.measure_language_heads(model, sequences)["induction"]
        >>> evidence.score.mean.shape, probes.heads_above_nulls(evidence)  # none: the model is random
        ((1, 2), [])
    """
    repeated, fresh = sequences
    checks.shape("sequences.fresh", fresh, repeated.shape)
    checks.require(len(repeated) >= 2, "sequences", "must be at least 2", len(repeated))
    function = cached_partial(_one_sequence, patterns_of=patterns_of)
    moments = stream(function, model, (jnp.asarray(repeated), jnp.asarray(fresh)), chunk=chunk)
    heads = moments.mean["previous"][0].size
    intervals = confidence_interval(moments, confidence, tests=len(KINDS) * heads)
    return LanguageEvidence({kind: HeadEvidence(*parts) for kind, parts in intervals.items()})


def heads_above_nulls(evidence: HeadEvidence, margin: float = 0.1) -> list[LanguageHead]:
    """Return the attention heads that exceed both null hypotheses, strongest first.

    Args:
        evidence: for one kind, from ``measure_language_heads``.
        margin: minimum lower end of the intervals of both excesses.

    Returns:
        Heads by decreasing score.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import HeadEvidence, Interval, heads_above_nulls
        >>> mean = np.array([[0.9, 0.2]])  # one layer, two heads
        >>> interval = Interval(mean, mean - 0.15, mean + 0.15)
        >>> heads_above_nulls(HeadEvidence(interval, interval, None))
        [LanguageHead(layer=0, head=0, score=0.9)]
    """
    clear = np.all([part.low > margin for part in evidence[1:] if part is not None], axis=0)
    mean = evidence.score.mean
    heads = [LanguageHead(layer, head, float(mean[layer, head])) for layer, head in np.argwhere(clear).tolist()]
    return sorted(heads, key=lambda head: -head.score)


def _one_sequence(
    model: nnx.Module, tokens: Array, other: Array, patterns_of: Callable[..., Array]
) -> dict[str, Evidence]:
    both = jax.vmap(lambda ids: patterns_of(model, ids))(jnp.stack([tokens, other]))
    return head_evidence(both[0], tokens, both[1])


def _table(evidence: Mapping[str, HeadEvidence]) -> display.Markup:
    """Return the strongest heads of each kind, and whether they are above both null hypotheses."""
    rows = []
    for kind, one in evidence.items():
        above = {(head.layer, head.head) for head in heads_above_nulls(one)}
        for index in np.argsort(-one.score.mean, axis=None, kind="stable")[:MAX_ROWS].tolist():
            at = layer, head = divmod(index, one.score.mean.shape[1])
            parts = [f"{part.mean[at]:.2f}, at least {part.low[at]:.2f}" if part else "" for part in one]
            rows.append((f"{kind} L{layer}H{head}".strip(), *parts, at in above))
    head = ("attention head", "score", "over shuffled targets", "over fresh tokens", "above nulls")
    return display.table("Strongest attention heads", head, rows)


def _mass(patterns: Patterns, keys: Targets) -> Float[Array, "L H T"]:
    return jnp.where(jnp.asarray(keys), patterns, 0).sum(axis=-1)


def _over_queries(mass: Float[Array, "L H T"], targets: Targets) -> HeadScores:
    asked = jnp.asarray(targets).any(axis=1)
    return jnp.where(asked, mass, 0).sum(axis=-1) / asked.sum().astype(mass.dtype)
