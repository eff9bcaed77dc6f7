"""``circuits attention``: what it writes, against a plain loop, and how it refuses."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from circuits.cli import attention as module
from circuits.cli import main
from circuits.cli.checkpoint import Opened, open_checkpoint
from circuits.cli.checkpoint import test_problems as held_out
from circuits.tasks.task import Task
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.cli.conftest import TASK, TEXT
from tests.probes.naive_layout import naive_layout

FILES = ["attention.html", "attention.npz", "attention.pdf", "attention.png", "query.pdf", "query.png"]
MAGIC = {"png": b"\x89PNG\r\n", "pdf": b"%PDF-", "html": b"<!doctype html>"}
COUNT = 7


@pytest.fixture
def no_drawing(monkeypatch):
    """Empty figures, which take a tenth of the time."""
    for name in ("attention_grid", "query_heatmap"):
        monkeypatch.setattr(module, name, lambda maps: Figure())


def reader(opened: Opened) -> Callable[[np.ndarray], np.ndarray]:
    """From one sequence to its patterns [L, H, T, T], tap by tap."""
    model, taps = opened.model, Taps(capture=["blocks.*.attn.pattern"])
    read = jax.jit(lambda tokens: dict(model(tokens, taps)[1]))

    def patterns(ids: np.ndarray) -> np.ndarray:
        cache = read(jnp.asarray(ids))
        return np.stack([np.asarray(cache[f"blocks.{i}.attn.pattern"], np.float64) for i in range(len(cache))])

    return patterns


@cache
def one_by_one(folder: Path, task: Task, query: int, aligned: bool) -> np.ndarray:
    """The pattern of each problem, [n, L, H, T, T], put in order by a reader of its words."""
    patterns, found = reader(open_checkpoint(folder)), []
    for row in held_out(task, COUNT):
        order = naive_layout(task.format, row.tolist(), query).order if aligned else list(range(query + 1))
        pattern, moved = patterns(row[: query + 1]), np.zeros((2, 2, query + 1, query + 1))
        for i, t in enumerate(order):
            for j, s in enumerate(order):
                moved[:, :, i, j] = pattern[:, :, t, s]
        found.append(moved)
    return np.stack(found)


def written(out: Path) -> dict[str, np.ndarray]:
    """The arrays, after a look at every file."""
    assert sorted(path.name for path in out.iterdir()) == FILES
    for name in FILES:
        content, kind = (out / name).read_bytes(), name.split(".")[1]
        assert kind == "npz" or content[:20].lower().startswith(MAGIC[kind].lower()), name
    with np.load(out / "attention.npz", allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(
    ("kind", "flags", "token"),
    [
        ("pairs", [], None),
        ("pairs", ["--as-written", "--token=2"], 2),
        ("pairs", ["--average-heads", "--as-written"], None),
        ("text", ["--average-heads"], None),
        ("text", ["--as-written"], None),
        ("text", ["--token=3"], 3),
    ],
)
def test_maps_are_means_over_problems(request, tmp_path, capsys, kind, flags, token):
    folder, task = request.getfixturevalue(kind), TASK if kind == "pairs" else TEXT
    out = tmp_path / "deep" / "out"
    assert main(["attention", str(folder), "--out", str(out), f"--examples={COUNT}", *flags]) == 0
    assert capsys.readouterr().out == f"wrote {out}/attention.{{png,pdf,npz,html}} and query.{{png,pdf}}\n"
    arrays = written(out)
    # The first token that needs look-ahead: n1, the first of the answer in pairs and the second in text.
    place = (1 if kind == "pairs" else 2) if token is None else token
    query = task.format.prompt_length - 2 + place
    each = one_by_one(folder, task, query, aligned="--as-written" not in flags)
    each = each.mean(axis=2, keepdims=True) if "--average-heads" in flags else each
    assert_close(arrays["patterns"], each.mean(axis=0), atol=1e-6)
    assert_close(arrays["errors"], each.std(axis=0, ddof=1) / np.sqrt(COUNT), atol=1e-6)
    assert int(arrays["query"]) == query == arrays["patterns"].shape[-1] - 1
    assert arrays["heads"].tolist() == (["mean of 2"] if "--average-heads" in flags else ["1", "2"])
    assert len(arrays["tokens"]) == len(arrays["roles"]) == query + 1
    about = json.loads(str(arrays["about"]))
    assert about["title"] == kind
    assert about["examples"] == COUNT
    assert about["chosen token"] == f"number {place} of the answer"
    rows = "positions as written: " if "--as-written" in flags else "parts of the graph: "
    assert about["rows and columns"].startswith(rows)


def test_the_order_of_rows_matters(pairs):
    """Else the test above could not tell aligned maps from the others."""
    query = TASK.format.prompt_length - 1
    aligned, plain = (one_by_one(pairs, TASK, query, aligned).mean(axis=0) for aligned in (True, False))
    assert np.abs(aligned - plain).max() > 0.01


def test_a_run_and_one_problem(run, tmp_path):
    assert main(["attention", str(run), "--out", str(tmp_path), "--examples=1", "--step=4", "--seed=6"]) == 0
    arrays = written(tmp_path)
    assert "errors" not in arrays
    assert json.loads(str(arrays["about"]))["title"] == "small, seed 6, step 4"
    opened = open_checkpoint(run, 4, 6)
    (row,) = held_out(TASK, 1)
    query = TASK.format.prompt_length - 1
    order = naive_layout(TASK.format, row.tolist(), query).order
    truth = reader(opened)(row[: query + 1])[..., order, :][..., order]
    assert_close(arrays["patterns"], truth, atol=1e-6)


@pytest.mark.parametrize("average", [False, True])
def test_a_language_model_reads_a_text(language, tmp_path, average):
    flags = ["--average-heads"] if average else []
    assert main(["attention", str(language), "--out", str(tmp_path), "--text", "the cat sat on zebra", *flags]) == 0
    arrays = written(tmp_path)
    truth = reader(open_checkpoint(language))(np.array([0, 1, 2, 3, 16], np.int32))
    assert_close(arrays["patterns"], truth.mean(axis=1, keepdims=True) if average else truth, atol=1e-6)
    assert arrays["tokens"].tolist() == ["the", "cat", "sat", "on", "?"]
    assert arrays["heads"].tolist() == (["mean of 2"] if average else ["1", "2"])
    assert int(arrays["query"]) == 4
    assert json.loads(str(arrays["about"])) == {"title": "gpt: the cat sat on zebra", "examples": 1}
    assert "<script src" not in (tmp_path / "attention.html").read_text()


@pytest.mark.usefixtures("no_drawing")
def test_markup_in_a_text_stays_text(language, tmp_path):
    hostile = "</script><b>the"
    assert main(["attention", str(language), "--out", str(tmp_path), "--text", hostile]) == 0
    page = (tmp_path / "attention.html").read_text()
    assert hostile not in page
    assert "<b>the" not in page


@pytest.mark.usefixtures("no_drawing")
def test_files_that_are_there_are_replaced(language, tmp_path):
    for text in ("the cat sat", "a dog"):
        assert main(["attention", str(language), "--out", str(tmp_path), "--text", text]) == 0
    assert written(tmp_path)["tokens"].tolist() == ["a", "dog"]


def test_bad_usage_names_the_argument(refused, pairs, text, run, language, tmp_path):
    (tmp_path / "file").touch()
    out, lone = tmp_path / "out", tmp_path / "lone"
    lone.symlink_to(language / "none")
    planning, reads = ("attention", pairs, "--out"), ("attention", language, "--out")
    few = "--examples=2"
    for message, *arguments in (
        ("--out", "attention", pairs),
        ("CHECKPOINT", "attention", "--out", out),
        (f"circuits: out: must be a folder to write in, got '{tmp_path}/file'", *planning, tmp_path / "file", few),
        ("circuits: out: must be a folder to write in", *planning, tmp_path / "file" / "below", few),
        ("circuits: out: must be a folder to write in", *planning, tmp_path / ("x" * 300), few),
        ("circuits: checkpoint: must be a folder: a run, or a saved", "attention", tmp_path / "no", "--out", out),
        ("circuits: checkpoint: must be a folder: a run, or a saved", "attention", lone, "--out", out),
        ("circuits: text: must be left out for a model of planning problems, got 'the'", *planning, out, "--text=the"),
        ("circuits: text: must be given for a language model, got None", *reads, out),
        ("circuits: text: must be given for a language model, got ''", *reads, out, "--text="),
        ("circuits: text: must be 1 to 14 tokens, got 0", *reads, out, "--text= "),
        ("circuits: text: must be 1 to 14 tokens, got 15", *reads, out, "--text=" + "the " * 15),
        ("circuits: token: must be left out for a language model, got 1", *reads, out, "--text=the", "--token=1"),
        ("circuits: step: must be left out for a saved model, which holds one, got 7", *planning, out, "--step=7"),
        ("circuits: step and seed: must be left out", *reads, out, "--text=the", "--step=7"),
        ("circuits: seed: must be one of [4], got 5", *planning, out, "--seed=5"),
        ("circuits: checkpoints: must hold a whole one", "attention", run, "--out", out, "--step=5"),
        ("circuits: token: must be an integer between 1 and 2, got 3", *planning, out, "--token=3"),
        ("circuits: token: must be an integer between 1 and 2, got 0", *planning, out, "--token=0"),
        ("circuits: token: must be an integer between 1 and 3, got 4", "attention", text, "--out", out, "--token=4"),
        ("circuits: examples: must be an integer at least 1, got 0", *planning, out, "--examples=0"),
        ("invalid", *planning, out, "--examples=many"),
    ):
        refused(message, *arguments)


def test_a_model_without_a_tokenizer_reads_no_text(refused, language, tmp_path, tmp_path_factory):
    bare = tmp_path_factory.mktemp("bare") / "gpt"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((language / name).read_bytes())
    message = "checkpoint: must hold a tokenizer (tokenizer.json) to read --text, got none"
    refused(message, "attention", bare, "--out", tmp_path / "out", "--text=the")


@pytest.mark.usefixtures("no_drawing")
def test_a_disk_that_fills_up_leaves_whole_files_alone(pairs, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_arrays", full)
    assert main(["attention", str(pairs), "--out", str(tmp_path), "--examples=2"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(r"circuits: out: must be a folder to write in, got '.*' \(No space left on device\)", said)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name for name in FILES if not name.endswith("npz")]
