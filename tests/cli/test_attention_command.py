"""``circuits attention``: what it writes, against a plain loop, and how it refuses."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from matplotlib.figure import Figure

from circuits.cli import attention_files, main
from circuits.models import held_out_problems, load_model
from circuits.plotting import AttentionPage
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.cli.conftest import TASK, TEXT
from tests.plotting.page import embedded, frame, unpacked
from tests.probes.naive_layout import naive_layout

FILES = ["attention.html", "attention.npz", "attention.pdf", "attention.png", "query.pdf", "query.png"]
MAGIC = {"png": b"\x89PNG\r\n", "pdf": b"%PDF-", "html": b"<!doctype html>"}
COUNT = 7


@pytest.fixture
def no_drawing(monkeypatch):
    """Empty figures, which take a tenth of the time."""
    for name in ("attention_grid", "query_heatmap"):
        monkeypatch.setattr(attention_files, name, lambda maps: Figure())


@cache
def reader(checkpoint: Path, step: int | None = None, seed: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """From one sequence to its patterns [L, H, T, T], tap by tap."""
    taps = Taps(capture=["blocks.*.attn.pattern"])
    graph, state = nnx.split(load_model(checkpoint, step=step, seed=seed).model)
    read = jax.jit(lambda tokens: dict(nnx.merge(graph, state)(tokens, taps)[1]))

    def patterns(ids: np.ndarray) -> np.ndarray:
        cache = read(np.asarray(ids))
        return np.stack([np.asarray(cache[f"blocks.{i}.attn.pattern"], np.float64) for i in range(len(cache))])

    return patterns


@cache
def one_by_one(folder: Path, query: int, aligned: bool) -> np.ndarray:
    """The pattern of each problem, [n, L, H, T, T], put in order by a reader of its words."""
    loaded, results = load_model(folder), []
    for row in held_out_problems(loaded, COUNT):
        assert loaded.task is not None
        layout = naive_layout(loaded.task.format, row.tolist(), query)
        order = layout.order if aligned else list(range(query + 1))
        pattern, moved = reader(folder)(row[: query + 1]), np.zeros((2, 2, query + 1, query + 1))
        for i, t in enumerate(order):
            for j, s in enumerate(order):
                moved[:, :, i, j] = pattern[:, :, t, s]
        results.append(moved)
    return np.stack(results)


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
        ("pairs", ["--as-written", "--token=1", "--average-heads"], 1),
        ("text", ["--average-heads"], None),
        ("text", ["--as-written", "--token=2"], 2),
    ],
)
def test_maps_are_means_over_problems(request, tmp_path, capsys, kind, flags, token):
    folder, format = request.getfixturevalue(kind), (TASK if kind == "pairs" else TEXT).format
    out = tmp_path / "deep" / "out"
    assert main(["attention", str(folder), "--out", str(out), f"--examples={COUNT}", *flags]) == 0
    assert capsys.readouterr().out == f"wrote {out}: attention.{{html,npz,pdf,png}}, query.{{pdf,png}}\n"
    arrays = written(out)
    # The branching token is n1: token 0 of the answer in pairs, token 1 in text.
    token = (0 if kind == "pairs" else 1) if token is None else token
    query = format.prompt_length - 1 + token
    each = one_by_one(folder, query, aligned="--as-written" not in flags)
    each = each.mean(axis=2, keepdims=True) if "--average-heads" in flags else each
    assert_close(arrays["patterns"], each.mean(axis=0), atol=1e-6)
    assert_close(arrays["errors"], each.std(axis=0, ddof=1) / np.sqrt(COUNT), atol=1e-6)
    assert int(arrays["query"]) == query == arrays["patterns"].shape[-1] - 1
    assert arrays["heads"].tolist() == (["mean of 2"] if "--average-heads" in flags else ["0", "1"])
    assert len(arrays["tokens"]) == len(arrays["roles"]) == query + 1
    about = json.loads(str(arrays["about"]))
    assert (about["format"], about["title"], about["examples"]) == (2, kind, COUNT)
    assert about["predicted token"] == f"token {token} of the answer (counted from 0)"
    rows = "positions as written: " if "--as-written" in flags else "parts of the graph: "
    assert about["rows and columns"].startswith(rows)


def test_the_order_of_rows_matters(pairs):
    """Otherwise the test above could not tell aligned maps from the others."""
    query = TASK.format.prompt_length - 1
    aligned, plain = (one_by_one(pairs, query, aligned).mean(axis=0) for aligned in (True, False))
    assert np.abs(aligned - plain).max() > 0.01


@pytest.mark.usefixtures("no_drawing")
def test_a_run_and_one_problem(run, tmp_path):
    assert main(["attention", str(run), "--out", str(tmp_path), "--examples=1", "--step=4", "--seed=6"]) == 0
    arrays = written(tmp_path)
    assert "errors" not in arrays
    assert json.loads(str(arrays["about"]))["title"] == "small, seed 6, step 4"
    (row,) = held_out_problems(load_model(run), 1)
    query = TASK.format.prompt_length - 1
    order = naive_layout(TASK.format, row.tolist(), query).order
    assert_close(arrays["patterns"], reader(run, 4, 6)(row[: query + 1])[..., order, :][..., order], atol=1e-6)


@pytest.mark.usefixtures("no_drawing")
def test_a_run_over_training(run, tmp_path):
    flags = ["--examples=3", "--over-training", "--keep-examples=2", "--seed=6"]
    assert main(["attention", str(run), "--out", str(tmp_path), *flags]) == 0
    arrays = written(tmp_path)
    data = embedded(AttentionPage((tmp_path / "attention.html").read_text()))
    assert (data["steps"], data["examples"], data["problems"]) == ([2, 4, 6], 2, 3)
    assert [model["title"] for model in data["models"]] == ["small, seed 6"]
    row = held_out_problems(load_model(run), 3)[1]
    query = TASK.format.prompt_length - 1
    order = naive_layout(TASK.format, row.tolist(), query).order
    pattern = reader(run, 4, 6)(row[: query + 1])[..., order, :][..., order]
    assert_close(unpacked(frame(data, 0, 1)["examples"], (2, *pattern.shape))[1], pattern, atol=1e-5)
    assert_close(unpacked(frame(data, 0, 2)["patterns"], pattern.shape), arrays["patterns"], atol=1e-5)


@pytest.mark.usefixtures("no_drawing")
def test_two_checkpoints_on_one_page(pairs, tmp_path):
    assert main(["attention", str(pairs), "--compare", str(pairs), "--out", str(tmp_path), "--examples=2"]) == 0
    data = embedded(AttentionPage((tmp_path / "attention.html").read_text()))
    assert (data["steps"], [model["title"] for model in data["models"]]) == ([], ["pairs", "pairs"])


@pytest.mark.parametrize("average", [False, True])
def test_a_language_model_reads_a_text(language, tmp_path, average, request):
    """And what was there before is replaced."""
    if average:
        request.getfixturevalue("no_drawing")
        (tmp_path / "attention.npz").write_bytes(b"old")
    flags = ["--average-heads"] if average else []
    assert main(["attention", str(language), "--out", str(tmp_path), "--text", "the cat sat on zebra", *flags]) == 0
    arrays = written(tmp_path)
    truth = reader(language)(np.array([0, 1, 2, 3, 16], np.int32))
    assert_close(arrays["patterns"], truth.mean(axis=1, keepdims=True) if average else truth, atol=1e-6)
    assert arrays["tokens"].tolist() == ["the", "cat", "sat", "on", "?"]
    assert arrays["heads"].tolist() == (["mean of 2"] if average else ["0", "1"])
    assert int(arrays["query"]) == 4
    about = json.loads(str(arrays["about"]))
    assert about == {"format": 2, "title": "gpt: the cat sat on zebra", "examples": 1}
    assert "<script src" not in (tmp_path / "attention.html").read_text()


@pytest.mark.usefixtures("no_drawing")
def test_markup_in_a_text_stays_text(language, tmp_path):
    hostile = "</script><b>the"
    assert main(["attention", str(language), "--out", str(tmp_path), "--text", hostile]) == 0
    page = (tmp_path / "attention.html").read_text()
    assert hostile not in page
    assert "<b>the" not in page


def test_bad_usage_names_the_option(refused, run, pairs, text, language, tmp_path, tmp_path_factory):
    bare = tmp_path_factory.mktemp("bare") / "gpt"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((language / name).read_bytes())
    (tmp_path / "file").touch()
    out = tmp_path / "out"
    planning, reads = ("attention", pairs, "--out"), ("attention", language, "--out")
    for message, *arguments in (
        ("CHECKPOINT", "attention", "--out", out),
        ("circuits: out: must be a folder to write in", *planning, tmp_path / "file" / "below"),
        ("circuits: checkpoint: must exist, or be the name of a shipped", "attention", tmp_path / "no", "--out", out),
        ("circuits: text: must be left out for a planning model, got 'the'", *planning, out, "--text=the"),
        ("circuits: text: must be given for a language model, got None", *reads, out),
        ("circuits: text: must be 1 to 14 tokens, got 0", *reads, out, "--text= "),
        ("circuits: text: must be 1 to 14 tokens, got 15", *reads, out, "--text=" + "the " * 15),
        ("circuits: token: must be left out for a language model, got 1", *reads, out, "--text=the", "--token=1"),
        ("circuits: token: must be an integer between 0 and 1, got 2", *planning, out, "--token=2"),
        ("circuits: token: must be an integer between 0 and 2, got 3", "attention", text, "--out", out, "--token=3"),
        ("circuits: examples: must be an integer at least 1, got 0", *planning, out, "--examples=0"),
        ("circuits: checkpoint: must hold a tokenizer", "attention", bare, "--out", out, "--text=the"),
        (
            "circuits: keep_examples: must be an integer between 0 and 2",
            *planning,
            out,
            "--examples=2",
            "--keep-examples=3",
        ),
        ("circuits: keep_examples: must be 0 for a language", *reads, out, "--text=the", "--keep-examples=1"),
        ("circuits: compare: must exist, or be the name", *planning, out, "--examples=1", f"--compare={out / 'no'}"),
        ("circuits: compare: must be trained on problems like", *planning, out, "--examples=1", f"--compare={text}"),
        (
            "config.json: must be the config of a run, got",
            "attention",
            run,
            "--out",
            out,
            "--over-training",
            f"--compare={pairs}",
        ),
        ("circuits: step: must be left out with --over-training", *planning, out, "--step=1", "--over-training"),
        ("--examples: must be an integer, got 'many'", *planning, out, "--examples=many"),
    ):
        refused(message, *arguments)


@pytest.mark.usefixtures("no_drawing")
def test_a_disk_that_fills_up_leaves_whole_files_alone(pairs, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(attention_files, "write_arrays", full)
    assert main(["attention", str(pairs), "--out", str(tmp_path), f"--examples={COUNT}"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(r"circuits: out: must be a folder to write in, got '.*' \(No space left on device\)", said)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name for name in FILES if not name.endswith("npz")]
