"""Runs on walks: resumed to the same bits, evaluated, exported, and opened again wherever they are."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import networkx as nx
import numpy as np
import pytest
from flax import nnx

from circuits.cli import main
from circuits.one_layer.module import OneLayer
from circuits.tasks.task import build_task
from circuits.tasks.walks.config import DagConfig, DagWalks
from circuits.tasks.walks.graph_files import write_graph
from circuits.tasks.walks.graphs import graph_from_edges
from circuits.training import loop, run_folder, tensorboard
from circuits.training.config import TrainConfig
from circuits.training.evaluation import score
from circuits.training.records import as_json
from circuits.training.shapes import transformer_config
from circuits.training.step import initial_state, model_of
from circuits.training.stored import read, read_run
from circuits.training.transformer import prepare, status, train
from circuits.transformer.config import Architecture
from circuits.transformer.model import Predictor
from circuits.transformer.weights_file import save_model
from tests.cases import assert_close, rounding


def bits(state) -> list[tuple[str, bytes]]:
    leaves = jax.tree.flatten_with_path(state)[0]
    return [(jax.tree_util.keystr(path), np.asarray(leaf).tobytes()) for path, leaf in leaves]


def timeless(folder) -> list[dict]:
    lines = run_folder.read_metrics(folder)
    return [{k: v for k, v in line.items() if k not in ("tokens_per_second", "device")} for line in lines]


class Stopped(BaseException):
    """What no code catches."""


def test_a_stopped_and_resumed_run_ends_with_the_same_bits(tmp_path, walks, walked):
    """Stopped at 6, it resumes from 5: the second head weighs less than at first, and is trained since step 3."""

    def stop(report: loop.Report) -> None:
        if report.step == 6:
            raise Stopped

    with pytest.raises(Stopped):
        train(walks, tmp_path, show=stop)
    assert bits(train(walks, tmp_path, resume=True)) == bits(walked[1])
    assert timeless(tmp_path) == timeless(walked[0])


def test_a_head_is_not_trained_before_its_turn(walks, walked):
    """Three steps of the curriculum leave the transfer matrix as it was drawn, and a fourth does not."""
    task = build_task(walks.task)
    start = model_of(walks, task, jax.jit(lambda: initial_state(walks, task, 0).params)())
    models = [start, *(read_run(walked[0], step)[0].model for step in (1, 3, 4))]
    heads = [nnx.to_pure_dict(nnx.state(model))["heads"] for model in models]
    transfer = [np.asarray(one["further"][0]["transfer"]["kernel"]) for one in heads]
    shared = [np.asarray(one["kernels"]) for one in heads]
    # The run draws it by another program than the one here, at some 30 operations a number, and then keeps every bit.
    # A step of Adam would be about as large as the learning rate.
    atol = rounding(transfer[0].dtype, 30, float(np.abs(transfer[0]).max()))
    assert atol < 1e-3 * walks.optimiser.learning_rate
    assert_close(transfer[1], transfer[0], atol=atol)
    assert np.array_equal(transfer[1], transfer[2])
    assert not np.array_equal(transfer[2], transfer[3])
    assert not np.array_equal(shared[0], shared[1])  # the unembedding is the first head's too


def test_steps_may_grow_unless_weights_depend_on_their_number(walks):
    task = build_task(walks.task)
    assert prepare(walks, task).growing == frozenset()
    constant = replace(walks, objective=replace(walks.objective, weight_schedule="constant"))
    assert prepare(constant, task).growing == {"steps"}


def test_what_a_line_of_metrics_says(walks, walked):
    lines = run_folder.read_metrics(walked[0])
    assert [line["step"] for line in lines] == [1, 3, 6, 8]
    names = ("exact", "by_degree", "degree_pairs", "by_hop", "hop_pairs", "steps", "steps_ahead")
    shares = {f"{split}_{name}" for split in ("test", "train") for name in names}
    for line in lines:
        assert line.keys() == {"step", "seed", "loss", "head_losses", "tokens_per_second", "device"} | shares
        assert sum(line["test_degree_pairs"]) == walks.test_examples
        assert line["train_degree_pairs"][2:] == [0, 0]
        assert line["train_by_degree"][2:] == [None, None]
        assert None in line["test_by_hop"]
        # The second head has a target fewer in each line: the loss is less than the mean of the two would give.
        first, second = line["head_losses"]
        weight = 0.5 * (1 - (line["step"] - 1) / 8) if line["step"] > 3 else 0.0
        assert first / 2 < line["loss"] < (first + weight * second) / 2 or weight == 0
        assert weight > 0 or line["loss"] == pytest.approx(first / 2, rel=1e-6)
    assert lines[-1]["head_losses"][0] < lines[0]["head_losses"][0]


def test_a_status_line_and_tensorboard_leave_out_empty_groups(walks, walked):
    line = run_folder.read_metrics(walked[0])[-1]
    degrees = "/".join("-" if share is None else f"{100 * share:.0f}" for share in line["test_by_degree"])
    assert f"(by degree {degrees}%)" in status(build_task(walks.task), [line])
    scalars = tensorboard.scalars(line)
    kept = [number for number, share in enumerate(line["train_by_degree"]) if share is not None]
    assert [name for name in scalars if name.startswith("train_by_degree")] == [f"train_by_degree/{n}" for n in kept]
    assert len(kept) < 4


def said(capsys) -> str:
    printed = capsys.readouterr()
    return " ".join((printed.out + printed.err).replace("│", " ").split())


def test_evaluate_and_export(walks, walked, tmp_path, capsys):
    folder, result, task = walked[0], tmp_path / "found.json", build_task(walks.task)
    assert main(["evaluate", str(folder), "--json", str(result)]) == 0
    printed, (row,) = said(capsys), json.loads(result.read_text())
    (stored,) = read_run(folder)
    pairs = task.problems("test", None)
    truth = score(stored.model, task, pairs)
    assert {name: row[name] for name in truth} == truth
    assert row["examples"] == len(pairs) > walks.test_examples  # all of them, and not as few as a run looks at
    assert f"run, seed 0, step 8: {len(pairs)} test pairs of walks in one" in printed
    assert f"all {len(pairs)} {row['exact']:.1%}" in printed
    model = tmp_path / "model"
    assert main(["export", str(folder), "--out", str(model)]) == 0
    files = ["config.json", "graph.txt", "model.safetensors", "tokenizer.json"]
    assert sorted(path.name for path in model.iterdir()) == files
    assert main(["evaluate", str(model), "--examples=5", "--split=train"]) == 0
    assert "model: 5 train pairs of walks" in said(capsys)
    (again,) = read(model)
    assert isinstance(again.model, Predictor)
    assert again.model.config == transformer_config(walks, task)
    assert again.notes["task"] == as_json(walks.task)
    assert bits(nnx.state(again.model)) == bits(nnx.state(stored.model))


def test_the_one_layer_model_is_trained_and_stored_like_the_others(tmp_path, walks, capsys):
    config = replace(walks, model=Architecture(kind="one-layer"), steps=4, evaluate_every=4)
    train(config, tmp_path / "run")
    (stored,) = read_run(tmp_path / "run")
    assert isinstance(stored.model, OneLayer)
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "model")]) == 0
    (again,) = read(tmp_path / "model")
    assert bits(nnx.state(again.model)) == bits(nnx.state(stored.model))
    rows = stored.task.problems("test", 20)
    assert score(stored.model, stored.task, rows) == score(again.model, again.task, rows)
    lines = run_folder.read_metrics(tmp_path / "run")
    assert lines[-1]["head_losses"][0] < lines[0]["head_losses"][0]
    capsys.readouterr()


def on_file(walks: TrainConfig, path: Path) -> TrainConfig:
    """The same walks in the graph of a file."""
    assert isinstance(walks.task, DagConfig)
    shares = {name: getattr(walks.task.walks, name) for name in ("train_share", "paths_a_pair")}
    return replace(walks, task=DagConfig(walks=DagWalks(file=path, **shares)))


def graph_of(walks: TrainConfig) -> nx.DiGraph:
    graph = build_task(walks.task).graph
    assert graph is not None
    return graph


def test_a_model_outlives_the_file_of_its_graph_and_can_be_moved(tmp_path, walks, monkeypatch, capsys):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_graph("graph", graph_of(walks))
    config = replace(on_file(walks, Path("graph")), steps=4)
    train(config, Path("run"))
    truth = build_task(config.task).problems("test", None)
    assert main(["export", "run", "--out", "model"]) == 0
    Path("graph").unlink()
    monkeypatch.chdir(tmp_path / "there")
    shutil.move(tmp_path / "here" / "model", "moved")
    opened = [read(folder)[0] for folder in (tmp_path / "here" / "run", Path("moved"))]
    for stored in opened:
        assert np.array_equal(stored.task.problems("test", None), truth)
        assert stored.notes["task"] == as_json(config.task)
    assert bits(nnx.state(opened[0].model)) == bits(nnx.state(opened[1].model))
    # The run, resumed without its preset, needs the file no more.
    assert main(["train", "--resume", str(tmp_path / "here" / "run")]) == 0
    assert main(["export", str(tmp_path / "here" / "run"), "--out", "again"]) == 0
    assert Path("again/graph.txt").read_bytes() == Path("moved/graph.txt").read_bytes()
    capsys.readouterr()


def test_a_run_is_resumed_with_its_own_graph_alone(tmp_path, walks, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph = graph_of(walks)
    write_graph("graph", graph)
    config, folder = on_file(walks, Path("graph")), Path("run")
    run_folder.claim(folder, config, resume=False, files=build_task(config.task).files)
    nx.write_graphml(nx.DiGraph(graph), "other.xml")
    for path in (Path("other.xml"), folder / "graph.txt"):  # the same by another name
        other = on_file(walks, path)
        run_folder.claim(folder, other, resume=True, files=build_task(other.task).files)
    smaller = nx.DiGraph(graph)
    smaller.remove_edge(*next(iter(smaller.edges)))
    write_graph("smaller", smaller)
    with pytest.raises(ValueError, match=r"^graph.txt: must be the same as when the run in 'run' began"):
        train(on_file(walks, Path("smaller")), folder, resume=True)
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize("damage", ["other", "gone"])
def test_a_damaged_graph_is_named(tmp_path, walked, damage, capsys):
    shutil.copytree(walked[0], tmp_path / "run")
    path = tmp_path / "run" / "graph.txt"
    lines = path.read_text().splitlines(keepends=True)
    path.unlink() if damage == "gone" else path.write_text("".join(lines[:-1]))
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert "graph.txt: must be unchanged" in " ".join(capsys.readouterr().err.split())


def test_a_saved_model_has_the_nodes_of_its_graph(tmp_path, walked):
    (stored,) = read_run(walked[0])
    for form, graph in ((stored.task.format, graph_from_edges(9, [(0, 1)])), (None, stored.task.graph)):
        with pytest.raises(ValueError, match=r"^graph: must have the nodes of the format"):
            save_model(tmp_path / "model", stored.model, form, {}, graph=graph)
    assert not (tmp_path / "model").exists()


def test_a_run_of_the_first_release_without_its_graph_is_read_from_its_config(tmp_path, walks, walked):
    shutil.copytree(walked[0], tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    plain = json.loads(path.read_text())
    del plain["files"]
    path.write_text(json.dumps(plain | {"format": 1}))
    (tmp_path / "run" / "graph.txt").unlink()
    (stored,) = read_run(tmp_path / "run")
    assert (stored.task.config, stored.task.files) == (walks.task, build_task(walks.task).files)
