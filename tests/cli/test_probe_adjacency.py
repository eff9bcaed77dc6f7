"""``circuits probe adjacency``: its files against direct calls, planted matrices found, and how it refuses."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from circuits.cli import main
from circuits.models import held_out_problems, load_model
from circuits.one_layer.config import OneLayerConfig
from circuits.one_layer.module import OneLayer, from_parameters
from circuits.one_layer.parameters import Parameters
from circuits.probes.adjacency.find import find_powers, verdict
from circuits.probes.adjacency.gather import JacobianInputs, gather_matrices
from circuits.probes.adjacency.node_space import NamedMatrices
from circuits.probes.adjacency.references import graph_references
from circuits.probes.adjacency.scores import compare_matrices
from circuits.probes.adjacency.training import power_strength
from circuits.tasks.task import build_task
from circuits.tasks.walks.config import DagConfig, DagWalks
from circuits.tasks.walks.graph_files import write_graph
from circuits.tasks.walks.graphs import adjacency, random_dag, reachability
from circuits.training.records import as_json
from circuits.transformer.weights_file import save_model
from tests.cases import assert_close
from tests.cli.conftest import TASK, WORDS

DAG = random_dag(8, 0.5, 1)
pytestmark = pytest.mark.usefixtures("no_saving")
FIGURES = {"cosines", "matrices", "powers"}
WALKS = DagConfig(labels=10, walks=DagWalks(edge_probability=0.4, graph_seed=2, paths_a_pair=2))


@pytest.fixture
def graph(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "dag.txt"
    write_graph(path, DAG)
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    """A one-layer model of walks whose content is A, whose value is reachability, and whose transfers are A and A^2."""
    task = build_task(WALKS)
    assert task.graph is not None
    form, edges = task.format, adjacency(task.graph).astype(float)
    config = OneLayerConfig(vocab=form.vocab_size, positions=form.length - 1, prediction_heads=3)
    rng = np.random.default_rng(0)
    held = [edges, reachability(task.graph).T.astype(float), edges, edges @ edges]
    noisy = [np.pad(4 * one, (0, 2)) + 0.2 * rng.normal(size=(form.vocab_size, form.vocab_size)) for one in held]
    content, value, *transfers = (jnp.asarray(one, jnp.float32) for one in noisy)
    folder = tmp_path_factory.mktemp("saved") / "planted"
    model = from_parameters(config, Parameters(content, value, jnp.stack(transfers), jnp.ones((), jnp.float32)))
    save_model(folder, model, form, {"task": as_json(WALKS), "objective": "mtp", "seed": 0})
    return folder


def probe(checkpoint: Path, out: Path, *flags: object) -> dict:
    assert main(["probe", "adjacency", str(checkpoint), "--out", str(out), *map(str, flags)]) == 0
    return json.loads((out / "adjacency.json").read_text())


def names(folder: Path, suffix: str) -> set[str]:
    return {path.stem for path in folder.glob(f"*.{suffix}")}


@pytest.mark.usefixtures("rendered")
def test_a_model_of_walks_knows_its_graph_and_planted_powers_are_found(planted, tmp_path, capsys):
    report = probe(planted, tmp_path, "--powers=2", "--draws=199")
    said = {one["name"]: one["verdict"] for one in report["matrices"]}
    assert said == {
        "content": "holds A",
        "value": "holds reachability^T",
        "transfer 1": "holds A",
        "transfer 2": "holds A^2",
    }
    value = next(one for one in report["matrices"] if one["name"] == "value")
    assert (value["best"], value["nulls_missing"]) == ("reachability^T", [])
    assert value["scores"]["reachability^T"]["cosine"] > 0.95
    assert value["margins"].keys() == {"A", "A^2", "reachability"}
    assert all(margin["low"] > 0 for margin in value["margins"].values())
    assert report["nulls"] == {"permuted": 199, "rewired": 199, "untrained": 39}
    assert (report["nodes"], report["sources"], report["absent_powers"]) == (10, ["transfer"], [])
    printed = " ".join(capsys.readouterr().out.split())
    assert "planted: 4 of 4 matrices beyond every null at level 0.05" in printed
    assert names(tmp_path, "png") == names(tmp_path, "pdf") == FIGURES
    assert len(list(tmp_path.iterdir())) == 7


def test_numbers_are_those_of_direct_calls(pairs, tmp_path, capsys):
    """Of prediction head 1, and a graph of fewer nodes than labels."""
    small = random_dag(6, 0.6, 1)
    write_graph(tmp_path / "small", small)
    flags = ("--sources=jacobian,heads", "--untrained=0", "--draws=40", "--powers=6", "--examples=3", "--head=1")
    report = probe(pairs, tmp_path / "out", "--graph", tmp_path / "small", *flags)
    assert (report["format"], report["head"], report["nodes"], report["labels"]) == (2, 1, 6, 8)
    assert report["model"] == "pairs, prediction head 1, graph of 6 of its 8 labels"
    assert report["model"] in " ".join(capsys.readouterr().out.split())
    loaded, given = load_model(pairs), graph_references(small, 6)
    position = TASK.format.prompt_length - 1
    inputs = JacobianInputs(held_out_problems(loaded, 3), position, (position,))
    named = gather_matrices(loaded.model, np.arange(6), ("heads", "jacobian"), inputs, head=1)
    assert named.names[:2] == ("L0H0", "L0H1")
    truth = find_powers(np.asarray(named.values, np.float64), given, draws=40)
    assert report["absent_powers"] == sorted(set(range(1, 7)) - {r.power for r in given}) != []
    assert [r["name"] for r in report["references"]] == [r.name for r in given]
    assert [one["name"] for one in report["matrices"]] == list(named.names)
    for m, one in enumerate(report["matrices"]):
        assert one["verdict"] == verdict(truth, m)
        for r, ref in enumerate(given):
            found = one["scores"][ref.name]
            for field in ("cosine", "auc", "gap", "spearman"):
                assert found[field] == pytest.approx(getattr(truth.scores, field)[m, r], abs=1e-9)
            for field in ("low", "high"):
                assert found[field] == pytest.approx(getattr(truth, field)[m, r], abs=1e-9)
            assert (found["partial"] is None) == bool(np.isnan(truth.partial[m, r]))
            for null in ("permuted", "rewired"):
                assert found["nulls"][null]["p"] == pytest.approx(truth.nulls[null].p[m, r], abs=1e-9)
        for k, margin in one["margins"].items():
            column = truth.candidates.index(k)
            assert margin["margin"] == pytest.approx(truth.margin[m, column], abs=1e-9)


def test_nodes_of_a_language_model_are_named(language, graph, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("\n".join(reversed(WORDS[:8])) + "\n")
    report = probe(
        language, tmp_path / "out", "--graph", graph, "--node-tokens", tokens, "--draws=19", "--sources=heads"
    )
    assert report["nulls"] == {"permuted": 19, "rewired": 19}
    named = gather_matrices(load_model(language).model, np.arange(7, -1, -1), ("heads",))
    cosine = compare_matrices(np.asarray(named.values, np.float64), graph_references(DAG)).cosine
    found = [[score["cosine"] for score in one["scores"].values()] for one in report["matrices"]]
    assert_close(np.array(found), cosine, atol=1e-9)


def test_a_constant_matrix_is_named_and_left_out(planted, tmp_path, capsys, monkeypatch):
    def flat(model: OneLayer, *rest: object) -> NamedMatrices:
        named = gather_matrices(model, np.arange(10), ("transfer",))
        return NamedMatrices(named.names, named.values.at[1].set(3.0))

    monkeypatch.setattr("circuits.cli.probe_adjacency_inputs.gather_matrices", flat)
    report = probe(planted, tmp_path, "--powers=2", "--draws=19", "--level=0.2", "--untrained=4")
    assert report["constant"] == ["value"]
    best = {one["name"]: one["best"] for one in report["matrices"]}
    assert best == {"content": "A", "transfer 1": "A", "transfer 2": "A^2"}
    assert "because their rows are constant: value\n" in capsys.readouterr().out
    monkeypatch.setattr(
        "circuits.cli.probe_adjacency_inputs.gather_matrices",
        lambda model, *rest: NamedMatrices(("flat",), jnp.zeros((1, 10, 10))),
    )
    assert main(["probe", "adjacency", str(planted), "--out", str(tmp_path)]) == 2
    assert "matrices: must not all have constant rows, got ['flat']" in " ".join(capsys.readouterr().err.split())


def test_scores_over_training(run, graph, tmp_path, monkeypatch):
    """Nothing is said of the first step, made to hold constant rows alone."""
    calls = []

    def flat_at_first(*arguments: Any) -> NamedMatrices:
        calls.append(arguments)
        named = gather_matrices(*arguments)
        return NamedMatrices(named.names, 0 * named.values) if len(calls) == 2 else named

    monkeypatch.setattr("circuits.cli.probe_adjacency_inputs.gather_matrices", flat_at_first)
    flags = ("--sources=heads", "--untrained=0", "--draws=19", "--over-training", "--seed=6", "--powers=2")
    report = probe(run, tmp_path, "--graph", graph, *flags)
    course = report["training"]
    assert len(calls) == 4
    assert course["steps"] == [4, 6]
    assert course["highest"].keys() == {"A", "A^2"}
    for number, step in enumerate(course["steps"]):
        model = load_model(run, step=step, seed=6).model
        values = np.asarray(gather_matrices(model, np.arange(8), ("heads",)).values, np.float64)
        truth = power_strength(values, graph_references(DAG, 2))
        assert [part[number] for part in course["highest"].values()] == pytest.approx(truth.cosine.tolist(), abs=1e-9)
        assert course["null"][number] == pytest.approx(truth.null, abs=1e-9)
    assert len({tuple(part) for part in course["highest"].values()}) == 2
    assert names(tmp_path, "png") == {*FIGURES, "over-training"}


def test_bad_usage_names_the_argument(refused, pairs, language, planted, run, graph, tmp_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "short").write_text("the\ncat\n")
    (folder / "strange").write_text("\n".join([*WORDS[:7], "the cat"]))
    (folder / "bytes").write_bytes(b"\xff")
    (folder / "large").write_text("# nodes: 9\n0 1\n")
    (folder / "none").write_text("# nodes: 5\n")
    (folder / "words").write_text("0 1\n1 b\n")
    (folder / "twice").write_text("\n".join([*WORDS[:7], "the"]))
    (folder / "two").write_text("0 1\n")
    plain, large = ("--graph", graph), ("--graph", folder / "large")
    rules = {
        "graph": "must be a graph that fits the model",
        "node_tokens": "must hold one token of the model on each line, a line for each node",
    }

    def of(argument: str, name: str, text: str) -> str:
        return f"{argument}: {rules[argument]}, got '{folder / name}' ({text}"

    def tokens(name: str) -> tuple[object, ...]:
        return "--node-tokens", folder / name

    for message, checkpoint, *flags in (
        ("graph: must be given for a model that was not trained on one graph, got 'pairs'", pairs),
        ("graph: must be a file, got", pairs, "--graph", folder / "missing"),
        (of("graph", "large", "must have at most 8 nodes, the labels of this model, got 9)"), pairs, *large),
        (of("graph", "large", "must have 10 nodes, those of the walks of this model, got 9)"), planted, *large),
        (of("graph", "none", "must have an edge, got 0)"), pairs, "--graph", folder / "none"),
        (of("graph", "two", "must have at least 3 nodes, got 2)"), pairs, "--graph", folder / "two"),
        (
            f"graph: must hold an edge list or GraphML, got '{folder}/words' (line 2: a label",
            pairs,
            "--graph",
            folder / "words",
        ),
        (f"GraphML, got '{folder}/bytes' (must be UTF-8 text", pairs, "--graph", folder / "bytes"),
        ("node_tokens: must be given for a language model", language, *plain),
        ("node_tokens: must be left out for a model that was trained on labels", pairs, *plain, "--node-tokens", graph),
        (
            of("node_tokens", "short", "lines: must be 8, one for each node of the graph, got 2)"),
            language,
            *plain,
            *tokens("short"),
        ),
        (
            of("node_tokens", "strange", "line 8: must be one token, got 'the cat')"),
            language,
            *plain,
            *tokens("strange"),
        ),
        (
            of("node_tokens", "twice", "line 8: must be another token than the lines before it"),
            language,
            *plain,
            *tokens("twice"),
        ),
        (of("node_tokens", "bytes", "'utf-8' codec can't decode"), language, *plain, *tokens("bytes")),
        ("node_tokens: must be a file, got", language, *plain, *tokens("missing")),
        ("head: must be an integer between 0 and 1, got 2", pairs, *plain, "--head=2"),
        ("head: must be 0 for a one-layer model", planted, "--head=1"),
        ("powers: must be an integer at least 1, got 0", pairs, *plain, "--powers=0"),
        ("draws: must be an integer at least 19, got 5", pairs, *plain, "--draws=5"),
        ("level: must lie between 0 and 1, got 2.0", pairs, *plain, "--level=2"),
        ("untrained: must be 0, or at least 19 at this level, got -1", pairs, *plain, "--untrained=-1"),
        ("untrained: must be 0, or at least 19 at this level, got 2", pairs, *plain, "--untrained=2"),
        ("sources: must be one of heads, transfer, layers, jacobian, got 'ov'", pairs, *plain, "--sources=ov"),
        ("head_kind: must be transfer for transfer matrices", pairs, *plain, "--sources=transfer"),
        ("sources: must be transfer for a one-layer model, got 'heads'", planted, "--sources=heads"),
        ("examples: must be an integer at least 1, got 0", pairs, *plain, "--examples=0"),
        ("seed: must be one of [5, 6], got 4", run, *plain, "--seed=4"),
        ("step: must be left out", pairs, *plain, "--step=2"),
        ("config.json: must be the config of a run", pairs, *plain, "--over-training"),
    ):
        refused(message, "probe", "adjacency", checkpoint, "--out", tmp_path / "out", *flags)
    (tmp_path / "file").touch()
    refused("out: must be a folder to write in", "probe", "adjacency", pairs, "--out", tmp_path / "file", *plain)
    refused("--out", "probe", "adjacency", pairs)
