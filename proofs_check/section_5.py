"""Section 5 and Figure 3: what trained models do, read from the parameters of our own runs.

``measured/<run>/`` holds, for ten seeds, the config, the metrics over training and snapshots of the parameters; the
config names everything that ``circuits train-disentangled`` needs to make it again. Nothing is trained here. What a
claim says of a trained model is computed from its last parameters, on graphs that are drawn here, ``LABELINGS`` of
every edge order with independent labels, so that a number in a file can't decide a claim.

A statement about a share of all graphs is decided by the exact interval (Clopper and Pearson) of that share, the worst
of the seeds, at a level that covers all ten at once with 95% (Bonferroni).

The trained model of Section 5 has all four weight blocks. With W0^(1) held at 0, as Theorems 2 and 3 hold it, both
parts of section-5.phenomenon are false in these runs, and so is what figure-3.predecessor says of NTP. They are
controls: Layer 1 then attends alike on Z and Z', NTP learns the same pointer as 2-MTP, and neither writes a path.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binomtest

from circuits.disentangled.closed_form import forward
from circuits.disentangled.weights import Layer, Weights
from circuits.tasks.star_graph import replay_context
from circuits.training.runs import Run, read
from proofs_check import setting
from proofs_check.evidence import Control, Evidence, Findings, at_least, at_most

MEASURED = Path(__file__).parent / "measured"
LABELINGS = 2000
"""For each of the 24 edge orders: intervals around 1/2 are then 1.3% wide."""
LEVEL = 1 - 0.05 / 10
MOST_WRONG = 0.001
NEAR_CHANCE = 0.03
UNIFORM = 1 / setting.T
"""What attention gives to any one position when nothing is learned."""


class Measures(NamedTuple):
    """Over the graphs, for each seed; (seeds,)."""

    path: np.ndarray
    """How many paths are right, greedily decoded."""
    first: np.ndarray
    """How many first tokens are v."""
    to_end: np.ndarray
    """The mean attention of Layer 1 from the last position to u_end when v is to be predicted, S1[T, T-1]."""
    to_before: np.ndarray
    """The same to the position before it, S1[T, T-2]."""
    to_start: np.ndarray
    """The same to the start's label among the edges: the shortcut of NTP."""


def phenomenon() -> Findings:
    """2-MTP solves the task, NTP stays at 50% on v."""
    multi, single = _trained("reduced-mtp"), _trained("reduced-ntp")
    return Findings(
        (_solves("2-MTP", multi), _at_chance("NTP", single)),
        (
            Control("NTP's parameters put to the test of 2-MTP", _solves("NTP", single)),
            Control("2-MTP's parameters put to the test of NTP", _at_chance("2-MTP", multi)),
            Control("the parameters before training", _solves("untrained", _measures("reduced-mtp", at=0))),
            Control("2-MTP with W0^(1) held at 0", _solves("held", _trained("reduced-mtp-w0-held"))),
            Control("NTP with W0^(1) held at 0", _at_chance("held", _trained("reduced-ntp-w0-held"))),
        ),
        f"{_seeds('reduced-mtp')} seeds, {_run('reduced-mtp').config.steps:,} steps each, {_graphs():,} fresh graphs: "
        f"2-MTP writes {_shares(multi.path)} of the paths, NTP {_shares(single.first)} of the first tokens. {_held()}",
    )


def predecessor() -> Findings:
    """Layer 1 attends to u_end when predicting v under MTP, and not under NTP."""
    multi, single = _trained("reduced-mtp"), _trained("reduced-ntp")
    return Findings(
        (_attends("2-MTP", multi.to_end), _ignores("NTP", single.to_end)),
        (
            Control("NTP's parameters put to the test of 2-MTP", _attends("NTP", single.to_end)),
            Control("2-MTP's parameters put to the test of NTP", _ignores("2-MTP", multi.to_end)),
            Control("attention to T - 2 in place of T - 1", _attends("2-MTP, T - 2", multi.to_before)),
            Control("NTP with W0^(1) held at 0", _ignores("held", _trained("reduced-ntp-w0-held").to_end)),
        ),
        f"S1[T, T-1] is {multi.to_end.min():.3f} to {multi.to_end.max():.3f} under 2-MTP, {single.to_end.min():.1e} to "
        f"{single.to_end.max():.1e} under NTP, over {_seeds('reduced-mtp')} seeds. Instead NTP's query reads the "
        f"start's label in its two edges, with {single.to_start.min():.4f} of its attention (2-MTP's: "
        f"{multi.to_start.max():.4f}). {_held()}",
    )


def _solves(name: str, found: Measures) -> Evidence:
    low, high = _interval(_graphs() - int(found.path.min()))
    return _below(f"{name}: share of wrong paths, upper end of the interval", low, high, MOST_WRONG, found)


