"""``circuits probe``: its files against direct calls, how it goes on after a stop, and how it refuses."""

import json
import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from circuits.cli import main
from circuits.commands import files, intervention_sweeps, probe_development, probe_interventions
from circuits.commands.checkpoint import open_checkpoint
from circuits.commands.checkpoint import test_problems as held_out
from circuits.probes.attention import Scores
from circuits.probes.development import formation, strengths
from circuits.probes.interventions import Patched, ablate, knock_out, patch, path_patch, twins
from circuits.probes.language import measure_heads, repeated_sequences
from circuits.probes.linear_probes import fit_probes, score_probes
from circuits.probes.planning import find_circuit, scores_of
from circuits.probes.residual import logit_lens
from circuits.training.files import read_arrays, write_arrays
from circuits.transformer.training.stored import read_run
from tests.cases import assert_close
from tests.commands.conftest import TASK

PATCHED = list(Patched._fields)
SWEEPS = {
    "patched stream": PATCHED,
    "patched heads": PATCHED,
    "patched heads by place": PATCHED,
    "direct paths": PATCHED,
    **{f"heads, {how} ablation": ["accuracy", "accuracy_error", "loss"] for how in ("zero", "mean", "resample")},
    "ablated layers": ["lost"],
    "knocked out": ["lost"],
    "knocked out roles": ["lost", "roles"],
    "logit lens": ["probability", "rank"],
    "linear probes": ["accuracy", "shuffled"],
}
COUNT = 6


@pytest.fixture(autouse=True)
def no_saving(monkeypatch, request):
    """Figures are made as ever; but for tests marked so, they are not rendered, which takes seconds."""

    def light(figure, buffer, **_):
        assert figure.axes
        buffer.write(b"a figure")

    if "rendered" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", light)


@pytest.fixture
def rendered():
    """Asks for real figures."""


def names(folder: Path, suffix: str) -> set[str]:
    return {path.stem for path in folder.glob(f"*.{suffix}")}


def plain(values) -> np.ndarray:
    """Lists of a JSON file, where None stands for what is not finite."""
    return np.asarray(values, np.float64)


def test_scores_of_a_planning_model_are_those_of_find_circuit(pairs, tmp_path, capsys):
    flags = ("--examples", str(COUNT), "--level", "0.6")
    assert main(["probe", "scores", str(pairs), "--out", str(tmp_path), *flags]) == 0
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "scores.json").read_text())
    about = {"model": "pairs", "problems": COUNT, "position": TASK.format.prompt_length - 1, "level": 0.6}
    assert {name: report[name] for name in about} == about
    opened = open_checkpoint(pairs)
    truth = find_circuit(opened.model, TASK.format, held_out(TASK, COUNT), about["position"], level=0.6)
    assert list(report["scores"]) == list(Scores._fields) == list(truth)
    expected = set()
    for name, found in report["scores"].items():
        finding = truth[name]
        assert found["significant"] == finding.significant.tolist()
        for part in ("mean", "low", "high"):
            assert_close(plain(found["score"][part]), np.asarray(getattr(finding.score, part)), atol=1e-12)
        for part in ("baseline", "untrained", "shuffled", "astray"):
            if getattr(finding, part) is None:
                assert found[part] is None
            else:
                assert_close(plain(found[part]), np.asarray(getattr(finding, part)), atol=1e-12)
        nulls = [plain(found[part]) for part in ("untrained", "shuffled", "astray") if found[part] is not None]
        assert found["significant"] == np.all([null <= 0.6 for null in nulls], axis=0).tolist()
        by_hop = name in ("trace", "astray", "link")
        expected |= {f"{name}-hop-{hop}" for hop in (1, 2)} if by_hop else {name.replace("_", "-")}
    assert names(tmp_path, "png") == names(tmp_path, "pdf") == expected
    assert len(list(tmp_path.iterdir())) == 2 * len(expected) + 1
    for name in expected:
        assert f" {name.replace('-', ' ')} " in printed


