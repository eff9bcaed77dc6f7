"""Appendix E.3, Figures 5 and 6: attention of standard transformers while they predict the branching token.

The statement is about models of the paper's size, none of which was trained here. It is tested on models with the names
in ``PAPER``, and is undecided without them.

Six smaller models, seeds 0 to 2 of each objective, come with the repository. They suggested another statement, about
single attention heads, which is to be decided on models of other seeds, ``NEW``; the six are no evidence for it. One of
each objective serves as a control.

Everything is computed from the weights: attention on held-out problems, averaged over problems and, where the appendix
does so, over the attention heads of a layer. An attention head attends to a node if the node gets more than half of its
attention. Layers count from 0 here; the appendix counts from 1, and its layers 3 and 4 are 2 and 3 here.
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
from circuits.tasks.task import Task
from circuits.tasks.token_format import TokenFormat
from circuits.training.stored import read
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor, Transformer, tap_names
from circuits.transformer.taps import Recorder
from proofs_check.ledger import Findings, Intervals, Sample, Test
from proofs_check.planning.runs import UNMEASURED

EXPLORED = ("star-2x5-{}-seed-1",)
"""Of the six models that were explored, the two that are used as controls: one of each objective."""
NEW = tuple(f"star-2x5-{{}}-seed-{seed}" for seed in range(3, 9))
PAPER = tuple(f"star-5x5-{{}}-seed-{seed}" for seed in range(3))
PROBLEMS = 544
"""Number of problems that the appendix averages over."""
EARLY, MIDDLE, LATE = slice(0, 2), slice(2, 4), slice(6, 8)
"""Layers 0 and 1, 2 and 3, 6 and 7."""
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


class ModelAttention(NamedTuple):
    """Intervals, over problems, of one model's attention from the query position. All hold at once.

    goal            attention to the goal node, [L, H]
    start           attention to the start node, [L, H]
    goal_by_layer   its mean over heads, [L]
    start_by_layer  its mean over heads, [L]
    contrast        attention to the goal minus that to the start, each beyond uniform attention, over heads, [L]
    overall         attention to the goal node, mean over all layers and heads, []
    """

    goal: Interval
    start: Interval
    goal_by_layer: Interval
    start_by_layer: Interval
    contrast: Interval
    overall: Interval


Models = tuple[ModelAttention, ...]
Masses = tuple[Array, Array, Array]


def attention() -> Findings:
    """3-MTP attends to the end node in layers 2 and 3, NTP to the start node in layers 6 and 7: in every seed."""
    (multi, single), paper, new = ((_models(names, "mtp3"), _models(names, "ntp")) for names in (EXPLORED, PAPER, NEW))
    figure_5 = {"as Figure 5 is described": (made_up("start", LATE),)}
    figure_6 = {"as Figure 6 is described": (made_up("goal", MIDDLE),)}
    wrong = (
        {"NTP": single, "in layers 0 and 1": (made_up("goal", EARLY),)},
        {"to the start node": (made_up("start", MIDDLE),)},
        {"3-MTP": multi, "in layers 2 and 3": (made_up("start", MIDDLE),)},
        {"3-MTP": multi, "to the end node": (made_up("goal", LATE),)},
        {"NTP": single, "NTP in one seed": (*multi, single[0])},
        {"3-MTP": multi, "3-MTP in one seed": (*single, multi[0])},
    )
    names = (
        "3-MTP: attention to the end node, layers 2 and 3 minus any other",
        "3-MTP: attention to the end node minus that to the start node, over uniform, layers 2 and 3",
        "NTP: attention to the start node, layers 6 and 7 minus any other",
        "NTP: attention to the start node minus that to the end node, over uniform, layers 6 and 7",
        "attention to the end node, all layers, 3-MTP minus NTP",
        "3-MTP: attention of the best head of layers 2 and 3 to the end node",
        "NTP: attention of the best head of layers 2 and 3 to the end node",
    )
    goal_leads, start_leads = partial(_leads, MIDDLE, "goal_by_layer"), partial(_leads, LATE, "start_by_layer")
    exchanged, explored = {"the two exchanged": (single, multi)}, {"seed 1, 0.4M": (multi, single)}
    goal, start = partial(_prefers, MIDDLE, 1), partial(_prefers, LATE, -1)
    tests = (
        Test("statistical", names[0], goal_leads, printed=paper[0], mutants=wrong[0], accepted=figure_6),
        Test("statistical", names[1], goal, printed=paper[0], mutants=wrong[1], accepted=figure_6),
        Test("statistical", names[2], start_leads, printed=paper[1], mutants=wrong[2], accepted=figure_5),
        Test("statistical", names[3], start, printed=paper[1], mutants=wrong[3], accepted=figure_5),
        Test("statistical", names[4], _more, intended=paper, mutants=exchanged, accepted=explored),
        Test("statistical", names[5], _best, amended=new[0], mutants=wrong[4], accepted={"seed 1": multi}),
        Test("statistical", names[6], _best, amended=new[1], mutants=wrong[5], accepted={"seed 1": single}),
    )
    groups = {"Models of the paper's size": paper, "New seeds of small models": new}
    status = [f"{name}: {'measured' if all(pair) else 'not trained'}" for name, pair in groups.items()]
    heads = (" and ".join(f"{each.goal.mean[MIDDLE].max():.2f}" for each in models) for models in (multi, single))
    explored_heads = "3-MTP {}, NTP {}".format(*heads)
    return Findings(
        tests,
        example=f"{'; '.join(status)}. Explored, and no evidence: seed 1 of each objective at 0.4M parameters, best "
        f"attention head of layers 2 and 3 on the end node: {explored_heads}.",
    )


def _leads(layers: slice, node: str, models: Models) -> Sample:
    """Return by how much the smaller of two layers exceeds the largest of all others, in each model."""
    chosen = [getattr(each, node) for each in models]
    rest = [Interval(*(np.delete(end, np.r_[layers]) for end in each)) for each in chosen]
    low = [each.low[layers].min() - other.high.max() for each, other in zip(chosen, rest, strict=True)]
    high = [each.high[layers].min() - other.low.max() for each, other in zip(chosen, rest, strict=True)]
    return _intervals(low, high)


def _prefers(layers: slice, sign: int, models: Models) -> Sample:
    """Return the preference for the goal (with -1, for the start) in the layer where it is smallest, in each model."""
    ends = [np.sort([sign * each.contrast.low[layers], sign * each.contrast.high[layers]], axis=0) for each in models]
    return _intervals([low.min() for low, _ in ends], [high.min() for _, high in ends])


def _best(models: Models) -> Sample:
    """Return the largest attention of a head of layers 2 and 3 to the goal, in each model."""
    best = [Interval(*(end[MIDDLE].max() for end in each.goal)) for each in models]
    return _intervals([each.low for each in best], [each.high for each in best])


def _more(pair: tuple[Models, Models]) -> Sample:
    """Compare every model of the first kind with every model of the second."""
    pairs = [(first.overall, second.overall) for first in pair[0] for second in pair[1]]
    return _intervals([a.low - b.high for a, b in pairs], [a.high - b.low for a, b in pairs])


def _intervals(low: list[Any], high: list[Any]) -> Sample:
    return Intervals(low, high, LEVEL) if low else UNMEASURED


def made_up(node: str, layers: slice) -> ModelAttention:
    """Return a made-up model, 8 layers of 8 heads, that attends to one node in some layers and to neither elsewhere."""
    mass = {name: np.full((8, 8), 0.1) for name in ("goal", "start")}
    mass[node][layers] = 0.8
    goal, start = mass["goal"], mass["start"]
    means = (goal, start, goal.mean(1), start.mean(1), (goal - start).mean(1), goal.mean())
    return ModelAttention(*(Interval(mean, mean - 0.01, mean + 0.01) for mean in means))


def checkpoint(name: str) -> Path | None:
    """Return the folder of a shipped model, or None if it does not exist."""
    folder = CHECKPOINTS / name
    return folder if folder.is_dir() else None


def _models(names: tuple[str, ...], kind: str) -> Models:
    """Return all models of a group, once all of them exist: no group is read before it is complete."""
    folders = [checkpoint(name.format(kind)) for name in names]
    return tuple(_measured(folder) for folder in folders if folder) if all(folders) else ()


@cache
def _measured(folder: Path) -> ModelAttention:
    (stored,) = read(folder)
    config = replace(stored.model.config, prediction_heads=1)
    masses = attention_to_ends(config, stored.task.format)(trunk_of(stored.model), _problems(stored.task))
    return intervals(*(np.asarray(part, np.float64) for part in masses))


def trunk_of(model: Predictor) -> Any:
    """Return the parameters of a model without its prediction heads."""
    return nnx.split(model.transformer)[1]


@cache
def _problems(task: Task) -> Int[Array, "n T"]:
    return jnp.asarray(task.problems("test", PROBLEMS), jnp.int32)


def intervals(
    goal: Float[np.ndarray, "n L H"], start: Float[np.ndarray, "n L H"], uniform: Float[np.ndarray, " n"]
) -> ModelAttention:
    """Return intervals from the attention in each problem; ``uniform`` is goal minus start under uniform attention."""
    by_layer = goal.mean(axis=2), start.mean(axis=2)
    contrast = by_layer[0] - by_layer[1] - uniform[:, None]
    return ModelAttention(*map(_mean, (goal, start, *by_layer, contrast, by_layer[0].mean(axis=1))))


def _mean(values: Float[np.ndarray, "n ..."]) -> Interval:
    """Return Student's interval of a mean over problems."""
    count, mean = len(values), values.mean(axis=0)
    reach = student.ppf((1 + LEVEL) / 2, count - 1) * values.std(axis=0, ddof=1) / np.sqrt(count)
    return Interval(mean, mean - reach, mean + reach)


