"""Runs that are killed, wherever they are, and go on: they end with the bits of a run that was not."""

import os
import random
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from circuits.training import run_folder
from circuits.training.checkpoints import Checkpoints
from circuits.training.stored import run_task
from circuits.training.transformer import initial_states, train

SAVES, EVALUATIONS = 4, 16


def bits(folder: Path) -> tuple[int, list[bytes]]:
    """Step, parameters and optimiser of the last checkpoint, in a run that passed over none."""
    config, task = run_task(folder)
    with Checkpoints(folder / "checkpoints") as kept:
        found = kept.restore(jax.eval_shape(lambda: initial_states(config, task)))
    assert found.passed_over == []
    return found.step, [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(found.state)]


def arguments(flags: list[str], steps: int) -> list[str]:
    more = [f"--steps={steps}", f"--checkpoint-every={SAVES}", f"--evaluate-every={EVALUATIONS}"]
    return ["train", "tiny-ntp", *flags, *more, "--task.examples=100", "--keep=3"]


def latest(folder: Path) -> int:
    return Checkpoints(folder / "checkpoints").latest() or 0


def writing(folder: Path) -> bool:
    return any(path.name.endswith(ocp.utils.TMP_DIR_SUFFIX) for path in (folder / "checkpoints").glob("*"))


def stopped_in_a_save(process, folder: Path) -> bool:
    """Stop the process; if it is not in a save, let it go on."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    if not writing(folder):
        process.send_signal(signal.SIGCONT)
    return writing(folder)


def killed(process, folder: Path, before: int, in_a_save: bool, rng: random.Random) -> None:
    """Kill it once it has come further than ``before``: in a save, or at any moment of the steps that follow."""
    while latest(folder) <= before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    if in_a_save:
        while not stopped_in_a_save(process, folder):
            assert process.poll() is None, process.communicate()
            time.sleep(rng.uniform(0, 0.01))
    else:
        time.sleep(rng.uniform(0, 0.3))
    assert process.poll() is None, "the run ended before it was killed"
    process.kill()
    process.communicate()


@pytest.mark.parametrize(("kills", "steps"), [(2, 32), pytest.param(10, 320, marks=pytest.mark.slow)])
def test_a_run_killed_again_and_again_ends_with_the_same_bits(tmp_path, tiny, flags, start, kills, steps):
    task = replace(tiny.task, examples=100)  # the same run as that of the flags, in this process
    config = replace(tiny, task=task, steps=steps, checkpoint_every=SAVES, evaluate_every=EVALUATIONS, keep=3)
    train(config, tmp_path / "whole")
    unbroken = bits(tmp_path / "whole")
    rng, folder, reached = random.Random(kills), tmp_path / "broken", []
    for number in range(kills):
        before = latest(folder) if number else 0
        process = start(*arguments(flags, steps), "--out", folder, "--resume")
        killed(process, folder, before, number % 2 == 0, rng)
        assert number % 2 or writing(folder), "this kill was to fall into a save"
        reached.append(bits(folder)[0])
        assert reached[-1] >= before
    assert len(set(reached)) == kills
    assert reached[-1] < steps
    reports = []
    train(config, folder, resume=True, show=reports.append)
    assert not [note for report in reports for note in report.notes if "damaged" in note]
    assert bits(folder) == unbroken
    assert unbroken[0] == steps
    written = [line["step"] for line in run_folder.read_metrics(folder)]
    assert written == [1, *range(EVALUATIONS, steps + 1, EVALUATIONS)]
    losses = [[line["loss"] for line in run_folder.read_metrics(tmp_path / name)] for name in ("whole", "broken")]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_a_disk_that_fills_up_is_exit_code_1_and_the_run_can_go_on(tmp_path, flags, start):
    """From a moment on, files of this process may not grow beyond 500 bytes."""
    folder, steps = tmp_path / "run", 80
    process = start(*arguments(flags, steps), "--out", folder)
    while latest(folder) < SAVES:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (500, 500))
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 1, said
    assert "File too large" in said
    # One line is ours; orbax's threads may tell of the same before it and after.
    told = [line for line in said.splitlines() if line.startswith("circuits: ")]
    assert len(told) == 1, said
    assert "checkpoints: must be writable, got" in told[0] or "File too large" in told[0]
    step, _ = bits(folder)
    assert SAVES <= step < steps
    again = start(*arguments(flags, steps), "--out", folder, "--resume")
    assert again.wait(timeout=120) == 0, again.communicate()
    assert bits(folder)[0] == steps
