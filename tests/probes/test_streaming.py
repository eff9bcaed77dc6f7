"""Moments accumulated batch by batch, against numpy on all examples at once."""

import gc
import weakref
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from circuits.probes.streaming import Interval, Moments, confidence_interval, merge, standard_errors, stream
from tests.cases import assert_close, seeds


class Scale(nnx.Module):
    """A model with one parameter."""

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = nnx.Param(jnp.asarray(factor))


def scaled(model: Scale, x: jax.Array, y: jax.Array) -> dict[str, Any]:
    return {"x": model.factor[...] * x, "pair": (y, jnp.sum(x) + y)}


def data(seed: int, count: int, holes: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(3, 2, (count, 2, 3)), rng.exponential(size=count)
    if holes:
        x[rng.random(x.shape) < 0.3] = np.nan
    return x, y


def naive_moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The moments of each entry over the first axis, NaN left out."""
    count, mean, squares = (np.zeros(values.shape[1:]) for _ in range(3))
    for place in np.ndindex(values.shape[1:]):
        present = [value for value in values[:, *place].tolist() if value == value]
        count[place] = len(present)
        mean[place] = sum(present) / max(len(present), 1)
        squares[place] = sum((value - mean[place]) ** 2 for value in present)
    return count, mean, squares


def naive_scaled(x: np.ndarray, y: np.ndarray) -> Moments:
    parts = [naive_moments(values) for values in (2 * x, y, x.sum(axis=(1, 2)) + y)]
    return Moments(*({"x": parts[0][i], "pair": (parts[1][i], parts[2][i])} for i in range(3)))


@settings(max_examples=12)
@given(seed=seeds, count=st.integers(1, 9), chunk=st.integers(1, 4), cuts=st.lists(st.integers(0, 9), max_size=3))
def test_moments_are_those_of_all_examples_however_they_come(seed, count, chunk, cuts):
    x, y = data(seed, count)
    truth = naive_scaled(x, y)
    model = Scale()
    assert_close(stream(scaled, model, (x, y), chunk=chunk), truth, atol=1e-10)
    bounds = [0, *sorted(min(cut, count) for cut in cuts), count]  # some batches are empty
    batches = [(x[a:b], y[a:b]) for a, b in pairwise(bounds)]
    assert_close(stream(scaled, model, iter(batches), chunk=chunk), truth, atol=1e-10)


def test_a_chunk_may_be_larger_than_all_of_it():
    x, y = data(1, 5)
    assert_close(stream(scaled, Scale(), (x, y), chunk=1000), naive_scaled(x, y), atol=1e-10)


def test_far_from_zero_the_variance_is_not_lost():
    """A sum of squares less a squared sum would lose all digits here."""
    x = np.random.default_rng(0).normal(size=(40, 1)) + 1e9
    found = stream(lambda model, x: x * model.factor[...] / 2, Scale(), (x,), chunk=3)
    assert found.squares[0] == pytest.approx(39 * np.var(x, ddof=1), rel=1e-5)
    assert np.sum(x * x) - np.sum(x) ** 2 / 40 != pytest.approx(39 * np.var(x, ddof=1), rel=1e-2)


def test_float32_examples_are_summed_in_float64():
    x = np.full((3000, 1), 0.1, np.float32)
    found = stream(lambda model, x: x, Scale(), (x,), chunk=1000)
    assert found.mean.dtype == jnp.float64
    assert float(found.mean[0]) == pytest.approx(float(np.float32(0.1)), rel=1e-13)


@settings(max_examples=20)
@given(seed=seeds)
def test_merge_does_not_depend_on_the_order(seed):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(n, 4)) for n in rng.integers(0, 5, 3)]
    a, b, c = (Moments(*map(jnp.asarray, naive_moments(part))) for part in parts)
    together = Moments(*naive_moments(np.concatenate(parts)))
    assert_close(merge(merge(a, b), c), together, atol=1e-12)
    assert_close(merge(a, merge(b, c)), together, atol=1e-12)
    assert_close(merge(c, merge(b, a)), together, atol=1e-12)


def test_what_no_example_has_is_nan():
    x, y = data(2, 6)
    x[:, 0, 1] = np.nan
    found = stream(scaled, Scale(), (x, y), chunk=4)
    assert (found.count["x"][0, 1], found.squares["x"][0, 1]) == (0, 0)
    reach = confidence_interval(found)["x"]
    assert all(np.isnan(part[0, 1]) for part in reach)
    assert np.isnan(standard_errors(found)["x"][0, 1])
    assert np.isfinite(reach.low[1]).all()


def test_the_function_is_compiled_for_a_chunk_and_for_the_rest():
    traced = []

    def seen(model: Scale, x: jax.Array) -> jax.Array:
        traced.append(x.shape)
        return x * model.factor[...]

    x = np.arange(14.0)
    assert float(stream(seen, Scale(), (x,), chunk=4).mean) == pytest.approx(13)
    assert len(traced) == 2
    assert float(stream(seen, Scale(3.0), (x,), chunk=4).mean) == pytest.approx(19.5)
    assert len(traced) == 2  # the other model has the same shape


def test_shared_arrays_are_passed_whole_and_may_change_without_compiling():
    traced = []

    def seen(model: Scale, weights: jax.Array, nothing: None, x: jax.Array) -> jax.Array:
        traced.append(weights.shape)
        return model.factor[...] * x * weights.sum()

    x = np.arange(6.0)
    for total in (1.0, 5.0):
        weights = np.full(4, total / 4)
        assert float(stream(seen, Scale(), (x,), shared=(weights, None), chunk=3).mean) == pytest.approx(5 * total)
    assert traced == [(4,)]


def test_progress_counts_examples():
    done, again = [], []
    stream(scaled, Scale(), data(0, 10), chunk=4, on_progress=done.append)
    assert done == [4, 8, 10]
    stream(scaled, Scale(), iter([data(0, 3), data(1, 5)]), chunk=4, on_progress=again.append)
    assert again == [3, 7, 8]


def test_memory_does_not_grow_with_the_examples():
    """No batch outlives its turn, and between batches there are never more arrays than at the start."""
    batches: list[weakref.ref] = []
    alive, held = [], []

    def fed() -> Iterator[tuple[np.ndarray]]:
        for i in range(40):
            batch = np.full((50, 20), float(i))
            batches.append(weakref.ref(batch))
            yield (batch,)

    def watch(done: int) -> None:
        if done in (100, 1000, 2000):
            gc.collect()
        alive.append(sum(ref() is not None for ref in batches[-10:]))
        held.append(sum(array.nbytes for array in jax.live_arrays()))

    found = stream(lambda model, x: jnp.outer(x, x) * model.factor[...], Scale(), fed(), chunk=50, on_progress=watch)
    assert np.all(found.count == 2000)
    assert len(held) == 40
    assert max(alive) <= 3
    assert max(held) <= held[0] + 3 * found.mean.nbytes * 3


@pytest.mark.parametrize(("confidence", "tests"), [(0.95, 1), (0.9, 7)])
def test_intervals_are_students(confidence, tests):
    x, y = data(5, 9, holes=False)
    found = confidence_interval(stream(scaled, Scale(), (x, y)), confidence, tests)
    assert isinstance(found["x"], Interval)
    for ours, values in ((found["x"], 2 * x), (found["pair"][0], y)):
        theirs = stats.ttest_1samp(values, 0).confidence_interval(1 - (1 - confidence) / tests)
        assert_close(ours, Interval(values.mean(axis=0), theirs.low, theirs.high), atol=1e-10)


def test_standard_errors_are_scipys():
    x, y = data(6, 9)
    found = standard_errors(stream(scaled, Scale(), (x, y)))
    assert_close(found["x"], np.asarray(stats.sem(2 * x, nan_policy="omit")), atol=1e-12)
    assert_close(found["pair"][0], np.asarray(stats.sem(y)), atol=1e-12)


def test_one_example_says_nothing_of_the_spread():
    found = stream(scaled, Scale(), data(7, 1, holes=False))
    reach = confidence_interval(found)["x"]
    assert np.all(reach.low == -np.inf)
    assert np.all(reach.high == np.inf)
    assert np.all(np.isnan(standard_errors(found)["x"]))


def test_intervals_cover_as_often_as_they_say():
    """4,000 means of 6 normal numbers; then 800 families of 5, each of which has to hold as a whole."""
    x = np.random.default_rng(8).normal(1.0, 3.0, (6, 4000))
    found = stream(lambda model, x: x, Scale(), (x,))

    def covered(tests: int) -> np.ndarray:
        reach = confidence_interval(found, 0.9, tests)
        return (reach.low <= 1.0) & (reach.high >= 1.0)

    assert 0.88 < covered(1).mean() < 0.92
    assert 0.87 < covered(5).reshape(800, 5).all(axis=1).mean() < 0.94
    assert covered(1).reshape(800, 5).all(axis=1).mean() < 0.7  # without the correction it would not


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(stream, scaled, Scale(), data(0, 3), chunk=0), "chunk: must be an integer at least 1"),
        (partial(stream, scaled, Scale(), data(0, 0)), "examples: must hold at least one"),
        (partial(stream, scaled, Scale(), iter(())), "examples: must hold at least one"),
        (partial(confidence_interval, Moments(*[jnp.ones(2)] * 3), 1.0), "confidence: must lie between 0 and 1"),
        (partial(confidence_interval, Moments(*[jnp.ones(2)] * 3), 0.9, 0), "tests: must be an integer at least 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