@pytest.mark.usefixtures("rendered")
def test_scores_of_a_language_model(language, tmp_path, capsys):
    flags = ("--examples", str(COUNT), "--length", "6", "--level", "0.1")
    assert main(["probe", "scores", str(language), "--out", str(tmp_path), *flags]) == 0
    assert "gpt: 6 random sequences of 6 tokens, twice" in " ".join(capsys.readouterr().out.split())
    report = json.loads((tmp_path / "scores.json").read_text())
    opened = open_checkpoint(language)
    truth = measure_heads(opened.model, repeated_sequences(19, 6, COUNT, seed=0), confidence=0.9)
    assert report["scores"].keys() == truth.keys() == {"previous", "duplicate", "induction"}
    for kind, found in report["scores"].items():
        for part in ("score", "over_shuffled", "over_fresh"):
            if getattr(truth[kind], part) is None:
                assert (kind, found[part]) == ("previous", None)
            else:
                for end in ("mean", "low", "high"):
                    expected = np.asarray(getattr(getattr(truth[kind], part), end))
                    assert_close(plain(found[part][end]), expected, atol=1e-12)
    assert sorted(names(tmp_path, "png")) == sorted(names(tmp_path, "pdf")) == sorted(truth)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))
    assert all(path.read_bytes().startswith(b"%PDF-") for path in tmp_path.glob("*.pdf"))


@pytest.fixture(scope="module")
def intervened(pairs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("found") / "out"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "savefig", lambda figure, buffer, **_: buffer.write(b"a figure"))
        assert main(["probe", "interventions", str(pairs), "--out", str(out), "--examples", str(COUNT)]) == 0
    return out


def test_sweeps_are_written_as_they_are_done(pairs, tmp_path, monkeypatch):
    """Two of them, the second of which fails: what the first found is there, whole."""

    def fails(study):
        raise KeyboardInterrupt

    sweeps = {"logit lens": intervention_sweeps.lens, "linear probes": fails}
    monkeypatch.setattr(probe_interventions, "SWEEPS", sweeps)
    assert main(["probe", "interventions", str(pairs), "--out", str(tmp_path), "--examples", str(COUNT)]) == 130
    found = {"interventions.npz", "logit-lens.pdf", "logit-lens.png", "summary.json"}
    assert {path.name for path in tmp_path.iterdir()} == found
    assert json.loads((tmp_path / "summary.json").read_text()).keys() == {"model", "problems", "logit lens"}
    arrays, problems = read_arrays(tmp_path / "interventions.npz"), jnp.asarray(held_out(TASK, 2 * COUNT))[:COUNT]
    first = twins(TASK.format, problems, jax.random.key(0))
    truth = logit_lens(open_checkpoint(pairs).model, TASK.format, first.layout)
    assert arrays.keys() == {"logit lens/probability", "logit lens/rank"}
    assert_close(arrays["logit lens/rank"], truth.rank, atol=1e-12)
    assert_close(arrays["logit lens/probability"], truth.probability, atol=1e-12)


@pytest.mark.parametrize(
    ("span", "counted", "drawn"), [(1.0, 3, True), (-1.0, 3, True), (0.1, 3, False), (1.0, 0, False)]
)
def test_effects_of_a_goal_that_makes_no_difference_are_not_drawn(span, counted, drawn):
    """The error of the span is 0.2, and effects are ratios to the span."""
    found = Patched(*(np.full((2, 2), 7.0) for _ in range(4)), span=span, span_error=0.2, counted=counted)
    figure = Figure()
    result = intervention_sweeps._if_the_goal_matters(found, figure, "heads")
    assert result.figure is (figure if drawn else None)
    assert result.says == "heads" if drawn else "the goal makes no difference" in result.says
    assert result.arrays["span"] == span


@pytest.mark.slow
def test_every_sweep_leaves_arrays_a_figure_and_a_summary(intervened):
    arrays = read_arrays(intervened / "interventions.npz")
    assert set(arrays) == {f"{name}/{part}" for name, parts in SWEEPS.items() for part in parts}
    summary = json.loads((intervened / "summary.json").read_text())
    drawn = [name for name in SWEEPS if not summary[name].startswith("the goal makes no difference")]
    assert {"heads, mean ablation", "linear probes"} <= set(drawn)
    assert (
        names(intervened, "png")
        == names(intervened, "pdf")
        == {name.replace(",", "").replace(" ", "-") for name in drawn}
    )
    assert len(list(intervened.iterdir())) == 2 * len(drawn) + 2
    assert summary.keys() == {"model", "problems", *SWEEPS}
    assert (summary["model"], summary["problems"]) == ("pairs", COUNT)
    assert all(isinstance(summary[name], str) and summary[name] for name in SWEEPS)
    assert "on shuffled labels at most" in summary["linear probes"]
    assert f"{COUNT} problems are few" in summary["linear probes"]


