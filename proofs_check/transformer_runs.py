"""Runs of standard transformers that are kept: their configs, metrics and final evaluations, and what they say.

``measured_transformers/<set>/<run>/`` holds the config.json and metrics.jsonl that ``circuits train`` or ``circuits
sweep`` left, and where there is one the evaluation.json of ``circuits evaluate``. They name the device they were
computed on. Nothing is trained or decoded here: what is decided is whether shares of finite samples of test problems
bear a claim out, by the exact interval (Clopper and Pearson) of each.
"""

import json
from collections.abc import Callable
from functools import cache
from math import nan
from pathlib import Path
from typing import NamedTuple

from scipy.stats import binomtest, ttest_ind

from circuits import require
from circuits.transformer.training.config import TrainConfig
from circuits.transformer.training.run_folder import read_config, read_metrics
from proofs_check.evidence import Evidence, at_most

MEASURED = Path(__file__).parent / "measured_transformers"
CONFIDENCE = 0.95
"""That all intervals of one piece of evidence hold at once (Bonferroni)."""


class Run(NamedTuple):
    """One seed of a finished run, and how it stands at its end."""

    name: str
    config: TrainConfig
    device: str
    problems: int
    exact: int
    """How many greedy answers to test problems are right."""
    hard: int
    """How many have all tokens right that need look-ahead."""
    train_exact: float


@cache
def finished(folder: str, at: int = -1) -> tuple[Run, ...]:
    """The runs of a set at an evaluation, the last if not said otherwise, in the order of their names.

    The last evaluation is that of evaluation.json where there is one: it has more problems. A set that is not there has
    no runs. Raises ValueError for a run that is not finished, has several seeds, or an evaluation of something else.
    """
    there = MEASURED / folder
    return tuple(_read(path, at) for path in sorted(there.iterdir()) if path.is_dir()) if there.is_dir() else ()


def block_parameters(config: TrainConfig) -> int:
    """Parameters of the blocks, 12 d² L for the usual widths: the number by which models are named."""
    shape = config.transformer
    shared = shape.key_heads * shape.head_width
    mlp = (3 if shape.activation == "swiglu" else 2) * shape.width * shape.hidden
    return shape.layers * (2 * shape.width**2 + 2 * shape.width * shared + mlp)


def solves(name: str, runs: tuple[Run, ...], most_wrong: float) -> Evidence:
    """No run writes more than a share ``most_wrong`` of wrong answers."""
    each = [_interval(run.problems - run.exact, run.problems, len(runs)) for run in runs]
    low, high = max(each, key=lambda ends: ends[1])
    quantity = f"{name}: share of wrong answers, upper end of the worst run's interval"
    return at_most("statistical", quantity, high, most_wrong, _cases(runs), refuted_above=most_wrong + high - low)


def guesses(name: str, runs: tuple[Run, ...], chance: float, within: float) -> Evidence:
    """Every run is right on the difficult tokens as often as chance, give or take ``within``."""
    each = [_interval(run.hard, run.problems, len(runs)) for run in runs]
    gaps = [sorted((abs(low - chance), abs(high - chance))) for low, high in each]
    inside = [low <= chance <= high for low, high in each]
    least = max(0.0 if within_ends else gap[0] for gap, within_ends in zip(gaps, inside, strict=True))
    most = max(gap[1] for gap in gaps)
    quantity = f"{name}: |accuracy on the difficult token - 1/d|, upper end of the worst run's interval"
    return at_most("statistical", quantity, most, within, _cases(runs), refuted_above=within + most - least)


def ahead(name: str, better: tuple[Run, ...], worse: tuple[Run, ...]) -> Evidence:
    """The mean accuracy of one set of seeds is above that of another, by Welch's two-sided 90% interval.

    Where the interval holds 0 nothing is decided.
    """
    first, second = ([run.exact / run.problems for run in runs] for runs in (better, worse))
    ends = ttest_ind(first, second, equal_var=False).confidence_interval(0.9)
    low, high = (float(end) for end in ends)
    quantity = f"{name}: amount by which the mean accuracy may be no higher, upper end"
    return at_most("statistical", quantity, -low, 0.0, _cases(better + worse), refuted_above=max(0.0, high - low))


def at_size(runs: tuple[Run, ...], millions: float, examples: int) -> tuple[Run, ...]:
    """The runs with the paper's number of parameters, to 10%, and examples."""
    near = [run for run in runs if abs(block_parameters(run.config) / 1e6 - millions) <= millions / 10]
    return tuple(run for run in near if run.config.task.examples == examples)


def if_run(runs: tuple[Run, ...], what: str, test: Callable[[tuple[Run, ...]], Evidence]) -> Evidence:
    """The test, if there are runs; without any nothing is shown."""
    return test(runs) if runs else at_most("statistical", f"{what}: not run", nan, 0.0, 1)


def _cases(runs: tuple[Run, ...]) -> int:
    return sum(run.problems for run in runs)


def _interval(count: int, problems: int, tests: int) -> tuple[float, float]:
    found = binomtest(count, problems).proportion_ci(1 - (1 - CONFIDENCE) / tests, method="exact")
    return float(found.low), float(found.high)


def _read(folder: Path, at: int) -> Run:
    config, records = read_config(folder, TrainConfig), read_metrics(folder)
    last, problems = records[at], config.test_examples
    whole = records[-1]["step"] == config.steps and config.seeds == 1
    require.that(whole, str(folder), f"must be a finished run of one seed, {config.steps} steps", records[-1]["step"])
    evaluation = folder / "evaluation.json"
    found = last | {"exact": last["test_exact"], "hard": last["test_hard"]}
    if at == -1 and evaluation.exists():
        final = json.loads(evaluation.read_text(encoding="utf-8"))[0]
        of = final["notes"]["step"], final["notes"]["seed"], final["split"]
        wanted = config.steps, config.first_seed, "test"
        require.that(of == wanted, str(evaluation), f"must be of step, seed and split {wanted}", of)
        found |= final
        problems = final["examples"]
    exact, hard = (round(found[name] * problems) for name in ("exact", "hard"))
    return Run(folder.name, config, found["device"], problems, exact, hard, last["train_exact"])
