"""Probes of language models: planted patterns are found where they were planted, and nowhere else."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from circuits.probes.language.heads import (
    KINDS,
    HeadEvidence,
    LanguageHead,
    RepeatedSequences,
    attention_on,
    duplicate_token_score,
    heads_above_nulls,
    induction_score,
    measure_language_heads,
    previous_token_score,
    repeated_sequences,
    shuffled_score,
    target_mask,
)
from circuits.probes.patterns import attention_patterns
from circuits.probes.streaming import Interval
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.transformer.models import random_model, small_config

N = 12
PLANTED = {"previous": (0, 1), "duplicate": (1, 2), "induction": (2, 0)}
L, H = 3, 3


def naive_targets(kind: str, tokens: list[int]) -> list[set[int]]:
    """For each t the s of the rules, one after the other."""
    targets = []
    for t, token in enumerate(tokens):
        if kind == "previous":
            targets.append({t - 1} if t else set())
        elif kind == "duplicate":
            targets.append({s for s in range(t) if tokens[s] == token})
        else:
            targets.append({s for s in range(1, t + 1) if tokens[s - 1] == token})
    return targets


def random_patterns(rng: np.random.Generator, length: int, heads: tuple[int, ...] = (2, 3)) -> np.ndarray:
    rows = np.tril(rng.exponential(size=(*heads, length, length)))
    return rows / rows.sum(axis=-1, keepdims=True)


mask, score_on, score_shuffled = (
    jax.jit(target_mask, static_argnums=0),
    jax.jit(attention_on),
    jax.jit(shuffled_score),
)


@given(
    tokens=st.lists(st.integers(0, 4), min_size=9, max_size=9),  # of one length, so that nothing compiles anew
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 99),
)
def test_targets_and_scores_against_the_rules_in_words(tokens, kind, seed):
    wanted, patterns = naive_targets(kind, tokens), random_patterns(np.random.default_rng(seed), len(tokens))
    found = np.asarray(mask(kind, np.asarray(tokens)))
    assert [set(np.flatnonzero(row).tolist()) for row in found] == wanted
    asked = [t for t, targets in enumerate(wanted) if targets]
    scores = score_on(patterns, found)
    if not asked:
        assert bool(jnp.isnan(scores).all())
        return
    truth = sum(patterns[:, :, t, sorted(wanted[t])].sum(axis=-1) for t in asked) / len(asked)
    assert_close(scores, truth, atol=1e-12)


def test_named_scores_on_a_sequence_written_twice():
    """The offsets of the definition: t - 1, t - n, t - (n - 1), the last two for the second half alone."""
    patterns, tokens = random_patterns(np.random.default_rng(0), 2 * N), repeated_sequences(50, N, 1, 0).repeated[0]
    second = range(N, 2 * N)
    truth = {
        "previous": np.mean([patterns[:, :, t, t - 1] for t in range(1, 2 * N)], axis=0),
        "duplicate": np.mean([patterns[:, :, t, t - N] for t in second], axis=0),
        "induction": np.mean([patterns[:, :, t, t - (N - 1)] for t in second], axis=0),
    }
    found = {
        "previous": previous_token_score(patterns),
        "duplicate": duplicate_token_score(patterns, tokens),
        "induction": induction_score(patterns, tokens),
    }
    assert_close(found, truth, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_shuffled_score_is_the_mean_over_targets_drawn_at_random(kind):
    rng = np.random.default_rng(1)
    tokens = np.concatenate([rng.permutation(6), rng.permutation(6)])
    patterns, wanted = random_patterns(rng, 12), np.asarray(mask(kind, tokens))
    draws = []
    for _ in range(1500):
        moved = np.zeros_like(wanted)
        for t in np.flatnonzero(wanted.any(axis=1)):
            others = [s for s in range(t + 1) if not wanted[t, s]]
            moved[t, rng.choice(others, wanted[t].sum(), replace=False)] = True
        draws.append(np.where(moved, patterns, 0).sum(axis=(2, 3)) / wanted.any(axis=1).sum())
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (np.abs(np.asarray(score_shuffled(patterns, wanted)) - np.mean(draws, axis=0)) < 5 * error).all()
    even = np.broadcast_to(np.tri(12) / np.arange(1, 13)[:, None], (2, 3, 12, 12))
    assert_close(score_shuffled(even, wanted), score_on(even, wanted), atol=1e-12)


def planted(tokens: Any, seed: Any) -> jax.Array:
    """Noise in every head but three, each of which does what its kind is to do wherever it has a target."""
    noise = jax.random.exponential(jax.random.key(seed), (L, H, len(tokens), len(tokens)), jnp.float64)
    rows = jnp.where(jnp.tri(len(tokens), dtype=bool), noise, 0)
    patterns = rows / rows.sum(axis=-1, keepdims=True)
    for kind, (layer, head) in PLANTED.items():
        wanted = target_mask(kind, tokens)
        weight = jnp.asarray(wanted, jnp.float64)
        sharp = weight / jnp.maximum(weight.sum(axis=1, keepdims=True), 1)
        patterns = patterns.at[layer, head].set(
            jnp.where(jnp.asarray(wanted).any(axis=1)[:, None], sharp, patterns[layer, head])
        )
    return patterns


class Nothing(nnx.Module):
    """A model without parameters."""


SEQUENCES = repeated_sequences(100, N, 12, seed=0)


@cache
def evidence_of_planted() -> dict[str, HeadEvidence]:
    return measure_language_heads(Nothing(), SEQUENCES, patterns_of=lambda _, tokens: planted(tokens, tokens.sum()))


@pytest.mark.parametrize("kind", KINDS)
def test_planted_heads_are_found_and_no_others(kind):
    found, (layer, head) = evidence_of_planted()[kind], PLANTED[kind]
    assert [one[:2] for one in heads_above_nulls(found)] == [(layer, head)]
    assert found.score.mean[layer, head] == pytest.approx(1)
    others = np.ones((L, H), bool)
    others[layer, head] = False
    for excess in found[1:]:
        if excess is not None:
            assert excess.mean[layer, head] > 0.8
            assert (np.abs(excess.mean[others]) < 0.3).all()
    assert np.abs(np.delete(found.over_shuffled.mean.ravel(), 3 * layer + head)).mean() < 0.12


def test_intervals_are_those_of_student_over_sequences():
    """By hand for one head, at 99% over 9 heads of 3 kinds: Student's t of 11 degrees at 1 - 0.01 / 54 is 5.052926."""

    @jax.jit
    def excess(tokens):
        patterns, wanted = planted(tokens, tokens.sum()), target_mask("induction", tokens)
        return (attention_on(patterns, wanted) - shuffled_score(patterns, wanted))[0, 0]

    scores = [float(excess(tokens)) for tokens in SEQUENCES.repeated]
    half = 5.052926 * np.std(scores, ddof=1) / np.sqrt(12)
    found = evidence_of_planted()["induction"].over_shuffled
    ends = [np.mean(scores), np.mean(scores) - half, np.mean(scores) + half]
    assert_close([part[0, 0] for part in found], ends, atol=1e-5)


