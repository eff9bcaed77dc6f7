"""Jobs as a queue in a folder, which any number of processes drain at once.

    grid.json           the jobs, frozen when the queue is made; jobs can be added later
    runs/<job>/         a run folder each, as ``loop.train`` leaves it
    claims/<job>.<n>    who works on the job, see ``claims``; n counts how often it was taken over
    failed/<job>.txt    why a job can't be done; delete the file to try again

A job is finished when metrics.jsonl holds its last step.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax

from circuits import checks
from circuits.files import write_text
from circuits.training import loop, run_folder
from circuits.training.config import TrainConfig
from circuits.training.sweeps.claims import STALE, TakenOver, release, take, taken_over, touch
from circuits.training.sweeps.grid import Job

FORMAT = 1
FAILURES = (ArithmeticError, OSError, ValueError, jax.errors.JaxRuntimeError)
"""What ends a job and not the queue; the last is how a device says that its memory is full."""


def freeze(folder: Path, jobs: list[Job]) -> None:
    """Make the folder the queue of these jobs, or add those that its grid.json lacks.

    Raises ValueError naming a folder that is no queue or can't be written, and what differs from a job that is there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        rule = "must be new or empty, or hold a sweep with grid.json"
        checks.require(not there or "grid.json" in there, "out", rule, str(folder))
        for old in read_jobs(folder) if there else []:
            _check_kept(old, jobs)
        listed = [job._replace(config=run_folder.as_json(job.config))._asdict() for job in jobs]
        write_text(folder / "grid.json", json.dumps({"format": FORMAT, "jobs": listed}, indent=1) + "\n")
        for name in ("runs", "claims", "failed", "logs"):
            (folder / name).mkdir(exist_ok=True)
    except OSError as error:
        raise ValueError(f"out: must be a folder to write in, got {str(folder)!r} ({error.strerror})") from error


def read_jobs(folder: Path) -> list[Job]:
    """The jobs of a queue. Raises ValueError naming a grid.json that can't be read."""
    path = folder / "grid.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        checks.require(found["format"] == FORMAT, "format", f"must be {FORMAT}", found["format"])
        configs = [run_folder.rebuilt(TrainConfig, job["config"]) for job in found["jobs"]]
        return [Job(job["name"], job["values"], config) for job, config in zip(found["jobs"], configs, strict=True)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"grid.json: must be that of a sweep, got {str(path)!r} ({error})") from error


def drain(
    folder: Path,
    work: Callable[[TrainConfig, Path, Callable[[], None]], None] | None = None,
    stale_minutes: float = STALE,
) -> None:
    """Do jobs until none is left that nobody works on.

    ``work`` gets the config, the folder of the run, and what to call at each evaluation; training if left out.
    """
    while (found := _next(folder, stale_minutes)) is not None:
        _perform(folder, *found, work or train_job)


def train_job(config: TrainConfig, folder: Path, beat: Callable[[], None]) -> None:
    """Train, from the latest checkpoint if there is one."""
    loop.train(config, folder, resume=True, show=lambda report: beat())


def progress(folder: Path, job: Job) -> int:
    """Steps of a job whose metrics are written."""
    try:
        lines = run_folder.read_metrics(folder / "runs" / job.name)
    except ValueError:  # the run itself will say what is wrong with them
        return 0
    whole = len(lines) >= job.config.seeds and len({line["step"] for line in lines[-job.config.seeds :]}) == 1
    return lines[-1]["step"] if whole else 0


def finished(folder: Path, job: Job) -> bool:
    """Whether the metrics of the last step are written."""
    return progress(folder, job) >= job.config.steps


def failed(folder: Path, job: Job) -> Path:
    """The file that says why a job can't be done, if it is there."""
    return folder / "failed" / f"{job.name}.txt"


def _next(folder: Path, stale_minutes: float) -> tuple[Job, Path] | None:
    for job in read_jobs(folder):
        if _settled(folder, job) or (claim := take(folder, job, stale_minutes)) is None:
            continue
        if not _settled(folder, job):
            return job, claim
        release(claim)  # it was finished between the look and the claim
    return None


def _perform(folder: Path, job: Job, claim: Path, work: Callable[..., None]) -> None:
    try:
        work(job.config, folder / "runs" / job.name, partial(touch, claim))
        checks.require(finished(folder, job), "steps", f"must come to {job.config.steps}", progress(folder, job))
    except TakenOver:
        pass
    except FAILURES as error:
        if not taken_over(claim):
            write_text(failed(folder, job), f"{type(error).__name__}: {error}\n")
    finally:
        release(claim)


def _settled(folder: Path, job: Job) -> bool:
    return failed(folder, job).exists() or finished(folder, job)


def _check_kept(old: Job, jobs: list[Job]) -> None:
    """Raise ValueError naming what differs, unless the job is still there."""
    if any(job.name == old.name for job in jobs):
        return
    like = next((job for job in jobs if job.values == old.values), None)
    checks.require(like is not None, "grid", "must hold every job of grid.json and may add others, lacks", old.name)
    assert like is not None
    before, after = run_folder.leaves(old.config), run_folder.leaves(like.config)
    for name, value in before.items():
        checks.require(after[name] == value, name, f"must be {value!r}, as in grid.json", after[name])
