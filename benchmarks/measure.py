"""Timing for benchmarks: interleaved, so that what else the machine does hits both sides alike."""

import json
import time
from collections.abc import Callable
from typing import Any

import jax


def best_seconds(runs: dict[str, Callable[[], Any]], budget: float = 3.0) -> dict[str, float]:
    """The least time of each run, over as many rounds as ``budget`` seconds hold, at least five, in turns."""
    for run in runs.values():
        jax.block_until_ready(run())
    best = dict.fromkeys(runs, float("inf"))
    rounds, begun = 0, time.perf_counter()
    while rounds < 5 or time.perf_counter() - begun < budget:
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            best[name] = min(best[name], time.perf_counter() - start)
        rounds += 1
    return best


def report(name: str, ours: float, peer: float, unit: str = "s") -> None:
    """One JSON line; ``ratio`` is the peer's cost over ours, above 1 is better."""
    device = jax.devices()[0]
    line = {"name": name, "ours": ours, "peer": peer, "ratio": peer / ours, "unit": unit}
    print(json.dumps({**line, "device": f"{device.platform} {device.device_kind}"}), flush=True)
