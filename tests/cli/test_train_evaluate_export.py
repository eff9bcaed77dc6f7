"""``circuits train``, ``evaluate`` and ``export``: what they print, what they leave, and their exit codes."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from circuits.cli import UsageError, main
from circuits.tasks.baselines import chance
from circuits.tasks.task import build_task
from circuits.tasks.tree.config import TreeConfig
from circuits.training import run_folder
from circuits.training.config import ObjectiveConfig, TrainConfig
from circuits.training.presets import PRESETS
from tests.cli.conftest import noise_run
from tests.training.conftest import FLAGS, TASK, TINY


@pytest.fixture
def flags() -> list[str]:
    return FLAGS.copy()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, TrainConfig]:
    """A run of two seeds with two heads that no test may change, and its config."""
    objective = ObjectiveConfig(name="mtp", heads=2)
    config = replace(TINY, seeds=2, first_seed=5, objective=objective, task=replace(TASK, one_in=32))
    return noise_run(tmp_path_factory.mktemp("finished") / "run", config, (4, 8)), config


def said(capsys) -> str:
    """All that was printed, without frames and line breaks."""
    found = capsys.readouterr()
    return " ".join((found.out + found.err).replace("│", " ").split())


def test_a_run_on_a_pipe_is_a_line_an_evaluation(tmp_path, flags, capsys):
    out = tmp_path / "run"
    assert main(["train", "tiny-ntp", *flags, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    line = r"step +{}/8  loss \d\.\d{{4}}  test [\d.]+% \(branching [\d.]+%\)  train [\d.]+%  [\d,]+ tokens/s"
    legend, *lines = printed.splitlines()
    assert all(word in legend for word in ("loss of the last batch", "test and train:", "branching: "))
    for step, text in zip((1, 3, 6, 8), lines[:4], strict=True):
        assert re.fullmatch(line.format(step), text), text
    assert lines[4:] == [f"wrote {out}: config.json, metrics.jsonl, checkpoints"]
    config = replace(PRESETS["tiny-ntp"][1], **{name: getattr(TINY, name) for name in TINY.__dataclass_fields__})
    assert run_folder.read_config(out, TrainConfig) == config == TINY
    assert sorted(path.name for path in out.iterdir()) == ["checkpoints", "config.json", "metrics.jsonl"]
    # Again, without --resume and with it, done and with more steps to do.
    assert main(["train", "tiny-ntp", *flags, "--out", str(out)]) == 2
    assert "circuits: folder: must be new or empty; it holds a run, which --resume continues, got" in said(capsys)
    for arguments in (["tiny-ntp", *flags, "--out", str(out), "--resume"], ["--resume", str(out)]):
        assert main(["train", *arguments]) == 0
        assert capsys.readouterr().out == f"{lines[4]}\n"
    assert main(["train", "tiny-ntp", *flags, "--out", str(out), "--resume", "--batch=16"]) == 2
    assert "circuits: batch: must be 8, as in" in said(capsys)
    (largest,) = (path for path in (out / "checkpoints" / "8" / "manifest.json",))
    largest.write_text("{}")
    assert main(["train", "--resume", str(out)]) == 0
    first, begun, _, *rest = capsys.readouterr().out.splitlines()
    assert begun == "resuming from step 4"
    assert first.startswith(f"skipped damaged checkpoint {out}/checkpoints/8 (")
    assert [text.split()[1] for text in rest] == ["6/8", "8/8", f"{out}:"]


BAD = [
    (["--model.heads=3"], "heads: must divide the width 8, got 3"),
    (["--objective.name=mtp", "--objective.heads=3"], "objective.heads: must be at most 2, the tokens of an answer"),
    (["--task.examples=4"], "task: must have at least as many training problems as a batch, 8, got 4"),
    (["--task.data=a.txt"], "test_data: must be given with data, and only then, got None"),
    (["--task.data=a.txt", "--task.test-data=b.txt"], "task.data: must hold problems of the task, got 'a.txt'"),
    (["--steps=0"], "steps: must be an integer at least 1, got 0"),
    (["--steps=many"], "--steps: must be an integer, got 'many'"),
    (["--objective.name=best"], "invalid choice"),
    (["--no-such-flag"], "nrecognized"),
    (["--task.labels=5", "--task.one-in=4"], "must have at least 128 labelled graphs, got 60"),
    (["--task.graph=ring"], "graph: must be one of star, tree, dag, blocksworld"),
    (["--task.graph=tree", "--task.labels=6"], "labels: must be an integer between 7 and"),
    (["--resume=none"], "nrecognized"),
    (["--devices.model-axis=2"], "model_axis: must divide the 1 devices, got 2"),
    (["--devices.processes=2"], "coordinator: must be HOST:PORT for several processes, got ''"),
    (["--devices.process=1"], "process: must be an integer between 0 and 0, got 1"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_usage_says_why(tmp_path, flags, capsys, changes, message):
    assert main(["train", "tiny-ntp", *flags, *changes, "--out", str(tmp_path / "run")]) == 2
    assert message in said(capsys)
    assert not (tmp_path / "run").exists()


def test_where_a_run_is_to_lie(tmp_path, flags, capsys):
    assert main(["train", "tiny-ntp", *flags]) == 2
    assert "--out" in said(capsys)
    assert main(["train"]) == 2
    assert "tiny-ntp" in said(capsys)
    assert main(["train", "--resume", str(tmp_path)]) == 2
    assert "config.json: must be the config of a run" in said(capsys)
    (tmp_path / "notes").touch()
    assert main(["train", "tiny-ntp", *flags, "--out", str(tmp_path)]) == 2
    assert "folder: must be empty or hold a run with config.json" in said(capsys)
    assert main(["train", "tiny-ntp", *flags, "--out", str(tmp_path / "notes")]) == 2
    assert "folder: must be a folder to write in" in said(capsys)


def test_help_says_what_there_is(capsys):
    for arguments, texts in {
        ("train", "--help"): [
            "e3-ntp",
            "as in Appendix E.3, 25M parameters",
            "Exit code 0: done. 1:",
            "none no preset: ",
        ],
        ("train", "tiny-mtp3", "--help"): [
            "--objective.heads INT",
            "(default: 3)",
            "--resume",
            "--devices.coordinator",
        ],
        ("evaluate", "--help"): ["CHECKPOINT", "--json FILE", "{test,train}", "--step"],
        ("export", "--help"): ["RUN", "--out DIR", "--seed", "{float64,float32,bfloat16,float16}"],
    }.items():
        assert main(list(arguments)) == 0
        printed = said(capsys)
        assert all(text in printed for text in texts), (arguments, printed)


@pytest.mark.parametrize(
    "arguments", ["train", "train tiny-mtp3", "evaluate", "export", "train-disentangled"], ids=lambda text: text
)
def test_help_imports_nothing_heavy(arguments):
    """The help of a command takes a second where it imports jax."""
    code = "import sys; from circuits.cli import main; code = main(sys.argv[1:]); "
    code += "assert not {'jax', 'matplotlib', 'scipy', 'networkx'} & sys.modules.keys(); sys.exit(code)"
    command = [sys.executable, "-c", code, *arguments.split(), "--help"]
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_another_kind_of_graphs_has_the_fields_of_the_preset(tmp_path, flags, capsys):
    arguments = ["--task.graph=tree", "--task.labels=9", "--steps=1", "--out", str(tmp_path / "run")]
    assert main(["train", "tiny-ntp", *flags, *arguments]) == 0
    task = run_folder.read_config(tmp_path / "run", TrainConfig).task
    assert task == TreeConfig(nodes=3, labels=9, style="pairs", query="goal-start")
    capsys.readouterr()


def test_a_loss_that_is_not_finite_is_exit_code_1(tmp_path, flags, capsys):
    assert main(["train", "tiny-ntp", *flags, "--optimiser.learning-rate=1e10", "--out", str(tmp_path)]) == 1
    assert said(capsys).endswith("circuits: loss: must be finite, got nan for seed 0 at step 3")


def test_a_full_disk_is_exit_code_1(tmp_path, flags, capsys, monkeypatch):
    def full(folder, lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_folder, "append_metrics", full)
    assert main(["train", "tiny-ntp", *flags, "--out", str(tmp_path)]) == 1
    assert "circuits: [Errno 28] No space left on device" in said(capsys)


def test_an_interrupt_is_exit_code_130_and_says_how_to_resume(tmp_path, flags, capsys, monkeypatch):
    append = run_folder.append_metrics

    def interrupt(folder, lines):
        append(folder, lines)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run_folder, "append_metrics", interrupt)
    assert main(["train", "tiny-ntp", *flags, "--out", str(tmp_path)]) == 130
    way = f"resume with: circuits train --resume {tmp_path}"
    assert f"circuits: interrupted at step 1, where a checkpoint was saved; {way}" in said(capsys)
    monkeypatch.undo()
    assert main(["train", "--resume", str(tmp_path)]) == 0
    assert "resuming from step 1" in said(capsys)
    assert [line["step"] for line in run_folder.read_metrics(tmp_path)] == [1, 3, 6, 8]


def test_a_bug_keeps_its_traceback(tmp_path, flags, monkeypatch):
    """Of the two ways to raise a ValueError, only validation is bad usage."""

    def bug(folder, lines):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(run_folder, "append_metrics", bug)
    with pytest.raises(ValueError, match="broadcast") as caught:
        main(["train", "tiny-ntp", *flags, "--out", str(tmp_path)])
    assert not isinstance(caught.value, UsageError)


def figures(capsys, *arguments: object) -> list[dict]:
    assert main(["evaluate", *map(str, arguments), "--examples=64"]) == 0
    capsys.readouterr()
    return json.loads(arguments[-1].read_text())  # pyright: ignore[reportAttributeAccessIssue]


def test_an_exported_model_is_as_good_as_the_run(finished, tmp_path, capsys):
    folder, config = finished
    form, result = build_task(config.task).format, tmp_path / "found.json"
    assert main(["evaluate", str(folder), "--examples=64", "--json", str(result)]) == 0
    printed = said(capsys)
    assert printed.endswith(f"wrote {result}")
    for seed in (5, 6):
        assert f"run, seed {seed}, step 8: 64 test problems" in printed
    assert f"{float(chance(form, sees_goal=True).exact):.1%}" in printed
    assert "token 0 (branching)" in printed
    assert "token 1 " in printed
    rows = json.loads(result.read_text())
    assert [row["model"] for row in rows] == ["run, seed 5, step 8", "run, seed 6, step 8"]
    for row in rows:
        assert (row["examples"], row["split"]) == (64, "test")
        assert row["exact"] <= row["hard"] <= 1
        assert (len(row["by_token"]), len(row["forced"]), len(row["ahead"])) == (2, 2, 2)
        assert f"{row['by_token'][0]:.1%}" in printed
    model = tmp_path / "model"
    assert main(["export", str(folder), "--out", str(model), "--seed=6"]) == 0
    assert said(capsys) == f"wrote {model}: config.json, model.safetensors, tokenizer.json"
    assert sorted(path.name for path in model.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    (again,) = figures(capsys, model, "--json", result)
    assert again["model"] == "model"
    shares = ("exact", "hard", "by_token", "forced", "ahead", "split", "examples")
    assert {name: again[name] for name in shares} == {name: rows[1][name] for name in shares}
    assert {name: rows[0][name] for name in shares} != {name: rows[1][name] for name in shares}
    # Other problems, an earlier step, fewer bits.
    (other,) = figures(capsys, model, "--split=train", "--json", result)
    assert other["split"] == "train"
    assert [other[name] for name in ("by_token", "forced")] != [again[name] for name in ("by_token", "forced")]
    early = figures(capsys, folder, "--step=4", "--json", result)
    assert [row["model"] for row in early] == ["run, seed 5, step 4", "run, seed 6, step 4"]
    assert main(["export", str(folder), "--out", str(tmp_path / "small"), "--dtype=bfloat16"]) == 0
    sizes = [(where / "model.safetensors").stat().st_size for where in (tmp_path / "small", model)]
    assert sizes[0] < 0.8 * sizes[1]
    (rounded,) = figures(capsys, tmp_path / "small", "--json", result)
    assert np.allclose(rounded["forced"], rows[0]["forced"], atol=0.1)


def test_what_cannot_be_evaluated_or_exported(finished, tmp_path, capsys):
    folder, *_ = finished
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    for step in ("4", "8"):
        (damaged / "checkpoints" / step / "manifest.json").unlink()
    for arguments, message in {
        ("evaluate", str(tmp_path / "none")): "checkpoint: must exist, or be the name of a shipped checkpoint",
        ("evaluate", str(tmp_path)): "config.json: must be the config of a run",
        ("evaluate", str(folder), "--examples=0"): "examples: must be an integer at least 1, got 0",
        ("evaluate", str(folder), "--step=5"): "checkpoints: must hold",
        ("evaluate", str(folder), "--json", str(tmp_path / "no" / "file")): "json: must be in a folder that exists",
        ("evaluate", str(damaged)): "checkpoints: must hold",
        (
            "export",
            str(folder),
            "--out",
            str(tmp_path / "m"),
            "--seed=7",
        ): "seed: must be one of the run's, [5, 6], got",
        ("export", str(tmp_path), "--out", str(tmp_path / "m")): "config.json: must be the config of a run",
        ("export", str(damaged), "--out", str(tmp_path / "m")): "checkpoints: must hold",
        ("export", str(folder), "--out", str(damaged / "config.json")): "out: must be a folder to write in",
    }.items():
        assert main(list(arguments)) == 2, arguments
        assert f"circuits: {message}" in said(capsys)
    assert not (tmp_path / "m").exists()
