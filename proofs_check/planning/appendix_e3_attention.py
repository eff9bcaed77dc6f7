"""Appendix E.3, Figures 5 and 6: where standard transformers look while they predict the difficult token.

The statement is about models of the paper's size, of which none was trained here. It is read from models named as in
``PAPER``, and is undecided without them.

Six smaller models, seeds 0 to 2 of each objective, come with the repository. Looking at them gave another statement, of
single heads; it is to be decided on models of other seeds, ``NEW``, and the six are no evidence for it. One of each
objective serves as a control.

All is computed from the weights: attention on held-out problems, averaged over problems. Where the appendix averages
over the heads of a layer, so do we; a head attends to a node if it gives it more than half of its attention.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from scipy.stats import t as student

from circuits.models import CHECKPOINTS
from circuits.probes.layout import query_position, start_goal_positions
from circuits.probes.patterns import PATTERNS
from circuits.tasks.token_format import TokenFormat
from circuits.tasks.task import Task
from circuits.training.stored import read
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor, Transformer, tap_names
from circuits.transformer.taps import Recorder
from proofs_check.ledger.evidence import Findings, Test
from proofs_check.ledger.statistics import Intervals, Sample
from proofs_check.planning.runs import UNMEASURED

SEEN = ("star-2x5-{}-seed-1",)
"""Of the six models that were explored, those that are used as controls: one of each objective."""
NEW = tuple(f"star-2x5-{{}}-seed-{seed}" for seed in range(3, 9))
PAPER = tuple(f"star-5x5-{{}}-seed-{seed}" for seed in range(3))
PROBLEMS = 544
"""As many as the appendix averages over."""
EARLY, MIDDLE, LATE = slice(0, 2), slice(2, 4), slice(6, 8)
"""Layers 1 and 2, 3 and 4, 7 and 8, counted from 1."""
PER_MODEL = 153
"""Intervals of one model of 8 layers of 8 heads: 2 · 64 heads, 3 · 8 layers, 1 mean over all."""
TESTS = PER_MODEL * 2 * (len(PAPER) + len(NEW))
"""All intervals that may be looked at; they hold at once."""
LEVEL = 1 - 0.05 / TESTS


class Interval(NamedTuple):
    """Means over problems, and the ends of their intervals at ``LEVEL``."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Looks(NamedTuple):
    """One model: intervals, over problems, of what it attends to at the difficult position. All hold at once."""

    goal: Interval
    """Mass on the end node, [L, H]."""
    start: Interval
    """Mass on the start node, [L, H]."""
    goal_by_layer: Interval
    """Means over heads, [L]."""
    start_by_layer: Interval
    contrast: Interval
    """Mass on the end minus that on the start node, each beyond what uniform attention gives it, over heads, [L]."""
    overall: Interval
    """Mass on the end node, mean over all layers and heads, []."""


Models = tuple[Looks, ...]
Masses = tuple[Array, Array, Array]


