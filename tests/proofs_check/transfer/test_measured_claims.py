"""The claims that read measured data: their measures on made-up tables, and plans that cover all comparisons."""

import json
from pathlib import Path

import numpy as np
import pytest

from proofs_check.ledger import Plan, judge
from proofs_check.transfer import measure, multi_hop, power
from proofs_check.verification import own_claims

CLAIMS = {claim.id: claim for claim in own_claims()}


def plan(claim: str, quantity: str) -> Plan:
    return CLAIMS[claim].statistics[quantity]


def made_up(monkeypatch, own: float, other: float, spread: float = 0.01, odd_graph: float | None = None) -> None:
    """Cosines of every variant: ``own`` with A^(n-1) and ``other`` with all other powers, six graphs."""
    noise = spread * np.random.default_rng(0).normal(size=(6, 3, 4))
    table = np.array([[own if k == n else other for k in range(4)] for n in range(3)]) + noise
    if odd_graph is not None:
        table[0, 2, 2] = odd_graph
    monkeypatch.setattr(power, "table", lambda *_: table)


@pytest.mark.parametrize(
    ("own", "other", "offset", "shows"),
    [
        (0.5, 0.0, 1, ("supports", "supports")),
        (0.5, 0.0, 0, ("contradicts", "contradicts")),
        (0.03, -0.1, 1, ("undecided", "contradicts")),  # the nearest power, at a cosine of 0.03: no power is matched
        (0.5, 0.45, 1, ("contradicts", "supports")),
    ],
)
def test_which_power_is_matched(monkeypatch, own, other, offset, shows):
    made_up(monkeypatch, own, other)
    matches = [power.Match(power.ALONE, offset)]
    quantities = ((power.margin, "margin over every other power"), (power.cosine, "cosine with the power"))
    assert tuple(judge(measured(matches), plan("transfer.power", name)).shows for measured, name in quantities) == shows


def test_one_graph_that_differs_widens_the_interval(monkeypatch):
    made_up(monkeypatch, 0.5, 0.0, odd_graph=-0.3)
    matches = [power.Match(("injected",), 1)]
    assert judge(power.cosine(matches), plan("transfer.power", "cosine with the power")).shows == "undecided"


def test_every_step_and_variant_is_tested():
    for matches in (power.PRINTED, power.SUCCESSIVE):
        assert {name for each in matches for name in each.variants} == set(power.VARIANTS)
        assert len(power._cases(matches)) == len(power.VARIANTS) * len(power.POWER_STEPS) * 3


def test_plans_count_every_comparison():
    products = len(power.CHAINED) * len(power.POWER_STEPS)
    comparisons = (len(power.VARIANTS) * len(power.POWER_STEPS) + products) * 3 * power.AHEAD
    plans = CLAIMS["transfer.power"].statistics.values()
    assert {each.comparisons for each in plans} == {power.COMPARISONS} == {comparisons}
    groups = len((*multi_hop.BY_HOPS, multi_hop.UNSEEN))
    comparisons = len(multi_hop.MODELS) * len(multi_hop.KINDS) * groups
    plans = CLAIMS["transfer.multi-hop"].statistics.values()
    assert {each.comparisons for each in plans} == {multi_hop.COMPARISONS} == {comparisons}


def test_measured_graphs_are_new_and_complete():
    for name in ("powers", "answers"):
        assert [graph["seed"] for graph in measure.graphs(name)] == list(power.SEEDS)


def test_half_an_interval_by_hand():
    values = np.array([[0.0], [0.1], [0.2]])
    assert measure.half_length(values, 0.95)[0] == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)


def shares(right: list[float], pairs: int = 1000):
    return lambda kind, groups: multi_hop.Shares(
        np.array(right if kind == "transfer" else [0.5] * len(right))[:, None], np.full((len(right), 1), float(pairs))
    )


@pytest.mark.parametrize(
    ("right", "pairs", "shows"),
    [
        ([0.7, 0.71, 0.7, 0.69, 0.7, 0.7], 10**6, "supports"),
        ([0.4, 0.41, 0.4, 0.39, 0.4, 0.4], 10**6, "contradicts"),
        ([0.9, 0.9, 0.3, 0.9, 0.3, 0.9], 10**6, "undecided"),
        ([0.6, 0.6, 0.6, 0.6, 0.6, 0.6], 10, "undecided"),  # runs agree, and yet ten pairs each tell little
    ],
)
def test_a_gain(right, pairs, shows):
    gains = multi_hop.gains(shares(right, pairs), (("transfer", "ntp"),), ("2 hops",))
    assert judge(gains, plan("transfer.multi-hop", "gain at 2, 3, 4 hops, one-layer model")).shows == shows


def write_evaluation(folder: Path, seed: int, **changes) -> None:
    entry = {"by_hop": [None, 0.5, 0.4, 0.3], "hop_pairs": [0, 500, 300, 200]}
    entry |= {"by_degree": [1.0, 0.8, 0.5, 0.0], "degree_pairs": [500, 300, 100, 100]} | changes
    (folder / f"ntp-{seed}").mkdir(parents=True)
    (folder / f"ntp-{seed}" / "evaluation.json").write_text(json.dumps([entry]))


def test_groups_of_an_evaluation(tmp_path):
    for seed in range(3):
        write_evaluation(tmp_path, seed)
    groups = multi_hop._groups(multi_hop.evaluations("ntp", tmp_path)[0])
    assert groups["3 hops"] == (0.4, 300)
    assert groups["unseen"] == (pytest.approx((240 + 50) / 500), 500)


def test_three_seeds_are_needed(tmp_path):
    write_evaluation(tmp_path, 0)
    with pytest.raises(ValueError, match=r"must hold three seeds of ntp, got 1"):
        multi_hop.evaluations("ntp", tmp_path)


def test_another_file_is_no_evaluation(tmp_path):
    (tmp_path / "ntp-0").mkdir()
    (tmp_path / "ntp-0" / "evaluation.json").write_text("{}")
    with pytest.raises(ValueError, match="must hold one evaluation with by_hop and by_degree"):
        multi_hop.evaluations("ntp", tmp_path)
