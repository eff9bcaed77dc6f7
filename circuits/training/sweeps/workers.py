"""The processes that drain a queue, on this host or by Slurm, and how far they are.

``python -m circuits.training.sweeps.workers FOLDER MINUTES`` is one of them.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from circuits.training import loop
from circuits.training.sweeps.claims import running
from circuits.training.sweeps.grid import Job
from circuits.training.sweeps.queue import drain, failed, progress

LOOK_EVERY = 1.0
"""Seconds."""
STATES, ENDED = ("done", "running", "failed"), ("done", "failed")


def work(folder: str, stale_minutes: float) -> None:
    """Drain a queue, in a process of its own. Stopped by SIGTERM, it leaves its job to others at once."""
    jax.config.update("jax_enable_x64", True)  # as ``circuits train`` does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    drain(Path(folder), stale_minutes=stale_minutes)


def submit(
    folder: Path, partition: str, jobs: int, stale_minutes: float, hours: int, gpus: int, cluster: str = "slurm"
) -> list[str]:
    """Submit so many workers, and return their ids. Raises ValueError where submitit, or Slurm, is missing."""
    try:
        import submitit  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        rule = "needs submitit: pip install 'reverse-circuits[slurm]'"
        raise ValueError(f"slurm: {rule}, got {partition!r}") from error
    try:
        executor = submitit.AutoExecutor(folder=folder.resolve() / "logs" / "slurm", cluster=cluster)
        executor.update_parameters(
            name="circuits", timeout_min=60 * hours, gpus_per_node=gpus, slurm_partition=partition
        )
        with executor.batch():
            submitted = [executor.submit(work, str(folder.resolve()), stale_minutes) for _ in range(jobs)]
    except (RuntimeError, OSError) as error:
        raise ValueError(f"slurm: must be a partition of Slurm that takes jobs, got {partition!r} ({error})") from error
    return [job.job_id for job in submitted]


def run_workers(screen: Console, folder: Path, jobs: list[Job], workers: int, stale_minutes: float) -> int:
    """Start workers and show how far the queue is, until they end. Returns how many did not end by themselves."""
    command = [sys.executable, "-m", __name__, str(folder), str(stale_minutes)]
    memory = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if workers > 1 else {}  # one of them would take all of a GPU's
    started: list[subprocess.Popen[Any]] = []
    try:
        for number in range(workers):
            with (folder / "logs" / f"{os.uname().nodename}-{os.getpid()}-{number}.txt").open("wb") as log:
                streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": log, "stderr": log}
                started.append(subprocess.Popen(command, env={**memory, **os.environ}, **streams))
        watch(screen, folder, jobs, stale_minutes, lambda: any(worker.poll() is None for worker in started))
    finally:
        for worker in started:
            if worker.stdin is not None:
                worker.stdin.close()  # which ends those that still run
        codes = [worker.wait() for worker in started]
    for number, code in enumerate(codes):
        if code:
            text = f"worker {number} ended with {code}: see {folder / 'logs'}, and start the command again to go on"
            screen.print(text, style="red", soft_wrap=True, markup=False)
    return sum(code != 0 for code in codes)


def watch(screen: Console, folder: Path, jobs: list[Job], stale_minutes: float, goes_on: Callable[[], bool]) -> None:
    """A bar over all work on a terminal; in a file or a pipe, a line when a job's state changes."""
    columns = BarColumn(bar_width=24), TextColumn("{task.percentage:.0f}%"), TimeElapsedColumn()
    bar = Progress(*columns, TextColumn("{task.description}"), console=screen, disable=not screen.is_terminal)
    since, before, told, settled = time.monotonic(), None, "", {}
    with bar:
        shown = bar.add_task("starting", total=1)
        while True:
            last = not goes_on()
            standings = [settled.get(job.name) or standing(folder, job, stale_minutes) for job in jobs]
            settled = {job.name: one for job, one in zip(jobs, standings, strict=True) if one.state in ENDED}
            share = shares(jobs, standings)
            before = share if before is None else before
            counts = Counter(one.state for one in standings)
            text = ", ".join(f"{counts[state]} {state}" for state in STATES) + f" of {len(jobs)}"
            bar.update(shown, completed=share, description=text + left(share, before, time.monotonic() - since))
            if text != told and not screen.is_terminal:
                screen.print(text, soft_wrap=True, markup=False)
            told = text
            if last:
                return
            time.sleep(LOOK_EVERY)


class Standing(NamedTuple):
    """Where a job is: its state, and the share of its steps that is done."""

    state: str
    share: float


def standing(folder: Path, job: Job, stale_minutes: float) -> Standing:
    """Where a job is now."""
    steps = progress(folder, job)
    if steps >= job.config.steps:
        return Standing("done", 1.0)
    if failed(folder, job).exists():
        return Standing("failed", 1.0)
    return Standing("running" if running(folder, job, stale_minutes) else "waiting", steps / job.config.steps)


def shares(jobs: Sequence[Job], standings: Sequence[Standing]) -> float:
    """The share of all work that is done; a job costs what its tokens do, and a token as the matrices it meets."""
    of = [job.config for job in jobs]
    costs = [one.steps * loop.tokens_a_step(one) * one.model.layers * one.model.width**2 for one in of]
    return sum(cost * one.share for cost, one in zip(costs, standings, strict=True)) / sum(costs)


def left(share: float, before: float, seconds: float) -> str:
    """The time left, if the rest goes as fast as what was done since the start."""
    if not before < share < 1:
        return ""
    minutes = round(seconds * (1 - share) / (share - before) / 60)
    return f", about {minutes // 60} h {minutes % 60} min left" if minutes >= 60 else f", about {minutes} min left"


def _end_with_input() -> None:
    """End this process when its standard input does: when the command that started it is gone, however it ended."""
    os.read(0, 1)  # sys.stdin holds a lock while it reads, which Python could not get when it shuts down
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        work(sys.argv[1], float(sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(130)