def attention() -> Findings:
    """3-MTP looks at the end node in layers 3 and 4, NTP at the start node in layers 7 and 8: in every seed."""
    multi, single = _looks(SEEN, "mtp3"), _looks(SEEN, "ntp")
    drawn = {"as Figure 6 is described": (figure("goal", MIDDLE),)}
    paper = _looks(PAPER, "mtp3"), _looks(PAPER, "ntp")
    new = _looks(NEW, "mtp3"), _looks(NEW, "ntp")
    tests = (
        Test(
            "statistical",
            "3-MTP: attention to the end node, layers 3 and 4 minus any other",
            partial(_leads, layers=MIDDLE, node="goal_by_layer"),
            printed=paper[0],
            mutants={"NTP": single, "in layers 1 and 2": (figure("goal", EARLY),)},
            accepted=drawn,
        ),
        Test(
            "statistical",
            "3-MTP: attention to the end node minus that to the start node, over uniform, layers 3 and 4",
            partial(_prefers, layers=MIDDLE, sign=1),
            printed=paper[0],
            mutants={"to the start node": (figure("start", MIDDLE),)},
            accepted=drawn,
        ),
        Test(
            "statistical",
            "NTP: attention to the start node, layers 7 and 8 minus any other",
            partial(_leads, layers=LATE, node="start_by_layer"),
            printed=paper[1],
            mutants={"3-MTP": multi, "in layers 3 and 4": (figure("start", MIDDLE),)},
            accepted={"as Figure 5 is described": (figure("start", LATE),)},
        ),
        Test(
            "statistical",
            "NTP: attention to the start node minus that to the end node, over uniform, layers 7 and 8",
            partial(_prefers, layers=LATE, sign=-1),
            printed=paper[1],
            mutants={"3-MTP": multi, "to the end node": (figure("goal", LATE),)},
            accepted={"as Figure 5 is described": (figure("start", LATE),)},
        ),
        Test(
            "statistical",
            "attention to the end node, all layers, 3-MTP minus NTP",
            _more,
            intended=paper,
            mutants={"the two exchanged": (single, multi)},
            accepted={"seed 1, 0.4M": (multi, single)},
        ),
        Test(
            "statistical",
            "3-MTP: attention of the best head of layers 3 and 4 to the end node",
            _best,
            amended=new[0],
            mutants={"NTP": single, "NTP in one seed": (*multi, single[0])},
            accepted={"seed 1": multi},
        ),
        Test(
            "statistical",
            "NTP: attention of the best head of layers 3 and 4 to the end node",
            _best,
            amended=new[1],
            mutants={"3-MTP": multi, "3-MTP in one seed": (*single, multi[0])},
            accepted={"seed 1": single},
        ),
    )
    return Findings(tests, example=_example(paper, new, multi, single))


def _leads(models: Models, layers: slice, node: str) -> Sample:
    """By how much the lesser of two layers is above the most of all others, in each model."""
    found = [getattr(each, node) for each in models]
    rest = [Interval(*(np.delete(end, np.r_[layers]) for end in each)) for each in found]
    low = [each.low[layers].min() - other.high.max() for each, other in zip(found, rest, strict=True)]
    high = [each.high[layers].min() - other.low.max() for each, other in zip(found, rest, strict=True)]
    return _each_model(low, high)


def _prefers(models: Models, layers: slice, sign: int) -> Sample:
    """The preference for the end node (with -1, for the start node) in the layer where it is least, in each model."""
    start_goal_positions = [
        np.sort([sign * each.contrast.low[layers], sign * each.contrast.high[layers]], axis=0) for each in models
    ]
    return _each_model([low.min() for low, _ in start_goal_positions], [high.min() for _, high in start_goal_positions])


def _best(models: Models) -> Sample:
    """What the best head of layers 3 and 4 gives the end node, in each model."""
    found = [Interval(*(end[MIDDLE].max() for end in each.goal)) for each in models]
    return _each_model([each.low for each in found], [each.high for each in found])


def _more(pair: tuple[Models, Models]) -> Sample:
    """Every model of the first kind against every model of the second."""
    pairs = [(first.overall, second.overall) for first in pair[0] for second in pair[1]]
    return _each_model([a.low - b.high for a, b in pairs], [a.high - b.low for a, b in pairs])


def _each_model(low: list[Any], high: list[Any]) -> Sample:
    return Intervals(low, high, LEVEL) if low else UNMEASURED


def figure(node: str, layers: slice) -> Looks:
    """A made-up model of 8 layers of 8 heads that attends to one node, in some layers, and nowhere else to either."""
    mass = {name: np.full((8, 8), 0.1) for name in ("goal", "start")}
    mass[node][layers] = 0.8
    goal, start = mass["goal"], mass["start"]
    means = (goal, start, goal.mean(1), start.mean(1), (goal - start).mean(1), goal.mean())
    return Looks(*(Interval(mean, mean - 0.01, mean + 0.01) for mean in means))


def checkpoint(name: str) -> Path | None:
    """The folder of a shipped model, None if it does not exist."""
    folder = CHECKPOINTS / name
    return folder if folder.is_dir() else None


