"""The graph that a model walks in is in its folder, whatever becomes of the file or the generator that it came from."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from circuits.cli import main
from circuits.tasks.walks.graphs import graph_from_edges, read_graph, write_graph
from circuits.training import loop, run_folder, walk_graph
from circuits.training.config import TaskConfig, TrainConfig, WalksConfig
from circuits.training.kept_file import Kept
from circuits.training.run_graph import in_file, kept_graph
from circuits.training.scoring import score, scoring
from circuits.training.stored import kept_steps, read, read_run
from circuits.training.walk_data import walks_of
from circuits.transformer.weights_file import load_saved_model, save_model

LINES = ("train", "test", "train_sample")


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """Two folders; the process is in the first."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def on_file(walks: TrainConfig, path: Path) -> TrainConfig:
    """The same walks, of a file."""
    shares = {name: getattr(walks.task.walks, name) for name in ("train_share", "paths_a_pair")}
    return replace(walks, task=TaskConfig(graph="dag", walks=WalksConfig(file=path, **shares)))


def same_lines(one: TaskConfig, other: TaskConfig) -> bool:
    ours, theirs = walks_of(one), walks_of(other)
    return all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in LINES)


def evaluated(apart: Path, checkpoint: Path) -> dict:
    """What ``circuits evaluate`` says, without the name."""
    assert main(["evaluate", str(checkpoint), "--json", str(apart / "found.json")]) == 0
    (row,) = json.loads((apart / "found.json").read_text())
    return row | {"model": ""}


def probed(checkpoint: Path) -> dict:
    """What ``circuits probe adjacency`` says, without the name."""
    flags = "--draws=19", "--untrained=0", "--powers=2", "--sources=transfer"
    assert main(["probe", "adjacency", str(checkpoint), "--out", "probed", *flags]) == 0
    said = json.loads(Path("probed/adjacency.json").read_text())
    assert len(said) > 3
    return {name: value for name, value in said.items() if value != said["model"]}


def test_a_model_outlives_the_file_of_its_graph_and_goes_where_it_goes(apart, walks, walked, monkeypatch, capsys):
    write_graph("graph", walks.task.walk_graph)
    config = on_file(walks, Path("graph"))
    loop.train(config, Path("run"))
    (before,) = read_run(Path("run"))
    assert main(["export", "run", "--out", "model"]) == 0
    truth = score(scoring(config.task, False), before.model, walks_of(config.task).test)
    assert same_lines(config.task, walks.task)
    Path("graph").unlink()
    monkeypatch.chdir(apart / "there")
    shutil.move(apart / "here" / "model", apart / "there" / "moved")
    rows = [evaluated(apart, checkpoint) for checkpoint in (apart / "here" / "run", Path("moved"))]
    assert rows[0] == rows[1]
    assert {name: rows[0][name] for name in truth} == truth
    assert rows[0]["notes"]["task"]["walks"]["file"] == "graph"
    assert probed(apart / "here" / "run") == probed(Path("moved"))
    assert main(["export", "moved/../../here/run", "--out", "again"]) == 0
    assert Path("again/graph.txt").read_bytes() == Path("moved/graph.txt").read_bytes()
    assert kept_steps(apart / "here" / "run") == list(range(1, 9))
    capsys.readouterr()


def test_a_run_goes_on_with_the_graph_of_its_folder_alone(apart, walks):
    write_graph("graph", walks.task.walk_graph)
    config, folder = on_file(walks, Path("graph")), Path("run")
    run_folder.claim(folder, config, resume=False, kept=kept_graph(config.task))
    written = (folder / "graph.txt").read_bytes()
    assert set(read_graph(folder / "graph.txt").edges) == set(walks.task.walk_graph.edges)

    def claim(config: TrainConfig) -> None:
        run_folder.claim(folder, config, resume=True, kept=kept_graph(config.task))

    nx.write_graphml(nx.DiGraph(walks.task.walk_graph), "other.xml")
    claim(on_file(walks, Path("other.xml")))  # the same by another name
    claim(on_file(walks, folder / "graph.txt"))
    assert (folder / "graph.txt").read_bytes() == written
    smaller = nx.DiGraph(walks.task.walk_graph)
    smaller.remove_edge(*next(iter(smaller.edges)))
    write_graph("smaller", smaller)
    with pytest.raises(ValueError, match=r"^task.walks.file: must hold the same as '.*run/graph.txt', .*'smaller'\)$"):
        loop.train(on_file(walks, Path("smaller")), folder, resume=True)
    assert (folder / "graph.txt").read_bytes() == written
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize("damage", ["other", "gone"])
def test_a_damaged_graph_is_named(apart, walked, damage, capsys):
    shutil.copytree(walked[0], "run")
    assert main(["export", "run", "--out", "model"]) == 0
    capsys.readouterr()
    for folder in (Path("run"), Path("model")):
        path = folder / "graph.txt"
        lines = path.read_text().splitlines(keepends=True)
        path.unlink() if damage == "gone" else path.write_text("".join(lines[:-1]))
        with pytest.raises(ValueError, match=r"graph.txt: must be "):
            read(folder)
        assert main(["evaluate", str(folder)]) == 2
        assert "graph.txt" in " ".join(capsys.readouterr().err.split())


