"""A model from named tensors, such as those of a file; its own initial parameters are never made."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from circuits import checks
from circuits.one_layer.module import OneLayer
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor, build

Place = Callable[[str, np.ndarray], jax.Array]
"""From the name of a tensor and its values, which may still lie in a file, to the parameter on its devices."""


def parameter_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter, by names like "transformer.blocks.0.attn.query.kernel"."""
    _, leaves = _leaves(config)
    return {name: leaf.get_value().shape for name, (_, leaf) in leaves.items()}


def filled(
    config: TransformerConfig, tensors: Mapping[str, np.ndarray], source: str, place: Place | None = None
) -> Predictor | OneLayer:
    """The model whose parameters these are, in ``config.param_dtype``; one after the other is converted.

    ``place`` puts a parameter where it belongs, whole on the first device if not given; it has to convert as well.
    ``source`` stands first in errors: the file, say. Raises ValueError naming the tensor that is missing, left over
    or of another shape, and float64 without jax_enable_x64.
    """
    exact = jax.dtypes.canonicalize_dtype(config.param_dtype) == jnp.dtype(config.param_dtype)
    checks.require(exact, "param_dtype", "must not be float64 unless jax_enable_x64 is on", config.param_dtype)
    graph, leaves = _leaves(config)
    for name in sorted(leaves.keys() | tensors.keys()):
        wanted = leaves[name][1].get_value().shape if name in leaves else "absent"
        found = tensors[name].shape if name in tensors else "absent"
        checks.require(found == wanted, f"{source}: {name}", f"must be {wanted}", found)
    kind = jnp.dtype(config.param_dtype)

    def here(_: str, values: np.ndarray) -> jax.Array:
        return jnp.asarray(np.asarray(values, kind))

    put = here if place is None else place
    state = [(path, leaf.replace(put(name, tensors[name]))) for name, (path, leaf) in leaves.items()]
    return nnx.merge(graph, nnx.from_flat_state(state))


def filled_transformer(
    config: TransformerConfig, tensors: Mapping[str, np.ndarray], source: str, place: Place | None = None
) -> Predictor:
    """``filled`` for a config of the kind "standard". Raises ValueError for another kind, and as it does."""
    model = filled(config, tensors, source, place)
    if not isinstance(model, Predictor):
        raise ValueError(f"kind: must be standard here, got {config.kind!r}")
    return model


def _leaves(config: TransformerConfig) -> tuple[Any, dict[str, tuple[Any, Any]]]:
    """The model's graph, and path and shape of each parameter by name."""
    graph, abstract = nnx.split(nnx.eval_shape(lambda: build(config, nnx.Rngs(0))))
    return graph, {".".join(map(str, path)): (path, leaf) for path, leaf in nnx.to_flat_state(abstract)}
