"""Devices: how many, over how many processes, and what lies where.

A mesh has two axes. Over ``data`` the batch is split, over ``model`` the last axis of each matrix that it divides; the
compiler does the rest. One device is a mesh of one, so there is no other code path.
"""

import os
import platform
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from circuits import checks


@dataclass(frozen=True, kw_only=True)
class Devices:
    """Where a run is computed. It changes results by rounding alone.

    Args:
        cpu_devices: devices that a process makes of its CPU, if that is all it has.
        model_axis: devices over which each matrix is split; the other factor of their number splits the batch.
        coordinator: address HOST:PORT of process 0, for several processes.
        processes: how many there are.
        process: which one this is, from 0.
    """

    cpu_devices: int = 1
    model_axis: int = 1
    coordinator: str = ""
    processes: int = 1
    process: int = 0

    def __post_init__(self) -> None:
        for name in ("cpu_devices", "model_axis", "processes"):
            checks.integer(name, getattr(self, name), min_value=1)
        checks.integer("process", self.process, min_value=0, max_value=self.processes - 1)
        addressed = self.processes == 1 or ":" in self.coordinator
        checks.require(addressed, "coordinator", "must be HOST:PORT for several processes", self.coordinator)


def start(devices: Devices) -> None:
    """Make the devices, and join the other processes if there are any; once, before anything is computed."""
    if devices.cpu_devices > 1:
        # Devices of one CPU share one pool of threads, and one that waits for the others in a sum holds a thread: with
        # as few threads as cores, all can come to wait. XLA takes the size of its pool from this variable.
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


def where() -> str:
    """The devices of all processes in words, for logs: how many, and of what kind."""
    kind = jax.devices()[0].device_kind
    named = f"{platform.machine()} cpu" if kind == "cpu" else kind
    return f"{jax.device_count()} x {named}"


def mesh(devices: Devices, batch: int) -> Mesh:
    """All devices of all processes, as (data, model).

    Raises ValueError when the model axis does not divide their number, or the data axis not the batch.
    """
    count = jax.device_count()
    checks.require(
        count % devices.model_axis == 0, "model_axis", f"must divide the {count} devices", devices.model_axis
    )
    data = count // devices.model_axis
    rule = f"must be a multiple of the {data} devices that share it"
    checks.require(batch % data == 0, "batch / accumulate", rule, batch)
    grid = np.asarray(jax.devices()).reshape(data, devices.model_axis)
    return Mesh(grid, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def state_shardings(on: Mesh, state: Any) -> Any:
    """For each leaf [S, ...] of S seeds' states: the last axis of a matrix over ``model``, where that divides it."""

    def one(leaf: Any) -> NamedSharding:
        split = len(leaf.shape) > 2 and leaf.shape[-1] % on.shape["model"] == 0
        return NamedSharding(on, P(*(None,) * (len(leaf.shape) - 1), "model") if split else P())

    return jax.tree.map(one, state)


def everywhere(on: Mesh) -> NamedSharding:
    """A whole copy on each device."""
    return NamedSharding(on, P())


def batch_sharding(on: Mesh) -> NamedSharding:
    """Tokens [S, B, T], the batch over ``data``."""
    return NamedSharding(on, P(None, "data"))
