"""Run the jobs of a sweep, each in its own process, on this host or by Slurm.

    runs/<job>/         the run folder, see ``run_folder``
    logs/<job>.txt      the output of the job; locked while a process works on the job
    failed/<job>.txt    why the last attempt failed

A job is done if its metrics include the last step of each seed; otherwise it is failed, running or waiting.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from circuits import checks
from circuits.cores import available_cores
from circuits.files import write_text, writing
from circuits.training import run_folder
from circuits.training.config import TrainConfig
from circuits.training.records import as_json
from circuits.training.sweeps.grid import Job
from circuits.training.sweeps.job import TRAIN


def prepare(folder: Path, jobs: list[Job]) -> list[Job]:
    """Make the folder of a sweep, and return the jobs, each with the name of an existing run with its config.

    A name ends in a hash of the config's JSON, which differs between versions that have different fields.
    Raises ValueError for a folder that holds something else or cannot be written.
    """
    with writing(folder):
        entries = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        checks.require(not entries or "runs" in entries, "out", "must be new, empty, or hold a sweep", str(folder))
        for name in ("runs", "logs", "failed"):
            (folder / name).mkdir(exist_ok=True)
    names = {}
    for path in (folder / "runs").glob("*/config.json"):
        with suppress(ValueError):
            names[run_folder.read_config(path.parent, TrainConfig)] = path.parent.name
    names |= {job.config: job.name for job in jobs if (folder / "runs" / job.name).exists()}
    return [job._replace(name=names.get(job.config, job.name)) for job in jobs]


def state(folder: Path, job: Job) -> str:
    """Return "done", "failed", "running" or "waiting"."""
    if steps_done(folder, job) >= job.config.steps:
        return "done"
    if failure(folder, job):
        return "failed"
    with _log(folder, job) as log:
        return "waiting" if _lock(log) else "running"


def steps_done(folder: Path, job: Job) -> int:
    """Return the last step at which a job has metrics for all seeds, 0 if its last lines are not of one step."""
    with suppress(ValueError):  # the run itself will report damaged metrics
        last = [line["step"] for line in run_folder.read_metrics(folder / "runs" / job.name)][-job.config.seeds :]
        return last[0] if len(last) == job.config.seeds and len({*last}) == 1 else 0
    return 0


def failure(folder: Path, job: Job) -> str:
    """Return why the last attempt at a job failed, as a line followed by its output; "" if it did not fail."""
    path = folder / "failed" / f"{job.name}.txt"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def default_workers() -> int:
    """Return the number of cores that this process may use, or 1 if there is an accelerator."""
    # In this process, jax would occupy the accelerator.
    command = [sys.executable, "-c", "import jax; print(jax.default_backend())"]
    on_cpu = subprocess.run(command, capture_output=True, text=True).stdout == "cpu\n"
    return available_cores() if on_cpu else 1


def run_jobs(screen: Console, folder: Path, jobs: Sequence[Job], workers: int, work: str = TRAIN) -> None:
    """Do the jobs that are not done, ``workers`` at a time, and show a progress bar, or lines if not on a terminal.

    Failed jobs are retried. The process of each job ends when this process ends, even if it is killed.
    """
    columns = BarColumn(bar_width=24), TextColumn("{task.percentage:.0f}%"), TimeElapsedColumn(), TimeRemainingColumn()
    bar = Progress(*columns, TextColumn("{task.description}"), console=screen, disable=not screen.is_terminal)
    task, printed, processes = bar.add_task("", total=sum(job.config.steps for job in jobs)), "", []
    for job in [job for job in jobs if workers and state(folder, job) == "failed"]:
        screen.print(f"retrying {job.name}, which failed", soft_wrap=True, markup=False)
    with bar, futures.ThreadPoolExecutor(max(workers, 1)) as threads:
        attempts = [threads.submit(attempt, folder, job, work, processes) for job in jobs if workers]
        try:
            pending = True
            while pending:
                pending = futures.wait(attempts, timeout=1.0).not_done
                counts = Counter(state(folder, job) for job in jobs)
                text = ", ".join(f"{counts[name]} {name}" for name in ("done", "running", "failed"))
                text += f" of {len(jobs)}"
                bar.update(task, completed=sum(steps_done(folder, job) for job in jobs), description=text)
                if text != printed and not screen.is_terminal:
                    screen.print(text, soft_wrap=True, markup=False)
                printed = text
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
    for each in attempts:
        each.result()  # raises errors of this process, which are bugs


def attempt(folder: Path, job: Job, work: str, processes: list[subprocess.Popen[bytes]] | None = None) -> None:
    """Do a job in its own process, unless it is done or another process works on it, and record a failure."""
    with _log(folder, job) as log:
        if steps_done(folder, job) >= job.config.steps or not _lock(log, patience=1.0):
            return
        failed, start = folder / "failed" / f"{job.name}.txt", log.tell()
        failed.unlink(missing_ok=True)
        arguments = work, json.dumps(as_json(job.config)), str(folder / "runs" / job.name), str(os.getpid())
        command = [sys.executable, "-m", "circuits.training.sweeps.job", *arguments]
        environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}  # jobs may share the memory of a GPU
        # The log is the output of the process, so it stays locked even if this process is killed.
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        if processes is not None:
            processes.append(process)
        code, steps = process.wait(), steps_done(folder, job)
        if steps < job.config.steps and code != -signal.SIGTERM:
            log.seek(start)
            output = log.read().decode(errors="replace").strip()
            reason = f"exit code {code} at step {steps} of {job.config.steps}: {output.rpartition(chr(10))[2]}"
            write_text(failed, f"{reason}\n\n{output}\n")


def submit(
    folder: Path, jobs: Sequence[Job], partition: str, workers: int, hours: int, gpus: int, cluster: str = "slurm"
) -> list[str]:
    """Submit the jobs that are not done as an array of Slurm, ``workers`` of them at a time, and return their ids.

    Raises ValueError if submitit or Slurm is missing.
    """
    folder = folder.resolve()
    open_jobs = [job for job in jobs if state(folder, job) in ("waiting", "failed")]
    try:
        import submitit  # pyright: ignore[reportMissingImports]

        executor = submitit.AutoExecutor(folder=folder / "logs" / "slurm", cluster=cluster)
        limits = {"timeout_min": 60 * hours, "gpus_per_node": gpus, "slurm_array_parallelism": workers}
        executor.update_parameters(name="circuits", slurm_partition=partition, **limits)
        tasks = executor.map_array(attempt, [folder] * len(open_jobs), open_jobs, [TRAIN] * len(open_jobs))
    except (ImportError, RuntimeError, OSError) as error:
        rule = "must be a partition of Slurm, and needs submitit: pip install 'reverse-circuits[slurm]'"
        raise ValueError(f"slurm: {rule}, got {partition!r} ({error})") from error
    return [task.job_id for task in tasks]


def _log(folder: Path, job: Job) -> IO[bytes]:
    return (folder / "logs" / f"{job.name}.txt").open("a+b")


def _lock(log: IO[bytes], patience: float = 0.0) -> bool:
    """Lock a log until it is closed, here and in child processes. Return False if another process has locked it."""
    give_up = time.monotonic() + patience  # ``state`` in another process locks the log for a moment
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= give_up:
            return False
        time.sleep(0.02)
