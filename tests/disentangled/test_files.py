"""Weights on disk come back bit for bit, or not at all."""

import jax
import numpy as np
import pytest

from circuits.disentangled.circuit import circuit
from circuits.disentangled.files import load_weights, save_weights
from circuits.disentangled.weights import Layer


def test_round_trip(tmp_path):
    keys = jax.random.split(jax.random.key(0), 6)
    weights = tuple(
        Layer(jax.random.normal(keys[2 * i], (7, 7)), jax.random.normal(keys[2 * i + 1], (5, 5))) for i in range(3)
    )
    save_weights(tmp_path / "w.safetensors", weights, {"run": "test"})
    found = load_weights(tmp_path / "w.safetensors")
    for one, other in zip(jax.tree.leaves(weights), jax.tree.leaves(found), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_damage_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, circuit(gamma=2.0, labels=10, length=10))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"path: must be a whole safetensors file, got .*w\.safetensors"):
        load_weights(path)
    with pytest.raises(ValueError, match="path: must be a whole safetensors file"):
        load_weights(tmp_path / "missing")


def test_other_arrays_are_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"content_1": np.eye(3), "position_2": np.eye(3)}, tmp_path / "a")
    with pytest.raises(ValueError, match="must hold \\['content_1', 'position_1'\\]"):
        load_weights(tmp_path / "a")
    save_file({"content_1": np.ones((3, 2)), "position_1": np.eye(3)}, tmp_path / "b")
    with pytest.raises(ValueError, match=r"content_1: must be square, got \(3, 2\)"):
        load_weights(tmp_path / "b")
