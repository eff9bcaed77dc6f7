"""Argument checks: each message names argument, rule and value."""

import jax
import jax.numpy as jnp
import pytest

from circuits import require


@pytest.mark.parametrize("value", [1, 5])
def test_integers_in_range_pass(value):
    require.integer("paths", value, least=1, most=5)


@pytest.mark.parametrize("value", [0, 6, 2.0, True, "3", None])
def test_other_values_do_not(value):
    with pytest.raises(ValueError, match=f"paths: must be an integer between 1 and 5, got {value!r}"):
        require.integer("paths", value, least=1, most=5)


def test_choice_shape_and_finite():
    with pytest.raises(ValueError, match="query: must be one of a, b, got 'c'"):
        require.choice("query", "c", ("a", "b"))
    with pytest.raises(ValueError, match=r"weights: must have shape \(2, 3\), got \(3, 2\)"):
        require.shape("weights", jnp.zeros((3, 2)), (2, 3))
    with pytest.raises(ValueError, match=r"weights: must be finite, got nan at \(1, 0\) \(2 such entries\)"):
        require.finite("weights", jnp.asarray([[0.0, 1.0], [jnp.nan, jnp.inf]]))


def test_traced_values_are_not_looked_at():
    def doubled(x: jax.Array) -> jax.Array:
        require.finite("x", x)
        return 2 * x

    assert float(jax.jit(doubled)(jnp.asarray(3.0))) == 6.0
