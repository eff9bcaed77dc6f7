"""p-values against brute force and scipy, and how often they are wrong where there is nothing to find."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from circuits.probes.nulls import familywise_p_values, p_values_above_zero, untrained_scores
from circuits.probes.streaming import Moments
from circuits.transformer.model import Predictor
from tests.cases import assert_close, seeds
from tests.transformer.models import small_config


def naive_familywise(scores: np.ndarray, null: np.ndarray) -> np.ndarray:
    p_values = np.zeros(scores.shape)
    for head in np.ndindex(scores.shape):
        as_high = sum(any(other >= scores[head] for other in model.flat) for model in null)
        p_values[head] = (1 + as_high) / (len(null) + 1)
    return p_values


@settings(max_examples=30)
@given(seed=seeds, models=st.integers(1, 12))
def test_familywise_is_a_count_over_models(seed, models):
    rng = np.random.default_rng(seed)
    scores, null = rng.integers(0, 9, (2, 3)) / 8.0, rng.integers(0, 9, (models, 2, 3)) / 8.0  # with ties
    assert_close(familywise_p_values(scores, null), naive_familywise(scores, null), atol=1e-15)


def test_familywise_errs_as_often_as_it_says():
    """Of 3,000 untrained models with 6 heads each, a tenth has any p-value of at most 0.1."""
    drawn = np.random.default_rng(4).normal(size=(3000, 40, 2, 3))
    p = np.stack([familywise_p_values(models[0], models[1:]) for models in drawn])
    for level in (0.1, 0.5):
        assert abs(np.any(p <= level, axis=(1, 2)).mean() - level) < 0.03
    # Head by head, without the highest of each model, it would be wrong far more often.
    alone = (1 + (drawn[:, 1:] >= drawn[:, :1]).sum(axis=1)) / 40
    assert np.any(alone <= 0.1, axis=(1, 2)).mean() > 0.3


def test_a_missing_score_has_no_p_value_and_a_missing_null_is_no_evidence():
    scores, null = np.array([[0.9, np.nan]]), np.full((9, 1, 2), 0.1)
    assert np.array_equal(familywise_p_values(scores, null), [[0.1, np.nan]], equal_nan=True)
    assert familywise_p_values(scores, np.full((9, 1, 2), np.nan))[0, 0] == 1


def moments(values: np.ndarray) -> Moments:
    """Over the first axis, NaN left out."""
    count, mean = np.sum(~np.isnan(values), axis=0), np.nanmean(values, axis=0)
    parts = count, mean, np.nansum((values - mean) ** 2, axis=0)
    return Moments(*(jnp.asarray(part, jnp.float64) for part in parts))


@pytest.mark.parametrize("tests", [1, 20])
def test_above_zero_is_students_one_sided_test(tests):
    values = np.random.default_rng(0).normal(0.4, 1, (12, 5, 2))
    values[:4, 2, 1] = np.nan
    truth = stats.ttest_1samp(values, 0, alternative="greater", nan_policy="omit")[1]
    assert_close(p_values_above_zero(moments(values), tests), np.minimum(1, tests * np.asarray(truth)), atol=1e-12)
    if tests == 1:  # the other side is another test
        assert np.all(p_values_above_zero(moments(-values), 1) > 1 - np.asarray(truth) - 1e-12)


def test_above_zero_errs_as_often_as_it_says():
    values = np.random.default_rng(1).normal(size=(10, 4000))
    p = p_values_above_zero(moments(values), 1)
    for level in (0.05, 0.3):
        assert abs(np.mean(p <= level) - level) < 0.02
    assert np.mean((p_values_above_zero(moments(values), 8) <= 0.2).reshape(-1, 8).any(axis=1)) < 0.25


@pytest.mark.parametrize(
    ("values", "p"),
    [
        (np.full(6, 0.5), 0.0),  # differences that are all equal are certain
        (np.full(6, 0.0), 1.0),
        (np.full(6, -0.5), 1.0),
        (np.linspace(1e-9, 2e-9, 6), 1.0),  # differences within rounding are none
        (np.array([0.5, np.nan, np.nan]), 1.0),  # one difference is no evidence
        (np.array([np.nan, 1.0, 2.0]), 0.3072491),
    ],
)
def test_differences_that_do_not_vary_or_are_few(values, p):
    tree = Moments(*({"a": part} for part in moments(values[:, None])))
    assert p_values_above_zero(tree, 3)["a"][0] == pytest.approx(p, abs=1e-6)


CONFIG = small_config("gpt", layers=1, heads=1, width=4)
EXAMPLES = np.array([[0, 1, 2], [3, 4, 5], [0, 6, 6]], np.int32)


def logits_and_hole(model: Predictor, tokens: jax.Array) -> dict[str, jax.Array]:
    """The logits, and a number that only sequences which begin with 0 have."""
    total = jnp.sum(tokens, dtype=jnp.float64)
    return {"logits": model(tokens)[0, -1], "hole": jnp.where(tokens[0] == 0, total, jnp.nan)}


def test_untrained_models_come_back_by_their_seed_and_differ():
    run = partial(untrained_scores, logits_and_hole, CONFIG, models=4)
    first = run((EXAMPLES,), seed=1)
    assert first["logits"].shape == (4, CONFIG.vocab)
    assert_close(run((EXAMPLES,), seed=1), first, atol=0)
    rows = [*np.asarray(first["logits"]), *np.asarray(run((EXAMPLES,), seed=2)["logits"])]
    assert all(np.max(np.abs(a - b)) > 1e-3 for i, a in enumerate(rows) for b in rows[:i])
    assert_close(first["hole"], np.full(4, 7.5), atol=0)  # the mean of 3 and 12
    alone = [run((EXAMPLES[[i, i, i]],), seed=1)["logits"] for i in range(3)]  # the mean over examples of one model
    assert_close(first["logits"], sum(alone) / 3, atol=1e-12)
    assert np.max(np.abs(alone[0] - alone[1])) > 1e-3


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (partial(untrained_scores, logits_and_hole, CONFIG, (), models=0), "models"),
        (partial(p_values_above_zero, Moments(*[jnp.ones(2)] * 3), 0), "tests"),
    ],
)
def test_errors(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}: must be an integer at least 1, got 0"):
        call()
