"""Where the shipped pair looks: made-up models move the verdict, and what is measured is what a loop measures."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.probes.streaming import Interval
from circuits.taps import Taps
from circuits.transformer.training import data
from circuits.transformer.training.stored import Stored, read
from proofs_check import appendix_e3_attention as claim
from proofs_check.evidence import verdict
from proofs_check.ledger import decide
from proofs_check.registry import own, select
from tests.cases import assert_close
from tests.probes.naive_layout import naive_layout
from tests.transformer.models import drawn

MADE_UP = 0.02
"""Half the width of every made-up interval."""


def around(mean: Any, half: float = MADE_UP) -> Interval:
    values = np.asarray(mean, np.float64)
    return Interval(values, values - half, values + half)


def each(*means: float, half: float = MADE_UP) -> list[Interval]:
    """A number for each of several models."""
    return [around(mean, half) for mean in means]


def of_heads(*best: float, others: float = 0.1, half: float = MADE_UP) -> list[Interval]:
    """Two layers of eight heads for each of several models, of which one head is the best."""
    found = []
    for place, value in enumerate(best):
        means = np.full((2, 8), others)
        means[place % 2, 3 * place % 8] = value
        found.append(around(means, half))
    return found


@pytest.mark.parametrize(
    ("test", "found", "shows", "value"),
    [
        (claim.positive, each(0.3, 0.1, 0.2), "supports", -0.08),
        (claim.positive, each(0.3, -0.1, 0.2), "contradicts", 0.12),
        (claim.positive, each(0.3, 0.01, 0.2), "undecided", 0.01),
        (claim.positive, each(0.3, -0.01, 0.2), "undecided", 0.03),
        (claim.positive, each(-0.3), "contradicts", 0.32),
        (claim.reads, of_heads(0.9, 0.6, 0.7), "supports", 0.42),
        (claim.reads, of_heads(0.9, 0.4, 0.7), "contradicts", 0.62),
        (claim.reads, of_heads(0.9, 0.51, 0.7), "undecided", 0.51),
        (claim.reads, of_heads(0.9, 0.49, 0.7), "undecided", 0.53),
        (claim.avoids, of_heads(0.2, 0.4, 0.3), "supports", 0.42),
        (claim.avoids, of_heads(0.2, 0.6, 0.3), "contradicts", 0.62),
        (claim.avoids, of_heads(0.2, 0.49, 0.3), "undecided", 0.51),
        (claim.avoids, of_heads(0.2, 0.51, 0.3), "undecided", 0.53),
    ],
)
def test_each_test_goes_every_way(test, found, shows, value):
    item = test("made up", found)
    assert item.shows == shows
    assert item.value == pytest.approx(value)
    assert item.cases == claim.PROBLEMS * len(found)
    assert item.kind == "statistical"


@pytest.mark.parametrize(
    ("layers", "shows"),
    [
        ([[0.1, 0.1, 0.5, 0.4, 0.2], [0.1, 0.1, 0.6, 0.3, 0.2]], "supports"),
        ([[0.1, 0.1, 0.5, 0.4, 0.2], [0.1, 0.5, 0.6, 0.3, 0.2]], "contradicts"),  # a seed in which layer 2 is second
        ([[0.1, 0.1, 0.5, 0.4, 0.2], [0.1, 0.1, 0.6, 0.23, 0.2]], "undecided"),
        ([[0.1, 0.1, 0.6, 0.1, 0.2]], "contradicts"),  # layer 3 alone
    ],
)
def test_both_layers_lead_in_every_seed(layers, shows):
    assert claim.leads("made up", [around(each) for each in layers]).shows == shows


def test_a_control_has_to_fail_in_every_model():
    narrow = of_heads(0.9, 0.2)
    assert claim.reads("both", narrow).shows == "contradicts"
    assert claim.of_each(claim.reads, narrow).shows == "supports"
    assert claim.of_each(claim.reads, of_heads(0.3, 0.2)).shows == "contradicts"
    assert claim.of_each(claim.reads, of_heads(0.3, 0.5)).shows == "undecided"


def test_one_seed_that_refutes_is_seen_beside_a_wide_one():
    assert claim.positive("made up", [around(-0.1), around(0.0, half=0.5)]).shows == "contradicts"
    assert claim.positive("made up", [around(0.3), around(float("nan"))]).shows == "undecided"


@pytest.mark.parametrize("test", [claim.reads, claim.avoids])
def test_wide_intervals_decide_nothing(test):
    """Where 0.9 and 0.1 with narrow ones do."""
    for best in (0.9, 0.1):
        assert test("narrow", of_heads(best, others=0.0)).shows != "undecided"
        assert test("wide", of_heads(best, others=0.0, half=0.45)).shows == "undecided"


def test_a_head_may_be_another_one_in_each_model():
    """The best heads stand in different places, so their mean over models would be no majority."""
    found = of_heads(0.9, 0.8, 0.7)
    assert np.max(np.mean([interval.mean for interval in found], axis=0)) < 0.5
    assert claim.reads("3-MTP", found).shows == "supports"


def looks(name: str, goal: Sequence[float], start: Sequence[float], best: float) -> claim.Looks:
    """One made-up model: mass on end and start in each layer, and that of the best head of layers 3 and 4.

    The other seven heads of that head's layer make up for it.
    """
    ends, starts = (np.repeat(np.asarray(layers, np.float64)[:, None], 8, axis=1) for layers in (goal, start))
    ends[2] = (8 * goal[2] - best) / 7
    ends[2, 5] = best
    narrow = partial(around, half=0.01)
    return claim.Looks(name, narrow(ends), narrow(starts), narrow(goal), narrow(np.mean(start[6:]) - 1 / 6))


EVEN = [1 / 6] * 8
AS_PRINTED = {
    "mtp3": looks("mtp3", [0.05, 0.05, 0.5, 0.5, 0.05, 0.05, 0.05, 0.05], [1 / 6] * 6 + [0.4, 0.4], 0.8),
    "ntp": looks("ntp", [0.11] * 8, [1 / 6] * 6 + [0.6, 0.6], 0.15),
}
"""3-MTP reads the end node in layers 3 and 4 alone, NTP the start node in layers 7 and 8."""
AS_FOUND = {
    "mtp3": looks("mtp3", [0.1, 0.1, 0.3, 0.3, 0.4, 0.4, 0.1, 0.1], [1 / 6] * 6 + [0.4, 0.4], 0.8),
    "ntp": looks("ntp", [0.11] * 8, [*EVEN[:6], 0.14, 0.16], 0.15),
}


def decided(monkeypatch, models, seeds=None):
    """Findings on made-up models; ``seeds`` replaces some by name."""
    table = {f"star-2x5-{kind}{seed}": models[kind] for kind in models for seed in claim.SEEDS} | (seeds or {})
    monkeypatch.setattr(claim, "_looks", lambda name: table[name])
    monkeypatch.setattr(claim, "_untrained", lambda: (looks("untrained", [0.11] * 8, EVEN, 0.12),))
    return claim.appendix_e3_attention()


def shown(findings):
    return [item.shows for item in findings.evidence]


def test_data_as_found_give_the_recorded_verdict(monkeypatch):
    findings = decided(monkeypatch, AS_FOUND)
    assert shown(findings) == ["contradicts", "contradicts", "supports", "supports"]
    assert verdict(findings.evidence) == "amended"
    assert [control.name for control in findings.controls if not control.rejected] == []
    (entry,) = select(own(), ["appendix-e3.attention"])
    result = decide(entry)
    assert result.agrees, result.complaint


def test_data_as_printed_make_the_claim_hold(monkeypatch):
    findings = decided(monkeypatch, AS_PRINTED)
    assert shown(findings) == ["supports"] * 4
    assert verdict(findings.evidence) == "holds"


@pytest.mark.parametrize(
    ("seeds", "place", "shows"),
    [
        ({"star-2x5-mtp3-seed-2": AS_FOUND["ntp"]}, 2, "contradicts"),  # a seed without a head on the end node
        ({"star-2x5-ntp-seed-1": AS_FOUND["mtp3"]}, 3, "contradicts"),  # a seed of NTP with one
        ({f"star-2x5-mtp3{seed}": AS_PRINTED["mtp3"] for seed in claim.SEEDS}, 0, "supports"),
        ({f"star-2x5-ntp{seed}": AS_PRINTED["ntp"] for seed in claim.SEEDS}, 1, "supports"),
    ],
    ids=["3-MTP without a head", "NTP with a head", "3-MTP as printed", "NTP as printed"],
)
def test_one_part_that_disagrees_leaves_the_claim_open(monkeypatch, seeds, place, shows):
    findings = decided(monkeypatch, AS_FOUND, seeds)
    assert shown(findings)[place] == shows
    assert verdict(findings.evidence) == "open"


def test_a_control_that_passes_is_seen(monkeypatch):
    """Were NTP's heads like those of 3-MTP, the controls on them would no longer be rejected."""
    findings = decided(monkeypatch, AS_FOUND | {"ntp": AS_FOUND["mtp3"]})
    assert [control.rejected for control in findings.controls] == [True, False, True, True]


