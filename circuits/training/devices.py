"""The config of the devices of a run."""

from dataclasses import dataclass

from circuits import checks


@dataclass(frozen=True, kw_only=True)
class Devices:
    """The devices of a run. They affect its results only through rounding.

    Args:
        cpu_devices: number of devices into which a process divides its CPU, if it has no accelerator.
        model_axis: number of devices over which each matrix is split; the batch is split over the rest.
        coordinator: address HOST:PORT of process 0; required for several processes.
        processes: number of processes, each with its own devices, that train together.
        process: number of this process, counted from 0.
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
