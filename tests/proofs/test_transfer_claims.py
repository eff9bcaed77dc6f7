"""The claims on transfer matrices: what each check measures, on made-up and on small cases, and how verdicts move."""

import json
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from circuits.tasks.graphs import graph_of
from proofs_check import speculative_tokens as speculative
from proofs_check import transfer_backbone_examples as examples
from proofs_check import transfer_exact as exact
from proofs_check import transfer_multi_hop as multi_hop
from proofs_check import transfer_power as power
from proofs_check import transfer_second_step as second_step
from proofs_check import transfer_signs as signs
from proofs_check.evidence import verdict
from proofs_check.ledger import decide
from proofs_check.registry import load, own, select

HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("rates", "tokens"),
    [((), 1), ((HALF,), Fraction(3, 2)), ((HALF, Fraction(0), HALF), Fraction(3, 2)), ((1, 1, 1), 4)],
)
def test_expected_tokens_by_hand(rates, tokens):
    assert speculative.in_order(rates) == speculative.enumerated(rates) == tokens


def test_a_wrong_formula_is_seen():
    assert speculative.counts_outcomes(speculative.in_order).shows == "supports"
    assert speculative.counts_outcomes(lambda rates: 1 + sum(rates)).shows == "contradicts"


@pytest.mark.parametrize("name", ["speculative.expected-tokens", "transfer.next-token-signs"])
def test_cheap_transfer_claims_agree_with_their_record(name):
    (claim,) = select(own(), [name])
    result = decide(claim)
    assert result.agrees, result.complaint
    assert result.findings is not None
    assert all(control.rejected for control in result.findings.controls)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["transfer.transfer-signs", "transfer.backbone-signs", "transfer.power", "transfer.multi-hop"]
)
def test_transfer_claims_agree_with_their_record(name):
    (claim,) = select(own(), [name])
    result = decide(claim)
    assert result.agrees, result.complaint


def entry(**changes) -> signs.Entry:
    fine = {"occurs": True, "followed": True, "gradient": Fraction(-1), "limit": Fraction(-2)}
    return signs.Entry(**(fine | changes))


@pytest.mark.parametrize(
    ("sign", "changes", "right"),
    [
        (signs.never_occurs, {}, True),
        (signs.never_occurs, {"occurs": False, "gradient": Fraction(0)}, True),
        (signs.never_occurs, {"occurs": False}, False),
        (signs.never_followed, {"followed": False}, False),
        (signs.never_followed, {"followed": False, "gradient": Fraction(0)}, False),
        (signs.never_followed, {"followed": False, "gradient": HALF}, True),
        (signs.never_followed, {"occurs": False, "followed": False}, True),
        (signs.followed, {"gradient": Fraction(9)}, True),
        (signs.followed, {"limit": Fraction(0)}, False),
        (signs.followed, {"followed": False, "limit": Fraction(0)}, True),
    ],
)
def test_each_sign(sign, changes, right):
    assert sign(entry(**changes)) == right
    assert signs.holds("made up", sign, [entry(**changes)]).shows == ("supports" if right else "contradicts")


def test_residuals_by_hand():
    weights = exact.Weights([[Fraction(1), Fraction(2), Fraction(1)]], [[Fraction(1), Fraction(1), Fraction(2)]])
    found = exact.residuals({(0, 0): (3, 0, 2)}, exact.first_odds(weights))
    assert found == {(0, 0): [Fraction(5, 5) - 3, Fraction(2), Fraction(2) - 2]}
    limit = exact.Weights(exact.with_limit(weights.content, 0, 0), weights.value)
    assert exact.residuals({(0, 0): (3, 0, 2)}, exact.first_odds(limit))[0, 0][0] == -3


def test_a_transfer_matrix_of_integers_multiplies_odds():
    first = [Fraction(2), Fraction(3), Fraction(5)]
    matrix = [[0, 1, 0], [0, 0, 2], [0, 1, 0]]
    odds = exact.transferred_odds(lambda _: first, matrix)((0,))
    assert odds == [1, 2 * 5, 3**2]
    rows = {0: [Fraction(1), Fraction(10), Fraction(100)]}
    assert exact.through(rows, matrix) == {0: [10, 200, 10]}