def test_heads_that_do_the_same_without_the_repetition_are_not_induction():
    """A head that looks n - 1 positions back whatever stands there: its score is 1, its excess over fresh tokens 0."""

    def back(_: Any, tokens: Any) -> jax.Array:
        return jnp.eye(len(tokens), k=-(N - 1)).at[: N - 1, 0].set(1)[None, None]

    found = measure_language_heads(Nothing(), SEQUENCES, patterns_of=back)["induction"]
    assert found.score.mean.item() == 1
    assert found.over_shuffled.low.item() > 0.9
    assert found.over_fresh is not None
    assert found.over_fresh.mean.item() == 0
    assert heads_above_nulls(found) == []


def test_what_is_no_head_of_any_kind():
    """Even attention, attention to the first position, and to one that is two off."""
    length = 2 * N
    even = jnp.asarray(np.tri(length) / np.arange(1, length + 1)[:, None])
    first = jnp.zeros((length, length)).at[:, 0].set(1)
    shifted = jnp.eye(length, k=-(N - 3)).at[: N - 3, 0].set(1)
    patterns = jnp.stack([even, first, shifted])[None]
    found = measure_language_heads(Nothing(), SEQUENCES, patterns_of=lambda *_: patterns)
    assert {kind: heads_above_nulls(found[kind]) for kind in KINDS} == {kind: [] for kind in KINDS}
    assert found["induction"].score.mean[0, 2] == 0


