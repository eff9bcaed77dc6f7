"""``circuits probe interventions``: its files against direct calls, and what stays of a sweep that is stopped."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from circuits.cli import intervention_sweeps, main, probe_interventions
from circuits.files import read_arrays
from circuits.models import held_out_problems, load_model
from circuits.probes import (
    PatchingEffects,
    PlanningTwins,
    ablate,
    fit_linear_probes,
    knock_out,
    logit_lens,
    patch,
    path_patch,
    planning_twins,
    score_linear_probes,
)
from tests.cases import assert_close
from tests.cli.conftest import TASK

pytestmark = pytest.mark.usefixtures("no_saving")
PATCHED = [name for name in PatchingEffects._fields if name != "axes"]
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


def names(folder: Path, suffix: str) -> set[str]:
    return {path.stem for path in folder.glob(f"*.{suffix}")}


@pytest.fixture(scope="module")
def intervened(pairs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("found") / "out"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "savefig", lambda figure, buffer, **_: buffer.write(b"a figure"))
        assert main(["probe", "interventions", str(pairs), "--out", str(out), "--examples", str(COUNT)]) == 0
    return out


def twins_of(pairs: Path) -> tuple[PlanningTwins, PlanningTwins]:
    """Of the problems that are studied, and of those that linear probes are fitted on."""
    problems = held_out_problems(load_model(pairs), 2 * COUNT)
    parts = (problems[:COUNT], problems[COUNT:])
    first, second = (planning_twins(part, TASK.format, jax.random.key(i)) for i, part in enumerate(parts))
    return first, second


def test_sweeps_are_written_as_they_are_done(pairs, tmp_path, monkeypatch):
    """Two of them, the second of which fails: what the first found is there, whole."""

    def fails(study):
        raise KeyboardInterrupt

    sweeps = {"logit lens": intervention_sweeps.lens, "linear probes": fails}
    monkeypatch.setattr(probe_interventions, "SWEEPS", sweeps)
    assert main(["probe", "interventions", str(pairs), "--out", str(tmp_path), "--examples", str(COUNT)]) == 130
    found = {"interventions.npz", "logit-lens.pdf", "logit-lens.png", "summary.json"}
    assert {path.name for path in tmp_path.iterdir()} == found
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary.keys() == {"format", "model", "problems", "logit lens"}
    assert summary["format"] == 2
    arrays, (first, _) = read_arrays(tmp_path / "interventions.npz"), twins_of(pairs)
    truth = logit_lens(load_model(pairs).model, first.layout)
    assert arrays.keys() == {"logit lens/probability", "logit lens/rank"}
    assert_close(arrays["logit lens/rank"], truth.rank, atol=1e-12)
    assert_close(arrays["logit lens/probability"], truth.probability, atol=1e-12)


@pytest.mark.parametrize(
    ("span", "counted", "drawn"), [(1.0, 3, True), (-1.0, 3, True), (0.1, 3, False), (1.0, 0, False)]
)
def test_effects_of_a_goal_that_makes_no_difference_are_not_drawn(span, counted, drawn):
    """The error of the span is 0.2, and effects are ratios to the span."""
    found = PatchingEffects(*(np.full((2, 2), 7.0) for _ in range(4)), span=span, span_error=0.2, counted=counted)
    figure = Figure()
    result = intervention_sweeps._if_goal_matters(found, figure, "heads")
    assert result.figure is (figure if drawn else None)
    assert result.text == "heads" if drawn else "the goal makes no difference" in result.text
    assert result.arrays["span"] == span


def test_texts_count_layers_and_heads_from_0():
    model = load_model("star-2x5-ntp").model
    twins = planning_twins(np.array([[3, 7, 6, 0, 7, 2, 3, 6, 0, 3, 6, 0]], np.int32), TASK.format, jax.random.key(0))
    study = intervention_sweeps.Study("star", model, TASK.format, twins, twins)
    first = [intervention_sweeps._first_stream(study, np.eye(9)[i]) for i in (0, 1, 8)]
    assert first == ["embedding", "0", "7"]
    assert intervention_sweeps._first_stream(study, np.zeros(9)) == "never"


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
    assert summary.keys() == {"format", "model", "problems", *SWEEPS}
    assert (summary["model"], summary["problems"]) == ("pairs", COUNT)
    assert all(isinstance(summary[name], str) and summary[name] for name in SWEEPS)
    assert "on shuffled labels at most" in summary["linear probes"]
    assert f"{COUNT} problems are few" in summary["linear probes"]


@pytest.mark.slow
def test_the_numbers_of_sweeps_are_those_of_direct_calls(intervened, pairs):
    arrays, model = read_arrays(intervened / "interventions.npz"), load_model(pairs).model
    first, second = twins_of(pairs)
    size = first.corrupt_tokens.shape[1]
    stream = patch(model, first, "resid_pre", aligned=True)
    heads = patch(model, first, "attn.z", ("layer", "head"))
    placed = patch(model, first, "attn.z", ("layer", "head", "position"), aligned=True)
    direct = path_patch(model, first)
    ablated = {how: ablate(model, first, "attn.z", how, key=jax.random.key(2)) for how in ("zero", "mean", "resample")}
    layers = [ablate(model, first, site, "mean").accuracy_change for site in ("attn_out", "mlp_out")]
    lens = logit_lens(model, first.layout)
    fitted = fit_linear_probes(model, second.layout)
    chance = fit_linear_probes(model, second.layout, shuffle=jax.random.key(3))
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
        "linear probes/accuracy": score_linear_probes(model, fitted, first.layout).accuracy[:, 0],
        "linear probes/shuffled": score_linear_probes(model, chance, first.layout).accuracy[:, 0],
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
    first, _ = twins_of(pairs)
    keys = ["goal in query", "start in query", "path", "distractor"]
    keys += ["edge 0 parent", "edge 0 child", "edge 1 parent", "edge 1 child"]
    rows = [[[True], [False]], [[False], [True]], [[True], [True]]]
    model = load_model(pairs).model
    for row, layers in zip(lost, rows, strict=True):
        truth = knock_out(model, first, ("query",), keys, masks=np.array(layers)[..., None])
        assert_close(row, -truth.accuracy_change[0], atol=1e-12)


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
