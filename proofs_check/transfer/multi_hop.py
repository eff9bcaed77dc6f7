"""Whether multi-token prediction through a transfer layer beats next-token prediction at 2, 3 and 4 hops.

Read from what was measured: the one-layer model on six graphs, and the evaluations of standard transformers on one
graph, ``measured/walks/<kind>-<seed>/evaluation.json`` as ``circuits evaluate --json`` writes them. A gain is the share
of test pairs of a group that a model answers by a valid path, less that of the model that it is compared with.
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
from proofs_check.ledger.data import MEASURED
from proofs_check.ledger.evidence import Findings, Test
from proofs_check.ledger.statistics import Intervals
from proofs_check.transfer.measure import HOPS
from proofs_check.transfer.measured import graphs, half_length

COMPARISONS: Final = 16
"""Gains that were looked at: two models, two kinds of transfer layer, three distances and the pairs not observed."""
LEVEL: Final = 1 - 0.05 / COMPARISONS
NTP, UNTRAINED, KINDS = "ntp", "untrained", ("transfer", "injection")
BY_HOPS: Final = tuple(f"{hops} hops" for hops in HOPS)
UNSEEN: Final = "unseen"
Kinds = tuple[tuple[str, str], ...]
"""Pairs of a kind and what it is compared with."""


Model = Callable[[str, tuple[str, ...]], "Shares"]


class Shares(NamedTuple):
    """Of one kind of model: the share of right answers in each run and group, and the number of test pairs."""

    right: Float[np.ndarray, "runs groups"]
    pairs: Float[np.ndarray, "runs groups"]


def multi_hop() -> Findings:
    """Accuracy at every distance, with and without injection, above that of next-token prediction."""
    over_ntp = tuple((kind, NTP) for kind in KINDS)
    trained, untrained = ((NTP, UNTRAINED),), ((UNTRAINED, NTP),)
    controls = {
        "accepted": {"next-token prediction over no training": trained},
        "mutants": {"no training over next-token prediction": untrained},
    }
    return Findings(
        (
            Test(
                "statistical",
                "gain at 2, 3, 4 hops, one-layer model",
                lambda given: gains(one_layer, given, BY_HOPS),
                printed=over_ntp,
                **controls,
            ),
            Test(
                "statistical",
                "gain at 2, 3, 4 hops, standard transformer",
                lambda given: gains(standard, given, BY_HOPS),
                printed=over_ntp,
                **controls,
            ),
            Test(
                "statistical",
                "gain on pairs not observed, one-layer model",
                lambda given: gains(one_layer, given, (UNSEEN,)),
                intended=over_ntp,
                **controls,
            ),
            Test(
                "statistical",
                "gain on pairs not observed, standard transformer",
                lambda given: gains(standard, given, (UNSEEN,)),
                intended=over_ntp,
                **controls,
            ),
        ),
        example=_example(),
    )


def gains(model: Model, kinds: Kinds, groups: Sequence[str]) -> Intervals:
    """Over runs, for each pair of kinds and each group of test pairs.

    Of two intervals the longer counts: Student's over runs, and that of the numbers of test pairs.
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
    """The measured graphs."""
    pairs = np.array([[graph["pairs"][group] for group in groups] for graph in graphs("answers")], float)
    right = np.array([[graph[kind][group] for group in groups] for graph in graphs("answers")], float)
    return Shares(right / pairs, pairs)


def standard(kind: str, groups: tuple[str, ...]) -> Shares:
    """The evaluated transformers, one run a seed. One without training answers nothing."""
    runs = [_groups(each) for each in evaluations(NTP if kind == UNTRAINED else kind)]
    pairs = np.array([[run[group][1] for group in groups] for run in runs], float)
    right = np.array([[run[group][0] for group in groups] for run in runs], float)
    return Shares(0 * right if kind == UNTRAINED else right, pairs)


@cache
def evaluations(kind: str, folder: Path = MEASURED / "walks") -> tuple[dict[str, Any], ...]:
    """The evaluations of a kind in the order of their seeds 0, 1, 2. Raises ValueError for a damaged file."""
    found = []
    for path in sorted(folder.glob(f"{kind}-[0-9]/evaluation.json")):
        entries = json.loads(path.read_text(encoding="utf-8"))
        fine = isinstance(entries, list) and len(entries) == 1 and {"by_hop", "by_degree"} <= entries[0].keys()
        checks.require(fine, str(path), "must hold one evaluation with by_hop and by_degree", type(entries).__name__)
        found.append(entries[0])
    checks.require(len(found) >= 3, str(folder), f"must hold three seeds of {kind}", len(found))
    return tuple(found)


def _groups(evaluation: dict[str, Any]) -> dict[str, tuple[float, int]]:
    """(share of right answers, pairs) by group. Pairs are not observed from degree 1 on."""
    found = {f"{h} hops": (evaluation["by_hop"][h - 1], evaluation["hop_pairs"][h - 1]) for h in HOPS}
    shares, pairs = evaluation["by_degree"][1:], evaluation["degree_pairs"][1:]
    right = sum(share * number for share, number in zip(shares, pairs, strict=True))
    return found | {UNSEEN: (right / sum(pairs), sum(pairs))}


def _example() -> str:
    def row(model: Model, kind: str) -> str:
        gain = (model(kind, (*BY_HOPS, UNSEEN)).right - model(NTP, (*BY_HOPS, UNSEEN)).right).mean(axis=0)
        return ", ".join(f"{100 * each:+.1f}" for each in gain)

    rows = [f"{name}, {kind}: {row(model, kind)}" for name, model in MODELS.items() for kind in KINDS]
    return (
        f"Mean gains in points at 2, 3, 4 hops and on pairs not observed (printed: +31, +42, +48): {'; '.join(rows)}."
    )


MODELS: Final[dict[str, Model]] = {"one-layer model": one_layer, "standard transformer": standard}
