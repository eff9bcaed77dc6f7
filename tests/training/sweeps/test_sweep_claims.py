"""One process alone has a job, until it is gone."""

import json
import os
import socket
import subprocess
import threading

import pytest

from circuits.training.sweeps import claims
from circuits.training.sweeps.claims import TakenOver, running, take, touch
from tests.training.sweeps.jobs import frozen, of_elsewhere


def test_a_killed_process_that_nobody_waited_for_is_dead():
    with subprocess.Popen(["sleep", "60"]) as child:
        assert claims._started(child.pid) not in ("", "unknown")
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # still a zombie
        assert claims._started(child.pid) == ""
    assert claims._started(child.pid) == ""
    assert claims._started(os.getpid()) not in ("", "unknown")


def test_a_process_id_that_is_used_again_is_another_process(tmp_path):
    job = frozen(tmp_path)[0]
    claim = take(tmp_path, job)
    assert claim is not None
    assert running(tmp_path, job)
    claim.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": "1"}))
    assert not running(tmp_path, job)


def test_one_of_many_wins_a_stale_claim(tmp_path):
    for job in frozen(tmp_path):
        of_elsewhere(tmp_path, job, minutes=61)
        start, won = threading.Barrier(8), []

        def race(job=job, start=start, won=won):
            start.wait()
            won.append(take(tmp_path, job))

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 8
        assert [claim.name for claim in won if claim] == [f"{job.name}.1"]


def test_a_slow_look_does_not_take_a_new_claim(tmp_path, monkeypatch):
    """Between a look at a stale claim and the taking over, another process takes it over."""
    job = frozen(tmp_path)[0]
    of_elsewhere(tmp_path, job, minutes=61)
    held, others = claims._held, []

    def slow(claim, minutes):
        found = held(claim, minutes)
        monkeypatch.setattr(claims, "_held", held)
        others.append(take(tmp_path, job))
        return found

    monkeypatch.setattr(claims, "_held", slow)
    assert take(tmp_path, job) is None
    assert others[0] is not None
    touch(others[0])


def test_claims_of_other_hosts_age(tmp_path):
    job = frozen(tmp_path)[0]
    claim = of_elsewhere(tmp_path, job, minutes=59)
    assert running(tmp_path, job)
    assert not running(tmp_path, job, stale_minutes=58.0)
    of_elsewhere(tmp_path, job, minutes=61)
    assert not running(tmp_path, job)
    touch(claim)  # a sign of life
    assert running(tmp_path, job)
    claim.write_text("")  # made, and not yet written
    assert running(tmp_path, job)
    os.utime(claim, (0, 0))
    assert take(tmp_path, job) is not None
    with pytest.raises(TakenOver, match=job.name):
        touch(claim)
