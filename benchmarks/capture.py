"""Capture of attention patterns: time against TransformerLens, peak memory, and memory of a stream of any length.

``capture-patterns``: all patterns of one random model of GPT-2's size, on the same ids. Ours is one compiled call,
vmapped over the batch, that returns the cache alone. The peer is ``run_with_cache`` of a ``TransformerBridge`` over a
``GPT2LMHeadModel`` with eager attention, in its fastest setting: only ``hook_pattern`` is kept, ``return_type=None``,
``torch.inference_mode``, no cache object, and ``logits_to_keep=1``, so that one logit per sequence is made and not all.
Both sides have the same numpy weights, their patterns must agree to 1e-4, and each has a process of its own on the same
cores; they run in turns, the first of a round changes, and medians over rounds are compared. ``cpu`` is processor
seconds, which on one core do not depend on what else the machine does, ``system`` the share of the kernel in it, mostly
page faults of fresh memory. ``floor`` is processor seconds of the matrix products alone that any capture has to do,
``over_floor`` the cost of a capture over it, and ``reachable`` the ratio that our floor allows.

``capture-memory``: growth of the resident set at its peak during the first capture of a fresh process, over the loaded
model and the compiled program, and the compiler's count of temporaries; ``over_captured`` is growth over the bytes
captured, the target being at most 1.2. ``capture-stream``: the same over a shipped model alone, while the mean of all
patterns is taken over 100 and over 10,000 problems, with all that is compiled for either; ``growth`` is over that of
100, the target being 1, and ``unstreamed`` the bytes of all patterns.

TransformerLens is no dependency: name an interpreter that has it, or its side is left out. Nothing is fetched.

    python benchmarks/capture.py --peer-python /path/to/python
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from capture_sides import Size, ours, peer
from measure import LocalSide, Side, peak_growth, report, seconds, serve, use_cores

SIZES = ((8, 128), (4, 256), (1, 1024))
MEMORY_SIZES = ((8, 256), (1, 1024))
TOLERANCE = 1e-4
STREAMED, BATCH = (100, 10_000), 500
WARM = (100, 1000)
"""Streamed first, so that every process has compiled the same programs and its allocator has settled."""
TOY = Size(layers=2, heads=2, width=16, vocab=50, positions=32)
Start = Callable[[str, int], Side | LocalSide]


def side_of(name: str, size: Size) -> LocalSide:
    """Return one side, "ours", "peer" or "stream", which answers requests within this process."""
    if name == "stream":
        import jax

        return LocalSide(f"jax {jax.__version__}", streamed)
    side = {"ours": ours, "peer": peer}[name](size)
    runs: dict[tuple, Callable[[], Any]] = {}

    def answer(kind: str, batch: int, length: int, path: str) -> Any:
        ids = np.random.default_rng(batch).integers(size.vocab, size=(batch, length), dtype=np.int64).astype(np.int32)
        if kind == "memory":
            run, temporary = side.capture(ids)
            kept, growth = peak_growth(run)
            return {"growth": growth, "captured": sum(value.nbytes for value in kept.values()), "temporary": temporary}
        if kind == "save":
            return np.save(path, np.stack([np.asarray(value) for value in side.capture(ids)[0]().values()]))
        if (kind, batch, length) not in runs:
            runs[kind, batch, length] = side.capture(ids)[0] if kind == "capture" else side.products(ids)
            runs[kind, batch, length]()
        return seconds(runs[kind, batch, length])

    return LocalSide(side.version, answer)


def streamed(count: int, warm: list[int]) -> dict[str, Any]:
    """Return by how many bytes the mean of all patterns over ``count`` problems raises the peak of this process."""
    import jax
    import jax.numpy as jnp

    from circuits.models import load_model
    from circuits.probes.patterns import attention_patterns
    from circuits.probes.streaming import stream
    from circuits.tasks.sampling import sample
    from circuits.tasks.token_format import encode_problem

    loaded = load_model("star-2x5-mtp3")
    assert loaded.task is not None
    model, form = loaded.model, loaded.task.format
    encode = jax.jit(jax.vmap(partial(encode_problem, form)))

    def batches(count: int) -> Iterator[tuple[jax.Array]]:
        for seed, first in enumerate(range(0, count, BATCH)):
            problems = encode(sample(form.family, jax.random.key(seed), min(BATCH, count)))
            yield (problems[: count - first, : form.prompt_length].astype(jnp.int32),)

    def moments(count: int) -> Any:
        return jax.block_until_ready(stream(attention_patterns, model, batches(count)))

    for each in warm:
        moments(each)
    result, growth = peak_growth(lambda: moments(count))
    assert float(jnp.min(result.count)) == float(jnp.max(result.count)) == count
    return {"growth": growth, "shape": result.mean.shape}


def compare_patterns(sides: dict[str, Side | LocalSide], size: tuple[int, int], flat: bool) -> float | None:
    """Return the largest difference of a captured pattern between the sides."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {side: os.path.join(folder, f"{side}.npy") for side in sides}
        for side, path in paths.items():
            sides[side].ask("save", *size, path)
        own, *others = (np.load(path, mmap_mode="r") for path in paths.values())
        assert flat or float(np.max(own)) > 0.5, "patterns are flat, so their comparison says little"
        gaps = [float(np.max(np.abs(own - other))) for other in others]
    assert all(gap < TOLERANCE for gap in gaps), f"patterns differ by {gaps}"
    return gaps[0] if gaps else None


