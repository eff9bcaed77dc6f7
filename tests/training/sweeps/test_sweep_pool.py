"""Jobs run in processes of their own: one that fails leaves the others alone, and none survives its parent."""

# pyright: reportAttributeAccessIssue=false

import fcntl
import io
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from circuits.training import run_folder
from circuits.training.sweeps.grid import Job, grid_jobs
from circuits.training.sweeps.job import TRAIN
from circuits.training.sweeps.pool import attempt, failure, prepare, run_jobs, state, steps_done, submit
from tests.training.sweeps.jobs import GRID, changed, finish

PRETEND, SLEEP = "tests.training.sweeps.jobs:pretend", "tests.training.sweeps.jobs:sleep"


def prepared(folder: Path, seeds: list[int]) -> list[Job]:
    """One setting with these seeds."""
    return prepare(folder, grid_jobs(changed("grid", task__examples=[64], objective=["ntp"], seed=seeds)))


def states(folder: Path, jobs: list[Job]) -> list[str]:
    return [state(folder, job) for job in jobs]


def test_a_job_that_fails_or_is_killed_leaves_the_others_alone_and_is_retried(tmp_path):
    jobs, screen = prepared(tmp_path, [0, 1, 2, 3]), Console(file=io.StringIO())
    finish(tmp_path / "runs" / jobs[3].name, 3)
    run_jobs(screen, tmp_path, jobs, 2, PRETEND)
    assert states(tmp_path, jobs) == ["failed", "failed", "done", "done"]
    assert failure(tmp_path, jobs[0]).startswith("exit code 1 at step 0 of 2: KeyError: 'no luck'\n\nattempt at ntp")
    assert "Traceback" in failure(tmp_path, jobs[0])
    assert failure(tmp_path, jobs[1]).startswith("exit code -9 at step 0 of 2: ")
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(name for name, _ in lines) == [job.name for job in jobs[:3]]  # a finished run is skipped
    assert len({pid for _, pid in lines}) == 3
    run_jobs(screen, tmp_path, jobs, 1, PRETEND)
    assert states(tmp_path, jobs) == ["failed", "done", "done", "done"]
    printed = screen.file.getvalue()
    assert [f"retrying {job.name}, which failed" in printed for job in jobs] == [True, True, False, False]
    assert "2 done, 0 running, 2 failed of 4" in printed
    assert "3 done, 0 running, 1 failed of 4" in printed


PARENT = """
import sys
from pathlib import Path
from rich.console import Console
from circuits.training.sweeps.pool import run_jobs
from tests.training.sweeps.test_sweep_pool import SLEEP, prepared
run_jobs(Console(), Path(sys.argv[1]), prepared(Path(sys.argv[1]), [0, 1]), 2, SLEEP)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_sweep_leaves_no_process_and_is_resumed(tmp_path, how):
    jobs = prepared(tmp_path, [0, 1])
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PARENT, str(tmp_path)], stderr=subprocess.DEVNULL
    ) as sweep:
        while len(pids := [int(path.read_text() or 0) for path in tmp_path.glob("*.pid")]) < 2 or 0 in pids:
            assert sweep.poll() is None
            time.sleep(0.02)
        assert states(tmp_path, jobs) == ["running", "running"]
        run_jobs(Console(file=io.StringIO()), tmp_path, jobs, 2, PRETEND)  # a second sweep does not touch them
        assert not (tmp_path / "log").exists()
        sweep.send_signal(how)
    while any(map(alive, pids)):
        time.sleep(0.02)
    while "running" in states(tmp_path, jobs):  # the system releases the locks of a killed process after its end
        time.sleep(0.02)
    run_jobs(Console(file=io.StringIO()), tmp_path, jobs, 2, SLEEP)
    assert states(tmp_path, jobs) == ["done", "done"]


def test_a_job_of_another_sweep_is_left_alone_and_a_look_at_it_does_no_harm(tmp_path):
    (job,) = prepared(tmp_path, [2])
    with (tmp_path / "logs" / f"{job.name}.txt").open("ab") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        assert states(tmp_path, [job]) == ["running"]
        attempt(tmp_path, job, PRETEND)
        assert not (tmp_path / "log").exists()
        threading.Timer(0.2, lambda: fcntl.flock(log, fcntl.LOCK_UN)).start()
        attempt(tmp_path, job, PRETEND)
        assert states(tmp_path, [job]) == ["done"]


def test_half_a_line_is_not_the_end_of_a_run(tmp_path):
    (job,) = grid_jobs(GRID | {"set": {**GRID["set"], "seeds": 2}, "grid": {"objective": ["ntp"]}})
    prepare(tmp_path, [job])
    run = tmp_path / "runs" / job.name
    run.mkdir()
    both, half, damaged = '{"step": 1}\n{"step": 1}\n', '{"step": 2}\n{"step": 2', '{"step": \n{"step": 2}\n'
    for text, steps in (("", 0), (both, 1), (both + half, 0), (both + half + "}\n", 2), (damaged, 0)):
        (run / "metrics.jsonl").write_text(text)
        assert (steps_done(tmp_path, job), state(tmp_path, job)) == (steps, "done" if steps == 2 else "waiting")


def test_runs_of_other_versions_are_found_by_their_config(tmp_path):
    """The hash in a name is that of the config's JSON, which a version with other fields would write differently."""
    jobs = prepared(tmp_path, [0, 1])
    for run in ("older-0123456789", jobs[1].name, "same-as-1"):
        run_folder.claim(tmp_path / "runs" / run, jobs[run != "older-0123456789"].config, resume=False)
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "config.json").write_text("{")
    assert [job.name for job in prepare(tmp_path, jobs)] == ["older-0123456789", jobs[1].name]


def test_another_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"out: must be new, empty, or hold a sweep"):
        prepared(tmp_path, [0])
    with pytest.raises(ValueError, match=r"out: must be a folder to write in, got '.*' \(File exists\)"):
        prepared(tmp_path / "thesis.tex", [0])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_jobs_are_submitted_to_slurm(tmp_path, monkeypatch):
    calls: list[Any] = []

    class Executor:
        def __init__(self, folder, cluster):
            calls.append((folder, cluster))

        def update_parameters(self, **given):
            calls.append(given)

        def map_array(self, function, *columns):
            calls.extend((function, *row) for row in zip(*columns, strict=True))
            return [SimpleNamespace(job_id=f"7_{number}") for number, _ in enumerate(columns[0])]

    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=Executor))
    jobs = prepared(tmp_path, [0, 1, 2])
    finish(tmp_path / "runs" / jobs[1].name, 1)
    assert submit(tmp_path, jobs, "gpu", 5, 2, 1) == ["7_0", "7_1"]
    assert calls[0] == (tmp_path / "logs" / "slurm", "slurm")
    limits = {"timeout_min": 120, "gpus_per_node": 1, "slurm_array_parallelism": 5}
    assert calls[1] == {"name": "circuits", "slurm_partition": "gpu", **limits}
    assert calls[2:] == [(attempt, tmp_path, job, TRAIN) for job in (jobs[0], jobs[2])]


def test_submitit_takes_what_it_is_given(tmp_path):
    pytest.importorskip("submitit")
    jobs = prepared(tmp_path, [0])
    assert len(submit(tmp_path, jobs, "any", 1, 1, 0, cluster="debug")) == 1
