"""What is measured of trained parameters, by a plain loop; and verdicts follow what is measured."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled import literal
from circuits.disentangled.circuit import circuit
from circuits.disentangled.weights import random
from circuits.tasks.star_answers import solve
from proofs_check import section_5
from proofs_check.ledger import decide
from proofs_check.registry import own, select

CLAIMS = ["section-5.phenomenon", "figure-3.predecessor"]
FEW = 24


@pytest.fixture
def few(monkeypatch):
    """One graph of each edge order."""
    monkeypatch.setattr(section_5, "LABELINGS", 1)
    section_5._prompts.cache_clear()
    yield section_5._prompts()
    section_5._prompts.cache_clear()


def test_the_graphs_are_of_every_order_and_labelled_independently():
    tokens, y1, y2 = (np.asarray(array) for array in section_5._prompts())
    assert len(tokens) == 24 * section_5.LABELINGS
    for row, v, end in list(zip(tokens, y1, y2, strict=True))[:: section_5.LABELINGS // 2]:
        edges = [(int(a), int(b)) for a, b in row[:8].reshape(4, 2)]
        assert row[8] == end
        assert solve(np.array(edges), int(row[9]), int(end)) == [row[9], v, end]
    # Labels of one edge order are not those of another.
    assert not np.array_equal(y1[: section_5.LABELINGS], y1[section_5.LABELINGS : 2 * section_5.LABELINGS])


@pytest.mark.parametrize(
    "weights", [circuit(8.0, 10, 10), random(jax.random.key(3), 2, 10, 10)], ids=["circuit", "random"]
)
def test_measures_are_those_of_a_loop_over_the_literal_model(few, weights):
    found = section_5._count(weights, *few)
    path = first = 0
    attention = []
    run = jax.jit(literal.forward)
    for tokens, v, end in zip(*few, strict=True):
        prompt, replay = run(weights, tokens), run(weights, tokens.at[-1].set(v))
        right = int(jnp.argmax(prompt.outputs[1])) == int(v)
        first += right
        path += right and int(jnp.argmax(replay.outputs[1])) == int(end)
        last = prompt.attention[0][-1]
        attention.append((last[8], last[7], sum(last[j] for j in range(8) if tokens[j] == tokens[9])))
    assert (int(found.path), int(found.first)) == (path, first)
    means = [float(mean) for mean in np.mean(np.array(attention), axis=0)]
    assert [float(found.to_end), float(found.to_before), float(found.to_start)] == pytest.approx(means, abs=1e-12)


def measures(path: float, first: float, to_end: float) -> section_5.Measures:
    """Ten equal seeds; shares of all graphs."""
    graphs = 24 * section_5.LABELINGS
    paths, firsts = (np.full(10, round(share * graphs)) for share in (path, first))
    return section_5.Measures(paths, firsts, np.full(10, to_end), np.zeros(10), np.zeros(10))


GOOD = measures(path=1.0, first=1.0, to_end=0.85)
CHANCE = measures(path=0.5, first=0.5, to_end=0.0)


@pytest.mark.parametrize(
    ("multi", "single", "phenomenon", "predecessor"),
    [
        (GOOD, CHANCE, True, True),
        (measures(path=0.99, first=1.0, to_end=0.85), CHANCE, False, True),
        (GOOD, measures(path=0.54, first=0.54, to_end=0.0), False, True),
        (measures(path=1.0, first=1.0, to_end=0.45), CHANCE, True, False),
        (GOOD, measures(path=0.5, first=0.5, to_end=0.15), True, False),
    ],
    ids=["as measured", "a path in a hundred wrong", "NTP at 54%", "no majority to u_end", "NTP looks at u_end"],
)
def test_verdicts_follow_what_is_measured(monkeypatch, multi, single, phenomenon, predecessor):
    held = measures(path=0.0, first=0.3, to_end=1.0)
    runs = {"reduced-mtp": multi, "reduced-ntp": single, "reduced-mtp-w0-held": held, "reduced-ntp-w0-held": held}
    untrained = measures(path=0.0, first=0.2, to_end=0.1)
    monkeypatch.setattr(section_5, "_measures", lambda name, at: untrained if at == 0 else runs[name])
    found = [decide(claim).verdict == "holds" for claim in select(own(), CLAIMS)]
    assert found == [phenomenon, predecessor]


def test_an_interval_across_the_bound_decides_nothing(monkeypatch):
    """With few graphs even a share of exactly one half does not."""
    monkeypatch.setattr(section_5, "LABELINGS", 10)
    section_5._prompts.cache_clear()
    for share in (0.5, 0.525):
        assert section_5._at_chance("NTP", measures(path=0.5, first=share, to_end=0.0)).shows == "undecided"
    section_5._prompts.cache_clear()