def test_a_graph_is_no_other_one_where_the_generator_changes(walks, walked, monkeypatch):
    truth, edges = walks_of(walks.task), set(walks.task.walk_graph.edges)
    chain = [(u, u + 1) for u in range(9)]
    monkeypatch.setattr(walk_graph, "random_dag", lambda *_: graph_from_edges(10, [*chain, (0, 2), (0, 3), (1, 4)]))
    walk_graph.random_graph.cache_clear()
    try:
        assert set(walks.task.walk_graph.edges) != edges
        (stored,) = read_run(walked[0])
        assert set(stored.task.walk_graph.edges) == edges
        assert all(np.array_equal(getattr(walks_of(stored.task), name), getattr(truth, name)) for name in LINES)
        with pytest.raises(ValueError, match=r"^task.walks.file: must hold the same as '.*graph.txt'"):
            run_folder.claim(walked[0], walks, resume=True, kept=kept_graph(walks.task))
    finally:
        walk_graph.random_graph.cache_clear()


def test_an_older_run_without_its_graph_is_read_as_it_was(apart, walks, walked):
    shutil.copytree(walked[0], "run")
    Path("run/graph.txt").unlink()
    config = json.loads(Path("run/config.json").read_text())
    del config["kept"]
    Path("run/config.json").write_text(json.dumps(config))
    (stored,) = read_run(Path("run"))
    assert stored.task == walks.task
    run_folder.claim(Path("run"), walks, resume=True, kept=kept_graph(walks.task))
    assert read_graph("run/graph.txt").edges == walks.task.walk_graph.edges
    save_model(Path("model"), stored.model, stored.task.format, stored.notes)
    assert read(Path("model"))[0].task == walks.task
    shutil.copy("run/graph.txt", "model")  # nobody knows whether it is that of the model
    with pytest.raises(ValueError, match=r"^graph.txt: must be the graph .* of digest None, and absent"):
        load_saved_model(Path("model"))


def test_a_saved_model_has_the_nodes_of_its_graph(tmp_path, walked):
    (stored,) = read_run(walked[0])
    for form, graph in ((stored.task.format, graph_from_edges(9, [(0, 1)])), (None, stored.task.walk_graph)):
        with pytest.raises(ValueError, match=r"^graph: must have the nodes of the format, one of walks, got"):
            save_model(tmp_path / "model", stored.model, form, {}, graph=graph)
    assert not (tmp_path / "model").exists()
    save_model(tmp_path, stored.model, stored.task.format, {}, graph=stored.task.walk_graph)
    save_model(tmp_path, stored.model, stored.task.format, {})
    assert not (tmp_path / "graph.txt").exists()
    assert load_saved_model(tmp_path).notes == {}


def test_blocksworld_is_the_graph_of_its_blocks(tmp_path):
    task, path = TaskConfig(graph="blocksworld", walks=WalksConfig(blocks=2)), tmp_path / "graph.txt"
    kept = kept_graph(task)
    assert kept is not None
    path.write_text(kept.text)
    assert in_file(task, path) == task
    with pytest.raises(ValueError, match=r"^graph.txt: must be the graph of Blocksworld with 3 blocks"):
        in_file(replace(task, walks=WalksConfig(blocks=3)), path)
    with pytest.raises(ValueError, match=r"^graph.txt: must be absent but for walks in one graph, got 'star'"):
        in_file(TaskConfig(), path)
    assert kept_graph(TaskConfig()) is None


def test_a_kept_file_is_left_by_a_kill_or_somebody_else_s(tmp_path, walks):
    kept = kept_graph(walks.task)
    assert kept is not None
    for name, text in {"graph.txt": kept.text, ".graph.txt.1.tmp": "0"}.items():
        (tmp_path / name).write_text(text)
    run_folder.claim(tmp_path, walks, resume=False, kept=kept)
    other = tmp_path / "other"
    other.mkdir()
    (other / "graph.txt").write_text(kept.text + "# a word")
    with pytest.raises(ValueError, match=r"folder: must be empty or hold a run with config.json"):
        run_folder.claim(other, walks, resume=False, kept=kept)
    assert (other / "graph.txt").read_text() == kept.text + "# a word"


@pytest.mark.parametrize("entry", [3, {}, {"field": "task.data", "name": "a", "digest": 1}])
def test_an_entry_that_is_none_is_named(tmp_path, walks, entry):
    run_folder.claim(tmp_path, walks, resume=False, kept=Kept("task.walks.file", "graph.txt", "0 1"))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"kept": entry}))
    with pytest.raises(ValueError, match=r"config.json: must be the config of a run, .*kept: must be an object"):
        run_folder.read_config(tmp_path, TrainConfig)