@pytest.mark.slow
def test_the_numbers_of_sweeps_are_those_of_direct_calls(intervened, pairs):
    arrays, model = read_arrays(intervened / "interventions.npz"), open_checkpoint(pairs).model
    problems = jnp.asarray(held_out(TASK, 2 * COUNT))
    first, second = (
        twins(TASK.format, part, jax.random.key(i)) for i, part in enumerate((problems[:COUNT], problems[COUNT:]))
    )
    size = first.corrupt.shape[1]
    stream = patch(model, first, "resid_pre", aligned=True)
    heads = patch(model, first, "attn.z", ("layer", "head"))
    placed = patch(model, first, "attn.z", ("layer", "head", "position"), aligned=True)
    direct = path_patch(model, first)
    ablated = {how: ablate(model, first, "attn.z", how, key=jax.random.key(2)) for how in ("zero", "mean", "resample")}
    layers = [ablate(model, first, site, "mean").accuracy_change for site in ("attn_out", "mlp_out")]
    lens = logit_lens(model, TASK.format, first.layout)
    fitted = fit_probes(model, second.layout)
    chance = fit_probes(model, second.layout, shuffle=jax.random.key(3))
    expected = {
        **{f"patched stream/{part}": getattr(stream, part) for part in PATCHED},
        **{f"patched heads/{part}": getattr(heads, part) for part in PATCHED},
        **{f"patched heads by place/{part}": getattr(placed, part) for part in PATCHED},
        **{f"direct paths/{part}": getattr(direct, part) for part in PATCHED},
        **{
            f"heads, {how} ablation/{part}": getattr(found, part)
            for how, found in ablated.items()
            for part in ("accuracy", "accuracy_error", "loss")
        },
        "ablated layers/lost": -np.stack(layers),
        **{f"logit lens/{part}": getattr(lens, part) for part in ("probability", "rank")},
        "linear probes/accuracy": score_probes(model, fitted, first.layout).accuracy[:, 0],
        "linear probes/shuffled": score_probes(model, chance, first.layout).accuracy[:, 0],
    }
    assert expected.keys() == arrays.keys() - {"knocked out/lost", "knocked out roles/lost", "knocked out roles/roles"}
    for name, truth in expected.items():
        assert_close(np.nan_to_num(arrays[name], nan=-7.0), np.nan_to_num(np.asarray(truth), nan=-7.0), atol=1e-12)
    assert arrays["patched stream/effect"].shape == (2, size)
    assert arrays["patched heads by place/effect"].shape == (2, 2, size)
    assert arrays["heads, mean ablation/loss"].shape == (2, 2)
    assert arrays["logit lens/rank"].shape == (2, 3, 5)  # heads, streams, nodes
    assert np.abs(arrays["patched stream/effect"]).max() > 0.1


@pytest.mark.slow
def test_knock_outs_are_one_layer_at_a_time_and_then_all(intervened, pairs):
    lost = read_arrays(intervened / "interventions.npz")["knocked out/lost"]
    problems = jnp.asarray(held_out(TASK, 2 * COUNT))[:COUNT]
    first = twins(TASK.format, problems, jax.random.key(0))
    keys = ["goal in query", "start in query", "path", "distractor"]
    keys += ["edge 1 tail", "edge 1 head", "edge 2 tail", "edge 2 head"]
    rows = [[[True], [False]], [[False], [True]], [[True], [True]]]
    model = open_checkpoint(pairs).model
    for row, layers in zip(lost, rows, strict=True):
        truth = knock_out(model, first, ("query",), keys, masks=np.array(layers)[..., None])
        assert_close(row, -truth.accuracy_change[0], atol=1e-12)


