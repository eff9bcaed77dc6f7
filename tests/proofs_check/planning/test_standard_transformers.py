"""Figure 2 and Appendix E.3: made-up runs of the paper's size decide their claims, and nothing else does."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import proofs_check
from circuits.tasks.task import TaskConfig
from circuits.training import run_folder
from circuits.training.presets import MTP, PRESETS
from circuits.training.records import as_json, from_json
from circuits.training.stored import read
from circuits.transformer.taps import Taps
from proofs_check.ledger import data
from proofs_check.ledger.registry import load
from proofs_check.ledger.run import decide
from proofs_check.planning import appendix_e3_attention, runs
from proofs_check.planning.appendix_e3_attention import EARLY, LATE, MIDDLE, NEW, PAPER, SEEN, checkpoint, figure
from tests.probes.naive_layout import naive_layout

REGISTRY = Path(proofs_check.__file__).parent / "planning" / "claims.yaml"
CLAIMS = {claim.id: claim for claim in load(REGISTRY)}
E3, STAR = PRESETS["e3-ntp"][1], PRESETS["figure-2-ntp"][1]
SMALL_MODEL = replace(STAR.model, width=64)


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Writes made-up runs, listed as the manifest asks, beside the small ones."""
    for group in ("pair", "star", "tree"):
        shutil.copytree(data.MEASURED / "transformers" / group, tmp_path / "transformers" / group)
    shutil.copy(data.MEASURED / data.MANIFEST, tmp_path / data.MANIFEST)
    monkeypatch.setattr(data, "MEASURED", tmp_path)
    runs.finished.cache_clear()

    def write(group, heads, shares, base, train=None, examples=None, evaluated=True, **changes):
        """One run a share of right test answers."""
        examples = base.task.examples if examples is None else examples
        epochs = 40 if base is E3 else 100
        listed = {name: entry._asdict() for name, entry in data.entries(tmp_path).items()}
        for seed, exact in enumerate(shares):
            objective = replace(MTP, heads=heads) if heads > 1 else base.objective
            kind = {"graph": "tree"} if group.endswith("tree") else {}
            task = from_json(TaskConfig, as_json(replace(base.task, examples=examples)) | kind)
            steps = epochs * (examples // base.batch)
            config = replace(base, objective=objective, first_seed=seed, task=task, steps=steps, **changes)
            name = f"transformers/{group}/{heads}-{examples}-{config.model.width}-{seed}"
            run_folder.claim(tmp_path / name, config, resume=False)
            line = {"step": steps, "test_exact": exact, "train_exact": exact if train is None else train}
            run_folder.append_metrics(tmp_path / name, [line])
            if evaluated:
                found = {"examples": 8192, "exact": exact, "split": "test", "notes": {"step": steps, "seed": seed}}
                (tmp_path / name / "evaluation.json").write_text(json.dumps([found]))
            listed[name] = {"command": "made up", "commit": "none", "files": data._checksums(tmp_path / name)}
        listed.pop(f"transformers/{group}", None)
        (tmp_path / data.MANIFEST).write_text(json.dumps(listed))  # JSON is YAML, and is written sooner
        data.entries.cache_clear()

    yield write
    runs.finished.cache_clear()
    data.entries.cache_clear()


def decided(name):
    result = decide(CLAIMS[name])
    assert result.verdict != "error", result.error
    assert all(control.passed for control in result.controls), result.complaint
    return result


@pytest.mark.parametrize(
    ("multi", "single", "train", "expected"),
    [
        ([1.0] * 3, [0.2] * 3, 0.97, "holds"),
        ([1.0] * 3, [0.2] * 2, 0.97, "open"),  # a seed is missing
        ([1.0, 1.0, 0.9], [0.2] * 3, 0.97, "open"),
        ([1.0] * 3, [0.2, 0.2, 0.4], 0.97, "open"),
        ([1.0] * 3, [0.2] * 3, 0.8, "open"),
    ],
)
def test_runs_of_the_paper_s_size_decide_accuracy(kept, multi, single, train, expected):
    kept("e3", 3, multi, E3)
    kept("e3", 1, single, E3, train=train)
    assert decided("appendix-e3.accuracy").verdict == expected


@pytest.mark.parametrize(
    ("multi", "few", "expected"),
    [([1.0] * 3, [0.5] * 3, "holds"), ([0.9] * 3, [0.5] * 3, "open"), ([1.0] * 3, [0.4] * 3, "open")],
)
def test_runs_of_the_paper_s_size_decide_stars(kept, multi, few, expected):
    kept("figure-2-star", 2, multi, STAR)
    kept("figure-2-star", 1, [0.5, 0.51, 0.49], STAR)
    assert decided("figure-2.star").verdict == "open"  # one size of the data is not "across different sizes"
    kept("figure-2-star", 1, few, STAR, examples=100_000)
    runs.finished.cache_clear()
    assert decided("figure-2.star").verdict == expected


@pytest.mark.parametrize(
    ("small", "expected"), [([0.7, 0.72, 0.71], "holds"), ([0.3, 0.32, 0.31], "open"), ([0.4, 0.9, 0.5], "open")]
)
def test_runs_of_the_paper_s_size_decide_trees(kept, small, expected):
    for examples, model, shares in (
        (1_000_000, STAR.model, [0.95, 0.96, 0.95]),
        (100_000, STAR.model, [0.7, 0.72, 0.71]),
        (1_000_000, SMALL_MODEL, small),
    ):
        kept("figure-2-tree", 2, shares, STAR, examples=examples, model=model)
        kept("figure-2-tree", 1, [0.5, 0.51, 0.5], STAR, examples=examples, model=model)
    assert decided("figure-2.tree").verdict == expected


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (replace(E3, task=replace(E3.task, paths=2)), {}, "must have graph, paths"),
        (E3, {"model": replace(E3.model, width=64)}, "must have 25 million parameters"),
        (E3, {"examples": 500_000}, "must have 1000000 training problems"),
        (E3, {"batch": 512}, "must have graph, paths"),
    ],
)
def test_runs_of_another_setting_are_refused(kept, base, changes, message):
    kept("e3", 3, [1.0], base, **changes)
    with pytest.raises(ValueError, match=message):
        runs.in_setting("e3", runs.E3)


