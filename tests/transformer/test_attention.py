"""Rotary positions, and attention's two paths on keys and values given directly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.transformer.attention import (
    KeyValue,
    apply_rotary,
    causal_mask,
    fused_attention,
    reference_attention,
    rotary_frequencies,
)
from tests.cases import assert_close, seeds
from tests.transformer.models import random_model, random_tokens, small_config


def normal(seed: int, *size: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=size))


def frequencies(base: float, half: int) -> jax.Array:
    return jnp.asarray(base ** (-np.arange(half) / half))


def positions(*numbers: int) -> jax.Array:
    return jnp.asarray(numbers, jnp.int32)


@settings(max_examples=15)
@given(seed=seeds, i=st.integers(0, 100), j=st.integers(0, 100), shift=st.integers(0, 100))
def test_rotary_scores_depend_on_relative_positions_only(seed, i, j, shift):
    (q, k), turns = normal(seed, 2, 1, 3, 8), frequencies(100.0, 4)

    def scores(at_query: int, at_key: int) -> jax.Array:
        rotated = apply_rotary(q, positions(at_query), turns) * apply_rotary(k, positions(at_key), turns)
        return jnp.sum(rotated, axis=-1)

    assert_close(scores(i + shift, j + shift), scores(i, j), atol=1e-11)
    assert float(jnp.max(jnp.abs(scores(i + 1, j) - scores(i, j)))) > 1e-6


def test_rotary_attention_is_invariant_to_a_shift_of_all_positions():
    attention = random_model(small_config("llama", layers=1)).transformer.blocks[0].attn
    x = normal(0, 5, 16)
    run = nnx.jit(lambda attention, positions: attention(x, positions)[0])
    near, far, apart = (run(attention, jnp.asarray(at, jnp.int32)) for at in (range(5), range(30, 35), range(0, 10, 2)))
    assert_close(near, far, atol=1e-12)
    assert float(jnp.max(jnp.abs(near - apart))) > 1e-3


def test_rotary_positions_rotate_complex_pairs():
    x = normal(1, 4, 2, 6)
    rotated = np.asarray(apply_rotary(x, positions(0, 1, 5, 40), frequencies(50.0, 3)))
    pairs, turns = np.asarray(x)[..., :3] + 1j * np.asarray(x)[..., 3:], 50.0 ** (-2 * np.arange(3) / 6)
    truth = pairs * np.exp(1j * np.array([0, 1, 5, 40])[:, None, None] * turns)
    assert_close(rotated[..., :3] + 1j * rotated[..., 3:], truth, atol=1e-13)
    assert_close(rotated[0], x[0], atol=0)


def test_a_partial_rotation_changes_the_first_entries_only():
    x, turns = normal(1, 4, 2, 10), frequencies(50.0, 2)
    rotated = apply_rotary(x, positions(0, 1, 5, 40), turns)
    assert_close(rotated[..., :4], apply_rotary(x[..., :4], positions(0, 1, 5, 40), turns), atol=0)
    assert_close(rotated[..., 4:], x[..., 4:], atol=0)


def test_low_frequencies_are_divided():
    """Of 16 frequencies over a training context of 8192, as in Llama 3.1: some stay, some are divided, some between."""
    scaled = {"rotary_factor": 8.0, "rotary_original": 8192, "rotary_base": 5e5}
    config = small_config("llama", head_dim=32, **scaled)
    plain = 5e5 ** (-2 * np.arange(16) / 32)
    turns, share = 8192 * plain / (2 * np.pi), np.asarray(rotary_frequencies(config)) / plain
    assert_close(share[turns > 4], np.ones(sum(turns > 4)), atol=1e-12)
    assert_close(share[turns < 1], np.full(sum(turns < 1), 1 / 8), atol=1e-12)
    between = share[(turns >= 1) & (turns <= 4)]
    assert len(between) > 0
    assert all((between > 1 / 8) & (between < 1))
    assert (sum(turns > 4), sum(turns < 1)) >= (3, 3)
    linear = rotary_frequencies(small_config("llama", head_dim=32, rotary_factor=8.0, rotary_base=5e5))
    assert_close(linear, plain / 8, atol=1e-12)
    single = small_config("llama", head_dim=32, dtype="float32", **scaled)
    assert_close(rotary_frequencies(single).astype(float), np.asarray(rotary_frequencies(config)), atol=1e-6)


@pytest.mark.parametrize("window", [0, 1, 3, 9])
def test_a_window_covers_the_last_positions_only(window):
    truth = [[j <= i and (window == 0 or i - j < window) for j in range(7)] for i in (0, 2, 6)]
    assert causal_mask(positions(0, 2, 6), jnp.arange(7, dtype=jnp.int32), window).tolist() == truth


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_both_paths_are_a_loop_over_queries_and_keys(heads):
    """With fewer queries than keys, as with a KV cache, and any mask, not only a causal one."""
    given = normal(2, 3, 4, 6), normal(3, 5, heads, 6), normal(4, 5, heads, 6)
    mask = [[1, 0, 0, 0, 0], [1, 0, 1, 1, 0], [1, 1, 1, 1, 1]]
    q, keys, values = (np.asarray(array) for array in given)
    truth = np.zeros((3, 4, 6))
    for t in range(3):
        for head in range(4):
            shared = head // (4 // heads)
            weights = [np.exp(q[t, head] @ keys[s, shared] / np.sqrt(6)) * mask[t][s] for s in range(5)]
            for s in range(5):
                truth[t, head] += weights[s] / sum(weights) * values[s, shared]
    for path in (fused_attention, reference_attention):
        z = path(given[0], KeyValue(*given[1:]), jnp.asarray(mask, bool), "highest")
        assert_close(z, truth, atol=1e-13)


@pytest.mark.parametrize("path", [fused_attention, reference_attention])
def test_large_scores_neither_overflow_nor_leak(path):
    """A masked position gets weight exactly zero, even where all others score far below it."""
    q, keys = jnp.full((1, 1, 2), 1e3), jnp.asarray([-1e3, -1e3, 1e3])[:, None, None] * jnp.ones((3, 1, 2))
    values = jnp.asarray([1.0, 3.0, 1e6])[:, None, None] * jnp.ones((3, 1, 2))
    z = path(q, KeyValue(keys, values), jnp.asarray([[True, True, False]]), "highest")
    assert_close(z, jnp.full((1, 1, 2), 2.0), atol=0)


def test_gradients_of_both_paths_agree_and_are_finite():
    """Minus infinity in the reference must not become NaN in its gradient."""
    q, kv = normal(5, 4, 2, 6), KeyValue(normal(6, 4, 1, 6), normal(7, 4, 1, 6))
    mask = jnp.tril(jnp.ones((4, 4), bool))
    ours, truth = (
        jax.jit(jax.grad(lambda q, kv, path=path: jnp.sum(path(q, kv, mask, "highest") ** 3), (0, 1)))(q, kv)
        for path in (fused_attention, reference_attention)
    )
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(truth))
    assert_close(ours, truth, atol=1e-12)


def test_new_keys_and_values_are_written_at_their_positions_only():
    model = random_model(small_config("one key head", layers=1)).transformer
    before = jax.tree.map(lambda array: array + 7.0, model.empty_cache())
    _, after = nnx.jit(lambda model, kv_cache: model(random_tokens(2), kv_cache, 3))(model, before)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        changed = jnp.any(new != old, axis=(1, 2))
        assert changed.tolist() == [False] * 3 + [True] * 2 + [False] * 4