def _looks(names: tuple[str, ...], kind: str) -> Models:
    """All models of a group, once there are all of them: no group is read before it is complete."""
    folders = [checkpoint(name.format(kind)) for name in names]
    return tuple(_looks_at(folder) for folder in folders if folder) if all(folders) else ()


@cache
def _looks_at(folder: Path) -> Looks:
    (stored,) = read(folder)
    form = stored.task.format
    problems = _problems(stored.task)
    config = replace(stored.model.config, prediction_heads=1)
    found = attention_to_ends(config, form)(trunk_of(stored.model), problems)
    return looks(*(np.asarray(part, np.float64) for part in found))


def trunk_of(model: Predictor) -> Any:
    """The parameters of a model without its prediction heads."""
    return nnx.split(model.transformer)[1]


@cache
def _problems(task: Task) -> Int[Array, "n T"]:
    return jnp.asarray(task.problems("test", PROBLEMS), jnp.int32)


def looks(goal: Float[np.ndarray, "n L H"], start: Float[np.ndarray, "n L H"], even: Float[np.ndarray, " n"]) -> Looks:
    """Intervals from what is attended to in each problem; ``even`` is goal minus start of uniform attention."""
    by_layer = goal.mean(axis=2), start.mean(axis=2)
    contrast = by_layer[0] - by_layer[1] - even[:, None]
    fields = (goal, start, *by_layer, contrast, by_layer[0].mean(axis=1))
    return Looks(*map(_mean, fields))


def _mean(values: Float[np.ndarray, "n ..."]) -> Interval:
    """Student's interval of a mean over problems."""
    count, mean = len(values), values.mean(axis=0)
    reach = student.ppf((1 + LEVEL) / 2, count - 1) * values.std(axis=0, ddof=1) / np.sqrt(count)
    return Interval(mean, mean - reach, mean + reach)


@cache
def attention_to_ends(config: TransformerConfig, form: TokenFormat) -> Callable[..., Masses]:
    """A function of a trunk's parameters and problems [n, T]: mass on the end and the start node, [n, L, H] each, and
    the first minus the second under uniform attention, [n].

    Masses are what the difficult position gives to all positions at which the node stands. Prediction heads read the
    trunk and change nothing there, so models with different heads share one compiled program.
    """
    query, (start, goal) = query_position(form), start_goal_positions(form)
    trunk = nnx.graphdef(nnx.eval_shape(lambda: Transformer(config, nnx.Rngs(0))))

    def one(model: Transformer, tokens: Int[Array, " T"]) -> Masses:
        seen, patterns = tokens[: query + 1], Recorder(PATTERNS, tap_names(config))
        model(seen, tap=patterns)
        row = jnp.stack([pattern[:, query] for pattern in patterns.cache.values()])
        at_goal, at_start = seen == seen[goal], seen == seen[start]
        to_goal, to_start = (jnp.sum(jnp.where(at, row, 0), axis=-1) for at in (at_goal, at_start))
        return to_goal, to_start, jnp.mean(at_goal) - jnp.mean(at_start)

    def every(parameters: Any, problems: Int[Array, "n T"]) -> Masses:
        return jax.lax.map(partial(one, nnx.merge(trunk, parameters)), problems, batch_size=68)

    return jax.jit(every)


def _example(paper: tuple[Models, Models], new: tuple[Models, Models], multi: Models, single: Models) -> str:
    groups = {"Models of the paper's size": paper, "New seeds of small models": new}
    there = [f"{name}: {'measured' if all(pair) else 'not trained'}" for name, pair in groups.items()]
    return (
        f"{'; '.join(there)}. Explored, and no evidence: seed 1 of each objective at 0.4M parameters, best head of "
        f"layers 3 and 4 on the end node: 3-MTP {_heads(multi)}, NTP {_heads(single)}."
    )


def _heads(models: Models) -> str:
    return " and ".join(f"{each.goal.mean[MIDDLE].max():.2f}" for each in models)