def bits(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its bytes and when it was written."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def read_steps(monkeypatch) -> list[int]:
    """The steps at which the command reads the run."""
    found: list[int] = []

    def noted(folder, step):
        found.append(step)
        return read_run(folder, step)

    monkeypatch.setattr(probe_development, "read_run", noted)
    monkeypatch.setattr(probe_development, "NULL_MODELS", 2)
    return found


def develop(run: Path, out: Path, *flags: str) -> int:
    return main(["probe", "development", str(run), "--out", str(out), "--examples", str(COUNT), *flags])


def mean_scores(run: Path, step: int, seed: int) -> Scores:
    """Problem by problem; what a problem does not have is left out."""
    (model,) = (one.model for one in read_run(run, step) if one.seed == seed)
    one = jax.jit(lambda row: scores_of(TASK.format, TASK.format.prompt_length - 1, model, row))
    each = [one(row) for row in held_out(TASK, COUNT)]
    return Scores(
        *(np.nanmean([np.asarray(part, np.float64) for part in parts], axis=0) for parts in zip(*each, strict=True))
    )


def test_development_goes_on_where_it_stopped_and_leaves_the_run_alone(run, tmp_path, read_steps, capsys):
    before = bits(run)
    assert develop(run, tmp_path) == 0
    assert read_steps == [2, 2, 4, 6]  # the first tells what was trained
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"development.{kind}" for kind in ("npz", "pdf", "png")]
    printed = " ".join(capsys.readouterr().out.split())
    assert "small, seed 5: when each part came to stay above half-way" in printed
    path = tmp_path / "development.npz"
    whole = read_arrays(path)
    assert whole["steps"].tolist() == [2, 4, 6]
    for number, step in enumerate((2, 4, 6)):
        truth = mean_scores(run, step, 5)
        for name in Scores._fields:
            assert_close(np.asarray(whole[name][number], np.float64), getattr(truth, name), atol=1e-6)
    # Stopped before the last: that alone is scored again, and all comes out the same.
    cut = {name: part if name == "about" else part[:2] for name, part in whole.items()}
    cut["predecessor"] = cut["predecessor"] + np.float32(0.125)
    write_arrays(path, cut)
    read_steps.clear()
    assert develop(run, tmp_path) == 0
    assert read_steps == [2, 6]
    again = read_arrays(path)
    assert_close(
        again.pop("predecessor") - np.array([[[0.125]], [[0.125]], [[0]]], np.float32), whole["predecessor"], atol=1e-6
    )
    for name, part in again.items():
        assert np.array_equal(part, whole[name]), name
    # Done: nothing is scored.
    read_steps.clear()
    assert develop(run, tmp_path) == 0
    assert read_steps == [2]
    assert bits(run) == before


def test_the_table_says_what_formation_does(run, tmp_path, read_steps, capsys):
    assert develop(run, tmp_path, "--seed=6") == 0
    printed = capsys.readouterr().out
    found = strengths([mean_scores(run, step, 6) for step in (2, 4, 6)])
    assert len(found) == 5
    for name, values in found.items():
        (row,) = (line for line in printed.splitlines() if re.search(rf"│ {name} ", line))
        _, _, baseline, formed, final, _ = (cell.strip() for cell in row.split("│"))
        when = formation(np.array([2, 4, 6]), values, baseline=float(baseline))
        assert final == f"{when.final:.2f}"
        assert abs(when.final - float(baseline) - 0.1) < 0.006 or (formed == "never") == (when.step is None)
    assert read_steps == [2, 2, 4, 6]


def test_development_refuses_what_another_call_left(run, tmp_path, tmp_path_factory, read_steps, refused):
    assert develop(run, tmp_path) == 0
    asked = ("probe", "development", run, "--out", tmp_path)
    message = "circuits: out: must be new, or hold the scores of"
    refused(message, *asked, "--examples=5")
    refused(message, *asked, f"--examples={COUNT}", "--seed=6")
    # A run of the same name that was trained otherwise.
    other = tmp_path_factory.mktemp("other") / run.name
    other.mkdir()
    os.symlink(run / "checkpoints", other / "checkpoints")
    config = (run / "config.json").read_text()
    (other / "config.json").write_text(config.replace('"batch": 8', '"batch": 4'))
    refused(message, "probe", "development", other, "--out", tmp_path, f"--examples={COUNT}")
    # The same run, gone on for longer.
    (other / "config.json").write_text(config.replace('"steps": 6', '"steps": 9'))
    assert develop(other, tmp_path) == 0


def test_development_refuses_a_file_of_something_else(run, tmp_path, refused):
    for arrays in ({}, {"steps": np.arange(3)}, {"about": np.asarray("{}"), "steps": np.arange(3)}):
        write_arrays(tmp_path / "development.npz", arrays)
        refused("circuits: out: must be new, or hold the scores of", "probe", "development", run, "--out", tmp_path)
    (tmp_path / "development.npz").write_bytes(b"PK")
    refused("development.npz: must be a whole npz file", "probe", "development", run, "--out", tmp_path)


