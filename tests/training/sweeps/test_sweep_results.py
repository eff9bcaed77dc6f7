"""Means over seeds, and their intervals."""

import csv
import io

import jax
import numpy as np
from scipy import stats

from circuits.tasks.task import build_task
from circuits.training.step import initial_state
from circuits.training.sweeps.grid import grid_jobs
from circuits.training.sweeps.pool import prepare
from circuits.training.sweeps.results import MEASURES, as_csv, estimate, final_metrics, num_parameters, table
from tests.training.sweeps import jobs as small
from tests.training.sweeps.jobs import GRID, finish


def test_intervals_are_those_of_student():
    values = [0.5, 0.9, 0.97]
    result = estimate(values)
    low, high = stats.t.interval(0.9, 2, loc=np.mean(values), scale=stats.sem(values))
    np.testing.assert_allclose((result.mean - result.half, result.mean + result.half), (low, high), rtol=1e-12)
    assert result.values == tuple(values)
    assert np.isnan(estimate([0.5]).half)


def test_means_over_the_seeds_that_are_finished(tmp_path):
    assert MEASURES == small.MEASURES
    jobs = prepare(tmp_path, grid_jobs(GRID))
    for job, exact in zip(jobs, (0.2, 0.4, 0.9, 0.75), strict=False):
        finish(tmp_path / "runs" / job.name, job.config.first_seed, test_exact=exact)
    metrics = final_metrics(tmp_path, jobs)
    assert {name: [line["seed"] for line in lines] for name, lines in metrics.items()} == {
        job.name: [job.config.first_seed] for job in jobs[:4]
    }
    cells = table(jobs, metrics)
    assert [(cell.n, cell.seeds) for cell in cells] == [(3, 3), (1, 3), (0, 3), (0, 3)]
    assert cells[0].values == {"task.examples": 64, "objective": "ntp"}
    assert cells[0].measures["test_exact"] == estimate([0.2, 0.4, 0.9])
    assert cells[1].measures["test_exact"].mean == 0.75
    lines = list(csv.DictReader(io.StringIO(as_csv(cells))))
    assert [line["n"] for line in lines] == ["3", "1", "0", "0"]
    assert float(lines[0]["test_exact_half_width_90"]) == estimate([0.2, 0.4, 0.9]).half
    assert lines[1]["test_exact_half_width_90"] == lines[2]["test_exact_mean"] == ""
    assert (lines[0]["task.examples"], lines[0]["objective"]) == ("64", "ntp")


def test_parameters_are_those_of_the_model():
    config = grid_jobs(GRID)[-1].config
    leaves = jax.tree.leaves(jax.eval_shape(lambda: initial_state(config, build_task(config.task), 0).params))
    assert num_parameters(config) == sum(leaf.size for leaf in leaves) > 1000
