"""Where the parameters of a model go as they are read: whole to one device, or to each device its slice."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from circuits import checks
from circuits.transformer.config import Dtype
from circuits.transformer.parameters import Placement


def on_first_device(dtype: Dtype) -> Placement:
    """Each parameter on the first device, a copy that does not follow the file."""

    def put(_: str, values: np.ndarray) -> jax.Array:
        return jnp.asarray(np.array(values, jnp.dtype(dtype), order="C"))

    return put


def sharded(mesh: Mesh, dtype: Dtype, axis: str = "model") -> Placement:
    """Matrices split over a mesh axis, by their last axis where it divides; the rest on every device.

    A device's slice alone is read and converted for it, so that of a file on disk no machine reads what its devices do
    not hold. Raises ValueError for an axis that the mesh does not have.
    """
    checks.require(axis in mesh.axis_names, "axis", f"must be one of {mesh.axis_names}", axis)
    parts, kind = mesh.shape[axis], jnp.dtype(dtype)

    def put(_: str, values: np.ndarray) -> jax.Array:
        split = values.ndim > 1 and values.size > 0 and values.shape[-1] % parts == 0
        spec = PartitionSpec(*[None] * (values.ndim - 1), axis) if split else PartitionSpec()
        sharding = NamedSharding(mesh, spec)
        return jax.make_array_from_callback(values.shape, sharding, lambda place: np.array(values[place], kind))

    return put