def test_a_run_that_is_not_finished_or_not_listed_is_refused(kept, tmp_path):
    kept("e3", 3, [1.0], E3, evaluated=False)
    folder = next((tmp_path / "transformers" / "e3").iterdir())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"steps": config["steps"] + 1}))
    with pytest.raises(ValueError, match="must have the checksum"):
        runs.finished("e3")
    data.write_entry(f"transformers/e3/{folder.name}", "made up", "none", tmp_path)
    with pytest.raises(ValueError, match="must be a finished run of one seed"):
        runs.finished("e3")


def test_parameters_of_the_blocks(kept):
    kept("e3", 3, [1.0], E3)
    assert runs.finished("e3")[0].millions == 12 * 512**2 * 8 / 1e6  # 25M


AS_PRINTED = {"mtp3": figure("goal", MIDDLE), "ntp": figure("start", LATE)}
OTHER_LAYERS = {"mtp3": figure("goal", EARLY), "ntp": figure("start", LATE)}


@pytest.mark.parametrize(
    ("paper", "new", "expected"),
    [
        ({}, {}, "open"),
        ({}, AS_PRINTED, "open"),  # smaller models do not decide what is printed
        (AS_PRINTED, {}, "holds"),
        (OTHER_LAYERS, {}, "open"),  # the correction is not tested
        (OTHER_LAYERS, AS_PRINTED, "amended"),
        (OTHER_LAYERS, {"mtp3": figure("goal", EARLY), "ntp": figure("start", LATE)}, "open"),
        (AS_PRINTED, {"mtp3": figure("goal", MIDDLE), "ntp": figure("goal", MIDDLE)}, "open"),
        ({"mtp3": figure("start", MIDDLE), "ntp": figure("goal", LATE)}, {}, "fails"),
    ],
)
def test_attention_is_decided_on_models_that_were_not_explored(monkeypatch, paper, new, expected):
    made_up = {PAPER: paper, NEW: new, SEEN: AS_PRINTED}

    def looks(names, kind):
        return (made_up[names][kind],) * len(names) if kind in made_up[names] else ()

    monkeypatch.setattr(appendix_e3_attention, "_looks", looks)
    assert decide(CLAIMS["appendix-e3.attention"]).verdict == expected


def test_a_group_of_models_is_read_once_it_is_complete(monkeypatch, tmp_path):
    monkeypatch.setattr(appendix_e3_attention, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(appendix_e3_attention, "_looks_at", lambda folder: figure("goal", LATE))
    for seed in range(3, 8):
        (tmp_path / f"star-2x5-ntp-seed-{seed}").mkdir()
    assert appendix_e3_attention._looks(NEW, "ntp") == ()
    (tmp_path / "star-2x5-ntp-seed-8").mkdir()
    assert len(appendix_e3_attention._looks(NEW, "ntp")) == 6


def test_attention_is_what_a_loop_over_words_gives():
    folder = checkpoint(SEEN[0].format("mtp3"))
    assert folder is not None
    (stored,) = read(folder)
    form, model = stored.task.format, stored.model
    problems = appendix_e3_attention._problems(stored.task)[:3]
    found = appendix_e3_attention.attention_to_ends(replace(model.config, prediction_heads=1), form)
    goal, start, even = found(appendix_e3_attention.trunk_of(model), problems)
    query = form.prompt_length - 1
    patterns = jax.jit(lambda ids: dict(model(ids, Taps(capture=["blocks.*.attn.pattern"]))[1]))
    for number, row in enumerate(problems):
        words = naive_layout(form, row.tolist(), query)
        captured = patterns(row[: query + 1])
        for to, node in ((goal, words.path[-1]), (start, words.path[0])):
            at = [t for t in range(query + 1) if words.tokens[t] == node]
            masses = [sum(captured[f"blocks.{layer}.attn.pattern"][:, query, t] for t in at) for layer in range(8)]
            np.testing.assert_allclose(to[number], jnp.stack(masses), atol=2e-6)
        assert float(even[number]) == pytest.approx(-1 / 18)  # 2 of 18 positions hold the end node, 3 the start node


def test_intervals_over_problems_are_student_s():
    goal, start = (np.random.default_rng(seed).random((7, 2, 3)) for seed in (0, 1))
    found = appendix_e3_attention.looks(goal, start, np.full(7, 0.1))
    values = goal[:, 1].mean(1) - start[:, 1].mean(1) - 0.1
    assert found.contrast.mean[1] == pytest.approx(values.mean())
    reach = found.contrast.high[1] - found.contrast.mean[1]
    t = appendix_e3_attention.student.ppf(1 - 0.025 / appendix_e3_attention.TESTS, 6)
    assert reach == pytest.approx(t * values.std(ddof=1) / 7**0.5)
    assert CLAIMS["appendix-e3.attention"].statistics[_FIRST].comparisons == appendix_e3_attention.TESTS


_FIRST = "3-MTP: attention of the best head of layers 3 and 4 to the end node"
