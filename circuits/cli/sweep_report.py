"""Table and figure of ``circuits sweep``."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from rich.table import Table

from circuits import checks
from circuits.plotting.style import COLOURS
from circuits.plotting.sweeps import SweepLine, SweepPanel, SweepPoint, accuracy_panels, short_number
from circuits.tasks.baselines import chance
from circuits.tasks.task import build_task
from circuits.training.sweeps.grid import Job, shorthand
from circuits.training.sweeps.results import PARAMETERS, Cell, Estimate, num_parameters, table


def as_table(cells: Sequence[Cell]) -> Table:
    """Return a table of the means with their intervals, and the number of finished seeds."""
    titles = {"test_exact": "whole\nanswer %", "test_hard": "branching\ntokens %", "train_exact": "trained\non %"}
    drawn = Table(title="mean over seeds ± 90% interval")
    for name in (*(name.split(".")[-1] for name in cells[0].values), "size", *titles.values(), "n"):
        drawn.add_column(name, justify="right", no_wrap=name not in titles.values())
    for cell in cells:
        row = [*map(str, cell.values.values()), short_number(num_parameters(cell.config))]
        row += [_percent(cell.measures[name]) if name in cell.measures else "" for name in titles]
        drawn.add_row(*row, f"{cell.n}" if cell.n == cell.seeds else f"{cell.n}/{cell.seeds}")
    return drawn


def check_x(x: str, jobs: Sequence[Job]) -> None:
    """Raise ValueError unless x is a positive number that differs between the points of each line."""
    cells = table(jobs, {})
    numbers = [name for name, value in cells[0].values.items() if type(value) in (int, float)]
    usable = all(x == PARAMETERS or type(cell.values.get(x)) in (int, float) for cell in cells)
    checks.require(usable, "x", f"must be {PARAMETERS}, or a number in the grid: {', '.join(numbers)}", x)
    smallest = min(_x_value(cell, x) for cell in cells)
    checks.require(smallest > 0, "x", f"must be positive on a logarithmic axis; {x} is", smallest)
    objectives = len({shorthand(cell.config.objective) for cell in cells})
    checks.require(objectives <= len(COLOURS), "objective", f"must be at most {len(COLOURS)} in a figure", objectives)
    points = [(_panel(cell, x), shorthand(cell.config.objective), _x_value(cell, x)) for cell in cells]
    twice = next((point for point in points if points.count(point) > 1), None)
    checks.require(twice is None, "x", f"must differ between the points of a line; two are at {twice}", x)


def sweep_figure(cells: Sequence[Cell], x: str) -> Figure | None:
    """Draw accuracy against x, with a line for each objective and a panel for each other setting.

    Returns None if no run is finished.
    """
    objectives = list(dict.fromkeys(shorthand(cell.config.objective) for cell in cells))
    finished = [cell for cell in cells if cell.n]
    panels = []
    for name in dict.fromkeys(_panel(cell, x) for cell in finished):
        inside = [cell for cell in finished if _panel(cell, x) == name]
        guesses = {float(chance(build_task(cell.config.task).format, sees_goal=True).exact) for cell in inside}
        lines = [_line(inside, objective, number, x) for number, objective in enumerate(objectives)]
        lines = [line for line in lines if line.points]
        panels.append(SweepPanel(name, lines, guesses.pop() if len(guesses) == 1 else None))
    if not panels:
        return None
    missing = sum(cell.seeds - cell.n for cell in cells)
    note = "Mean over seeds with its 90% interval; small dots are seeds." + f" {missing} are missing." * bool(missing)
    labels = {PARAMETERS: "parameters", "task.examples": "training problems"}
    return accuracy_panels(panels, labels.get(x, x), note=note)


def _line(cells: Sequence[Cell], objective: str, colour: int, x: str) -> SweepLine:
    mine = sorted(
        (_x_value(c, x), c.measures["test_exact"]) for c in cells if shorthand(c.config.objective) == objective
    )
    return SweepLine(objective, [SweepPoint(at, *estimate) for at, estimate in mine], colour)


def _panel(cell: Cell, x: str) -> str:
    """Name the setting without x and the objective; as x, "parameters" stands for all fields of the model."""
    left_out = {x, "objective"} | {name for name in cell.values if x == PARAMETERS and name.startswith("model.")}
    return ", ".join(f"{name} {value}" for name, value in cell.values.items() if name not in left_out)


def _x_value(cell: Cell, x: str) -> float:
    return float(num_parameters(cell.config) if x == PARAMETERS else cell.values[x])


def _percent(estimate: Estimate) -> str:
    mean, half = 100 * estimate.mean, 100 * estimate.half
    return f"{mean:.1f}" if half != half else f"{mean:.1f} ± {half:.1f}"
