"""Whether multi-token prediction through a transfer layer beats next-token prediction at 2, 3 and 4 hops.

The data are stored measurements of the one-layer model on six graphs, and evaluations of standard transformers on one,
``measured/walks/<kind>-<seed>/evaluation.json`` as ``circuits evaluate --json`` writes them. A gain is the share of
test pairs of a group that a model answers by a valid path, minus that of the model that it is compared with.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from circuits import checks
from proofs_check.ledger import Findings, Intervals, Test
from proofs_check.ledger.data import MEASURED
from proofs_check.transfer.measure import HOPS, graphs, half_length

COMPARISONS: Final = 16
"""Number of gains that were measured: two models, two kinds of transfer layer, three distances and the unseen pairs."""
LEVEL: Final = 1 - 0.05 / COMPARISONS
NTP, UNTRAINED, KINDS = "ntp", "untrained", ("transfer", "injection")
BY_HOPS: Final = tuple(f"{hops} hops" for hops in HOPS)
UNSEEN: Final = "unseen"
Kinds = tuple[tuple[str, str], ...]
"""Pairs of a kind and the kind that it is compared with."""
Model = Callable[[str, tuple[str, ...]], "Shares"]


class Shares(NamedTuple):
    """For one kind of model, the share of right answers in each run and group, and the number of test pairs."""

    right: Float[np.ndarray, "runs groups"]
    pairs: Float[np.ndarray, "runs groups"]


def multi_hop() -> Findings:
    """Accuracy at every distance, with and without injection, above that of next-token prediction."""
    over_ntp = tuple((kind, NTP) for kind in KINDS)
    accepted = {"next-token prediction over no training": ((NTP, UNTRAINED),)}
    mutants = {"no training over next-token prediction": ((UNTRAINED, NTP),)}

    def test(statement: str, groups: tuple[str, ...], name: str, model: Model) -> Test:
        where = "at 2, 3, 4 hops" if groups == BY_HOPS else "on pairs not observed"
        stated: dict[str, Any] = {statement: over_ntp, "mutants": mutants, "accepted": accepted}
        return Test("statistical", f"gain {where}, {name}", lambda kinds: gains(model, kinds, groups), **stated)

    statements = (("printed", BY_HOPS), ("intended", (UNSEEN,)))
    tests = (test(*statement, name, model) for statement in statements for name, model in MODELS.items())
    return Findings(tuple(tests), example=_example())


def gains(model: Model, kinds: Kinds, groups: Sequence[str]) -> Intervals:
    """Return intervals over runs, for each pair of kinds and each group of test pairs.

    Each is the longer of two intervals: Student's over runs, and that of the numbers of test pairs.
    """
    low, high = [], []
    for kind, base in kinds:
        ours, theirs = model(kind, tuple(groups)), model(base, tuple(groups))
        gain = ours.right - theirs.right
        variance = np.sum([each.right * (1 - each.right) / each.pairs for each in (ours, theirs)], axis=(0, 1))
        half = np.maximum(half_length(gain, LEVEL), norm.ppf((1 + LEVEL) / 2) * np.sqrt(variance) / len(gain))
        low.append(gain.mean(axis=0) - half)
        high.append(gain.mean(axis=0) + half)
    return Intervals(np.concatenate(low), np.concatenate(high), LEVEL)


def one_layer(kind: str, groups: tuple[str, ...]) -> Shares:
    """Return the shares of the measured graphs."""
    pairs, right = (
        np.array([[graph[each][group] for group in groups] for graph in graphs("answers")], float)
        for each in ("pairs", kind)
    )
    return Shares(right / pairs, pairs)


def standard(kind: str, groups: tuple[str, ...]) -> Shares:
    """Return the shares of the evaluated transformers, a run per seed. Without training all answers count as wrong."""
    runs = [_groups(each) for each in evaluations(NTP if kind == UNTRAINED else kind)]
    right, pairs = (np.array([[run[group][n] for group in groups] for run in runs], float) for n in (0, 1))
    return Shares(0 * right if kind == UNTRAINED else right, pairs)


@cache
def evaluations(kind: str, folder: Path = MEASURED / "walks") -> tuple[dict[str, Any], ...]:
    """Return the evaluations of a kind in the order of their seeds 0, 1, 2. Raises ValueError for a damaged file."""
    evaluated = []
    for path in sorted(folder.glob(f"{kind}-[0-9]/evaluation.json")):
        entries = json.loads(path.read_text(encoding="utf-8"))
        fine = isinstance(entries, list) and len(entries) == 1 and {"by_hop", "by_degree"} <= entries[0].keys()
        checks.require(fine, str(path), "must hold one evaluation with by_hop and by_degree", type(entries).__name__)
        evaluated.append(entries[0])
    checks.require(len(evaluated) >= 3, str(folder), f"must hold three seeds of {kind}", len(evaluated))
    return tuple(evaluated)


def _groups(evaluation: dict[str, Any]) -> dict[str, tuple[float, int]]:
    """Return (share of right answers, pairs) by group. Pairs of degree 1 and above were not observed."""
    by_hops = {f"{h} hops": (evaluation["by_hop"][h - 1], evaluation["hop_pairs"][h - 1]) for h in HOPS}
    shares, pairs = evaluation["by_degree"][1:], evaluation["degree_pairs"][1:]
    right = sum(share * number for share, number in zip(shares, pairs, strict=True))
    return by_hops | {UNSEEN: (right / sum(pairs), sum(pairs))}


def _example() -> str:
    def row(model: Model, kind: str) -> str:
        gain = (model(kind, (*BY_HOPS, UNSEEN)).right - model(NTP, (*BY_HOPS, UNSEEN)).right).mean(axis=0)
        return ", ".join(f"{100 * each:+.1f}" for each in gain)

    rows = [f"{name}, {kind}: {row(model, kind)}" for name, model in MODELS.items() for kind in KINDS]
    return (
        f"Mean gains in points at 2, 3, 4 hops and on pairs not observed (printed: +31, +42, +48): {'; '.join(rows)}."
    )


MODELS: Final[dict[str, Model]] = {"one-layer model": one_layer, "standard transformer": standard}
