"""Every combination of a grid is a job, with a name that stays."""

# pyright: reportAttributeAccessIssue=false

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from circuits.training.records import as_json
from circuits.training.sweeps.grid import grid_jobs, job_name, read_grid, shorthand
from tests.training.sweeps.jobs import GRID, changed


def test_every_combination_is_a_job():
    jobs = grid_jobs(GRID)
    assert len({job.name for job in jobs}) == len(jobs) == 12
    job = jobs[-1]
    assert job.values == {"task.examples": 256, "objective": "mtp3", "seed": 2}
    assert re.fullmatch(r"mtp3-examples256-seed2-[0-9a-f]{10}", job.name)
    config = job.config
    assert (config.task.examples, config.objective.name, config.objective.heads) == (256, "mtp", 3)
    assert (config.first_seed, config.steps, config.model.width, config.task.labels) == (2, 2, 8, 10)
    teacherless = grid_jobs({"preset": "tiny-mtp3", "grid": {"objective": ["teacherless", "ntp"]}})
    assert [shorthand(job.config.objective) for job in teacherless] == ["teacherless", "ntp"]
    assert {job.config.objective.heads for job in teacherless} == {1}


def test_examples_are_grids():
    folder = Path(__file__).parents[3] / "examples" / "sweeps"
    graphs = {path.stem: {job.config.task.graph for job in read_grid(path)} for path in folder.glob("*.yaml")}
    assert graphs == {"figure_2_star_cpu": {"star"}, "figure_2_tree_cpu": {"tree"}}


def test_numbers_as_yaml_reads_them(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("preset: tiny-ntp\ngrid: {optimiser.learning_rate: [1e-3, 1, 0.01]}\n")
    assert [job.config.optimiser.learning_rate for job in read_grid(path)] == [1e-3, 1.0, 0.01]
    path.write_text("preset: [")
    with pytest.raises(ValueError, match=r"grid: must be a YAML file"):
        read_grid(path)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([], "grid file: must be a mapping"),
        ({"presets": "tiny-ntp"}, "grid file: must be one of preset, set, grid, got 'presets'"),
        (GRID | {"preset": "huge"}, "preset: must be one of e3-ntp"),
        (GRID | {"set": [1]}, "set: must be a mapping"),
        (changed("set", task__lables=3), "task.lables: must be a field of a training config"),
        (changed("set", task=3), "task: must be a field of a training config"),
        (changed("set", steps__more=3), "steps.more: must be a field of a training config"),
        (GRID | {"set": {3: 3}}, "field: must be a field of a training config"),
        (changed("set", task__labels="12"), "task.labels: must be of type int, got '12'"),
        (changed("set", steps=True), "steps: must be of type int, got True"),
        (changed("set", steps=0), "steps: must be an integer at least 1, got 0"),
        (changed("set", first_seed=1), "first_seed: must be called seed, got 1"),
        (changed("set", task__examples=64), "task.examples: must be in set or in grid, not in both"),
        ({"preset": "dag-ntp", "grid": {"seed": [0]}}, "task.graph: must be star or tree in a sweep, got 'dag'"),
        (changed("set", seeds=2), "seeds: must be 1 where seed is in the grid, got 2"),
        (changed("grid", seed=[]), "seed: must be a list of values, got []"),
        (changed("grid", seed=3), "seed: must be a list of values, got 3"),
        (changed("grid", seed=[-1]), "first_seed: must be an integer"),
        (changed("grid", objective=["mtp1"]), "objective: must be ntp, teacherless, or mtp2, mtp3, ..., got 'mtp1'"),
        (changed("grid", seed=[0, 0]), "grid: must give each job once, got 'ntp-examples64-seed0-"),
    ],
)
def test_invalid_grids_are_refused(grid, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        grid_jobs(grid)


def test_names_are_unique_and_stable():
    varied = {
        "task.examples": [1024, 10**6],
        "optimiser.learning_rate": [1e-6, 0.123456789],
        "objective": ["mtp2", "teacherless"],
        "seed": [0, 9],
    }
    names = [job.name for job in grid_jobs({"preset": "tiny-ntp", "grid": varied})]
    assert len(set(names)) == len(names) == 16
    turned = {name: varied[name][::-1] for name in reversed(varied)}
    assert {job.name for job in grid_jobs({"preset": "tiny-ntp", "grid": turned})} == set(names)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,90}", name) for name in names)
    other = grid_jobs({"preset": "tiny-ntp", "set": {"steps": 7}, "grid": varied})
    assert not {job.name for job in other} & set(names)


def test_names_hash_the_config_and_are_names_of_files():
    job = grid_jobs(GRID)[0]
    text = json.dumps(as_json(job.config), sort_keys=True)
    assert sha256(text.encode()).hexdigest()[:10] == job.name.split("-")[-1]
    path = job_name({"task.data": "/a b/../ü.txt", "seed": 1}, job.config)
    assert re.fullmatch(r"data_a_b_\.\._\.txt-seed1-[0-9a-f]{10}", path)
