"""Stored runs of standard transformers: their configs, and their accuracy at the end.

``measured/transformers/<set>/<run>/`` holds the config.json and metrics.jsonl that ``circuits train`` or ``circuits
sweep`` wrote, and for some runs the evaluation.json of ``circuits evaluate``. Nothing is trained or decoded here.
"""

import json
from functools import cache
from math import nan
from pathlib import Path
from typing import Literal, NamedTuple

from circuits import checks
from circuits.training.config import TrainConfig
from circuits.training.run_folder import read_config, read_metrics
from proofs_check.ledger import Counts, Intervals, Sample, data

UNMEASURED = Intervals(nan, nan, 1.0)
"""The sample of no runs, which leaves a statement undecided."""
SEEDS = 3
"""Number of seeds in every cell of an experiment, as in Figure 2; the plans in the registry count as many."""


class Run(NamedTuple):
    """One seed of a finished run, with its numbers of right greedy answers and of problems at the end."""

    name: str
    config: TrainConfig
    problems: int
    exact: int
    train_problems: int
    train_exact: int

    @property
    def heads(self) -> int:
        return self.config.objective.heads

    @property
    def examples(self) -> int:
        return getattr(self.config.task, "examples", 0)

    @property
    def seed(self) -> int:
        return self.config.first_seed

    @property
    def millions(self) -> float:
        """Parameters of the blocks, 12 d² L for the usual widths: the number that models are named by."""
        model = self.config.model
        shared = model.key_heads * model.head_width
        mlp = (3 if model.activation == "swiglu" else 2) * model.width * model.hidden
        return model.layers * (2 * model.width**2 + 2 * model.width * shared + mlp) / 1e6


Split = Literal["test", "train"]
Cell = tuple[Run, ...]
"""Runs that differ in their seed alone."""


class Setting(NamedTuple):
    """What Appendix E of the paper says about an experiment. None: it is varied."""

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
    """Return the finished runs of a set, which must be in the paper's setting; none while they are only planned.

    Numbers of layers and batches are integers, so sizes of models may differ by 10% and epochs by 1%. Raises ValueError
    naming the run.
    """
    runs = finished(folder)
    for run in runs:
        config, task, name = run.config, run.config.task, f"{folder}/{run.name}"
        shape = task.graph, getattr(task, "paths", 2), getattr(task, "nodes", None)
        actual = (*shape, config.batch, config.optimiser.learning_rate)
        wanted = (setting.graph, setting.paths, setting.nodes, setting.batch, setting.learning_rate)
        checks.require(actual == wanted, name, f"must have graph, paths, nodes, batch, learning rate {wanted}", actual)
        epochs = config.steps * config.batch / max(run.examples, 1)
        trained = abs(epochs - setting.epochs) <= setting.epochs / 100
        checks.require(trained, name, f"must be trained for {setting.epochs} epochs", epochs)
        fits = setting.millions is None or abs(run.millions - setting.millions) <= setting.millions / 10
        checks.require(fits, name, f"must have {setting.millions} million parameters", run.millions)
        fits = setting.examples in (None, run.examples)
        checks.require(fits, name, f"must have {setting.examples} training problems", run.examples)
    return runs


def whole(runs: Cell) -> Cell:
    """Return the runs if they have ``SEEDS`` different seeds, otherwise none: an incomplete cell is not evaluated."""
    seeds = [run.seed for run in runs]
    checks.require(len(set(seeds)) == len(seeds) <= SEEDS, "runs", f"must be of {SEEDS} different seeds", seeds)
    return runs if len(seeds) == SEEDS else ()


def answers(runs: Cell, split: Split = "test", *, wrong: bool = False, around: float | None = None) -> Sample:
    """Return the numbers of right or of wrong answers. With ``around``, the statement is about |share - around|."""
    if not runs:
        return UNMEASURED
    scores = [(run.exact, run.problems) if split == "test" else (run.train_exact, run.train_problems) for run in runs]
    trials = sorted({problems for _, problems in scores})
    checks.require(len(trials) == 1, "runs", "must be evaluated on the same number of problems", trials)
    return Counts([trials[0] - exact if wrong else exact for exact, _ in scores], trials[0], around)


@cache
def finished(folder: str, at: int = -1) -> tuple[Run, ...]:
    """Return the runs of a set at an evaluation, by default the last, in the order of their names.

    An evaluation.json replaces the last evaluation, because it has more problems. Raises ValueError for files that are
    not as the manifest lists them, an unfinished run or one of several seeds, or an evaluation of another step.
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
        evaluated = final["notes"]["step"], final["notes"]["seed"], final["split"]
        wanted = config.steps, config.first_seed, "test"
        checks.require(evaluated == wanted, str(evaluation), f"must be of step, seed and split {wanted}", evaluated)
        exact, problems = final["exact"], final["examples"]
    train = config.test_examples
    return Run(folder.name, config, problems, round(exact * problems), train, round(last["train_exact"] * train))
