"""Timing, memory, processes and output of the benchmarks.

Sides run in turns, so that what else the machine does affects both alike. Every benchmark prints JSON lines, and takes
``--toy`` for small sizes without processes of their own: does it run?
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def best_seconds(runs: dict[str, Callable[[], Any]], budget: float = 3.0) -> dict[str, float]:
    """Return the shortest time of each run, taken in turns for ``budget`` seconds and at least five rounds."""
    import jax  # not above: a peer's interpreter need not have it

    for run in runs.values():
        jax.block_until_ready(run())
    best = dict.fromkeys(runs, float("inf"))
    rounds, begun = 0, time.perf_counter()
    while rounds < (5 if budget else 1) or time.perf_counter() - begun < budget:
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            best[name] = min(best[name], time.perf_counter() - start)
        rounds += 1
    return best


def report(name: str, ours: float, peer: float | None = None, unit: str = "s", **rest: Any) -> None:
    """Print one JSON line. With a peer, ``ratio`` is its cost over ours: above 1 is better."""
    import jax

    device = jax.devices()[0]
    line: dict[str, Any] = {"name": name, "ours": ours}
    if peer is not None:
        line |= {"peer": peer, "ratio": peer / ours}
    print(json.dumps({**line, "unit": unit, **rest, "device": f"{device.platform} {device.device_kind}"}), flush=True)


def seconds(run: Callable[[], Any]) -> tuple[float, float, float]:
    """Return wall-clock seconds of a call, those of processors, and the kernel's share of these."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    result = run()
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    del result  # not before the clock stops
    system = after.ru_stime - before.ru_stime
    return wall, after.ru_utime - before.ru_utime + system, system


def peak_growth(run: Callable[[], Any]) -> tuple[Any, int]:
    """Return what a call returns, and by how many bytes the peak of the resident set exceeds its size before."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current size
    before = _status("VmRSS")
    result = run()
    return result, _status("VmHWM") - before


def _status(field: str) -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


class Side:
    """A process for one side, which shares neither threads nor memory with the other: ``serve`` runs in it."""

    def __init__(self, *command: str) -> None:
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._answer()

    def ask(self, *request: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            sys.exit(f"{' '.join(self.command[:3])} ended early")
        return json.loads(line)


class LocalSide:
    """One side within this process, for toy sizes."""

    def __init__(self, version: str, answer: Callable[..., Any]) -> None:
        self.version, self.answer = version, answer

    def ask(self, *request: Any) -> Any:
        return json.loads(json.dumps(self.answer(*request)))

    def close(self) -> None:
        pass


def serve(version: str, answer: Callable[..., Any]) -> None:
    """Print the version, then the answer to each request: a line of JSON each."""
    print(json.dumps(version), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), flush=True)


def use_cores(cores: int) -> None:
    """Bind this process to the first processors that it may use."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
