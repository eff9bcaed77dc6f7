"""Section 5 and Figure 3: the behaviour of trained models, computed from the parameters of our own runs.

``measured/disentangled/<run>/`` holds the config, the metrics during training and snapshots of the parameters of
several seeds. Nothing is trained here. Quantities of a trained model are computed from its last parameters, on graphs
that are drawn here: ``LABELINGS`` of every edge order, each with labels of its own.

The claims are about the number of steps that the paper trains for, and are decided on runs of that many steps with
seeds of their own. The bounds were set on runs of 40,000 steps with other seeds, which serve only as controls. With
W0^(1) fixed at 0, as in the theory, no part of the claims is true of them.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binomtest, norm

from circuits import checks
from circuits.disentangled.closed_form import forward
from circuits.disentangled.weights import Layer, Weights
from circuits.training.disentangled.runs import Run, read
from proofs_check.ledger import Counts, Findings, Intervals, Sample, Test
from proofs_check.ledger.data import verified_folder
from proofs_check.methods import star
from proofs_check.planning.runs import UNMEASURED

LONG = "disentangled/reduced-{}-long"
SHORT = "disentangled/reduced-{}"
PAPER_STEPS = 300 * 1_000_000 // 512
"""300 epochs of 1M examples in batches of 512."""
SEEDS = 5
"""Number of seeds; the plans in the registry count as many."""
LABELINGS = 500
"""Labelings of each of the 24 edge orders: intervals around 1/2 are then 3% wide."""
LEVEL = 0.9999
"""Level of every interval that is computed here; those of the plans are lower."""


class Attention(NamedTuple):
    """Attention in Layer 1 from the last position when v is predicted: mean over graphs and standard error, [seeds]."""

    mean: np.ndarray
    error: np.ndarray


class Measures(NamedTuple):
    """What is measured over the graphs, for each seed.

    path       number of paths that greedy decoding gets right, [seeds]
    first      number of first tokens that are v, [seeds]
    to_end     S1[T, T-1], to u_end
    to_before  S1[T, T-2], to the position before it
    """

    path: np.ndarray
    first: np.ndarray
    to_end: Attention
    to_before: Attention


Pair = tuple[Measures | None, Measures | None]


def phenomenon(runs: str = LONG, steps: int = PAPER_STEPS) -> Findings:
    """2-MTP solves the task, NTP stays at 50% on v. Arguments replace the long runs by others."""
    multi, single = _final(runs, "mtp", steps), _final(runs, "ntp", steps)

    def errors(measures: Measures) -> Sample:
        return Counts(_graphs() - measures.path, _graphs())

    def from_half(measures: Measures) -> Sample:
        return Counts(measures.first, _graphs(), around=0.5)

    wrong, chance = "2-MTP: share of wrong paths", "NTP: distance of the accuracy on v from 1/2"
    ahead = "accuracy on v under 2-MTP minus that under NTP"
    fixed: dict[str, Pair] = {"2-MTP with W0^(1) fixed at 0": (_controls()["2-MTP, fixed"], _controls()["NTP"])}
    tests = (
        _test(wrong, errors, multi, "2-MTP", "NTP", "untrained", "2-MTP, fixed"),
        _test(chance, from_half, single, "NTP", "2-MTP", "untrained", "NTP, fixed"),
        _intended(ahead, _advantage, (multi, single), fixed),
    )
    return Findings(tests, example=_example(multi, single, steps))


def predecessor(runs: str = LONG, steps: int = PAPER_STEPS) -> Findings:
    """Layer 1 attends to u_end when v is predicted under MTP, and not under NTP."""
    multi, single = _final(runs, "mtp", steps), _final(runs, "ntp", steps)

    def attention(measures: Measures) -> Sample:
        return _interval(measures.to_end)

    early = _controls()
    fixed: dict[str, Pair] = {"both with W0^(1) fixed at 0": (early["2-MTP, fixed"], early["NTP, fixed"])}
    more = "S1[T, T-1] under 2-MTP minus that under NTP"
    tests = (
        _test("2-MTP: S1[T, T-1], mean over graphs", attention, multi, "2-MTP", "NTP", "S1[T, T-2]", "untrained"),
        _test("NTP: S1[T, T-1], mean over graphs", attention, single, "NTP", "2-MTP", "NTP, fixed"),
        _intended(more, _difference, (multi, single), fixed),
    )
    return Findings(tests, example=_example(multi, single, steps))


def _test(
    quantity: str, measure: Callable[[Measures], Sample], printed: Measures | None, right: str, other: str, *wrong: str
) -> Test:
    """Test a printed statement on long runs. The controls are ``_controls`` with these names."""
    early = _controls()
    mutants = {other: early[other], f"{other} in one seed of five": _with_outlier(early[right], early[other])}
    return Test(
        "statistical",
        quantity,
        lambda measures: UNMEASURED if measures is None else measure(measures),
        printed=printed,
        mutants=mutants | {name: early[name] for name in wrong},
        accepted={f"{right} after 40,000 steps": early[right]},
    )


def _intended(quantity: str, measure: Callable[[Pair], Sample], pair: Pair, wrong: dict[str, Pair]) -> Test:
    """Test an intent: a difference between 2-MTP and NTP."""
    early: Pair = _controls()["2-MTP"], _controls()["NTP"]
    mutants, accepted = {"the two exchanged": early[::-1], **wrong}, {"after 40,000 steps": early}
    return Test("statistical", quantity, measure, intended=pair, mutants=mutants, accepted=accepted)


def _interval(attention: Attention) -> Sample:
    reach = float(norm.ppf((1 + LEVEL) / 2)) * attention.error
    return Intervals(attention.mean - reach, attention.mean + reach, LEVEL)


def _difference(pair: Pair) -> Sample:
    """Return the difference of attention, seed by seed."""
    if pair[0] is None or pair[1] is None:
        return UNMEASURED
    first, second = pair[0].to_end, pair[1].to_end
    return _interval(Attention(first.mean - second.mean, np.hypot(first.error, second.error)))


def _advantage(pair: Pair) -> Sample:
    """Return the difference of accuracies, seed by seed, from exact intervals that hold at once at twice the error."""
    if pair[0] is None or pair[1] is None:
        return UNMEASURED
    ends = [[binomtest(int(n), _graphs()).proportion_ci(LEVEL) for n in each.first] for each in pair]  # pyright: ignore
    (low, high), (low_of_second, high_of_second) = (np.array([(e.low, e.high) for e in each]).T for each in ends)
    return Intervals(low - high_of_second, high - low_of_second, 1 - 2 * (1 - LEVEL))


def _with_outlier(measures: Measures, other: Measures) -> Measures:
    """Replace the last seed of one run by that of another."""
    return jax.tree.map(lambda a, b: np.append(a[:-1], b[-1]), measures, other)


def _example(multi: Measures | None, single: Measures | None, steps: int) -> str:
    if multi is None or single is None:
        return f"Runs of {steps:,} steps: not measured yet."
    path, first = multi.path.min() / _graphs(), single.first / _graphs()
    mtp, ntp = (f"{each.to_end.mean.min():.2g} to {each.to_end.mean.max():.2g}" for each in (multi, single))
    return (
        f"{SEEDS} seeds of each objective, {steps:,} steps or more, {_graphs():,} fresh graphs. Right: {path:.2%} or "
        f"more of the paths under 2-MTP, {first.min():.1%} to {first.max():.1%} of the first tokens under NTP. "
        f"S1[T, T-1]: {mtp} under 2-MTP, {ntp} under NTP."
    )


@cache
def _controls() -> dict[str, Measures]:
    """Return the first seeds of the runs of 40,000 steps; "fixed" ones have W0^(1) fixed at 0."""
    runs = {
        "2-MTP": ("mtp", -1),
        "NTP": ("ntp", -1),
        "untrained": ("mtp", 0),
        "2-MTP, fixed": ("mtp-w0-held", -1),
        "NTP, fixed": ("ntp-w0-held", -1),
    }
    measured = {name: _measures(SHORT.format(run), at) for name, (run, at) in runs.items()}
    controls = {name: measures for name, measures in measured.items() if measures is not None}
    return controls | {"S1[T, T-2]": controls["2-MTP"]._replace(to_end=controls["2-MTP"].to_before)}


def _final(runs: str, objective: str, steps: int) -> Measures | None:
    """Return the measures of the reduced model trained as in the paper; None while the runs are only planned.

    Raises ValueError for runs of something else.
    """
    name = runs.format(objective)
    run = _run(name)
    if run is None:
        return None
    config = run.config
    actual = (config.model, config.objective, config.hold_content_1, config.batch, config.learning_rate)
    wanted = ("reduced", objective, False, 512, 5e-4)
    rule = f"must have model, objective, fixed content, batch, learning rate {wanted}"
    checks.require(actual == wanted, name, rule, actual)
    checks.integer(f"{name}: steps", config.steps, min_value=steps)
    return _measures(name, at=-1)


@cache
def _run(name: str) -> Run | None:
    folder = verified_folder(name)
    if folder is None:
        return None
    run = read(folder)
    last = int(run.history.snapshot_steps[-1])
    checks.require(last == run.config.steps, name, f"must have a snapshot of its last step {run.config.steps}", last)
    checks.integer(f"{name}: seeds", run.config.seeds, min_value=SEEDS)
    return run


@cache
def _measures(name: str, at: int) -> Measures | None:
    """Return the measures of the first ``SEEDS`` seeds of a run, at one of its snapshots."""
    run = _run(name)
    if run is None:
        return None
    taken = {block: jnp.asarray(values[at]) for block, values in run.history.snapshots.items()}
    by_seed = [
        measure(tuple(Layer(taken[f"content_{n}"][seed], taken[f"position_{n}"][seed]) for n in (1, 2)), *_prompts())
        for seed in range(SEEDS)
    ]
    return jax.tree.map(lambda *seeds: np.asarray(seeds), *by_seed)


def measure(weights: Weights, tokens: np.ndarray, y1: np.ndarray, y2: np.ndarray) -> Measures:
    """Measure one seed on prompts, [n, T], with targets, [n]."""
    predicted, probability, attention = _answers(weights, tokens)
    second, second_probability, _ = _answers(weights, np.column_stack([tokens[:, :-1], y1]))
    checks.finite("outputs", np.stack([probability, second_probability]))  # NaN is no wrong answer
    first = np.asarray(predicted) == y1
    right = first & (np.asarray(second) == y2)
    rows = np.asarray(attention, np.float64)
    to_end, to_before = (
        Attention(row.mean(), row.std(ddof=1) / np.sqrt(len(row))) for row in (rows[:, -2], rows[:, -3])
    )
    return Measures(right.sum(), first.sum(), to_end, to_before)


@jax.jit
def _answers(weights: Weights, tokens: jax.Array | np.ndarray) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the likeliest next token of each prompt, its probability, and S1[T]."""

    def one(prompt: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        acts = forward(weights, prompt, last_row_only=True)
        return jnp.argmax(acts.outputs[1]), jnp.max(acts.outputs[1]), acts.attention[0][-1]

    return jax.lax.map(one, tokens, batch_size=1000)


def _graphs() -> int:
    return len(_prompts()[1])


@cache
def _prompts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (tokens, y1, y2): ``LABELINGS`` graphs of every edge order, independently labelled."""
    tokens, y1, y2 = (np.repeat(np.asarray(array), LABELINGS, axis=0) for array in star.prompts())
    rng = np.random.default_rng(5)
    # Each graph has a labeling of its own: graphs that share one are right or wrong together where ties decide.
    labels = rng.permuted(np.tile(np.arange(star.N, dtype=np.int32), (len(y1), 1)), axis=1)
    named = np.take_along_axis(labels, np.column_stack([tokens, y1, y2]), axis=1)
    return named[:, :-2], named[:, -2], named[:, -1]
