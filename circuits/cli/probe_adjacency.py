"""``circuits probe adjacency``: which matrices of a checkpoint hold powers or reachability of a graph?"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.console import Console
from tyro.conf import Positional, arg

from circuits import checks
from circuits.cli import usage
from circuits.cli.checkpoint import by_seed, open_checkpoint, progress
from circuits.cli.probe_adjacency_inputs import Plan, made_plan, title
from circuits.cli.probe_adjacency_report import figures, report, table, training_figure
from circuits.files import check_folder, write_text, writing
from circuits.plotting.style import write_figure
from circuits.probes.adjacency.find import find_powers
from circuits.probes.adjacency.gather import Model, constant_matrices, matrices_of_untrained, select_matrices
from circuits.probes.adjacency.node_space import NamedMatrices
from circuits.probes.adjacency.training import PowerStrength, power_strength
from circuits.training.stored import kept_steps, read_run

TRAINING_DRAWS = 200
"""Renamed graphs at each checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Adjacency:
    """Which power of a graph's adjacency matrix, or reachability, each matrix of a checkpoint holds, if not by chance.

    Writes adjacency.json and figures, and prints the matrices that agree best. The graph is that of the training where
    the checkpoint was trained on walks in one graph.

    Args:
        checkpoint: a run, a saved model, a folder in the Hugging Face layout, or a GGUF file.
        out: folder for adjacency.json and the figures; made if it is not there.
        graph: an edge list, "u v" a line, or GraphML; needed unless the checkpoint was trained on one graph. Of a model
            of walks it has as many nodes as theirs; of one of other labels its nodes may be the first of them.
        node_tokens: the token of each node, one a line in node order; needed for a language model.
        powers: of the adjacency matrix, from 1 to so many.
        draws: renamed graphs, rewired graphs and resamples.
        level: rate of false findings, over all matrices and references together.
        sources: of matrices, with commas between them: heads, transfer, layers, jacobian. Empty: all but jacobian that
            the model has.
        head: the prediction head whose logits are read, from 1.
        examples: problems on which Jacobians are measured.
        untrained: models with fresh parameters to compare with; 0 for none. 39 if left out, but none for models of
            other people.
        step: of a run; the latest if left out.
        seed: of a run; the first if left out.
        over_training: also score every checkpoint that a run kept.
    """

    checkpoint: Annotated[Positional[Path], arg(metavar="CHECKPOINT")]
    out: Annotated[Path, arg(metavar="DIR")]
    graph: Path | None = None
    node_tokens: Path | None = None
    powers: int = 4
    draws: int = 1000
    level: float = 0.05
    sources: str = ""
    head: int = 1
    examples: int = 64
    untrained: int | None = None
    step: int | None = None
    seed: int | None = None
    over_training: bool = False


def adjacency(asked: Adjacency) -> int:
    """Probe a checkpoint."""
    screen = Console(highlight=False)
    with usage():
        check_folder(asked.out)
        steps = _steps(asked)
        opened = open_checkpoint(asked.checkpoint, asked.step, asked.seed)
        plan = made_plan(
            opened,
            graph=asked.graph,
            node_tokens=asked.node_tokens,
            powers=asked.powers,
            sources=asked.sources,
            examples=asked.examples,
            untrained=asked.untrained,
            head=asked.head,
        )
    name = title(opened, plan)
    with progress(screen) as part, usage():
        every = plan.gather(opened.model)
        kept = ~constant_matrices(every)
        checks.require(bool(kept.any()), "matrices", "must not all have constant rows", list(every.names))
        named, flat = select_matrices(every, kept), select_matrices(every, ~kept).names
        values, fresh = np.asarray(named.values, np.float64), None
        if plan.untrained:
            show = part("untrained models", plan.untrained)
            of: Callable[[Model], NamedMatrices] = lambda model: select_matrices(plan.gather(model), kept)  # noqa: E731
            fresh = matrices_of_untrained(of, opened.model.config, plan.untrained, show=show)
        found = find_powers(values, plan.given, fresh=fresh, draws=asked.draws, level=asked.level)
        course = _course(asked, plan, steps, part("checkpoints", len(steps)))
    drawn = figures(name, named.names, values, found)
    if course:
        drawn["over-training"] = training_figure(opened.name.split(",")[0], course)
    text = json.dumps(report(name, plan, named.names, flat, found, course), indent=2, allow_nan=False)
    with usage(), writing(asked.out):
        write_text(asked.out / "adjacency.json", text + "\n")
        for file, figure in drawn.items():
            write_figure(asked.out, file, figure)
    screen.print(table(name, named.names, found))
    if flat:
        screen.print(f"left out, for their rows are constant: {', '.join(flat)}", soft_wrap=True, markup=False)
    screen.print(f"wrote {asked.out}", soft_wrap=True, markup=False)
    return 0


def _steps(asked: Adjacency) -> list[int]:
    """The steps to follow, none unless asked for."""
    if not asked.over_training:
        return []
    steps = kept_steps(asked.checkpoint)
    rule = "must be left out for a run that kept fewer than 2 checkpoints: train with --keep-every"
    checks.require(len(steps) >= 2, "over_training", rule, str(asked.checkpoint))
    return steps


def _course(asked: Adjacency, plan: Plan, steps: list[int], show: Callable[[int], None]) -> dict[int, PowerStrength]:
    """How strongly each power is held at each step at which some matrix has rows that are not constant."""
    found = {}
    for number, step in enumerate(steps, start=1):
        named = plan.gather(by_seed(read_run(asked.checkpoint, step), asked.seed).model)
        values = np.asarray(select_matrices(named, ~constant_matrices(named)).values, np.float64)
        if len(values):
            found[step] = power_strength(values, plan.given, draws=TRAINING_DRAWS, level=asked.level)
        show(number)
    checks.require(bool(found) or not steps, "over_training", "must have a step with a matrix whose rows vary", steps)
    return found
