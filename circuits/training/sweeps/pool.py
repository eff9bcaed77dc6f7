"""The jobs of a sweep, each in a process of its own, on this host or by Slurm. ``job`` describes the sweep's folder."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from circuits import checks
from circuits.files import write_text, writing
from circuits.training import run_folder
from circuits.training.config import TrainConfig
from circuits.training.records import as_json
from circuits.training.sweeps import job as job_process
from circuits.training.sweeps.grid import Job

STARTABLE = ("waiting", "failed")


class Status(NamedTuple):
    """What has become of a job: done, running, failed or waiting, and the steps in its metrics."""

    state: str
    steps: int


def prepare(folder: Path, jobs: list[Job]) -> list[Job]:
    """Make the folder of a sweep, and return the jobs under the names of existing runs with the same config.

    Names end in a hash of the config's JSON, which other versions may have written differently.
    Raises ValueError for a folder that holds something else or can't be written.
    """
    with writing(folder):
        entries = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        checks.require(not entries or "runs" in entries, "out", "must be new, empty, or hold a sweep", str(folder))
        for name in job_process.FOLDERS:
            (folder / name).mkdir(exist_ok=True)
    names = {}
    for path in (folder / "runs").glob("*/config.json"):
        with suppress(ValueError):
            names[run_folder.read_config(path.parent, TrainConfig)] = path.parent.name
    names |= {job.config: job.name for job in jobs if (folder / "runs" / job.name).exists()}
    return [job._replace(name=names.get(job.config, job.name)) for job in jobs]


def status(folder: Path, job: Job) -> Status:
    """Return the status of a job: done if its metrics hold the last step of each seed, running if it is locked."""
    seeds, steps = job.config.seeds, 0
    with suppress(ValueError):  # of damaged metrics, which the run itself will report
        last = [line["step"] for line in run_folder.read_metrics(folder / "runs" / job.name)][-seeds:]
        steps = last[0] if last == last[:1] * seeds else 0
    if steps >= job.config.steps:
        return Status("done", steps)
    if failure(folder, job):
        return Status("failed", steps)
    with job_process.locked(folder, job.name) as free:
        return Status("waiting" if free else "running", steps)


def failure(folder: Path, job: Job) -> str:
    """Return why the last attempt at a job failed, usually a traceback; "" if it did not."""
    path = folder / "failed" / f"{job.name}.txt"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def default_workers() -> int:
    """Return the number of CPUs that this process may use, or 1 where there is an accelerator."""
    command = [sys.executable, "-c", "import jax; print(jax.default_backend())"]  # here, this would occupy it
    if subprocess.run(command, capture_output=True, text=True).stdout != "cpu\n":
        return 1
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def run_jobs(screen: Console, folder: Path, jobs: Sequence[Job], workers: int, work: str = job_process.TRAIN) -> None:
    """Do the jobs that are not done, ``workers`` at a time, and show progress: on a terminal a bar, elsewhere lines.

    Each job has a process, which ends with this one, however it ends.
    """
    columns = BarColumn(bar_width=24), TextColumn("{task.percentage:.0f}%"), TimeElapsedColumn(), TimeRemainingColumn()
    bar = Progress(*columns, TextColumn("{task.description}"), console=screen, disable=not screen.is_terminal)
    task, printed = bar.add_task("", total=sum(job.config.steps for job in jobs)), ""
    read_end, write_end = os.pipe()  # the processes read, and end when there is nobody left to write
    with bar, futures.ThreadPoolExecutor(max(workers, 1)) as threads:
        attempts = [threads.submit(_attempt, screen, folder, job, work, read_end) for job in jobs if workers]
        try:
            pending = True
            while pending:
                pending = futures.wait(attempts, timeout=1.0).not_done
                stati = [status(folder, job) for job in jobs]
                counts = Counter(one.state for one in stati)
                text = ", ".join(f"{counts[state]} {state}" for state in ("done", "running", "failed"))
                bar.update(task, completed=sum(one.steps for one in stati), description=f"{text} of {len(jobs)}")
                if text != printed and not screen.is_terminal:
                    screen.print(f"{text} of {len(jobs)}", soft_wrap=True, markup=False)
                printed = text
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            os.close(write_end)
            threads.shutdown()
            os.close(read_end)
    for attempt in attempts:
        attempt.result()  # raises what is a bug in this process


def submit(
    folder: Path, jobs: Sequence[Job], partition: str, workers: int, hours: int, gpus: int, cluster: str = "slurm"
) -> list[str]:
    """Submit the jobs that are not done as an array of Slurm, ``workers`` of them at a time, and return their ids.

    Raises ValueError where submitit or Slurm is missing.
    """
    folder = folder.resolve()
    startable = [job for job in jobs if status(folder, job).state in STARTABLE]
    configs, names = [as_json(job.config) for job in startable], [job.name for job in startable]
    try:
        import submitit  # pyright: ignore[reportMissingImports]

        executor = submitit.AutoExecutor(folder=folder / "logs" / "slurm", cluster=cluster)
        limits = {"timeout_min": 60 * hours, "gpus_per_node": gpus, "slurm_array_parallelism": workers}
        executor.update_parameters(name="circuits", slurm_partition=partition, **limits)
        tasks = executor.map_array(
            job_process.perform, [job_process.TRAIN] * len(names), configs, [folder] * len(names), names
        )
    except (ImportError, RuntimeError, OSError) as error:
        rule = "must be a partition of Slurm, and needs submitit: pip install 'reverse-circuits[slurm]'"
        raise ValueError(f"slurm: {rule}, got {partition!r} ({error})") from error
    return [task.job_id for task in tasks]


def _attempt(screen: Console, folder: Path, job: Job, work: str, stdin: int) -> None:
    """Do a job in a process of its own, and record the failure of one that ends without saying why."""
    code = job_process.BUSY
    while code == job_process.BUSY and (state := status(folder, job).state) in STARTABLE:
        if state == "failed":
            screen.print(f"retrying {job.name}, which failed", soft_wrap=True, markup=False)
        config = json.dumps(as_json(job.config))
        command = [sys.executable, "-m", job_process.__name__, work, config, str(folder), job.name]
        environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}  # jobs may share the memory of a GPU
        with (folder / "logs" / f"{job.name}.txt").open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, stdin=stdin, stdout=log, stderr=log, start_new_session=True
            )
        code = process.wait()
    state, steps = status(folder, job)
    if state == "waiting" and code != job_process.INTERRUPTED:
        reason = f"the process ended at step {steps} of {job.config.steps} with exit code {code}"
        write_text(folder / "failed" / f"{job.name}.txt", f"{reason}: see {folder / 'logs' / job.name}.txt\n")
