"""Argument checks: each message names argument, rule and value."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits import checks


@pytest.mark.parametrize("value", [1, 5, np.int64(3)])
def test_integers_in_range_pass(value):
    checks.integer("paths", value, min_value=1, max_value=5)


@pytest.mark.parametrize("value", [0, 6, 2.0, True, "3", None])
def test_other_values_do_not(value):
    with pytest.raises(ValueError, match=f"^paths: must be an integer between 1 and 5, got {value!r}$"):
        checks.integer("paths", value, min_value=1, max_value=5)


def test_choice_shape_and_finite():
    with pytest.raises(ValueError, match="query: must be one of a, b, got 'c'"):
        checks.choice("query", "c", ("a", "b"))
    with pytest.raises(ValueError, match=r"weights: must have shape \(2, 3\), got \(3, 2\)"):
        checks.shape("weights", jnp.zeros((3, 2)), (2, 3))
    with pytest.raises(ValueError, match=r"weights: must be finite, got nan at \(1, 0\) \(2 such entries\)"):
        checks.finite("weights", jnp.asarray([[0.0, 1.0], [jnp.nan, jnp.inf]]))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.zeros((1, 3), int), r"prompt: must be one sequence \(vmap over a batch\), got \(1, 3\)"),
        (np.zeros(0, int), "prompt: must be 1 to 4 tokens"),
        (np.zeros(5, int), "prompt: must be 1 to 4 tokens"),
        (np.array([0, 5]), r"prompt: must hold ids in range\(5\), got \(0, 5\)"),
        (np.array([-1, 2]), r"prompt: must hold ids in range\(5\), got \(-1, 2\)"),
    ],
)
def test_sequences_that_a_model_cannot_read(tokens, message):
    checks.token_sequence("prompt", np.array([0, 4, 0, 4]), vocab=5, positions=4)
    with pytest.raises(ValueError, match=message):
        checks.token_sequence("prompt", tokens, vocab=5, positions=4)


def test_traced_values_are_not_checked():
    def double(x: jax.Array) -> jax.Array:
        checks.finite("x", x)
        checks.token_sequence("x", x, vocab=1, positions=1)
        return 2 * x

    assert jax.jit(double)(jnp.asarray([3.0])).tolist() == [6.0]


def test_checks_and_files_do_not_import_jax():
    code = "import sys, circuits.checks, circuits.files; assert not {'jax', 'jaxlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
