"""Build a model from named tensors, such as those of a file, without drawing initial parameters."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from circuits import checks
from circuits.one_layer.module import OneLayer
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor, build

Placement = Callable[[str, np.ndarray], jax.Array]
"""Maps the name and values of a parameter, which may still be in a file, to an array on its devices."""


def parameter_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter, by names like "transformer.blocks.0.attn.query.kernel"."""
    _, leaves = _leaves(config)
    return {name: leaf.get_value().shape for name, (_, leaf) in leaves.items()}


def from_tensors(
    config: TransformerConfig, tensors: Mapping[str, np.ndarray], source: str, placement: Placement | None = None
) -> Predictor | OneLayer:
    """Return the model with these parameters, converted one by one to ``config.param_dtype``.

    ``placement`` converts each parameter and puts it on its devices, by default on the first one. Raises ValueError,
    starting with ``source`` (such as the file) and naming the tensor, if one is missing, unexpected or of another
    shape; and for float64 without jax_enable_x64.
    """
    dtype = jnp.dtype(config.param_dtype)
    exact = jax.dtypes.canonicalize_dtype(dtype) == dtype
    checks.require(exact, "param_dtype", "must not be float64 unless jax_enable_x64 is on", config.param_dtype)
    graph, leaves = _leaves(config)
    for name in sorted(leaves.keys() | tensors.keys()):
        expected = leaves[name][1].get_value().shape if name in leaves else "absent"
        got = tensors[name].shape if name in tensors else "absent"
        checks.require(got == expected, f"{source}: {name}", f"must be {expected}", got)

    def on_default_device(_: str, values: np.ndarray) -> jax.Array:
        return jnp.asarray(np.asarray(values, dtype))

    place = placement or on_default_device
    state = [(path, leaf.replace(place(name, tensors[name]))) for name, (path, leaf) in leaves.items()]
    return nnx.merge(graph, nnx.from_flat_state(state))


def predictor_from_tensors(
    config: TransformerConfig, tensors: Mapping[str, np.ndarray], source: str, placement: Placement | None = None
) -> Predictor:
    """Return ``from_tensors`` for a config of kind "standard". Raises ValueError for another kind."""
    model = from_tensors(config, tensors, source, placement)
    if not isinstance(model, Predictor):
        raise ValueError(f"kind: must be standard here, got {config.kind!r}")
    return model


@lru_cache(maxsize=16)  # tracing takes longer than reading a small file
def _leaves(config: TransformerConfig) -> tuple[Any, dict[str, tuple[Any, Any]]]:
    """Return the model's graph, and path and abstract value of each parameter by name."""
    graph, abstract = nnx.split(nnx.eval_shape(lambda: build(config, nnx.Rngs(0))))
    return graph, {".".join(map(str, path)): (path, leaf) for path, leaf in nnx.to_flat_state(abstract)}
