"""Argument checks: each message names argument, rule and value."""

import jax
import jax.numpy as jnp
import pytest

from circuits import checks


@pytest.mark.parametrize("value", [1, 5])
def test_integers_in_range_pass(value):
    checks.integer("paths", value, min_value=1, max_value=5)


@pytest.mark.parametrize("value", [0, 6, 2.0, True, "3", None])
def test_other_values_do_not(value):
    with pytest.raises(ValueError, match=f"paths: must be an integer between 1 and 5, got {value!r}"):
        checks.integer("paths", value, min_value=1, max_value=5)


def test_choice_shape_and_finite():
    with pytest.raises(ValueError, match="query: must be one of a, b, got 'c'"):
        checks.choice("query", "c", ("a", "b"))
    with pytest.raises(ValueError, match=r"weights: must have shape \(2, 3\), got \(3, 2\)"):
        checks.shape("weights", jnp.zeros((3, 2)), (2, 3))
    with pytest.raises(ValueError, match=r"weights: must be finite, got nan at \(1, 0\) \(2 such entries\)"):
        checks.finite("weights", jnp.asarray([[0.0, 1.0], [jnp.nan, jnp.inf]]))


def test_traced_values_are_not_looked_at():
    def doubled(x: jax.Array) -> jax.Array:
        checks.finite("x", x)
        return 2 * x

    assert float(jax.jit(doubled)(jnp.asarray(3.0))) == 6.0
