"""Training runs: unbroken against resumed, seeds side by side against alone, and what ends a run before its time."""

import errno
import json
import os
import shutil
import signal
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx

from circuits.training import loop, run_folder
from circuits.training.config import ObjectiveConfig
from circuits.training.evaluation import score
from circuits.training.stored import read_run
from circuits.training.transformer import train
from tests.cases import assert_close


def bits(state) -> list[tuple[str, str, bytes]]:
    leaves = jax.tree.flatten_with_path(state)[0]
    return [(jax.tree_util.keystr(path), str(leaf.dtype), np.asarray(leaf).tobytes()) for path, leaf in leaves]


def steps_in(folder) -> list[int]:
    return [line["step"] for line in run_folder.read_metrics(folder)]


def timeless(folder) -> list[dict]:
    lines = run_folder.read_metrics(folder)
    return [{k: v for k, v in line.items() if k not in ("tokens_per_second", "device")} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny):
    """The unbroken run that no test may change, and its last state."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(tiny, folder)


class Stopped(BaseException):
    """What no code catches."""


def stop_at(step: int):
    def show(report: loop.Report) -> None:
        if report.step == step:
            raise Stopped

    return show


def test_a_stopped_and_resumed_run_ends_with_the_same_bits(tmp_path, tiny):
    """With epochs of two steps; stopped at 6, two steps after its last checkpoint."""
    config = replace(tiny, task=replace(tiny.task, examples=20), accumulate=2)
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(config, tmp_path / "broken", show=stop_at(6))
    assert steps_in(tmp_path / "broken") == [1, 3]  # what stopped it was shown, and not yet written
    shown = []
    state = train(config, tmp_path / "broken", resume=True, show=shown.append)
    assert bits(state) == bits(whole)
    assert [report.step for report in shown] == [6, 8]
    assert all(report.notes == ["resuming from step 4"] for report in shown)
    assert timeless(tmp_path / "broken") == timeless(tmp_path / "whole")
    # A finished run stays as it is.
    assert bits(train(config, tmp_path / "whole", resume=True)) == bits(whole)
    assert steps_in(tmp_path / "whole") == [1, 3, 6, 8]


def test_a_run_stopped_before_its_first_checkpoint_begins_again(tmp_path, tiny, whole):
    with pytest.raises(Stopped):
        train(tiny, tmp_path / "broken", show=stop_at(3))
    assert not (tmp_path / "broken" / "checkpoints").exists()
    state = train(tiny, tmp_path / "broken", resume=True)
    assert bits(state) == bits(whole[1])
    assert steps_in(tmp_path / "broken") == [1, 3, 6, 8]


def test_ctrl_c_saves_a_checkpoint_from_which_the_run_goes_on(tmp_path, tiny, whole):
    """During the evaluation of step 6: after it, at step 6 and not at a multiple of 4, there is a checkpoint."""

    def interrupt(report: loop.Report) -> None:
        if report.step == 6:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(loop.Interrupted, match="interrupted at step 6, where a checkpoint was saved"):
        train(tiny, tmp_path, show=interrupt)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert read_run(tmp_path)[0].notes["step"] == 6
    shown = []
    assert bits(train(tiny, tmp_path, resume=True, show=shown.append)) == bits(whole[1])
    assert [report.notes for report in shown] == [["resuming from step 6"]]
    assert timeless(tmp_path) == timeless(whole[0])


def test_a_second_ctrl_c_does_not_wait():
    with loop.interruptions() as event:
        signal.raise_signal(signal.SIGINT)
        assert event.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_seeds_side_by_side_are_the_same_runs_alone(finished, tmp_path):
    """In float64, because Adam divides by the gradient and so enlarges its rounding.

    Adam adds 1e-8 to the divisor, and gradients are below 1 and some 200 operations long. Between two programs a step
    may therefore differ by the learning rate times 200 eps / 1e-8: 4e-7 over eight steps at 0.01. In float32 the same
    bound says nothing. The bias correction, which optax keeps in float32, adds less than 1e-7.
    """
    folder, config, both = finished
    alone = train(replace(config, seeds=1, first_seed=config.first_seed + 1), tmp_path / "alone")
    assert_close(jax.tree.map(lambda leaf: leaf[1:], both), alone, atol=1e-6)
    records = [line for line in timeless(folder) if line["seed"] == config.first_seed + 1]
    for line, other in zip(records, timeless(tmp_path / "alone"), strict=True):
        assert_close(line, other, atol=1e-6)
    first, second = (jax.tree.leaves(jax.tree.map(lambda leaf, row=n: leaf[row], both.params)) for n in range(2))
    assert not any(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_what_a_line_of_metrics_says(finished, stored):
    folder, config, _ = finished
    lines = run_folder.read_metrics(folder)
    assert [(line["step"], line["seed"]) for line in lines] == [
        (step, seed) for step in (1, 3, 6, 8) for seed in (5, 6)
    ]
    names = ("exact", "hard", "by_token", "forced", "ahead")
    shares = {f"{split}_{name}" for split in ("test", "train") for name in names}
    for line in lines:
        assert line.keys() == {"step", "seed", "loss", "head_losses", "tokens_per_second", "device"} | shares
        assert line["device"].startswith("1 x ")
        assert len(line["head_losses"]) == len(line["test_ahead"]) == 2
        assert len(line["test_by_token"]) == len(line["train_forced"]) == 2
        # Eq. 2 with two positions: the second head has one target of the two.
        assert line["loss"] == pytest.approx((line["head_losses"][0] + line["head_losses"][1] / 2) / 2, rel=1e-5)
        for name in shares:
            assert np.all(np.asarray(line[name]) * config.test_examples % 1 == 0), "shares of 16 problems"
        assert line["test_exact"] <= line["test_hard"] <= 1
    assert lines[-1]["loss"] < lines[0]["loss"]
    for line, one in zip(lines[-2:], stored, strict=True):
        for split in ("test", "train"):
            truth = score(one.model, one.task, one.task.problems(split, config.test_examples))
            assert {name: line[f"{split}_{name}"] for name in names} == truth


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 16}, "batch: must be 8"),
        ({"first_seed": 1}, "first_seed: must be 0"),
        ({"objective": ObjectiveConfig(count="all")}, "objective.count: must be 'answer'"),
    ],
)
def test_another_config_in_the_folder_names_the_field(tmp_path, tiny, changes, message):
    run_folder.claim(tmp_path, tiny, resume=False)
    with pytest.raises(ValueError, match=message):
        train(replace(tiny, **changes), tmp_path, resume=True)


def test_a_folder_that_holds_a_run_asks_for_resume(tmp_path, tiny):
    run_folder.claim(tmp_path, tiny, resume=False)
    with pytest.raises(ValueError, match="folder: must be new or empty"):
        train(tiny, tmp_path)


def test_more_steps_are_the_same_run_unless_a_schedule_depends_on_them(tmp_path, tiny, whole):
    train(replace(tiny, steps=5, evaluate_every=2, checkpoint_every=3, keep=9), tmp_path / "grown")
    grown = train(replace(tiny, checkpoint_every=1, keep_every=3), tmp_path / "grown", resume=True)
    assert bits(grown) == bits(whole[1])
    assert steps_in(tmp_path / "grown") == [1, 2, 4, 5, 6, 8]
    kept = [path.name for path in (tmp_path / "grown" / "checkpoints").iterdir() if path.name.isdecimal()]
    assert sorted(map(int, kept)) == [3, 6, 7, 8]
    assert read_run(tmp_path / "grown", 6)[0].notes["step"] == 6
    cosine = replace(tiny, optimiser=replace(tiny.optimiser, schedule="cosine"))
    run_folder.claim(tmp_path / "cosine", cosine, resume=False)
    with pytest.raises(ValueError, match=r"steps: must be 8, as in"):
        train(replace(cosine, steps=9), tmp_path / "cosine", resume=True)


def test_a_run_that_breaks_down_ends_and_leaves_what_was_good(tmp_path, tiny):
    """The loss of step 2 is still finite, and the parameters after it are not."""
    optimiser = replace(tiny.optimiser, learning_rate=1e30)
    with pytest.raises(ArithmeticError, match="state: must be finite, got nan for seed 0 at step 2"):
        train(replace(tiny, optimiser=optimiser, checkpoint_every=1, evaluate_every=100), tmp_path)
    (model,) = read_run(tmp_path)
    assert model.notes["step"] == 1
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(nnx.state(model.model)))
    json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1], parse_constant=pytest.fail)


def test_a_full_disk_ends_the_run_and_leaves_what_was_there(tmp_path, tiny, whole, monkeypatch):
    count, fsync = 0, os.fsync

    def full(descriptor):
        nonlocal count
        count += 1
        if count > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(run_folder, "os", type("Os", (), {**vars(os), "fsync": staticmethod(full)}))
        with pytest.raises(OSError, match="No space left on device"):
            train(tiny, tmp_path)
    assert read_run(tmp_path)[0].notes["step"] == 4
    assert bits(train(tiny, tmp_path, resume=True)) == bits(whole[1])
    assert steps_in(tmp_path) == [1, 3, 6, 8]


def test_a_damaged_checkpoint_is_skipped_with_a_notice(tmp_path, tiny, whole):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    largest = max((tmp_path / "checkpoints" / "8").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    shown = []
    state = train(tiny, tmp_path, resume=True, show=shown.append)
    assert bits(state) == bits(whole[1])
    assert [report.step for report in shown] == [6, 8]
    for report in shown:
        note, begun = report.notes
        assert note.startswith(f"skipped damaged checkpoint {tmp_path}/checkpoints/8 (")
        assert largest.name in note
        assert begun == "resuming from step 4"
    assert steps_in(tmp_path) == [1, 3, 6, 8]
    assert read_run(tmp_path)[0].notes["step"] == 8
