"""Devices, processes and shardings.

A mesh has two axes: the batch is split over ``data``, the last axis of each matrix over ``model`` where that divides
it, and the compiler does the rest. A single device is a mesh of one, so there is no other code path.
"""

import os
import platform
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from circuits import checks
from circuits.training.devices import Devices


def start(devices: Devices) -> None:
    """Create the devices and join the other processes, if any. Call it once, before anything is computed."""
    if devices.cpu_devices > 1:
        # Devices of one CPU share a pool of threads, and a device that waits for others in a collective holds a thread:
        # with only as many threads as cores, all of them can deadlock. XLA reads the size of its pool from NPROC.
        os.environ.setdefault("NPROC", str(16 * devices.cpu_devices))
        jax.config.update("jax_num_cpu_devices", devices.cpu_devices)
    if devices.processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            devices.coordinator,
            devices.processes,
            devices.process,
            coordinator_bind_address=devices.coordinator if devices.process == 0 else None,
        )


def device_name() -> str:
    """Return the number and kind of the devices of all processes, for logs."""
    kind = jax.devices()[0].device_kind
    named = f"{platform.machine()} cpu" if kind == "cpu" else kind
    return f"{jax.device_count()} x {named}"


def mesh(devices: Devices, batch: int) -> Mesh:
    """Return all devices of all processes as a mesh (data, model), in the order that suits their topology.

    Raises ValueError if the model axis does not divide their number, or the data axis does not divide the batch.
    """
    count = jax.device_count()
    checks.require(
        count % devices.model_axis == 0, "model_axis", f"must divide the {count} devices", devices.model_axis
    )
    data = count // devices.model_axis
    rule = f"must be a multiple of the {data} devices that share it"
    checks.require(batch % data == 0, "batch / accumulate", rule, batch)
    return jax.make_mesh((data, devices.model_axis), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def state_shardings(mesh: Mesh, state: Any) -> Any:
    """Return the sharding of each leaf [seeds, ...] of a state: matrices are split along their last axis."""

    def sharding(leaf: Any) -> NamedSharding:
        split = len(leaf.shape) > 2 and leaf.shape[-1] % mesh.shape["model"] == 0
        return NamedSharding(mesh, P(*(None,) * (len(leaf.shape) - 1), "model") if split else P())

    return jax.tree.map(sharding, state)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding with a full copy on each device."""
    return NamedSharding(mesh, P())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of tokens [seeds, B, T], with the batch split over ``data``."""
    return NamedSharding(mesh, P(None, "data"))


def on_first_process(argument: str, action: Callable[[], None]) -> None:
    """Run an action on process 0 only. If it fails, all processes stop; the others would wait for it forever.

    Re-raises the error of the action; on the other processes, raises ValueError naming the argument.
    """
    error: Exception | None = None
    if jax.process_index() == 0:
        try:
            action()
        except Exception as caught:
            error = caught
    failed = error is not None
    if jax.process_count() > 1:
        failed = bool(multihost_utils.broadcast_one_to_all(np.int32(failed)))
    if error is not None:
        raise error
    checks.require(not failed, argument, "must be usable by process 0", "an error there")


def is_first_process() -> bool:
    """Return whether this process writes the run's files and prints."""
    return jax.process_index() == 0
