"""``circuits sweep``: a queue of training runs, its workers, and what came out so far."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from circuits import checks
from circuits.cli import usage
from circuits.files import check_writable, write_text
from circuits.plotting.style import COLOURS
from circuits.plotting.sweeps import SweepLine, SweepPanel, SweepPoint, accuracy_panels, short_number
from circuits.tasks.baselines import chance
from circuits.training.sweeps.claims import STALE
from circuits.training.sweeps.grid import Job, read_grid, shorthand
from circuits.training.sweeps.queue import failed, freeze
from circuits.training.sweeps.results import PARAMETERS, Cell, Estimate, as_csv, parameters, results, table
from circuits.training.sweeps.workers import run_workers, submit


def sweep(
    grid: Annotated[Positional[Path], arg(metavar="GRID.yaml")],
    out: Annotated[Path, arg(metavar="DIR")],
    workers: int = 1,
    stale_minutes: float = STALE,
    figure: Annotated[Path | None, arg(metavar="FILE")] = None,
    x: str = "task.examples",
    slurm: Annotated[str, arg(metavar="PARTITION")] = "",
    jobs: int = 1,
    hours: int = 24,
    gpus: int = 0,
) -> int:
    """Train every combination of a grid, and average over seeds.

    The same command can be given several times at once, on several hosts that share the folder; they share the work.
    A sweep that was stopped goes on. Exit code 0: nothing failed. 1: a job failed, see failed/ in the folder, or a
    worker was killed. 2: bad usage. 130: interrupted.

    Args:
        grid: the preset, what is changed about it, and what is varied.
        out: folder of the sweep; made if it is not there.
        workers: processes on this host; each uses all devices that it sees. 0: only show what is there.
        stale_minutes: go on with a job of another host whose last evaluation is longer ago.
        figure: draw accuracy against x there, as a PNG.
        x: what the figure has across: a number in the grid, or "parameters".
        slurm: submit workers to this partition of Slurm, and come back at once.
        jobs: how many workers are submitted.
        hours: time limit of a submitted worker.
        gpus: of a submitted worker.
    """
    with usage():
        for name, value, least in (("workers", workers, 0), ("jobs", jobs, 1), ("hours", hours, 1), ("gpus", gpus, 0)):
            checks.integer(name, value, least)
        checks.require(stale_minutes > 0, "stale_minutes", "must be positive", stale_minutes)
        listed = read_grid(grid)
        if figure is not None:
            check_writable("figure", figure)
            checks.require(figure.suffix == ".png", "figure", "must end in .png", str(figure))
            check_x(x, listed)
        freeze(out, listed)
    screen = Console(highlight=False)
    if slurm:
        with usage():
            names = submit(out, slurm, jobs, stale_minutes, hours, gpus)
        screen.print(f"submitted {', '.join(names)}", soft_wrap=True, markup=False)
        return 0
    broken = run_workers(screen, out, listed, workers, stale_minutes)
    cells = table(results(out), listed)
    write_text(out / "results.csv", as_csv(cells))
    screen.print(as_table(cells))
    for job in listed:
        if failed(out, job).exists():
            broken += 1
            reason = failed(out, job).read_text(encoding="utf-8").strip()
            screen.print(f"{job.name}: {reason}", style="red", soft_wrap=True, markup=False)
    if figure is not None:
        if drawn := sweep_figure(cells, x):
            drawn.savefig(figure, dpi=150)
        else:
            screen.print("no job is finished: no figure", style="yellow")
    screen.print(f"wrote {out / 'results.csv'}", soft_wrap=True, markup=False)
    return int(broken > 0)


def as_table(cells: Sequence[Cell]) -> Table:
    """The means with their intervals, and how many of the seeds are there."""
    names = {"test_exact": "whole\nanswer %", "test_hard": "hard\ntokens %", "train_exact": "trained\non %"}
    drawn = Table(title="mean over seeds ± 90% interval")
    for name in (*(name.split(".")[-1] for name in cells[0].values), "size", *names.values(), "n"):
        drawn.add_column(name, justify="right", no_wrap=name not in names.values())
    for cell in cells:
        row = [*map(str, cell.values.values()), short_number(parameters(cell.config))]
        row += [_percent(cell.measures[name]) if cell.n else "" for name in names]
        drawn.add_row(*row, f"{cell.n}" if cell.n == cell.seeds else f"{cell.n}/{cell.seeds}")
    return drawn


def check_x(x: str, jobs: Sequence[Job]) -> None:
    """Raise ValueError unless x is a positive number that tells the points of each line apart."""
    cells = table([], list(jobs))
    numbers = [x == PARAMETERS or type(cell.values.get(x)) in (int, float) for cell in cells]
    options = [name for name in cells[0].values if type(cells[0].values[name]) in (int, float)]
    checks.require(all(numbers), "x", f"must be {PARAMETERS}, or a number in the grid: {', '.join(options)}", x)
    values = [_across(cell, x) for cell in cells]
    checks.require(min(values) > 0, "x", f"must be positive on a logarithmic axis; {x} is", min(values))
    most = len({shorthand(cell.config.objective) for cell in cells})
    checks.require(most <= len(COLOURS), "objective", f"must be at most {len(COLOURS)} in a figure", most)
    points = [(_panel(cell, x), shorthand(cell.config.objective), _across(cell, x)) for cell in cells]
    twice = next((point for point in points if points.count(point) > 1), None)
    checks.require(twice is None, "x", f"must tell the points of a line apart; two are at {twice}", x)


def sweep_figure(cells: Sequence[Cell], x: str) -> Figure | None:
    """Accuracy against x with a line for each objective and a panel for each other setting; None without results."""
    objectives = list(dict.fromkeys(shorthand(cell.config.objective) for cell in cells))
    there = [cell for cell in cells if cell.n]
    panels = []
    for name in dict.fromkeys(_panel(cell, x) for cell in there):
        inside = [cell for cell in there if _panel(cell, x) == name]
        guesses = {float(chance(cell.config.task.format, sees_goal=True).exact) for cell in inside}
        lines = [_line(inside, objective, number, x) for number, objective in enumerate(objectives)]
        lines = [line for line in lines if line.points]
        panels.append(SweepPanel(name, lines, guesses.pop() if len(guesses) == 1 else None))
    if not panels:
        return None
    missing = sum(cell.seeds - cell.n for cell in cells)
    note = "Mean over seeds with its 90% interval; small dots are seeds." + f" {missing} are missing." * bool(missing)
    words = {PARAMETERS: "parameters", "task.examples": "training problems"}
    return accuracy_panels(panels, words.get(x, x), note=note)


def _line(cells: Sequence[Cell], objective: str, colour: int, x: str) -> SweepLine:
    mine = sorted((c for c in cells if shorthand(c.config.objective) == objective), key=lambda c: _across(c, x))
    found = [(_across(cell, x), cell.measures["test_exact"]) for cell in mine]
    return SweepLine(objective, [SweepPoint(at, one.mean, one.half, one.values) for at, one in found], colour)


def _panel(cell: Cell, x: str) -> str:
    """What else is varied. The number of parameters stands for all of the model."""
    inside = {x, "objective"} | {name for name in cell.values if x == PARAMETERS and name.startswith("model.")}
    return ", ".join(f"{name} {value}" for name, value in cell.values.items() if name not in inside)


def _across(cell: Cell, x: str) -> float:
    return float(parameters(cell.config) if x == PARAMETERS else cell.values[x])


def _percent(found: Estimate) -> str:
    mean, half = 100 * found.mean, 100 * found.half
    return f"{mean:.1f}" if half != half else f"{mean:.1f} ± {half:.1f}"