@cache
def attention_to_ends(config: TransformerConfig, format: TokenFormat) -> Callable[..., Masses]:
    """Return a function that measures attention to the ends of the path, of a trunk's parameters and problems [n, T].

    It returns the attention to the goal and to the start, [n, L, H] each, and the first minus the second under uniform
    attention, [n]. The attention to a node is that of the query position to all positions that hold the node.
    Prediction heads read the trunk and change nothing there, so models with different prediction heads share one
    compiled program.
    """
    query, (start, goal) = query_position(format), start_goal_positions(format)
    trunk = nnx.graphdef(nnx.eval_shape(lambda: Transformer(config, nnx.Rngs(0))))

    def one(model: Transformer, tokens: Int[Array, " T"]) -> Masses:
        prompt, patterns = tokens[: query + 1], Recorder(PATTERNS, tap_names(config))
        model(prompt, tap=patterns)
        row = jnp.stack([pattern[:, query] for pattern in patterns.cache.values()])
        at_goal, at_start = prompt == prompt[goal], prompt == prompt[start]
        to_goal, to_start = (jnp.sum(jnp.where(at[None, None], row, 0), axis=-1) for at in (at_goal, at_start))
        return to_goal, to_start, jnp.mean(at_goal) - jnp.mean(at_start)

    def every(parameters: Any, problems: Int[Array, "n T"]) -> Masses:
        return jax.lax.map(partial(one, nnx.merge(trunk, parameters)), problems, batch_size=68)

    return jax.jit(every)
