"""Heads of language models: those that look at the token before, and those that look for what came before.

A kind of head is a rule that says which positions s a query position t should look at:

    previous     s = t - 1
    duplicate    s < t with the token of t
    induction    s ≤ t, where the position before s has the token of t: what followed this token the last time

In a sequence of n different tokens written twice, a query t ≥ n has one target: t - n for duplicate and t - (n - 1) for
induction. A score is the attention that falls on the targets, averaged over the queries that have any. Two nulls say
what it would be by chance: the same with the targets shuffled among the positions that the query sees, and the same
places on a sequence whose second half is fresh. The first asks whether the place matters, the second whether the
repetition does.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from circuits import checks
from circuits.probes.patterns import attention_patterns
from circuits.probes.streaming import Interval, interval, stream
from circuits.typing import AnyArray, Tokens

Patterns = Float[AnyArray, "L H T T"]
"""Attention of every layer and head, from query down to key across."""
Targets = Bool[AnyArray, "T T"]
"""Which keys a query should look at."""
Heads = Float[Array, "L H"]
KINDS = ("previous", "duplicate", "induction")


class Repeated(NamedTuple):
    """Sequences of n different tokens written twice, and the same with a second half of tokens not used before."""

    repeated: Int[np.ndarray, "B T"]
    fresh: Int[np.ndarray, "B T"]


class Evidence(NamedTuple):
    """Of one kind: the score, what it exceeds the shuffled one by, and what it exceeds that on fresh tokens by.

    Heads [L, H] of one sequence, or intervals over sequences. ``over_fresh`` is None for "previous", whose heads do
    the same on any tokens.
    """

    score: Any
    over_shuffled: Any
    over_fresh: Any | None


class Head(NamedTuple):
    """A head of a kind, counted from 0, with its mean score."""

    layer: int
    head: int
    score: float


def repeated_sequences(
    ids: int | Sequence[int] | Int[np.ndarray, " V"], length: int, count: int, seed: int, start: int | None = None
) -> Repeated:
    """``count`` random sequences with halves of ``length`` tokens; each token is as likely as any other.

    ``ids`` are the tokens to draw from, or how many there are. ``start`` is a token put before each sequence, for
    models that were trained with one. Raises ValueError for lengths and counts that are not positive, for ids given
    twice, and for fewer than 2 ``length`` of them.
    """
    for name, value in (("length", length), ("count", count)):
        checks.integer(name, value, min_value=1)
    pool = np.arange(ids) if isinstance(ids, int | np.integer) else np.asarray(ids)
    checks.require(len(np.unique(pool)) == len(pool), "ids", "must differ", ids)
    checks.require(2 * length <= len(pool), "length", f"must be at most half of the {len(pool)} ids", length)
    rng = np.random.default_rng(seed)
    fresh = np.stack([rng.choice(pool, 2 * length, replace=False) for _ in range(count)]).astype(np.int32)
    repeated = np.concatenate([fresh[:, :length], fresh[:, :length]], axis=1)
    if start is None:
        return Repeated(repeated, fresh)
    before = np.full((count, 1), start, np.int32)
    return Repeated(np.concatenate([before, repeated], axis=1), np.concatenate([before, fresh], axis=1))


def targets(kind: str, tokens: Tokens) -> Targets:
    """The targets of each query, by the rules above. Raises ValueError for another kind than these."""
    checks.choice("kind", kind, KINDS)
    place = jnp.arange(tokens.shape[0])
    seen = place[None, :] <= place[:, None]
    if kind == "previous":
        return place[None, :] == place[:, None] - 1
    same = jnp.asarray(tokens)[None, :] == jnp.asarray(tokens)[:, None]
    if kind == "duplicate":
        return same & (place[None, :] < place[:, None])
    return jnp.roll(same, 1, axis=1).at[:, 0].set(False) & seen


def attention_to(patterns: Patterns, wanted: Targets) -> Heads:
    """Attention on the targets, Σ_s A[t, s], averaged over the queries that have any; 0 to 1, NaN without a target."""
    return _over_queries(_sum(patterns, wanted), wanted)


def shuffled(patterns: Patterns, wanted: Targets) -> Heads:
    """The expected ``attention_to`` when each query's targets are drawn anew among the others that it sees, s ≤ t.

    Exactly, Σ_s A[t, s] over the others, times the number of targets over the number of others.
    """
    others = jnp.tri(wanted.shape[0], dtype=bool) & ~jnp.asarray(wanted)
    number = jnp.maximum(others.sum(axis=1), 1).astype(patterns.dtype)
    share = jnp.asarray(wanted).sum(axis=1).astype(patterns.dtype) / number
    return _over_queries(_sum(patterns, others) * share, wanted)


def previous_token_score(patterns: Patterns) -> Heads:
    """Mean attention from t to t - 1 over t ≥ 1; 0 to 1."""
    return attention_to(patterns, targets("previous", jnp.zeros(patterns.shape[-1], jnp.int32)))


def duplicate_token_score(patterns: Patterns, tokens: Tokens) -> Heads:
    """Mean attention from a token that came before to where it did; 0 to 1, NaN where none did."""
    return attention_to(patterns, targets("duplicate", tokens))


def induction_score(patterns: Patterns, tokens: Tokens) -> Heads:
    """Mean attention from a token that came before to what followed it; 0 to 1, NaN where none did."""
    return attention_to(patterns, targets("induction", tokens))


def evidence(patterns: Patterns, tokens: Tokens, fresh_patterns: Patterns) -> dict[str, Evidence]:
    """Scores of each kind on one repeated sequence and what they exceed their nulls by, -1 to 1.

    ``fresh_patterns`` are of a sequence of the same length whose second half is fresh; the same places are looked at.
    """
    found = {}
    for kind in KINDS:
        wanted = targets(kind, tokens)
        score = attention_to(patterns, wanted)
        over_fresh = None if kind == "previous" else score - attention_to(fresh_patterns, wanted)
        found[kind] = Evidence(score, score - shuffled(patterns, wanted), over_fresh)
    return found


def measure_heads(
    model: nnx.Module,
    sequences: Repeated,
    *,
    patterns_of: Callable[[Any, Array], Array] = attention_patterns,
    confidence: float = 0.99,
    chunk: int = 4,
) -> dict[str, Evidence]:
    """The evidence of each kind with intervals over sequences: Student's t, joint over kinds and heads (Bonferroni).

    ``patterns_of(model, tokens)`` gives patterns [L, H, T, T]. Of each sequence only [L, H] are kept, so memory is that
    of ``chunk`` sequences. Raises ValueError for fewer than 2 sequences, and where the two parts differ in shape.
    """
    repeated, fresh = sequences
    checks.shape("sequences.fresh", fresh, repeated.shape)
    checks.require(len(repeated) >= 2, "sequences", "must be at least 2", len(repeated))

    def of_one(model: nnx.Module, tokens: Array, other: Array) -> dict[str, Evidence]:
        both = jax.vmap(lambda one: patterns_of(model, one))(jnp.stack([tokens, other]))
        return evidence(both[0], tokens, both[1])

    moments = stream(of_one, model, (jnp.asarray(repeated), jnp.asarray(fresh)), chunk=chunk)
    heads = moments.mean["previous"].score.size
    return interval(moments, confidence, tests=len(KINDS) * heads)


def standing_out(found: Evidence, least: float = 0.1) -> list[Head]:
    """The heads that exceed both nulls by more than ``least`` at the lower ends of the intervals, strongest first."""
    excesses: list[Interval] = [part for part in found[1:] if part is not None]
    clear = np.all([part.low > least for part in excesses], axis=0)
    named = [Head(int(i), int(j), float(found.score.mean[i, j])) for i, j in np.argwhere(clear)]
    return sorted(named, key=lambda head: -head.score)


def _sum(patterns: Patterns, kept: Targets) -> Float[Array, "L H T"]:
    return jnp.where(jnp.asarray(kept), patterns, 0).sum(axis=-1)


def _over_queries(mass: Float[Array, "L H T"], wanted: Targets) -> Heads:
    asked = jnp.asarray(wanted).any(axis=1)
    number = asked.sum().astype(mass.dtype)
    return jnp.where(asked, mass, 0).sum(axis=-1) / number