def patterns(start: Start, names: list[str], cores: int, rounds: int, toy: bool) -> None:
    """Report medians over rounds for each size."""
    sides = {name: start(name, cores) for name in names}
    sizes = ((2, 8),) if toy else SIZES
    gap = compare_patterns(sides, sizes[0], flat=toy)
    for size in sizes:
        times: dict[tuple[str, str], list] = {(side, kind): [] for side in sides for kind in ("capture", "products")}
        for number in range(rounds):
            for side, kind in sorted(times, reverse=number % 2 == 1):
                times[side, kind].append(sides[side].ask(kind, *size, ""))
        medians = {key: [statistics.median(part) for part in zip(*rows, strict=True)] for key, rows in times.items()}
        wall, cpu, system = ({side: medians[side, "capture"][i] for side in sides} for i in range(3))
        floor = {side: max(medians[side, "products"][1], 1e-9) for side in sides}
        rest: dict[str, Any] = {"cpu": cpu, "system": system, "floor": floor}
        rest |= {"over_floor": {side: cpu[side] / floor[side] for side in sides}}
        if "peer" in sides:
            rest |= {"cpu_ratio": cpu["peer"] / cpu["ours"], "reachable": cpu["peer"] / floor["ours"], "gap": gap}
        shape = TOY if toy else Size()
        rest |= {"captured": 4 * shape.layers * shape.heads * size[0] * size[1] ** 2, "cores": cores, "rounds": rounds}
        rest |= {"load": os.getloadavg()[0], "versions": [side.version for side in sides.values()]}
        report(f"capture-patterns/{size[0]}x{size[1]}/cores={cores}", wall["ours"], wall.get("peer"), **rest)
    for side in sides.values():
        side.close()


def memories(start: Start, names: list[str], toy: bool) -> None:
    """Report each size, each side in a fresh process."""
    for batch, length in ((2, 8),) if toy else MEMORY_SIZES:
        answers, versions = {}, []
        for name in names:
            side = start(name, 1)
            answers[name] = side.ask("memory", batch, length, "")
            versions.append(side.version)
            side.close()
        growth = {name: part["growth"] for name, part in answers.items()}
        rest = {"captured": answers["ours"]["captured"], "temporary": answers["ours"]["temporary"]}
        rest |= {"over_captured": {name: part["growth"] / part["captured"] for name, part in answers.items()}}
        name = f"capture-memory/{batch}x{length}"
        report(name, growth["ours"], growth.get("peer"), "byte", **rest, versions=versions)


def streams(start: Start, toy: bool) -> None:
    """Report each number of problems, in fresh processes."""
    first = None
    for count in (2, 4) if toy else STREAMED:
        side = start("stream", len(os.sched_getaffinity(0)))
        answer = side.ask(count, [] if toy else WARM)
        side.close()
        first = first or answer["growth"] or 1
        rest = {"growth": answer["growth"] / first, "patterns": answer["shape"], "versions": [side.version]}
        rest |= {"unstreamed": 4 * count * math.prod(answer["shape"])}
        report(f"capture-stream/examples={count}", answer["growth"], unit="byte", **rest)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peer-python", default="", help="interpreter that has TransformerLens")
    parser.add_argument("--only", default="", help="patterns, memory or stream")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    cores = [1, len(os.sched_getaffinity(0))]
    parser.add_argument("--cores", type=int, nargs="*", default=cores, help="processor cores of each side")
    parser.add_argument("--toy", action="store_true", help="a small model, our side alone, in this process")
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "CORES"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        use_cores(int(args.serve[1]))
        side = side_of(args.serve[0], Size())
        serve(side.version, side.answer)
        return
    pythons = {"ours": sys.executable, "peer": args.peer_python, "stream": sys.executable}

    def start(name: str, cores: int) -> Side | LocalSide:
        if args.toy:
            return side_of(name, TOY)
        return Side(pythons[name], os.path.abspath(__file__), "--serve", name, str(cores))

    names = ["ours", "peer"] if args.peer_python and not args.toy else ["ours"]
    if "peer" not in names:
        print("capture: without --peer-python ours is measured alone", file=sys.stderr)
    every_cores = [1] if args.toy else list(dict.fromkeys(args.cores))
    for cores in every_cores if args.only in ("", "patterns") else ():
        patterns(start, names, cores, 1 if args.toy else args.rounds, args.toy)
    if args.only in ("", "memory"):
        memories(start, names, args.toy)
    if args.only in ("", "stream"):
        streams(start, args.toy)


if __name__ == "__main__":
    main()