def _at_chance(name: str, found: Measures) -> Evidence:
    worst = max(found.first.tolist(), key=lambda count: abs(count / _graphs() - 0.5))
    low, high = _interval(worst)
    inner, outer = sorted((abs(low - 0.5), abs(high - 0.5)))
    inner = 0.0 if low < 0.5 < high else inner
    return _below(f"{name}: |accuracy on v - 1/2|, upper end of the interval", inner, outer, NEAR_CHANCE, found)


def _below(quantity: str, low: float, high: float, bound: float, found: Measures) -> Evidence:
    """Supports if the whole interval lies within the bound, contradicts if all of it lies beyond."""
    refuted_above = bound + high - low
    return at_most("statistical", quantity, high, bound, found.path.size * _graphs(), refuted_above=refuted_above)


def _attends(name: str, attention: np.ndarray) -> Evidence:
    return at_least("statistical", f"{name}: least S1[T, T-1] of a seed", float(attention.min()), 0.5, attention.size)


def _ignores(name: str, attention: np.ndarray) -> Evidence:
    quantity = f"{name}: largest S1[T, T-1] of a seed (1/T is uniform)"
    return at_most("statistical", quantity, float(attention.max()), UNIFORM, attention.size)


def _held() -> str:
    """The same with W0^(1) held at 0, as the theory does."""
    multi, single = _trained("reduced-mtp-w0-held"), _trained("reduced-ntp-w0-held")
    return (
        "With W0^(1) held at 0, as the theory holds it, both do the same thing: S1[T, T-1] is at least "
        f"{multi.to_end.min():.3f} under 2-MTP and {single.to_end.min():.3f} under NTP, and they write "
        f"{_shares(multi.path)} and {_shares(single.path)} of the paths."
    )


def _shares(counts: np.ndarray) -> str:
    """Of the worst and the best seed."""
    least, most = (f"{count / _graphs():.1%}" for count in (counts.min(), counts.max()))
    return least if least == most else f"{least} to {most}"


def _interval(right: int) -> tuple[float, float]:
    found = binomtest(right, _graphs()).proportion_ci(LEVEL, method="exact")
    return float(found.low), float(found.high)


def _graphs() -> int:
    return len(_prompts()[1])


def _seeds(name: str) -> int:
    return _run(name).config.seeds


@cache
def _run(name: str) -> Run:
    return read(MEASURED / name)


def _trained(name: str) -> Measures:
    return _measures(name, at=-1)


@cache
def _measures(name: str, at: int) -> Measures:
    taken = {block: values[at] for block, values in _run(name).history.snapshots.items()}
    each = [
        _count(
            (
                Layer(jnp.asarray(taken["content_1"][seed]), jnp.asarray(taken["position_1"][seed])),
                Layer(jnp.asarray(taken["content_2"][seed]), jnp.asarray(taken["position_2"][seed])),
            ),
            *_prompts(),
        )
        for seed in range(_seeds(name))
    ]
    return Measures(*(np.asarray([getattr(found, field) for found in each]) for field in Measures._fields))


@jax.jit
def _count(weights: Weights, tokens: jax.Array, y1: jax.Array, y2: jax.Array) -> Measures:
    def one(prompt: tuple[jax.Array, jax.Array, jax.Array]) -> Measures:
        context, v, end = prompt
        found = forward(weights, context, last_row_only=True)
        replayed = forward(weights, replay_context(context, v), last_row_only=True)
        first = jnp.argmax(found.outputs[1]).astype(v.dtype) == v
        last = found.attention[0][-1]
        to_start = jnp.sum(jnp.where(context[:-2] == context[-1], last[:-2], 0))
        right = first & (jnp.argmax(replayed.outputs[1]).astype(end.dtype) == end)
        return Measures(right, first, last[-2], last[-3], to_start)  # pyright: ignore

    each = jax.lax.map(one, (tokens, y1, y2), batch_size=1024)
    means = (jnp.mean(attention) for attention in (each.to_end, each.to_before, each.to_start))
    return Measures(jnp.sum(each.path), jnp.sum(each.first), *means)  # pyright: ignore


@cache
def _prompts() -> tuple[jax.Array, jax.Array, jax.Array]:
    """(tokens, y1, y2): ``LABELINGS`` graphs of every edge order, independently labelled."""
    tokens, y1, y2 = (np.repeat(np.asarray(array), LABELINGS, axis=0) for array in setting.orders())
    rng = np.random.default_rng(5)
    # A labeling of its own for each graph: graphs that share one are right or wrong together where ties decide.
    labels = rng.permuted(np.tile(np.arange(setting.N, dtype=np.int32), (len(y1), 1)), axis=1)
    named = np.take_along_axis(labels, np.column_stack([tokens, y1, y2]), axis=1)
    return jnp.asarray(named[:, :-2]), jnp.asarray(named[:, -2]), jnp.asarray(named[:, -1])
