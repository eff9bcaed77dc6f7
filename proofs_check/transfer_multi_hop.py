"""Whether multi-token prediction through a transfer layer beats next-token prediction at 2, 3 and 4 hops.

Decided from what is there: the one-layer model, trained here, and the evaluations of standard transformers that are
kept in ``measured_transfer/<name>-<seed>/evaluation.json``, as ``circuits evaluate --json`` writes them. A gain is the
share of test pairs of one distance that a model answers by a valid path, less that of next-token prediction.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from scipy.stats import norm, t

from circuits import require
from circuits.one_layer.parameters import Options
from proofs_check import transfer_training as training
from proofs_check.evidence import Control, Evidence, Findings, Of, at_most

MEASURED = Path(__file__).parent / "measured_transfer"
HOPS = (2, 3, 4)
SEEDS = (0, 1, 2)
STEPS = 600
CONFIDENCE = 0.95
"""That the intervals of all hops hold at once (Bonferroni)."""
Evaluation = dict[str, Any]
PRINTED = (0.89 - 0.58, 0.84 - 0.42, 0.76 - 0.28)
"""Gains at 2, 3 and 4 hops in the printed table."""
NTP, TRANSFER, INJECTED = "ntp", "transfer", "injection"
MODELS: dict[str, tuple[int, Options]] = {
    NTP: (1, Options()),
    TRANSFER: (2, Options()),
    INJECTED: (2, Options(injection=True)),
}


class Gain(NamedTuple):
    """At one distance: the gain, half its interval's length, and how many pairs there are."""

    mean: float
    half: float
    pairs: int


class Part(NamedTuple):
    """Of one seed at one distance: the gain, the variance of that mean, and how many pairs there are."""

    mean: float
    variance: float
    pairs: int


def multi_hop() -> Findings:
    """Accuracy at every hop, of every kind of multi-token model, above that of next-token prediction."""
    ours = {name: gains(name) for name in (TRANSFER, INJECTED)}
    kept = measured()
    # Other heads, and other sizes, are kept beside these to compare with, and are not what is printed.
    theirs = {name: measured_gains(kept[name], kept[NTP]) for name in ours if name in kept and NTP in kept}
    every = {f"one layer, {name}": found for name, found in ours.items()}
    every |= {f"standard transformer, {name}": found for name, found in theirs.items()}
    return Findings(
        tuple(raises(name, found) for name, found in every.items()),
        (
            Control("untrained, one layer", raises("untrained", _untrained())),
            Control("as many points as printed, one layer", raises("printed gains", ours[INJECTED], PRINTED)),
        ),
        _example(every),
    )


def raises(
    name: str, found: Sequence[Gain], least: Sequence[float] = (0.0,) * len(HOPS), of: Of = "printed"
) -> Evidence:
    """The gain at every hop is above ``least``."""
    ends = [(each.mean - each.half - by, each.mean + each.half - by) for each, by in zip(found, least, strict=True)]
    low, high = (min(pair[place] for pair in ends) for place in (0, 1))
    quantity = f"{name}: by how much accuracy at the worst of 2, 3, 4 hops may be no higher, upper end"
    cases = sum(each.pairs for each in found)
    return at_most("statistical", quantity, -low, 0.0, cases, of=of, refuted_above=max(0.0, high - low))


def gains(name: str) -> list[Gain]:
    """Of the one-layer model over next-token prediction, on the same test pairs."""
    return [pooled([_paired(seed, answers(seed, name), distance) for seed in SEEDS]) for distance in HOPS]


def _untrained() -> list[Gain]:
    fresh = {seed: training.right(seed, training.start(seed, 2)) for seed in SEEDS}
    return [pooled([_paired(seed, fresh[seed], distance) for seed in SEEDS]) for distance in HOPS]


def _paired(seed: int, right: Bool[np.ndarray, " m"], distance: int) -> Part:
    chosen = training.groups(seed)[0] == distance
    difference = right[chosen].astype(float) - answers(seed, NTP)[chosen]
    return Part(float(difference.mean()), float(difference.var()) / len(difference), len(difference))