@cache
def shipped(name: str) -> Stored:
    (stored,) = read(claim.CHECKPOINTS / name)
    return stored


def test_what_is_measured_is_what_a_loop_over_words_measures():
    """Layers, heads and words one by one."""
    stored = shipped("star-2x5-mtp3")
    form, model = stored.task.format, stored.model
    query, rows = form.prompt_length - 1, np.asarray(data.problems(stored.task, "test", 4), np.int32)
    read_one = jax.jit(lambda ids: dict(model(ids, Taps(capture=["blocks.*.attn.pattern"]))[1]))
    measure = jax.jit(lambda row: claim._measured(form, query, model, row))
    for row in rows:
        found = measure(row)
        patterns = read_one(row[: query + 1])
        words = naive_layout(form, row.tolist(), query)
        expected = {name: np.zeros((8, 8)) for name in ("goal", "start")}
        for layer in range(8):
            pattern = np.asarray(patterns[f"blocks.{layer}.attn.pattern"], np.float64)
            for head in range(8):
                for t in range(query + 1):
                    mass = pattern[head, query, t]
                    expected["goal"][layer, head] += mass * (words.tokens[t] == words.path[-1])
                    expected["start"][layer, head] += mass * (words.tokens[t] == words.path[0])
        goal, start = (expected[name].mean(axis=1) for name in ("goal", "start"))
        even = words.tokens.count(words.path[0]) / len(words.tokens)
        assert even == pytest.approx(3 / 18)
        expected |= {"layers": goal, "late": (start[6] + start[7]) / 2 - even}
        ours = {name: np.asarray(value, np.float64) for name, value in found.items()}
        assert_close(ours, {name: np.asarray(value) for name, value in expected.items()}, atol=2e-6)


def test_uniform_attention_is_no_preference():
    """With all queries 0 every head is even: the late layers differ from uniform by nothing."""
    stored = shipped("star-2x5-ntp")
    form, rows = stored.task.format, jnp.asarray(data.problems(stored.task, "test", 1), jnp.int32)
    even = drawn(replace(stored.model.config, width=8))
    for block in even.transformer.blocks:
        block.attn.query.kernel[...] = jnp.zeros_like(block.attn.query.kernel[...])
    found = jax.jit(lambda row: claim._measured(form, form.prompt_length - 1, even, row))(rows[0])
    assert float(found["late"]) == pytest.approx(0, abs=1e-6)
    assert_close(np.asarray(found["goal"]), np.full((8, 8), 2 / 18, np.float32), atol=1e-6)
    assert_close(np.asarray(found["layers"]), np.full(8, 2 / 18, np.float32), atol=1e-6)


@pytest.mark.slow
def test_the_shipped_models_decide_as_recorded():
    (entry,) = select(own(), ["appendix-e3.attention"])
    result = decide(entry)
    assert result.agrees, result.complaint
    assert result.verdict == "amended"
    assert result.findings is not None
    assert len(result.findings.controls) == 4
    assert all(control.rejected for control in result.findings.controls)