def test_every_small_data_set_is_listed_once():
    every = [tuple(table[0, 0]) + tuple(table[0, 1]) for table in exact.tables([(0, 0), (0, 1)], 2, 1)]
    assert sorted(every) == sorted(set(product((0, 1), repeat=4)) - {(0, 0, 0, 0)})


def test_counts_of_the_second_step_by_hand():
    """The path 0 1 2 and the end 3: two places on from 0 comes 2, from 1 the end."""
    assert second_step.table([(0, 1, 2)], 2, 4, 3) == {(0, 2): [0, 0, 1, 0], (1, 2): [0, 0, 0, 1]}


def test_the_smallest_example_by_hand():
    """All weights 0: three contexts with target 3 give token 2 a seventh each, and it came once."""
    graph = graph_of(5, list(examples.SMALL))
    found = second_step.second_gradient(graph, [examples.SEEN], np.zeros((7, 7)), np.zeros((7, 7)))
    assert float(found.value[3, 4]) == pytest.approx(3 / 7 - 1)
    assert float(found.value[3, 2]) == pytest.approx(3 / 7 - 1)  # of 2 the successor is 3, seen once as well
    assert float(found.value[3, 3]) == 0.0


def made_up(own: float, other: float, spread: float = 0.01) -> power.Found:
    """One matrix for steps 2, 3, 4 each; the power of the step less one has cosine ``own``, all others ``other``."""
    cosine = np.array([[own if k == step - 1 else other for k in range(1, 5)] for step in (2, 3, 4)])
    drawn = cosine + spread * np.random.default_rng(0).normal(size=(100, 3, 4))
    given = tuple(power.Reference(f"A^{k}", k, False, False, np.eye(3)) for k in range(1, 5))
    return power.Found(np.zeros((3, 3, 3)), given, cosine, drawn)


@pytest.mark.parametrize(
    ("found", "powers", "shows"),
    [
        (made_up(0.4, 0.1), power.amended, "supports"),
        (made_up(0.4, 0.1), power.printed, "contradicts"),
        (made_up(0.1, 0.4), power.amended, "contradicts"),
        (made_up(0.4, 0.39), power.amended, "undecided"),
        (made_up(0.4, 0.1, spread=0.5), power.amended, "undecided"),
    ],
)
def test_the_nearest_power(found, powers, shows):
    assert power.nearest("made up", [found], powers).shows == shows


def test_one_seed_with_another_power_is_seen():
    pair = [made_up(0.4, 0.1), made_up(0.1, 0.4)]
    assert power.nearest("made up", pair, power.amended).shows == "contradicts"


def parts(*means: float, pairs: int = 1000, variance: float = 0.0):
    return [multi_hop.Part(mean, variance, pairs) for mean in means]


def test_the_longer_interval_counts():
    assert multi_hop.pooled(parts(0.1, 0.1)).half == pytest.approx(2.394 * 2**0.5 / 2 / 1000, rel=1e-3)
    spread = multi_hop.pooled(parts(0.0, 0.1, 0.2))
    assert spread.mean == pytest.approx(0.1)
    assert spread.half == pytest.approx(7.649 * 0.1 / 3**0.5, rel=1e-3)
    assert multi_hop.pooled(parts(0.1, variance=0.01)).half == pytest.approx(2.394 * 0.1, rel=1e-3)


@pytest.mark.parametrize(
    ("means", "shows"),
    [((0.3, 0.2, 0.1), "supports"), ((0.3, 0.2, -0.1), "contradicts"), ((0.3, 0.2, 0.01), "undecided")],
)
def test_every_hop_has_to_rise(means, shows):
    found = [multi_hop.Gain(mean, 0.05, 100) for mean in means]
    assert multi_hop.raises("made up", found).shows == shows


def keep(folder, name: str, hops: list[float | None]) -> None:
    (folder / name).mkdir(parents=True)
    entry = {"by_hop": hops, "hop_pairs": [0, 500, 300, 200], "exact": 0.5}
    (folder / name / "evaluation.json").write_text(json.dumps([entry]))


