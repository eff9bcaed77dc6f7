"""Put parameters on devices as they are read: on one device, or sharded over a mesh."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from circuits import checks
from circuits.transformer.config import Dtype
from circuits.transformer.parameters import Placement


def on_first_device(dtype: Dtype) -> Placement:
    """Return a placement that copies each parameter to the first device."""

    def place(_: str, values: np.ndarray) -> jax.Array:
        return jnp.asarray(np.array(values, jnp.dtype(dtype), order="C"))

    return place


def sharded(mesh: Mesh, dtype: Dtype, axis: str = "model") -> Placement:
    """Return a placement that shards matrices over a mesh axis, and replicates everything else.

    Matrices are split along their last axis if the size of the mesh axis divides it. A machine reads only the slices of
    its own devices from the file.

    Args:
        mesh: the devices.
        dtype: dtype of the parameters.
        axis: name of the mesh axis.

    Returns:
        The argument ``placement`` of ``load_pretrained``.

    Raises:
        ValueError: for an axis that the mesh does not have.

    Example:
        >>> placement = sharded(Mesh(np.array(jax.devices()), ("model",)), "float32")
        >>> placement("kernel", np.ones((3, 8))).shape
        (3, 8)
    """
    checks.require(axis in mesh.axis_names, "axis", f"must be one of {mesh.axis_names}", axis)
    parts, kind = mesh.shape[axis], jnp.dtype(dtype)

    def place(_: str, values: np.ndarray) -> jax.Array:
        split = values.ndim > 1 and values.size > 0 and values.shape[-1] % parts == 0
        spec = PartitionSpec(*[None] * (values.ndim - 1), axis) if split else PartitionSpec()
        sharding = NamedSharding(mesh, spec)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: np.array(values[index], kind))

    return place
