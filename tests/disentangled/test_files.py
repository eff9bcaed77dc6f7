"""Weights on disk are read back bit for bit, or not at all."""

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from circuits.disentangled.circuit import circuit
from circuits.disentangled.files import load_weights, save_weights
from tests.cases import PAPER, assert_close, weights_for


def test_round_trip_with_the_names_of_the_paper(tmp_path):
    weights = weights_for(PAPER, seed=0, depth=3)
    save_weights(str(tmp_path / "w.safetensors"), weights, {"run": "test"})
    read = load_weights(tmp_path / "w.safetensors")
    assert jax.tree.map(lambda leaf: leaf.dtype, read) == jax.tree.map(lambda leaf: leaf.dtype, weights)
    assert_close(read, weights, atol=0)
    arrays = load_file(tmp_path / "w.safetensors")
    assert arrays.keys() == {f"{block}_{number}" for block in ("content", "position") for number in (1, 2, 3)}
    np.testing.assert_array_equal(arrays["position_2"], weights[1].position)


def test_damage_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, circuit(gamma=2.0, labels=10, length=10))
    path.write_bytes(path.read_bytes()[:1000])
    for damaged in (path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=f"path: must be a whole safetensors file, got .*{damaged.name}"):
            load_weights(damaged)


def test_other_arrays_are_errors(tmp_path):
    save_file({"content_1": np.eye(3), "position_2": np.eye(3)}, tmp_path / "a")
    with pytest.raises(ValueError, match="path: must hold \\['content_1', 'position_1'\\]"):
        load_weights(tmp_path / "a")
    save_file({"content_1": np.ones((3, 2)), "position_1": np.eye(3)}, tmp_path / "b")
    with pytest.raises(ValueError, match="content_1: must be square"):
        load_weights(tmp_path / "b")