def test_kept_evaluations_are_read_and_paired_by_seed(tmp_path):
    assert multi_hop.measured(tmp_path / "none") == {}
    for seed in (0, 1):
        keep(tmp_path, f"ntp-{seed}", [None, 0.5, 0.4, 0.3])
        keep(tmp_path, f"injection-mlp-{seed}", [None, 0.9, 0.8, 0.3])
    keep(tmp_path, "injection-mlp-7", [None, 0.0, 0.0, 0.0])
    kept = multi_hop.measured(tmp_path)
    assert {name: sorted(runs) for name, runs in kept.items()} == {"ntp": [0, 1], "injection-mlp": [0, 1, 7]}
    gains = multi_hop.measured_gains(kept["injection-mlp"], kept["ntp"])
    assert [round(gain.mean, 9) for gain in gains] == [0.4, 0.4, 0.0]
    expected = 2.394 * ((0.25 + 0.09) / 500 / 2) ** 0.5
    assert gains[0].half == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("content", ["{}", "[]", '[{"by_hop": []}]', '[{"by_hop": [1, 1, 1], "hop_pairs": [1, 1, 1]}]'])
def test_another_file_is_no_evaluation(tmp_path, content):
    (tmp_path / "ntp-0").mkdir()
    (tmp_path / "ntp-0" / "evaluation.json").write_text(content)
    with pytest.raises(ValueError, match="must stand in <name>-<seed> and hold one evaluation with by_hop"):
        multi_hop.measured(tmp_path)


def test_an_evaluation_without_pairs_at_a_hop_says_nothing_of_it(tmp_path):
    keep(tmp_path, "ntp-0", [None, 0.5, None, 0.3])
    with pytest.raises(ValueError, match=r"of hops \(2, 3, 4\), got 'ntp-0'"):
        multi_hop.measured(tmp_path)


def test_kept_runs_without_a_base_of_their_seed_are_an_error(tmp_path):
    keep(tmp_path, "ntp-0", [None, 0.5, 0.4, 0.3])
    keep(tmp_path, "mtp-1", [None, 0.5, 0.4, 0.3])
    kept = multi_hop.measured(tmp_path)
    with pytest.raises(ValueError, match=r"measured_transfer: must hold ntp with a seed of \[1\], got \[0\]"):
        multi_hop.measured_gains(kept["mtp"], kept["ntp"])


def evaluated(share: float) -> dict:
    return {"by_hop": [None, share, share, share], "hop_pairs": [0, 9999, 9999, 9999]}


def gain(mean: float) -> list[multi_hop.Gain]:
    return [multi_hop.Gain(mean, 0.01, 100)] * 3


@pytest.mark.parametrize(("one", "other", "expected"), [(0.1, 0.2, "holds"), (0.1, -0.2, "open"), (0.0, 0.2, "open")])
def test_the_verdict_on_hops_follows_from_the_gains(monkeypatch, one, other, expected):
    table = {multi_hop.TRANSFER: gain(one), multi_hop.INJECTED: gain(other)}
    monkeypatch.setattr(multi_hop, "gains", table.__getitem__)
    # Another kind is no evidence, whatever it says.
    kept = {"ntp": {0: evaluated(0.9)}, "meta": {0: evaluated(0.1)}}
    monkeypatch.setattr(multi_hop, "measured", lambda: kept)
    monkeypatch.setattr(multi_hop, "_untrained", lambda: gain(-0.9))
    monkeypatch.setattr(multi_hop, "_accuracies", lambda name: ("", ""))
    findings = multi_hop.multi_hop()
    assert verdict(findings.evidence) == expected
    assert [control.rejected for control in findings.controls] == [True, True]


def test_a_claim_may_be_of_another_paper(tmp_path):
    entry = 'id: a.b\n    source: "p. 1"\n    statement: s\n    setting: s\n    recorded: open\n    check: "c.py:f"'
    text = f"paper: One\nclaims:\n  - {entry}\n  - {entry.replace('a.b', 'a.c')}\n    paper: Other\n"
    (tmp_path / "claims.yaml").write_text(text)
    (tmp_path / "c.py").write_text("def f(): pass\n")
    assert [claim.source for claim in load(tmp_path / "claims.yaml")] == ["One, p. 1", "Other, p. 1"]
    (tmp_path / "claims.yaml").write_text(text.replace("paper: Other", "paper: 3"))
    with pytest.raises(ValueError, match=r"claim 'a\.c': paper: must be text, got 3"):
        load(tmp_path / "claims.yaml")
