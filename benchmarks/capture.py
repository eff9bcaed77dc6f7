"""Capture of attention patterns: time against TransformerLens, peak memory, and memory of a stream of any length.

``capture-patterns``: all patterns of one random model of GPT-2's size, on the same ids. Ours is one compiled call,
vmapped over the batch, that returns the cache alone. The peer is ``run_with_cache`` of a ``TransformerBridge`` over a
``GPT2LMHeadModel`` with eager attention, in its fastest setting: only ``hook_pattern`` is kept, ``return_type=None``,
``torch.inference_mode``, no cache object, and ``logits_to_keep=1``, so that one logit a sequence is made and not all.
Both sides have the same numpy weights, their patterns must agree to 1e-4, and each has a process of its own on the same
cores; they run in turns, the first of a round changes, and medians over rounds are compared. ``cpu`` is processor
seconds, the figure that does not depend on what else the machine does where there is one core, ``system`` the share of
the kernel in it, mostly page faults of fresh memory. ``floor`` is processor seconds of the matrix products alone that
any capture has to do, ``over_floor`` the cost of a capture over it, and ``reachable`` the ratio that our floor allows.

``capture-memory``: growth of the resident set at its peak during the first capture of a fresh process, over the loaded
model and the compiled program, and the compiler's count of temporaries; ``over_captured`` is growth over the bytes
captured, the target being at most 1.2. ``capture-stream``: the same over a shipped model alone, while the mean of all
patterns is taken over 100 and over 10 000 problems, with all that is compiled for either; ``growth`` is over that of
100, the target being 1, and ``unstreamed`` the bytes of all patterns.

TransformerLens is no dependency: name an interpreter that has it, or its side is left out. Nothing is fetched.

    python benchmarks/capture.py --peer-python /path/to/python
"""

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from capture_sides import HEADS, LAYERS, VOCAB, Capturing, ours, peer

SIZES = ((8, 128), (4, 256), (1, 1024))
MEMORY_SIZES = ((8, 256), (1, 1024))
TOLERANCE = 1e-4
MODEL = Path(__file__).parents[1] / "checkpoints" / "star-2x5-mtp3"
STREAMED, BATCH = (100, 10_000), 500
WARM = (100, 1000)
"""Streamed first, so that every process has compiled the same programs and its allocator has settled."""


def serve(side: str, cores: int) -> None:
    """The process of one side: a request in and its answer out, a line of JSON each."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    found = {"ours": ours, "peer": peer}[side](cores)
    runs: dict[tuple, Callable[[], Any]] = {}
    print(json.dumps(found.version), flush=True)
    for line in sys.stdin:
        kind, batch, length, path = json.loads(line)
        ids = np.random.default_rng(batch).integers(VOCAB, size=(batch, length), dtype=np.int64).astype(np.int32)
        answer: Any = None
        if kind == "memory":
            answer = memory(found, ids)
        elif kind == "save":
            np.save(path, np.stack([np.asarray(value) for value in found.capture(ids)[0]().values()]))
        else:
            if (kind, batch, length) not in runs:
                runs[kind, batch, length] = found.capture(ids)[0] if kind == "capture" else found.products(ids)
                runs[kind, batch, length]()
            answer = seconds(runs[kind, batch, length])
        print(json.dumps(answer), flush=True)


def seconds(run: Callable[[], Any]) -> tuple[float, float, float]:
    """Of one call: on the clock, of processors, and of those in the kernel. What it returns is freed after."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    kept = run()
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    del kept
    system = after.ru_stime - before.ru_stime
    return wall, after.ru_utime - before.ru_utime + system, system


def memory(side: Capturing, ids: np.ndarray) -> dict[str, int | None]:
    """Bytes: growth at the peak of the first capture, captured, and temporary by the compiler's count."""
    run, temporary = side.capture(ids)
    kept, growth = grown(run)
    return {"growth": growth, "captured": sum(value.nbytes for value in kept.values()), "temporary": temporary}


def grown(run: Callable[[], Any]) -> tuple[Any, int]:
    """What a call returns, and by how many bytes the resident set was larger at its peak than before."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is resident now
    before = status("VmRSS")
    kept = run()
    return kept, status("VmHWM") - before


def status(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def streamed(count: int) -> None:
    """Print by how many bytes the mean of all patterns over ``count`` problems raises the peak of this process."""
    import jax
    import jax.numpy as jnp

    from circuits.probes.patterns import attention_patterns
    from circuits.probes.streaming import stream
    from circuits.tasks.planning import draw
    from circuits.transformer.weights_file import load_saved_model

    model, form, _ = load_saved_model(MODEL)
    assert form is not None

    def batches(count: int) -> Any:
        for seed, first in enumerate(range(0, count, BATCH)):
            problems = draw(form, "train", seed, BATCH, 64)[: min(BATCH, count - first), : form.prompt_length]
            yield (jnp.asarray(problems, jnp.int32),)

    def moments(count: int) -> Any:
        return jax.block_until_ready(stream(attention_patterns, model, batches(count)))

    def run() -> Any:
        for warm in WARM:
            moments(warm)
        return moments(count)

    found, growth = grown(run)
    assert float(jnp.min(found.count)) == float(jnp.max(found.count)) == count
    print(json.dumps({"growth": growth, "shape": found.mean.shape, "version": f"jax {jax.__version__}"}))


class Side:
    """One side's process."""

    def __init__(self, side: str, python: str, cores: int) -> None:
        self.command = [python, os.path.abspath(__file__), "--serve", side, str(cores)]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._answer()

    def ask(self, kind: str, size: tuple[int, int], path: str = "") -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([kind, *size, path]) + "\n")
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
            sys.exit(f"capture: {' '.join(self.command)} ended early")
        return json.loads(line)