@given(length=st.integers(1, 8), count=st.integers(1, 4), seed=st.integers(0, 2**31), start=st.sampled_from([None, 99]))
def test_sequences(length, count, seed, start):
    ids = np.arange(20, 40)
    repeated, fresh = repeated_sequences(ids, length, count, seed, start)
    first = 0 if start is None else 1
    assert repeated.shape == fresh.shape == (count, first + 2 * length)
    for a, b in zip(repeated, fresh, strict=True):
        if start is not None:
            assert a[0] == b[0] == start
        half, again = a[first : first + length], a[first + length :]
        assert np.array_equal(half, again)
        assert np.array_equal(b[first : first + length], half)
        assert len(set(b[first:].tolist())) == 2 * length
        assert set(b[first:].tolist()) <= set(ids.tolist())


def test_seeds_of_sequences():
    one, same, other = (repeated_sequences(50, N, 3, seed).fresh for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len({tuple(row) for row in one}) == 3


def test_a_model_is_measured_as_its_sequences_are_one_by_one():
    model, sequences = random_model(small_config("llama", vocab=30, positions=16)), repeated_sequences(30, 8, 4, 0)
    found = measure_language_heads(model, sequences, chunk=2)
    taps = Taps(capture=("*.pattern",))
    run = jax.jit(jax.vmap(lambda tokens: (attention_patterns(model, tokens), model(tokens, taps)[1])))
    patterns, cache = run(jnp.asarray(sequences.repeated))
    for i in range(2):
        assert_close(patterns[:, i], cache[f"blocks.{i}.attn.pattern"], atol=1e-12)
    each = jax.jit(jax.vmap(induction_score))(patterns, jnp.asarray(sequences.repeated))
    assert_close(found["induction"].score.mean, np.mean(each, axis=0), atol=1e-9)
    assert heads_above_nulls(found["induction"]) == []


def test_strongest_first_and_above_both_nulls():
    mean = np.array([[0.5, 0.9, 0.8]])
    high = Interval(mean, mean - 0.05, mean + 0.05)
    record = HeadEvidence(high, high, Interval(mean, np.array([[0.4, 0.7, 0.05]]), mean))
    assert heads_above_nulls(record) == [LanguageHead(0, 1, 0.9), LanguageHead(0, 0, 0.5)]
    assert heads_above_nulls(record, margin=0.5) == [LanguageHead(0, 1, 0.9)]
    assert [head[:2] for head in heads_above_nulls(record._replace(over_fresh=None))] == [(0, 1), (0, 2), (0, 0)]


REFUSED = {
    "length: must be an integer at least 1": lambda: repeated_sequences(9, 0, 1, 0),
    "count: must be an integer at least 1": lambda: repeated_sequences(9, 1, 0, 0),
    "length: must be at most half of the 9 ids": lambda: repeated_sequences(9, 5, 1, 0),
    "ids: must differ": lambda: repeated_sequences([1, 2, 1], 1, 1, 0),
    "kind: must be one of previous, duplicate, induction": lambda: target_mask("next", np.arange(3)),
    "sequences: must be at least 2": lambda: measure_language_heads(Nothing(), repeated_sequences(9, 2, 1, 0)),
    r"sequences.fresh: must have shape \(12, 24\)": lambda: measure_language_heads(
        Nothing(), RepeatedSequences(SEQUENCES.repeated, SEQUENCES.fresh[1:])
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(message):
    with pytest.raises(ValueError, match=f"^{message}"):
        REFUSED[message]()
