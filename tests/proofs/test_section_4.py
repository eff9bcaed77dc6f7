"""Claims on standard transformers: made-up runs move their evidence, and the kept ones are what they say."""

import json
from dataclasses import replace
from math import isnan

import pytest

from circuits.transformer.training import run_folder
from circuits.transformer.training.presets import MTP, PRESETS
from proofs_check import section_4, transformer_runs
from proofs_check.evidence import verdict

STAR = PRESETS["star-2x5-ntp"][1]


@pytest.fixture(autouse=True)
def no_memory():
    transformer_runs.finished.cache_clear()
    yield
    transformer_runs.finished.cache_clear()


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Writes a run into a folder of its own that stands for the kept ones."""
    monkeypatch.setattr(transformer_runs, "MEASURED", tmp_path)

    def write(group, heads, seed, exact, hard, examples=0, base=STAR):
        objective = replace(MTP, heads=heads) if heads > 1 else STAR.objective
        task = replace(base.task, examples=examples)
        config = replace(base, objective=objective, first_seed=seed, task=task)
        folder = tmp_path / group / f"{heads}-{examples}-{seed}"
        run_folder.claim(folder, config, resume=False)
        first = {"step": 1, "test_exact": 0.0, "test_hard": 0.1, "train_exact": 0.0, "device": "made up"}
        last = {**first, "step": config.steps, "test_exact": exact, "test_hard": hard, "train_exact": exact}
        run_folder.append_metrics(folder, [first, last])
        return folder

    return write


def pair(kept, multi=1.0, single=0.5):
    for seed in range(3):
        kept("pair", 3, seed, multi, multi)
        kept("pair", 1, seed, single, single)


def shown(findings):
    return [item.shows for item in findings.evidence]


def test_the_paper_s_size_stays_undecided_and_so_does_the_claim(kept):
    pair(kept)
    found = section_4.appendix_e3_accuracy()
    assert shown(found) == ["undecided", "undecided", "supports", "supports"]
    assert isnan(found.evidence[0].value)
    assert verdict(found.evidence) == "open"
    assert all(control.rejected for control in found.controls)


@pytest.mark.parametrize(
    ("multi", "single", "expected"),
    [
        (0.95, 0.5, ["contradicts", "supports"]),  # 3-MTP short of 99%
        (1.0, 0.7, ["supports", "contradicts"]),  # NTP beyond chance
        (0.99, 0.5, ["undecided", "supports"]),  # at the bound, 1,024 problems do not decide
        (1.0, 0.46, ["supports", "undecided"]),
    ],
)
def test_each_part_can_be_refuted(kept, multi, single, expected):
    pair(kept, multi, single)
    assert shown(section_4.appendix_e3_accuracy())[2:] == expected


def test_one_bad_seed_is_enough(kept):
    pair(kept)
    kept("pair", 3, 7, 0.9, 0.9)
    kept("pair", 1, 7, 0.8, 0.8)
    assert shown(section_4.appendix_e3_accuracy())[2:] == ["contradicts", "contradicts"]


def test_a_final_evaluation_takes_the_place_of_the_last(kept):
    pair(kept)
    folder = kept("pair", 3, 9, 1.0, 1.0)
    final = {"examples": 100, "exact": 0.5, "hard": 0.6, "device": "other", "split": "test"}
    final["notes"] = {"step": STAR.steps, "seed": 9}
    (folder / "evaluation.json").write_text(json.dumps([final]))
    run = next(run for run in transformer_runs.finished("pair") if run.name == folder.name)
    assert (run.problems, run.exact, run.hard, run.device) == (100, 50, 60, "other")
    assert shown(section_4.appendix_e3_accuracy())[2] == "contradicts"


@pytest.mark.parametrize(
    "change", [{"split": "train"}, {"notes": {"step": 5, "seed": 9}}, {"notes": {"step": STAR.steps, "seed": 0}}]
)
def test_an_evaluation_of_something_else_is_refused(kept, change):
    folder = kept("pair", 3, 9, 1.0, 1.0)
    final = {"examples": 100, "exact": 0.5, "hard": 0.6, "device": "other", "split": "test"}
    final["notes"] = {"step": STAR.steps, "seed": 9}
    (folder / "evaluation.json").write_text(json.dumps([final | change]))
    with pytest.raises(ValueError, match=r"evaluation\.json: must be of step, seed and split"):
        transformer_runs.finished("pair")


def test_a_run_that_is_not_finished_is_refused(kept):
    folder = kept("pair", 3, 0, 1.0, 1.0)
    run_folder.cut_metrics(folder, 1)
    with pytest.raises(ValueError, match=f"must be a finished run of one seed, {STAR.steps} steps, got 1"):
        transformer_runs.finished("pair")


@pytest.mark.parametrize(("multi", "single", "expected"), [(1.0, 0.2, "holds"), (1.0, 0.5, "open"), (0.8, 0.2, "open")])
def test_runs_of_the_paper_s_size_decide(kept, multi, single, expected):
    pair(kept)
    for seed in range(3):
        kept("e3", 3, seed, multi, multi, 1_000_000, PRESETS["e3-mtp3"][1])
        kept("e3", 1, seed, single, single, 1_000_000, PRESETS["e3-ntp"][1])
    assert verdict(section_4.appendix_e3_accuracy().evidence) == expected


def test_stars_ask_for_chance_at_every_size_and_for_success_with_fresh_problems(kept):
    pair(kept)
    for seed in range(3):
        for examples, multi in ((1000, 0.2), (64000, 1.0)):
            kept("star", 2, seed, multi, multi, examples)
            kept("star", 1, seed, 0.5, 0.5, examples)
    found = section_4.figure_2_star()
    assert shown(found) == ["undecided", "undecided", *["supports"] * 4]
    assert all(control.rejected for control in found.controls)
    kept("star", 1, 3, 0.3, 0.3, 1000)
    transformer_runs.finished.cache_clear()
    assert shown(section_4.figure_2_star())[2] == "contradicts"


@pytest.mark.parametrize(
    ("multi", "single", "expected"),
    [
        ((0.9, 0.91, 0.92), (0.5, 0.51, 0.49), "supports"),
        ((0.5, 0.51, 0.49), (0.9, 0.91, 0.92), "contradicts"),
        ((0.5, 0.9, 0.7), (0.6, 0.65, 0.55), "undecided"),
    ],
)
def test_trees_compare_means_over_seeds(kept, multi, single, expected):
    for seed in range(3):
        kept("tree", 3, seed, multi[seed], multi[seed], 8000)
        kept("tree", 1, seed, single[seed], single[seed], 8000)
    found = section_4.figure_2_tree()
    assert shown(found) == ["undecided", expected]
    assert all(control.rejected for control in found.controls)


def test_parameters_of_the_blocks():
    assert transformer_runs.block_parameters(PRESETS["e3-ntp"][1]) == 12 * 512**2 * 8  # 25M
    assert transformer_runs.block_parameters(STAR) == 12 * 64**2 * 8


@pytest.mark.parametrize("group", ["pair", "star", "tree"])
def test_the_kept_runs_are_finished_and_alike_but_for_what_is_compared(group):
    runs = transformer_runs.finished(group)
    assert {run.config.first_seed for run in runs} == {0, 1, 2}
    same = {"first_seed": 0, "objective": STAR.objective}
    alike = {(run.config.task.examples, replace(run.config, **same)) for run in runs}
    assert len(alike) == len({run.config.task.examples for run in runs})  # more examples may have more steps
    for run in runs:
        folder = transformer_runs.MEASURED / group / run.name
        assert run_folder.read_metrics(folder)[-1]["step"] == run.config.steps
    cells = [(run.config.objective, run.config.task.examples) for run in runs]
    assert all(cells.count(cell) == 3 for cell in cells)
    assert {run.device for run in runs} == {"1 x x86_64 cpu"}
