"""Carry out ``circuits probe adjacency``: find the matrices that hold powers or reachability of a graph."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console

from circuits import checks
from circuits.cli import usage
from circuits.cli.checkpoint import open_checkpoint, progress_bars
from circuits.cli.options import print_written
from circuits.cli.probe import AdjacencyOptions
from circuits.cli.probe_adjacency_inputs import Plan, make_plan, title_of
from circuits.cli.probe_adjacency_report import figures, report, table, training_figure
from circuits.files import check_folder, write_text, writing
from circuits.plotting import write_figure
from circuits.probes import NamedMatrices, find_powers
from circuits.probes.adjacency.gather import Model, constant_matrices, matrices_of_untrained, select_matrices
from circuits.probes.adjacency.training import PowerStrength, power_strength
from circuits.training.stored import kept_steps

TRAINING_DRAWS = 200
"""Renamed graphs at each checkpoint."""


def probe_adjacency(options: AdjacencyOptions) -> int:
    """Probe a checkpoint for a graph, and write and print the results."""
    screen = Console(highlight=False)
    with usage():
        check_folder(options.out)
        steps = _steps(options)
        opened = open_checkpoint(options.checkpoint, options.step, options.seed)
        plan = make_plan(opened, options)
        gathered = plan.gather(opened.model)
        varying = ~constant_matrices(gathered)
        checks.require(bool(varying.any()), "matrices", "must not all have constant rows", list(gathered.names))
    title = title_of(opened, plan)
    matrices, constant = select_matrices(gathered, varying), select_matrices(gathered, ~varying).names
    values, fresh = np.asarray(matrices.values, np.float64), None
    with progress_bars(screen) as add_bar:
        if plan.untrained:

            def gather(model: Model) -> NamedMatrices:
                return select_matrices(plan.gather(model), varying)

            bar = add_bar("untrained models", plan.untrained)
            fresh = matrices_of_untrained(gather, opened.model.config, plan.untrained, on_progress=bar)
        findings = find_powers(values, plan.references, fresh=fresh, draws=options.draws, level=options.level)
        course = _over_training(options, plan, steps, add_bar("checkpoints", len(steps)))
    drawn = figures(title, matrices.names, values, findings)
    if course:
        drawn["over-training"] = training_figure(opened.name.split(",")[0], course)
    content = report(title, plan, matrices.names, constant, findings, course)
    with usage(), writing(options.out):
        write_text(options.out / "adjacency.json", json.dumps(content, indent=2, allow_nan=False) + "\n")
        for name, figure in drawn.items():
            write_figure(options.out, name, figure)
    screen.print(table(title, matrices.names, findings))
    if constant:
        screen.print(f"omitted, because their rows are constant: {', '.join(constant)}", soft_wrap=True, markup=False)
    print_written(screen, options.out, ["adjacency.json", *(f"{name}.{{pdf,png}}" for name in drawn)])
    return 0


def _steps(options: AdjacencyOptions) -> list[int]:
    """Return the training steps of ``--over-training``; none without it."""
    if not options.over_training:
        return []
    steps = kept_steps(Path(options.checkpoint))
    rule = "must be left out for a run that kept fewer than 2 checkpoints: train with --keep-every"
    checks.require(len(steps) >= 2, "over_training", rule, options.checkpoint)
    return steps


def _over_training(
    options: AdjacencyOptions, plan: Plan, steps: list[int], on_progress: Callable[[int], None]
) -> dict[int, PowerStrength]:
    """Return the strength of each power at each step, without steps at which all matrices have constant rows."""
    course = {}
    for number, step in enumerate(steps, start=1):
        matrices = plan.gather(open_checkpoint(options.checkpoint, step, options.seed).model)
        values = np.asarray(select_matrices(matrices, ~constant_matrices(matrices)).values, np.float64)
        if len(values):
            course[step] = power_strength(values, plan.references, draws=TRAINING_DRAWS, level=options.level)
        on_progress(number)
    with usage():
        rule = "must have a step with a matrix whose rows vary"
        checks.require(bool(course) or not steps, "over_training", rule, steps)
    return course