def pooled(parts: Sequence[Part]) -> Gain:
    """The mean over seeds, and the longer of two intervals: that of finite numbers of pairs, by the normal
    distribution with the variance of one answer at least, and that of the spread between seeds, by Student's."""
    tail, number = 1 - (1 - CONFIDENCE) / 2 / len(HOPS), len(parts)
    variance = sum(max(part.variance, part.pairs**-2) for part in parts) / number**2
    half = float(norm.ppf(tail)) * variance**0.5
    means = [part.mean for part in parts]
    if number > 1:
        half = max(half, float(t.ppf(tail, number - 1)) * float(np.std(means, ddof=1)) / number**0.5)
    return Gain(float(np.mean(means)), half, sum(part.pairs for part in parts))


@cache
def answers(seed: int, name: str) -> Bool[np.ndarray, " m"]:
    """Which test pairs the one-layer model of a kind answers."""
    ahead, options = MODELS[name]
    return training.right(seed, training.trained(seed, ahead, options, STEPS))


def measured(folder: Path | None = None) -> dict[str, dict[int, Evaluation]]:
    """The kept evaluations by name and seed; none where there is no folder.

    Raises ValueError naming the file that is not one evaluation by hops.
    """
    found: dict[str, dict[int, Evaluation]] = {}
    for path in sorted((folder or MEASURED).glob("*/evaluation.json")):
        name, _, seed = path.parent.name.rpartition("-")
        entries = json.loads(path.read_text(encoding="utf-8"))
        there = isinstance(entries, list) and len(entries) == 1 and _by_hops(entries[0])
        rule = f"must stand in <name>-<seed> and hold one evaluation with by_hop and hop_pairs of hops {HOPS}"
        require.that(there and bool(name) and seed.isdigit(), str(path), rule, path.parent.name)
        found.setdefault(name, {})[int(seed)] = entries[0]
    return found


def _by_hops(entry: Any) -> bool:
    """Whether it says how many pairs there are at each of the hops, and which share of them is answered."""
    parts = [entry.get(key) if isinstance(entry, dict) else None for key in ("by_hop", "hop_pairs")]
    return all(
        isinstance(part, list) and len(part) >= max(HOPS) and None not in part[min(HOPS) - 1 : max(HOPS)]
        for part in parts
    )


def measured_gains(runs: dict[int, Evaluation], base: dict[int, Evaluation]) -> list[Gain]:
    """Of standard transformers over next-token prediction of the same seed, as of two independent samples of pairs.

    Raises ValueError where no seed has both.
    """
    seeds = sorted(set(runs) & set(base))
    require.that(bool(seeds), "measured_transfer", f"must hold {NTP} with a seed of {sorted(runs)}", sorted(base))
    return [pooled([_independent(runs[seed], base[seed], distance) for seed in seeds]) for distance in HOPS]


def _independent(run: Evaluation, base: Evaluation, distance: int) -> Part:
    parts = [(each["by_hop"][distance - 1], each["hop_pairs"][distance - 1]) for each in (run, base)]
    variance = sum(share * (1 - share) / number for share, number in parts)
    return Part(parts[0][0] - parts[1][0], variance, parts[0][1])


def _example(every: dict[str, list[Gain]]) -> str:
    gained = "; ".join(
        f"{name}: " + ", ".join(f"{100 * each.mean:+.1f} ± {100 * each.half:.1f}" for each in found)
        for name, found in every.items()
    )
    tables = {name: _accuracies(name) for name in MODELS}
    shown = "; ".join(f"{name} {by_hop}, by degree {by_degree}" for name, (by_hop, by_degree) in tables.items())
    return (
        f"Gains in points at 2, 3, 4 hops (printed: +31, +42, +48): {gained}. Accuracy of the one-layer model, "
        f"{len(SEEDS)} graphs, at 2, 3, 4 hops and by degree 0 to 3: {shown}."
    )


def _accuracies(name: str) -> tuple[str, str]:
    right = np.concatenate([answers(seed, name) for seed in SEEDS])
    hop, degree = (np.concatenate([training.groups(seed)[place] for seed in SEEDS]) for place in (0, 1))
    by_hop = " / ".join(f"{100 * right[hop == each].mean():.1f}" for each in HOPS)
    return by_hop, " / ".join(f"{100 * right[degree == each].mean():.1f}" for each in range(4))
