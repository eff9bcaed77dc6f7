"""Appendix E.3, Figures 5 and 6: where standard transformers look while they predict the difficult token.

The models are the pair that comes with the repository, in ``checkpoints/``, three seeds of each objective. All is
computed from their weights: attention on held-out problems, averaged over problems. Where the appendix averages over
the heads of a layer, so do we; a head counts as attending to a node if it gives it more than half of its attention.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.probes.attention import holding, scores
from circuits.probes.layout import chosen_position, layout
from circuits.probes.patterns import attention_patterns
from circuits.probes.streaming import Interval, interval, stream
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.model import Predictor
from circuits.transformer.training import data
from circuits.transformer.training.stored import Stored, read
from proofs_check.evidence import Control, Evidence, Findings, Of, at_most

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
SEEDS = ("", "-seed-1", "-seed-2")
PROBLEMS = 544
"""As many as the appendix averages over."""
FIRST, MIDDLE, LATE, ALL = slice(0, 2), slice(2, 4), slice(6, 8), slice(None)
"""Layers 1 and 2, 3 and 4, 7 and 8, counted from 1, and all."""
FRESH = 3
"""Untrained models."""
MOST = 0.5


class Looks(NamedTuple):
    """One model: intervals, over problems, of what it attends to at the difficult position. All hold at once."""

    name: str
    goal: Interval
    """Mass on the end node, [L, H]."""
    start: Interval
    """Mass on the start node."""
    layers: Interval
    """Over heads, mass on the end node, [L]."""
    late: Interval
    """Over heads, mass on the start node minus that of uniform attention, mean of layers 7 and 8."""


def appendix_e3_attention() -> Findings:
    """3-MTP looks at the end node in layers 3 and 4, NTP at the start node in layers 7 and 8: in every seed."""
    multi, single = (tuple(_looks(f"star-2x5-{kind}{seed}") for seed in SEEDS) for kind in ("mtp3", "ntp"))
    read_by = {name: [_in(each.goal, MIDDLE) for each in models] for name, models in (("3", multi), ("1", single))}
    return Findings(
        (
            leads("3-MTP: attention to the end node, layers 3 and 4 over any other", [each.layers for each in multi]),
            positive("NTP: attention to the start node in layers 7 and 8 over uniform", [each.late for each in single]),
            reads("3-MTP: a head of layers 3 and 4 on the end node", read_by["3"], "amended"),
            avoids("NTP: any head of layers 3 and 4 on the end node", read_by["1"]),
        ),
        (
            Control("layers 1 and 2", of_each(partial(leads, layers=FIRST), [each.layers for each in multi])),
            Control("NTP's heads put to the test of 3-MTP", of_each(reads, read_by["1"])),
            Control(
                "untrained heads put to the test of 3-MTP", of_each(reads, [_in(m.goal, MIDDLE) for m in _untrained()])
            ),
            Control("3-MTP's heads put to the test of NTP", of_each(avoids, read_by["3"])),
        ),
        f"{PROBLEMS} held-out problems, mean over heads, layers 1 to 8, by seed. Attention to the end node, 0.11 if "
        f"uniform: 3-MTP {_by_layer(multi)}; NTP {_by_layer(single)}. NTP's attention to the start node in layers 7 "
        f"and 8, 0.17 if uniform: {', '.join(f'{np.mean(m.start.mean[LATE]):.2f}' for m in single)}. Best head of "
        f"layers 3 and 4 on the end node: 3-MTP {_best(multi)}; NTP {_best(single)}. Best of all layers: "
        f"3-MTP {_best(multi, ALL)}; NTP {_best(single, ALL)}.",
    )


def leads(name: str, found: list[Interval], of: Of = "printed", layers: slice = MIDDLE) -> Evidence:
    """In every model layers 3 and 4 have more than any other layer."""
    rest = np.ones(len(found[0].mean), bool)
    rest[layers] = False
    gaps = [
        Interval(
            each.mean[layers].min() - each.mean[rest].max(),
            each.low[layers].min() - each.high[rest].max(),
            each.high[layers].min() - each.low[rest].max(),
        )
        for each in found
    ]
    return positive(name, gaps, of)


def of_each(test: Callable[..., Evidence], found: list[Interval]) -> Evidence:
    """The test on each model alone; of these what comes nearest to passing, for a control has to fail in all."""
    alone = [test(f"model {number}", [each], of="printed") for number, each in enumerate(found, start=1)]
    order = ("supports", "undecided", "contradicts")
    return min(alone, key=lambda item: order.index(item.shows))


def positive(name: str, found: list[Interval], of: Of = "printed") -> Evidence:
    """A difference is above 0 in every model."""
    low, high = (float(np.min([getattr(each, end) for each in found])) for end in ("low", "high"))
    quantity = f"{name}: by how much the worst seed falls short, upper end"
    return at_most("statistical", quantity, -low, 0.0, _cases(found), of=of, refuted_above=max(0.0, high - low))


def reads(name: str, found: list[Interval], of: Of = "printed") -> Evidence:
    """Every model has a head that gives more than half of its attention there."""
    low, high = (float(np.min([getattr(each, end).max() for each in found])) for end in ("low", "high"))
    quantity = f"{name}: attention that the best head of the worst seed leaves to others, upper end"
    return at_most("statistical", quantity, 1 - low, MOST, _cases(found), of=of, refuted_above=MOST + high - low)


def avoids(name: str, found: list[Interval], of: Of = "amended") -> Evidence:
    """No head of any model gives half of its attention there."""
    low, high = (float(np.max([getattr(each, end).max() for each in found])) for end in ("low", "high"))
    quantity = f"{name}: the largest of any seed, upper end"
    return at_most("statistical", quantity, high, MOST, _cases(found), of=of, refuted_above=MOST + high - low)


@cache
def _looks(name: str) -> Looks:
    (stored,) = read(CHECKPOINTS / name)
    return _looks_of(stored, stored.model)


@cache
def _untrained() -> tuple[Looks, ...]:
    (stored,) = read(CHECKPOINTS / f"star-2x5-mtp3{SEEDS[0]}")
    return tuple(_looks_of(stored, Predictor(stored.model.config, nnx.Rngs(seed))) for seed in range(FRESH))


def _looks_of(stored: Stored, model: Predictor) -> Looks:
    tokens = np.asarray(data.problems(stored.task, "test", PROBLEMS), np.int32)
    moments = stream(_on(stored.task.format), model, (tokens,), chunk=68)
    tests = len(Looks._fields) * model.config.layers * model.config.heads * 2 * len(SEEDS)
    return Looks(stored.name, **interval(moments, 0.95, tests))


@cache
def _on(form: TokenFormat) -> partial[dict[str, Array]]:
    """One function for all models, so that it is compiled once for those of one shape."""
    return partial(_measured, form, chosen_position(form))


def _measured(
    form: TokenFormat, query: int, model: Predictor, tokens: Int[Array, " T"]
) -> dict[str, Float[Array, "..."]]:
    at = layout(form, tokens, query)
    found = scores(attention_patterns(model, tokens[: query + 1]), at)
    start = found.start.mean(axis=1)
    share = jnp.mean(holding(at, at.start), dtype=start.dtype)
    return {
        "goal": found.goal,
        "start": found.start,
        "layers": found.goal.mean(axis=1),
        "late": start[LATE].mean() - share,
    }


def _in(found: Interval, layers: slice) -> Interval:
    return Interval(*(part[layers] for part in found))


def _cases(found: list[Interval]) -> int:
    return PROBLEMS * len(found)


def _by_layer(models: tuple[Looks, ...]) -> str:
    return " / ".join(" ".join(f"{mass:.2f}" for mass in each.goal.mean.mean(axis=1)) for each in models)


def _best(models: tuple[Looks, ...], layers: slice = MIDDLE) -> str:
    return ", ".join(f"{each.goal.mean[layers].max():.2f}" for each in models)
