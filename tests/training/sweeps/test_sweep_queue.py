"""A queue keeps its jobs, and processes share them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from circuits.training.sweeps import queue
from circuits.training.sweeps.claims import running, take
from circuits.training.sweeps.grid import jobs_of
from circuits.training.sweeps.queue import drain, failed, finished, progress, read_jobs
from tests.training.sweeps.jobs import GRID, changed, finish, finishing, frozen

FAKE = """
import os, sys, time
from pathlib import Path
from circuits.training.sweeps.queue import drain
from circuits.training import run_folder
def work(config, folder, beat):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder.parents[1] / "log", "a") as log:
        log.write(f"{folder.name} {os.getpid()}\\n")
    beat()
    time.sleep(float(sys.argv[2]))
    run_folder.append_metrics(folder, [{"step": config.steps, "seed": config.first_seed}])
children = []
for _ in range(int(sys.argv[3])):
    children.append(os.fork())
    if children[-1] == 0:
        drain(Path(sys.argv[1]), work)
        os._exit(0)
print(*children, flush=True)
sys.exit(max(os.waitpid(child, 0)[1] for child in children) > 0)
"""


def workers(folder: Path, seconds: float, count: int) -> subprocess.Popen[str]:
    """Processes that drain with a job that only sleeps; forked, since imports take longer than all else here."""
    command = [sys.executable, "-W", "ignore", "-c", FAKE, str(folder), str(seconds), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_queue_keeps_its_grid(tmp_path):
    jobs = frozen(tmp_path)
    assert read_jobs(tmp_path) == jobs
    more = frozen(tmp_path, changed("grid", seed=[0, 1, 2, 3]))
    assert read_jobs(tmp_path) == more
    with pytest.raises(
        ValueError, match=r"grid: must hold every job of grid.json and may add others, lacks, got 'ntp-"
    ):
        frozen(tmp_path, changed("grid", seed=[0, 1, 2]))
    with pytest.raises(ValueError, match=r"steps: must be 2, as in grid.json, got 3"):
        frozen(tmp_path, changed("set", steps=3))
    assert read_jobs(tmp_path) == more
    (tmp_path / "grid.json").write_text("{}")
    with pytest.raises(ValueError, match=r"grid.json: must be that of a sweep, got '.*grid.json' \('format'\)"):
        read_jobs(tmp_path)


def test_another_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"out: must be new or empty, or hold a sweep with grid.json, got"):
        frozen(tmp_path)
    with pytest.raises(ValueError, match=r"out: must be a folder to write in, got '.*' \(File exists\)"):
        frozen(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


# ----------------------------------------------------------------------------------------------- queue


def test_two_processes_share_a_queue_and_a_killed_one_is_replaced(tmp_path):
    jobs = frozen(tmp_path)
    with workers(tmp_path, 0.05, 2) as both:
        assert both.wait() == 0
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(name for name, _ in lines) == sorted(job.name for job in jobs)  # each once
    assert len({pid for _, pid in lines}) == 2
    assert all(finished(tmp_path, job) for job in jobs)

    frozen(tmp_path, changed("grid", seed=[0, 1, 2, 3]))
    (tmp_path / "log").unlink()
    with workers(tmp_path, 60, 1) as slow:
        assert slow.stdout is not None
        pid = int(slow.stdout.readline())
        while not (tmp_path / "log").exists():
            time.sleep(0.02)
        name = (tmp_path / "log").read_text().split()[0]
        (job,) = (job for job in read_jobs(tmp_path) if job.name == name)
        assert running(tmp_path, job)
        assert take(tmp_path, job) is None
        os.kill(pid, signal.SIGKILL)
        assert slow.wait() == 1
    assert not running(tmp_path, job)
    assert not finished(tmp_path, job)
    drain(tmp_path, finishing)
    assert all(finished(tmp_path, job) for job in read_jobs(tmp_path))
    assert (tmp_path / "claims" / f"{name}.1").exists()
    assert len((tmp_path / "log").read_text().splitlines()) == 1


@pytest.mark.parametrize("trips", [False, True])
def test_who_was_taken_over_leaves_the_job_alone(tmp_path, trips):
    jobs, done = frozen(tmp_path), []

    def slow(config, folder, beat):
        if not done:
            done.append(folder.name)
            claim = tmp_path / "claims" / f"{folder.name}.0"
            claim.with_suffix(".1").write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1"}))
            if trips:
                raise OSError("a file of the other process")
        finishing(config, folder, beat)

    drain(tmp_path, slow)
    assert done == [jobs[0].name]
    assert [finished(tmp_path, job) for job in jobs] == [False] + [True] * 11
    assert not failed(tmp_path, jobs[0]).exists()
    assert running(tmp_path, jobs[0])


def test_a_job_finished_between_look_and_claim_is_not_done_again(tmp_path, monkeypatch):
    jobs, done = frozen(tmp_path), []

    def late(folder, job, minutes):
        if job == jobs[0]:
            finish(tmp_path, job)
        return take(folder, job, minutes)

    monkeypatch.setattr(queue, "take", late)
    drain(tmp_path, lambda config, folder, beat: (done.append(folder.name), finishing(config, folder, beat))[0])
    assert done == [job.name for job in jobs[1:]]


@pytest.mark.parametrize("error", [ArithmeticError, OSError, ValueError, jax.errors.JaxRuntimeError])
def test_a_job_that_fails_does_not_end_the_queue(tmp_path, error):
    jobs = frozen(tmp_path)

    def second(config, folder, beat):
        if folder.name == jobs[1].name:
            raise error("no luck")
        finishing(config, folder, beat)

    drain(tmp_path, second)
    assert [finished(tmp_path, job) for job in jobs] == [True, False] + [True] * 10
    assert failed(tmp_path, jobs[1]).read_text() == f"{error.__name__}: no luck\n"
    failed(tmp_path, jobs[1]).unlink()
    drain(tmp_path, finishing)
    assert finished(tmp_path, jobs[1])


def test_a_job_without_an_end_fails_and_a_bug_ends_the_worker(tmp_path):
    jobs = frozen(tmp_path)
    drain(tmp_path, lambda config, folder, beat: None)
    assert "steps: must come to 2, got 0" in failed(tmp_path, jobs[0]).read_text()
    failed(tmp_path, jobs[0]).unlink()

    def broken(config, folder, beat):
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        drain(tmp_path, broken)
    assert not running(tmp_path, jobs[0])  # free for whoever comes next


def test_half_a_line_is_no_end(tmp_path):
    job = jobs_of(GRID | {"set": {**GRID["set"], "seeds": 2}, "grid": {"objective": ["ntp"]}})[0]
    run = tmp_path / "runs" / job.name
    run.mkdir(parents=True)
    assert progress(tmp_path, job) == 0
    (run / "metrics.jsonl").write_text('{"step": 1}\n{"step": 1}\n')
    assert progress(tmp_path, job) == 1
    (run / "metrics.jsonl").write_text('{"step": 1}\n{"step": 1}\n{"step": 2}\n{"step": 2')
    assert not finished(tmp_path, job)
    (run / "metrics.jsonl").write_text('{"step": 1}\n{"step": 1}\n{"step": 2}\n{"step": 2}\n')
    assert finished(tmp_path, job)
    (run / "metrics.jsonl").write_text('{"step": \n{"step": 2}\n')
    assert not finished(tmp_path, job)
