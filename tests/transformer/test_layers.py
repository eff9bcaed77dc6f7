"""Norms and activations against their formulas, beyond what the naive twin covers: extremes, and half precision."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.transformer.layers import ACTIVATIONS, Norm, upcast
from tests.cases import assert_close
from tests.transformer.models import small_config

GRID = np.linspace(-30, 30, 241)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("relu", lambda x: max(x, 0.0)),
        ("gelu", lambda x: x / 2 * math.erfc(-x / math.sqrt(2))),
        ("gelu-tanh", lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    ],
)
def test_activations_and_their_slopes(name, formula):
    function, step = ACTIVATIONS[name], 1e-6
    truth = [formula(x) for x in GRID]
    assert_close(jax.jit(function)(GRID), np.array(truth), atol=1e-13)
    # Away from the kink of relu at 0.
    away = GRID + 0.01
    slopes = [(formula(x + step) - formula(x - step)) / (2 * step) for x in away]
    assert_close(jax.jit(jax.vmap(jax.grad(function)))(away), np.array(slopes), atol=1e-7)
    for kind in (jnp.float32, jnp.bfloat16):
        low = function(jnp.asarray(GRID, kind))
        assert low.dtype == kind
        assert_close(np.asarray(low, float), np.array(truth), atol=float(jnp.finfo(kind).eps), rtol=0.02)


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_norms_fix_scale_and_layer_norm_shift(kind):
    norm = Norm(small_config(norm=kind, norm_epsilon=1e-12), nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 16)))
    y = norm(x)
    assert_close(jnp.mean(y * y, axis=-1), jnp.ones(3), atol=1e-10)
    assert_close(norm(5.0 * x), y, atol=1e-10)
    moved = float(jnp.max(jnp.abs(norm(x + 2.0) - y)))
    assert moved < 1e-10 if kind == "layer" else moved > 0.1


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_statistics_are_wider_than_half_precision(kind):
    """The sum of squares, 16 · 300², exceeds the largest float16, 65504."""
    norm = Norm(small_config(norm=kind, dtype="float16", param_dtype="float32"), nnx.Rngs(0))
    x = 300 * jnp.asarray([1.0, -1.0] * 8, jnp.float16)[None]
    assert_close(norm(x), jnp.asarray([1.0, -1.0] * 8, jnp.float16)[None], atol=0)


def test_only_biased_layer_norm_has_a_bias():
    cases = {("layer", True): True, ("layer", False): False, ("rms", True): False, ("rms", False): False}
    for (kind, bias), expected in cases.items():
        assert hasattr(Norm(small_config(norm=kind, bias=bias), nnx.Rngs(0)), "bias") is expected


@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16", "float16"])
def test_upcast_returns_float32_at_least(kind):
    assert upcast(jnp.ones(2, kind)).dtype == (jnp.float64 if kind == "float64" else jnp.float32)
