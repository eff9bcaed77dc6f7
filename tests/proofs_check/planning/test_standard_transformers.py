"""Figure 2 and Appendix E.3: made-up runs of the paper's size decide their claims, and nothing else does."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from circuits.tasks.sampling import sample
from circuits.tasks.star.graph import StarGraph
from circuits.tasks.task import TaskConfig
from circuits.tasks.token_format import TokenFormat, encode_problem
from circuits.training import run_folder
from circuits.training.presets import MTP, PRESETS
from circuits.training.records import as_json, from_json
from circuits.transformer.taps import Taps
from proofs_check.ledger import data, decide
from proofs_check.planning import appendix_e3_attention, runs
from proofs_check.planning.appendix_e3_attention import EARLY, EXPLORED, LATE, MIDDLE, NEW, PAPER, made_up
from proofs_check.verification import own_claims
from tests.probes.naive_layout import naive_layout
from tests.transformer.models import random_model, small_config

CLAIMS = {claim.id: claim for claim in own_claims()}
E3, STAR = PRESETS["e3-ntp"][1], PRESETS["figure-2-ntp"][1]
SMALL_MODEL = replace(STAR.model, width=64)
PROBLEMS = 8192


def config(base, heads, seed, examples=None, graph=None, **changes):
    """The config of one run."""
    examples = base.task.examples if examples is None else examples
    task = from_json(TaskConfig, as_json(replace(base.task, examples=examples)) | ({"graph": graph} if graph else {}))
    objective = replace(MTP, heads=heads) if heads > 1 else base.objective
    steps = (40 if base is E3 else 100) * (examples // base.batch)
    return replace(base, objective=objective, first_seed=seed, task=task, steps=steps, **changes)


@pytest.fixture
def measured(monkeypatch):
    """Adds made-up runs to a group, one for each share of right test answers; other groups keep theirs."""
    made: dict[str, list[runs.Run]] = {"e3": [], "figure-2-star": [], "figure-2-tree": []}
    original = runs.finished
    monkeypatch.setattr(runs, "finished", lambda group, at=-1: tuple(made.get(group) or original(group, at)))

    def add(group, heads, shares, base, train=None, **changes):
        for seed, share in enumerate(shares):
            run = config(base, heads, seed, **changes)
            name, fitted = f"{heads}-{seed}", share if train is None else train
            total = run.test_examples
            made[group].append(runs.Run(name, run, PROBLEMS, round(share * PROBLEMS), total, round(fitted * total)))

    return add


def verdict(name):
    result = decide(replace(CLAIMS[name], data=()))
    assert result.verdict != "error", result.error
    assert all(control.passed for control in result.controls), result.complaint
    return result.verdict


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
def test_runs_of_the_paper_s_size_decide_accuracy(measured, multi, single, train, expected):
    measured("e3", 3, multi, E3)
    measured("e3", 1, single, E3, train=train)
    assert verdict("appendix-e3.accuracy") == expected


@pytest.mark.parametrize(
    ("multi", "few", "expected"),
    [([1.0] * 3, [0.5] * 3, "holds"), ([0.9] * 3, [0.5] * 3, "open"), ([1.0] * 3, [0.4] * 3, "open")],
)
def test_runs_of_the_paper_s_size_decide_stars(measured, multi, few, expected):
    measured("figure-2-star", 2, multi, STAR)
    measured("figure-2-star", 1, [0.5, 0.51, 0.49], STAR)
    assert verdict("figure-2.star") == "open"  # one size of the data is not "across different sizes"
    measured("figure-2-star", 1, few, STAR, examples=100_000)
    assert verdict("figure-2.star") == expected


@pytest.mark.parametrize(
    ("small", "expected"), [([0.7, 0.72, 0.71], "holds"), ([0.3, 0.32, 0.31], "open"), ([0.4, 0.9, 0.5], "open")]
)
def test_runs_of_the_paper_s_size_decide_trees(measured, small, expected):
    for examples, model, shares in (
        (1_000_000, STAR.model, [0.95, 0.96, 0.95]),
        (100_000, STAR.model, [0.7, 0.72, 0.71]),
        (1_000_000, SMALL_MODEL, small),
    ):
        for heads, values in ((2, shares), (1, [0.5, 0.51, 0.5])):
            measured("figure-2-tree", heads, values, STAR, examples=examples, model=model, graph="tree")
    assert verdict("figure-2.tree") == expected


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (replace(E3, task=replace(E3.task, paths=2)), {}, "must have graph, paths"),
        (E3, {"model": replace(E3.model, width=64)}, "million parameters"),
        (E3, {"examples": 500_000}, "training problems"),
        (E3, {"batch": 512}, "must have graph, paths"),
    ],
)
def test_runs_in_another_setting_are_refused(measured, base, changes, message):
    measured("e3", 3, [1.0], base, **changes)
    with pytest.raises(ValueError, match=message):
        runs.in_setting("e3", runs.E3)


def test_a_run_on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "MEASURED", tmp_path)
    run, folder = config(E3, 3, seed=1), tmp_path / "transformers" / "made-up" / "run"
    run_folder.claim(folder, run, resume=False)
    run_folder.append_metrics(folder, [{"step": run.steps, "test_exact": 0.5, "train_exact": 0.25}])
    evaluation = {"examples": 80, "exact": 0.75, "split": "test", "notes": {"step": run.steps, "seed": 1}}
    (folder / "evaluation.json").write_text(json.dumps([evaluation]))

    def read():
        runs.finished.cache_clear()
        return runs.finished("made-up")

    with pytest.raises(ValueError, match="must be listed"):
        read()
    data.write_entry("transformers/made-up/run", "made up", "none", tmp_path)
    total = run.test_examples
    assert read() == (runs.Run("run", run, 80, 60, total, total // 4),)
    assert read()[0].millions == 12 * 512**2 * 8 / 1e6  # 25M
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | {"steps": 1}))
    with pytest.raises(ValueError, match="must have the checksum"):
        read()
    data.write_entry("transformers/made-up/run", "made up", "none", tmp_path)
    with pytest.raises(ValueError, match="must be a finished run of one seed"):
        read()
    runs.finished.cache_clear()
    data.read_manifest.cache_clear()


AS_PRINTED = {"mtp3": made_up("goal", MIDDLE), "ntp": made_up("start", LATE)}
OTHER_LAYERS = {"mtp3": made_up("goal", EARLY), "ntp": made_up("start", LATE)}


@pytest.mark.parametrize(
    ("paper", "new", "expected"),
    [
        ({}, {}, "open"),
        ({}, AS_PRINTED, "open"),  # smaller models do not decide what is printed
        (AS_PRINTED, {}, "holds"),
        (OTHER_LAYERS, {}, "open"),  # the correction is not tested
        (OTHER_LAYERS, AS_PRINTED, "amended"),
        (OTHER_LAYERS, OTHER_LAYERS, "open"),
        (AS_PRINTED, {"mtp3": made_up("goal", MIDDLE), "ntp": made_up("goal", MIDDLE)}, "open"),
        ({"mtp3": made_up("start", MIDDLE), "ntp": made_up("goal", LATE)}, {}, "fails"),
    ],
)
def test_attention_is_decided_on_models_that_were_not_explored(monkeypatch, paper, new, expected):
    groups = {PAPER: paper, NEW: new, EXPLORED: AS_PRINTED}

    def models(names, kind):
        return (groups[names][kind],) * len(names) if kind in groups[names] else ()

    monkeypatch.setattr(appendix_e3_attention, "_models", models)
    assert decide(CLAIMS["appendix-e3.attention"]).verdict == expected


def test_a_group_of_models_is_read_once_it_is_complete(monkeypatch, tmp_path):
    monkeypatch.setattr(appendix_e3_attention, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(appendix_e3_attention, "_measured", lambda folder: made_up("goal", LATE))
    for seed in range(3, 8):
        (tmp_path / f"star-2x5-ntp-seed-{seed}").mkdir()
    assert appendix_e3_attention._models(NEW, "ntp") == ()
    (tmp_path / "star-2x5-ntp-seed-8").mkdir()
    assert len(appendix_e3_attention._models(NEW, "ntp")) == 6


def test_attention_is_what_a_loop_over_words_gives():
    format = TokenFormat(StarGraph(paths=2, nodes=3, labels=7), "pairs", "goal-start")
    model = random_model(small_config(vocab=format.vocab_size, positions=format.length))
    encode = jax.vmap(lambda problem: encode_problem(format, problem))
    problems = jax.jit(lambda key: encode(sample(format.family, key, 3)))(jax.random.key(0))
    measure = appendix_e3_attention.attention_to_ends(model.config, format)
    goal, start, uniform = measure(appendix_e3_attention.trunk_of(model), problems)
    query = format.prompt_length - 1
    taps = Taps(capture=["blocks.*.attn.pattern"])
    captured = jax.jit(jax.vmap(lambda row: dict(model(row, taps)[1])))(problems[:, : query + 1])
    captured = {name: np.asarray(pattern) for name, pattern in captured.items()}
    for number, row in enumerate(problems.tolist()):
        words = naive_layout(format, row, query)
        for to, node in ((goal, words.path[-1]), (start, words.path[0])):
            at = [t for t in range(query + 1) if words.tokens[t] == node]
            masses = [
                captured[f"blocks.{n}.attn.pattern"][number, :, query][:, np.array(at)].sum(axis=1) for n in (0, 1)
            ]
            np.testing.assert_allclose(to[number], masses, rtol=0, atol=1e-12)
        assert float(uniform[number]) == pytest.approx(-1 / 10)  # 2 of 10 positions hold the end node, 3 the start node


def test_intervals_over_problems_are_student_s():
    goal, start = (np.random.default_rng(seed).random((7, 2, 3)) for seed in (0, 1))
    attention = appendix_e3_attention.intervals(goal, start, np.full(7, 0.1))
    values = goal[:, 1].mean(1) - start[:, 1].mean(1) - 0.1
    assert attention.contrast.mean[1] == pytest.approx(values.mean())
    reach = attention.contrast.high[1] - attention.contrast.mean[1]
    t = appendix_e3_attention.student.ppf(1 - 0.025 / appendix_e3_attention.TESTS, 6)
    assert reach == pytest.approx(t * values.std(ddof=1) / 7**0.5)
    plans = CLAIMS["appendix-e3.attention"].statistics.values()
    assert {plan.comparisons for plan in plans} == {appendix_e3_attention.TESTS}