def test_bad_usage_names_the_argument(refused, pairs, text, run, language, tmp_path, tmp_path_factory):
    (tmp_path / "file").touch()
    out = tmp_path / "out"
    lonely = tmp_path_factory.mktemp("lonely") / "run"
    (lonely / "checkpoints").mkdir(parents=True)
    (lonely / "config.json").write_bytes((run / "config.json").read_bytes())
    os.symlink(run / "checkpoints" / "2", lonely / "checkpoints" / "2")
    folder = "circuits: out: must be a folder to write in, got"
    for command, checkpoint in (("scores", pairs), ("interventions", pairs), ("development", run)):
        refused(folder, "probe", command, checkpoint, "--out", tmp_path / "file")
        refused(folder, "probe", command, checkpoint, "--out", tmp_path / "file" / "below")
        refused("--out", "probe", command, checkpoint)
    least, one = "examples: must be an integer at least", "--examples=1"
    scores, interventions = ("probe", "scores"), ("probe", "interventions")
    for message, *arguments in (
        ("checkpoint: must be a folder: a run, or a saved model", *scores, tmp_path / "none"),
        ("checkpoint: must be a folder: a run, or a saved model", *interventions, tmp_path / "none"),
        ("config.json: must be the config of a run", "probe", "development", tmp_path / "none"),
        ("config.json: must be the config of a run", "probe", "development", pairs),
        ("run: must hold at least 2 checkpoints: train with --keep-every", "probe", "development", lonely),
        ("seed: must be one of [5, 6], got 4", "probe", "development", run, "--seed=4"),
        (f"{least} 1, got 0", "probe", "development", run, "--examples=0"),
        (f"{least} 2, got 1", *scores, pairs, one),
        (f"{least} 2, got 1", *scores, language, one),
        (f"{least} 2, got 1", *interventions, pairs, one),
        ("token: must be an integer between 1 and 2, got 3", *scores, pairs, "--token=3"),
        ("token: must be an integer between 1 and 2, got 0", *interventions, pairs, "--token=0"),
        ("token: must not be that of the start, which is the same in twins, got 1", *interventions, text, "--token=1"),
        ("token: must be left out for a language model, got 1", *scores, language, "--token=1"),
        ("level: must be at least 0.005 and below 1, got 1e-07", *scores, pairs, "--level=1e-7"),
        ("length: must be left out for a model of planning problems, got 5", *scores, pairs, "--length=5"),
        ("level: must lie between 0 and 1, got 1.5", *scores, language, "--level=1.5"),
        ("length: must be an integer between 1 and 7, got 8", *scores, language, "--length=8"),
        ("length: must be an integer between 1 and 7, got 0", *scores, language, "--length=0"),
        ("step: must be left out for a saved model, which holds one, got 2", *scores, pairs, "--step=2"),
        ("checkpoints: must hold a whole one", *interventions, run, "--step=3"),
        ("must be a model trained on planning problems here, got 'gpt'", *interventions, language),
    ):
        refused(message, *arguments, "--out", out)
    refused("scores", "probe")
    refused("Unrecognized options: score", "probe", "score")


def test_too_few_problems_to_compare_are_named(refused, pairs, tmp_path, tmp_path_factory):
    """A file may hold fewer than are asked for."""
    folder = tmp_path_factory.mktemp("few")
    lines = ["3,1|1,2|3,4|4,5/5,3=3,4,5", "0,1|1,2|0,4|4,5/2,0=0,1,2", "6,1|1,2|6,4|4,5/5,6=6,4,5"]
    for name in ("train", "test"):
        (folder / name).write_text("\n".join(lines) + "\n")
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((pairs / name).read_bytes())
    config = json.loads((pairs / "config.json").read_text())
    config["notes"]["task"] |= {"data": str(folder / "train"), "test_data": str(folder / "test")}
    (folder / "config.json").write_text(json.dumps(config))
    message = "checkpoint: must have at least 4 test problems, got 3"
    refused(message, "probe", "interventions", folder, "--out", tmp_path / "out")


def test_a_disk_that_fills_up_is_named(run, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    monkeypatch.setattr(probe_development, "NULL_MODELS", 2)
    assert develop(run, tmp_path) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(r"circuits: out: must be a folder to write in, got '.*' \(No space left on device\)", said)
    assert [path.name for path in tmp_path.iterdir()] == ["development.npz"]  # what was scored is kept
