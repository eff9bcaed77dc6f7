"""``circuits sweep``: train every combination of a grid of settings."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from circuits.cli import usage
from circuits.cli.options import File, Folder, Integer, print_written

X = "task.examples"
"""The default horizontal axis."""


def sweep(
    grid: Annotated[Positional[Path], arg(metavar="GRID.yaml")],
    out: Folder,
    workers: Integer = None,
    figure: File = None,
    x: Annotated[str, arg(metavar="FIELD")] = X,
    slurm: Annotated[str, arg(metavar="PARTITION", help_behavior_hint="")] = "",
    hours: int = 24,
    gpus: int = 0,
) -> int:
    """Train every combination of a grid of settings, and average over seeds.

    Writes the means to DIR/results.csv, each run to a folder in DIR/runs, and why runs failed to DIR/failed.

    A repeated command skips finished runs, resumes interrupted ones and retries failed ones. Several commands at the
    same time share the runs.

    Exit code 0: no run failed. 1: a run failed. 2: bad usage. 130: interrupted.

    Example: circuits sweep examples/sweeps/figure_2_star_cpu.yaml --out sweeps/star

    Args:
        grid: YAML file with a preset, fields to set, and the values of fields to combine.
        out: folder of the sweep; created if it does not exist.
        workers: runs at a time; by default as many as CPUs, or 1 with an accelerator. 0: only show the results so far.
        figure: draw accuracy against --x into this PNG file.
        x: horizontal axis of the figure: a numeric field of the grid, or "parameters" for the size of the model.
        slurm: submit the runs to this partition of Slurm, at most --workers (by default 256) at a time, and return.
        hours: time limit of each run with --slurm.
        gpus: GPUs of each run with --slurm.
    """
    from rich.console import Console

    from circuits import checks
    from circuits.cli import sweep_report
    from circuits.files import check_writable, write_text
    from circuits.training.sweeps import pool
    from circuits.training.sweeps.grid import read_grid
    from circuits.training.sweeps.results import as_csv, final_metrics, table

    with usage():
        checks.integer("workers", 0 if workers is None else workers, 0)
        checks.integer("hours", hours, 1)
        checks.integer("gpus", gpus, 0)
        jobs = read_grid(grid)
        checks.require(figure is not None or x == X, "x", "must be left out without --figure", x)
        if figure is not None:
            check_writable("figure", figure)
            checks.require(figure.suffix == ".png", "figure", "must end in .png", str(figure))
            sweep_report.check_x(x, jobs)
        jobs = pool.prepare(out, jobs)
    screen = Console(highlight=False)
    if slurm:
        with usage():
            submitted = pool.submit(out, jobs, slurm, 256 if workers is None else workers, hours, gpus)
        screen.print(f"submitted {', '.join(submitted) or 'nothing'}", soft_wrap=True, markup=False)
        return 0
    pool.run_jobs(screen, out, jobs, pool.default_workers() if workers is None else workers)
    cells = table(jobs, final_metrics(out, jobs))
    write_text(out / "results.csv", as_csv(cells))
    screen.print(sweep_report.as_table(cells))
    failures = {job.name: reason for job in jobs if (reason := pool.failure(out, job))}
    for name, reason in failures.items():
        screen.print(f"{name}: {reason.splitlines()[0]}", style="red", soft_wrap=True, markup=False)
    if figure is not None:
        if drawn := sweep_report.sweep_figure(cells, x):
            drawn.savefig(figure, dpi=150)
            screen.print(f"wrote {figure}", soft_wrap=True, markup=False)
        else:
            screen.print("no run is finished: no figure", style="yellow")
    print_written(screen, out, ["results.csv", "runs", *(["failed"] if failures else [])])
    return int(bool(failures))