def started(args: argparse.Namespace, cores: int) -> dict[str, Side]:
    """Both sides, or ours alone where no interpreter is named."""
    pythons = {"ours": sys.executable} | ({"peer": args.peer_python} if args.peer_python else {})
    return {side: Side(side, python, cores) for side, python in pythons.items()}


def report(name: str, own: float, other: float | None, unit: str, rest: dict[str, Any], versions: list[str]) -> None:
    ratio = None if other is None else other / own
    line = {"name": name, "ours": own, "peer": other, "ratio": ratio, "unit": unit, **rest}
    line |= {"device": f"cpu {platform.machine()}", "load": os.getloadavg()[0], "versions": versions}
    print(json.dumps(line), flush=True)


def compare_patterns(sides: dict[str, Side], size: tuple[int, int]) -> float | None:
    """The largest difference of a captured pattern between the sides."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {side: os.path.join(folder, f"{side}.npy") for side in sides}
        for side, path in paths.items():
            sides[side].ask("save", size, path)
        own, *others = (np.load(path, mmap_mode="r") for path in paths.values())
        assert float(np.max(own)) > 0.5, "patterns are flat, so their comparison says little"
        gaps = [float(np.max(np.abs(own - other))) for other in others]
    assert all(gap < TOLERANCE for gap in gaps), f"patterns differ by {gaps}"
    return gaps[0] if gaps else None


def patterns(args: argparse.Namespace, cores: int) -> None:
    """One JSON line a size: medians over rounds."""
    sides = started(args, cores)
    gap = compare_patterns(sides, SIZES[0])
    for size in SIZES:
        times: dict[tuple[str, str], list] = {(side, kind): [] for side in sides for kind in ("capture", "products")}
        for number in range(args.rounds):
            for side, kind in sorted(times, reverse=number % 2 == 1):
                times[side, kind].append(sides[side].ask(kind, size))
        found = {key: [statistics.median(part) for part in zip(*rows, strict=True)] for key, rows in times.items()}
        wall, cpu, system = ({side: found[side, "capture"][i] for side in sides} for i in range(3))
        floor = {side: found[side, "products"][1] for side in sides}
        rest: dict[str, Any] = {"cpu": cpu, "system": system, "floor": floor}
        rest |= {"over_floor": {side: cpu[side] / floor[side] for side in sides}}
        if "peer" in sides:
            rest |= {"cpu_ratio": cpu["peer"] / cpu["ours"], "reachable": cpu["peer"] / floor["ours"], "gap": gap}
        name = f"capture-patterns/{size[0]}x{size[1]}/cores={cores}"
        rest |= {"captured": 4 * LAYERS * HEADS * size[0] * size[1] ** 2, "cores": cores, "rounds": args.rounds}
        report(name, wall["ours"], wall.get("peer"), "s", rest, [side.version for side in sides.values()])
    for side in sides.values():
        side.close()


def memories(args: argparse.Namespace) -> None:
    """One JSON line a size, each side in a fresh process."""
    for size in MEMORY_SIZES:
        found, versions = {}, []
        for side, python in {"ours": sys.executable, "peer": args.peer_python}.items():
            if python:
                process = Side(side, python, 1)
                found[side] = process.ask("memory", size)
                versions.append(process.version)
                process.close()
        growth = {side: part["growth"] for side, part in found.items()}
        rest = {"captured": found["ours"]["captured"], "temporary": found["ours"]["temporary"]}
        rest |= {"over_captured": {side: part["growth"] / part["captured"] for side, part in found.items()}}
        report(f"capture-memory/{size[0]}x{size[1]}", growth["ours"], growth.get("peer"), "byte", rest, versions)


def streams() -> None:
    """One JSON line a number of problems, in fresh processes."""
    found = {}
    for count in STREAMED:
        command = [sys.executable, os.path.abspath(__file__), "--stream", str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[count] = json.loads(done.stdout)
        growth = found[count]["growth"]
        shape = found[count]["shape"]
        rest = {"growth": growth / found[STREAMED[0]]["growth"], "patterns": shape}
        rest |= {"unstreamed": 4 * count * math.prod(shape)}
        report(f"capture-stream/examples={count}", growth, None, "byte", rest, [found[count]["version"]])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peer-python", default="", help="interpreter that has TransformerLens")
    parser.add_argument("--only", default="", help="patterns, memory or stream")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument(
        "--cores", type=int, nargs="*", default=[1, os.cpu_count() or 1], help="processors of both sides"
    )
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "CORES"), help=argparse.SUPPRESS)
    parser.add_argument("--stream", type=int, metavar="COUNT", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve[0], int(args.serve[1]))
    elif args.stream:
        streamed(args.stream)
    else:
        if not args.peer_python:
            print("capture: without --peer-python ours is measured alone", file=sys.stderr)
        for cores in dict.fromkeys(args.cores) if args.only in ("", "patterns") else ():
            patterns(args, cores)
        if args.only in ("", "memory"):
            memories(args)
        if args.only in ("", "stream"):
            streams()


if __name__ == "__main__":
    main()
