"""Runs of standard transformers that are kept: their configs, and how often they are right at their end.

``measured/transformers/<set>/<run>/`` holds the config.json and metrics.jsonl that ``circuits train`` or ``circuits
sweep`` left, and where there is one the evaluation.json of ``circuits evaluate``. Nothing is trained or decoded here.
"""

import json
from functools import cache
from math import nan
from pathlib import Path
from typing import NamedTuple

from circuits import checks
from circuits.training.config import TrainConfig
from circuits.training.run_folder import read_config, read_metrics
from proofs_check.ledger import data
from proofs_check.ledger.statistics import Counts, Intervals, Sample

UNMEASURED = Intervals(nan, nan, 1.0)
"""What is known without runs: nothing, so that whatever rests on it is undecided."""
SEEDS = 3
"""Of every cell of an experiment, as in Figure 2; as many as the plans in the registry count."""


class Run(NamedTuple):
    """One seed of a finished run, and how it stands at its end."""

    name: str
    config: TrainConfig
    problems: int
    exact: int
    """How many greedy answers to test problems are right."""
    train_problems: int
    train_exact: int

    @property
    def heads(self) -> int:
        return self.config.objective.heads

    @property
    def examples(self) -> int:
        return self.config.task.examples

    @property
    def seed(self) -> int:
        return self.config.first_seed

    @property
    def millions(self) -> float:
        """Parameters of the blocks, 12 d² L for the usual widths: the number by which models are named."""
        shape = self.config.model
        shared = shape.key_heads * shape.head_width
        mlp = (3 if shape.activation == "swiglu" else 2) * shape.width * shape.hidden
        return shape.layers * (2 * shape.width**2 + 2 * shape.width * shared + mlp) / 1e6


Cell = tuple[Run, ...]
"""Runs that differ in their seed alone."""


class Setting(NamedTuple):
    """What the paper says of an experiment, Appendix E. None: it is varied."""

    graph: str
    paths: int
    nodes: int
    epochs: int
    batch: int
    learning_rate: float
    millions: float | None
    examples: int | None


E3 = Setting("star", 5, 5, 40, 1024, 1e-4, 25, 1_000_000)
FIGURE_2_STAR = Setting("star", 2, 5, 100, 256, 1e-4, 16, None)
FIGURE_2_TREE = Setting("tree", 2, 5, 100, 256, 1e-4, None, None)


def in_setting(folder: str, setting: Setting) -> tuple[Run, ...]:
    """The finished runs of a set, all of the paper's setting; none as long as they are planned.

    Sizes of models may be off by 10%, epochs by 1%, for whole layers and batches. Raises ValueError naming the run.
    """
    runs = finished(folder)
    for run in runs:
        config, task = run.config, run.config.task
        found = (task.graph, getattr(task, "paths", 2), task.nodes, config.batch, config.optimiser.learning_rate)
        wanted = (star.graph, star.paths, star.nodes, star.batch, star.learning_rate)
        rule = f"must have graph, paths, nodes, batch, learning rate {wanted}"
        checks.require(found == wanted, f"{folder}/{run.name}", rule, found)
        epochs = config.steps * config.batch / max(run.examples, 1)
        trained = abs(epochs - star.epochs) <= star.epochs / 100
        checks.require(trained, f"{folder}/{run.name}", f"must be trained for {star.epochs} epochs", epochs)
        fits = star.millions is None or abs(run.millions - star.millions) <= star.millions / 10
        checks.require(fits, f"{folder}/{run.name}", f"must have {star.millions} million parameters", run.millions)
        fits = star.examples in (None, run.examples)
        checks.require(fits, f"{folder}/{run.name}", f"must have {star.examples} training problems", run.examples)
    return runs


def whole(runs: Cell) -> Cell:
    """The same runs if they are of ``SEEDS`` different seeds, else none: a cell is read once it is complete."""
    seeds = [run.seed for run in runs]
    checks.require(len(set(seeds)) == len(seeds) <= SEEDS, "runs", f"must be of {SEEDS} different seeds", seeds)
    return runs if len(seeds) == SEEDS else ()


def wrong(runs: Cell) -> Sample:
    """Shares of wrong answers to test problems."""
    return _counts([(run.problems - run.exact, run.problems) for run in runs])


def train_wrong(runs: Cell) -> Sample:
    """Shares of wrong answers to training problems."""
    return _counts([(run.train_problems - run.train_exact, run.train_problems) for run in runs])


def right(runs: Cell, around: float) -> Sample:
    """How far shares of right answers to test problems are from ``around``."""
    return _counts([(run.exact, run.problems) for run in runs], around)


def train_right(runs: Cell, around: float) -> Sample:
    """How far shares of right answers to training problems are from ``around``."""
    return _counts([(run.train_exact, run.train_problems) for run in runs], around)


def _counts(found: list[tuple[int, int]], around: float | None = None) -> Sample:
    if not found:
        return UNMEASURED
    trials = {problems for _, problems in found}
    checks.require(len(trials) == 1, "runs", "must be evaluated on as many problems", sorted(trials))
    return Counts([count for count, _ in found], trials.pop(), around)


@cache
def finished(folder: str, at: int = -1) -> tuple[Run, ...]:
    """The runs of a set at an evaluation, the last if not said otherwise, in the order of their names.

    The last evaluation is that of evaluation.json where there is one: it has more problems. Raises ValueError for files
    that the manifest does not bear out, a run that is not finished or has several seeds, or an evaluation of something
    else.
    """
    return tuple(_read(path, at) for path in data.verified_folders(f"transformers/{folder}"))


def _read(folder: Path, at: int) -> Run:
    config, records = read_config(folder, TrainConfig), read_metrics(folder)
    last, problems = records[at], config.test_examples
    ended = records[-1]["step"] == config.steps and config.seeds == 1
    checks.require(ended, str(folder), f"must be a finished run of one seed, {config.steps} steps", records[-1]["step"])
    exact, evaluation = last["test_exact"], folder / "evaluation.json"
    if at == -1 and evaluation.exists():
        final = json.loads(evaluation.read_text(encoding="utf-8"))[0]
        of = final["notes"]["step"], final["notes"]["seed"], final["split"]
        wanted = config.steps, config.first_seed, "test"
        checks.require(of == wanted, str(evaluation), f"must be of step, seed and split {wanted}", of)
        exact, problems = final["exact"], final["examples"]
    train = config.test_examples
    return Run(folder.name, config, problems, round(exact * problems), train, round(last["train_exact"] * train))
