"""Section 5: the measures of trained parameters by a plain loop, and the verdicts that follow from measures."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from circuits.disentangled import literal
from circuits.disentangled.circuit import circuit
from circuits.disentangled.weights import random
from circuits.tasks.star.answers import solve_star
from proofs_check.ledger import decide
from proofs_check.planning import section_5
from proofs_check.planning.section_5 import Attention, Measures
from proofs_check.verification import own_claims

IDS = ("section-5.phenomenon", "figure-3.predecessor")
CLAIMS = {claim.id: claim for claim in own_claims()}
GRAPHS = 24 * section_5.LABELINGS


def test_the_graphs_are_of_every_order_and_labelled_independently():
    tokens, y1, y2 = section_5._prompts()
    assert len(tokens) == GRAPHS
    for row, v, end in list(zip(tokens, y1, y2, strict=True))[:: section_5.LABELINGS // 2]:
        edges = [(int(a), int(b)) for a, b in row[:8].reshape(4, 2)]
        assert row[8] == end
        assert solve_star(np.array(edges), int(row[9]), int(end)) == [row[9], v, end]
    # Labels of one edge order are not those of another.
    assert not np.array_equal(y1[: section_5.LABELINGS], y1[section_5.LABELINGS : 2 * section_5.LABELINGS])


def test_measures_are_those_of_a_loop_over_the_literal_model():
    few = tuple(array[:: section_5.LABELINGS] for array in section_5._prompts())
    forward = jax.jit(literal.forward, compiler_options={"xla_backend_optimization_level": 0})
    drawn = random(jax.random.key(3), 2, 10, 10)
    for weights in (jax.tree.map(np.asarray, circuit(8.0, 10, 10)), jax.tree.map(np.float64, drawn)):
        measures = section_5.measure(weights, *few)
        path = first = 0
        attention = []
        for tokens, v, end in zip(*few, strict=True):
            prompt, replay = (forward(weights, np.array(t, np.int32)) for t in (tokens, [*tokens[:-1], v]))
            right = int(np.argmax(prompt.outputs[1])) == v
            first += right
            path += right and int(np.argmax(replay.outputs[1])) == end
            last = prompt.attention[0][-1]
            attention.append((float(last[8]), float(last[7])))
        assert (measures.path, measures.first) == (path, first)
        for ours, values in zip((measures.to_end, measures.to_before), np.transpose(attention), strict=True):
            assert ours.mean == pytest.approx(np.mean(values), abs=1e-12)
            assert ours.error == pytest.approx(np.std(values, ddof=1) / np.sqrt(24), abs=1e-12)


def seeds(path: float, first: float, to_end: float, worst: float | None = None) -> Measures:
    """Five equal seeds, shares of all graphs; ``worst`` is the attention of the last seed."""
    paths, firsts = (np.full(5, round(share * GRAPHS)) for share in (path, first))
    mean = np.array([to_end] * 4 + [to_end if worst is None else worst])
    return Measures(paths, firsts, Attention(mean, np.full(5, 1e-3)), Attention(np.zeros(5), np.full(5, 1e-3)))


GOOD, CHANCE = seeds(1.0, 1.0, 0.85), seeds(0.5, 0.5, 0.0)


@pytest.mark.parametrize(
    ("multi", "single", "expected"),
    [
        (GOOD, CHANCE, ("holds", "holds")),
        (None, CHANCE, ("open", "open")),
        (GOOD, None, ("open", "open")),
        (seeds(0.99, 1.0, 0.85), CHANCE, ("open", "holds")),
        (GOOD, seeds(0.54, 0.54, 0.0), ("open", "holds")),
        (GOOD, seeds(0.52, 0.52, 0.0), ("open", "holds")),  # within 3 points, but not the whole interval
        (GOOD, GOOD, ("fails", "fails")),
        (seeds(1.0, 1.0, 0.45), CHANCE, ("holds", "open")),
        (seeds(1.0, 1.0, 0.85, worst=0.45), CHANCE, ("holds", "open")),
        (GOOD, seeds(0.5, 0.5, 0.15), ("holds", "open")),
    ],
)
def test_verdicts_follow_what_is_measured(monkeypatch, multi, single, expected):
    fixed, untrained = seeds(0.0, 0.3, 1.0), seeds(0.0, 0.2, 0.1)
    early = {"2-MTP": GOOD, "NTP": CHANCE, "untrained": untrained}
    early |= {"2-MTP, fixed": fixed, "NTP, fixed": fixed, "S1[T, T-2]": GOOD._replace(to_end=GOOD.to_before)}
    monkeypatch.setattr(section_5, "_controls", lambda: early)
    monkeypatch.setattr(section_5, "_final", lambda runs, objective, steps: multi if objective == "mtp" else single)
    results = [decide(replace(CLAIMS[name], data=())) for name in IDS]
    assert tuple(result.verdict for result in results) == expected
    assert all(control.passed for result in results for control in result.controls)


def test_runs_of_40000_steps_may_replace_the_long_ones_and_are_too_short_otherwise(monkeypatch):
    monkeypatch.setattr(section_5, "_measures", lambda name, at: GOOD)
    section_5._controls.cache_clear()
    findings = section_5.phenomenon(section_5.SHORT, steps=40_000)
    section_5._controls.cache_clear()
    assert findings.tests[0].printed is GOOD
    with pytest.raises(ValueError, match="reduced-mtp: steps: must be an integer at least 585937, got 40000"):
        section_5.phenomenon(section_5.SHORT)
    with pytest.raises(ValueError, match="must have model, objective, fixed content"):
        section_5.phenomenon("disentangled/reduced-{}-w0-held", steps=40_000)
