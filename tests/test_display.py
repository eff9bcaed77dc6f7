"""Every public record displays itself in Jupyter: small, well-formed, escaped HTML that needs no network."""

import doctest
import inspect
import re
from base64 import b64decode
from html import escape
from html.parser import HTMLParser
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from matplotlib.figure import Figure

from circuits import Predictor, display, flow, probes, tasks
from circuits.disentangled.closed_form import Activations
from circuits.disentangled.losses import Losses
from circuits.disentangled.objective import Objective, PartGradients
from circuits.models import LoadedModel
from circuits.probes.interventions.axes import Axis, numbered
from circuits.tasks.task import TASKS
from circuits.transformer import TransformerConfig
from proofs_check import Claim, Findings, Test, Verification, decide, equal
from tests.cases import PAPER, weights_for
from tests.test_public import PUBLIC

MAX_BYTES = 100_000
EVIL = """<img src="https://example.org/x" onerror='x()'>&amp;"""
EXCEPTIONS = {
    "circuits.plotting": "arguments of figures, and the figure itself",
    "circuits.training": "configs, which print as the Python that makes them",
    "circuits.transformer.heads": "modules that their model displays",
    "circuits.tasks.Family": "a protocol",
    **{f"circuits.tasks.{kind.__name__}": "configs, likewise" for kind in TASKS.values()},
}
"""Public classes, or packages of them, without a display of their own."""
VOID = {"img", "br", "meta", "input", "line", "circle", "polygon", "canvas"}
FRAME_MAY = {"allow-scripts", "allow-downloads"}
"""Without "allow-same-origin", the styles and scripts of a page stay inside its frame."""
CONFIG = TransformerConfig(vocab=7, positions=5, layers=2, heads=2, width=8, prediction_heads=2)


def claims() -> tuple[Claim, ...]:
    mutants = {"five": 5}
    test = Test("exact", "2 + 2", lambda total: equal([2 + 2], [total]), printed=4, mutants=mutants)
    holds = Claim("notes.sum", "p. 1", EVIL, "Integers.", "holds", lambda: Findings((test,)), formula=r"2 + 2 = 4")
    breaks = Claim("notes.broken", "p. 1", "3 < 2", "Integers.", "holds", lambda: Findings((1 / 0,)))  # pyright: ignore
    return holds, breaks


def records() -> dict[str, object]:
    """One of each kind, made without running a model."""
    rng = np.random.default_rng(0)
    by_head, by_hop = rng.uniform(size=(2, 3)), rng.uniform(size=(2, 3, 2))
    interval = [probes.Interval(score, score - 0.1, score + 0.1) for score in (by_head, by_hop)]
    finding = probes.Finding(interval[0], by_head / 2, by_head, None, None, by_head > 0.5)
    hops = probes.Finding(interval[1], by_hop / 2, by_hop, by_hop, by_hop, by_hop > 0.5)
    pattern = np.tril(np.ones((2, 3, 4, 4))) / np.arange(1, 5)[:, None]
    edges = np.array([(3, 7), (6, 0), (7, 2), (3, 6)], np.int32)
    axes = (Axis("query", ("start", "<b>")), numbered("head", 3))
    times, weights = jnp.asarray([0.1, 1.0, 10.0]), weights_for(PAPER, 0)
    states = {"w": jnp.log1p(times), "v": jnp.stack([times, -times], axis=1)}
    final = jax.tree.map(lambda leaf: leaf[-1], states)
    triangle, outputs = jnp.tril(jnp.ones((10, 10))) / jnp.arange(1.0, 11).reshape(10, 1), jnp.full(10, 0.1)
    two = tuple(jnp.asarray(triangle) for _ in range(2))
    objective = Objective(Losses(*jnp.arange(1.0, 4)), PartGradients(weights, weights, weights))
    graph = tasks.random_dag(8, 0.4, seed=0)
    references, square = probes.graph_references(graph, powers=2), rng.normal(size=(1, 8, 8))
    results = tuple(map(decide, claims()))
    evidence = probes.HeadEvidence(interval[0], interval[0], None)
    row = by_head[0]
    shown = [
        probes.AttentionMaps(pattern, ("a", "b", "c", EVIL), ("goal",) * 4, 3, ("0", "1", "2"), EVIL, {"n": EVIL}),
        finding,
        hops,
        probes.CircuitFindings(goal_in_query=finding, backward_trace=hops),
        probes.CircuitScores(*[jnp.asarray(by_head)] * 6, *[jnp.asarray(by_hop)] * 3),
        probes.Formation(None, 0.5, 0.6),
        probes.PatchingEffects(by_head[:, :3], by_head, by_head, by_head, 1.0, 0.1, 4, axes),
        probes.Effects(row, row, row, row, row, row, 0.5, 1.0, 4, (numbered("layer", 3),)),
        probes.LogitLens(*[by_hop] * 5),
        probes.LinearProbes(rng.normal(size=(2, 1, 4, 3, 9)), np.zeros((2, 1, 3, 9))),
        probes.ProbeAccuracy(*[by_hop.swapaxes(1, 2)] * 3, examples=3),
        probes.find_powers(square, references, draws=20),
        probes.compare_matrices(square, references),
        references[0],
        probes.NamedMatrices((EVIL,), jnp.asarray(square)),
        evidence,
        probes.LanguageEvidence(induction=evidence),
        probes.LanguageHead(5, 1, 0.5),
        flow.Solution(times, states, times[-1], final, jnp.asarray(9), jnp.asarray(True)),
        flow.Rate(1.0, 0.1, 3),
        flow.orbits(10),
        flow.Coordinates(flow.orbits(10), flow.toeplitz(10), flow.orbits(10), flow.toeplitz(10)),
        weights[0],
        Activations(two, two, two, two, (outputs, outputs)),
        objective,
        objective.losses,
        PAPER,
        tasks.BinaryTree(4, 20),
        tasks.Problem(edges, np.array(3, np.int32), np.array(0, np.int32), np.array([3, 6, 0], np.int32)),
        tasks.chance(tasks.TokenFormat(PAPER, "text", "start-goal")),
        tasks.AnswerCheck(False, EVIL),
        tasks.make_blocksworld(3),
        CONFIG,
        Predictor(CONFIG, nnx.Rngs(0)),
        LoadedModel(EVIL, weights, None, None, {"seed": EVIL}),
        *results,
        results[0].claim,
        results[0].evidence[0].outcome,
        Verification(results),
    ]
    return {f"{number} {type(one).__name__}": one for number, one in enumerate(shown)}


@pytest.fixture(scope="module")
def displayed() -> dict[str, tuple[Any, str]]:
    return {name: (record, record._repr_html_()) for name, record in records().items()}  # pyright: ignore


def test_no_display_of_its_own_raises(displayed):
    """Otherwise ``display.safe`` would show the table of fields instead, and nobody would notice."""
    methods = [(record, type(record)._repr_html_) for record, _ in displayed.values()]
    own = [method.__wrapped__(record) for record, method in methods if hasattr(method, "__wrapped__")]
    assert len(own) > 15
    assert all(own)


class WellFormed(HTMLParser):
    """Collects what is not closed, and every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "th":
            assert "scope" in dict(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def test_every_public_record_displays_itself():
    classes = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}
    plain = {name for name, value in classes.items() if not hasattr(value, "_repr_html_")}
    assert {name for name in plain if not {name, name.rpartition(".")[0]} & set(EXCEPTIONS)} == set()


def test_the_display_is_well_formed_small_and_needs_no_network(displayed):
    for name, (_, text) in displayed.items():
        parsed = WellFormed(text)
        assert not parsed.open, name
        addresses = [value for _, key, value in parsed.attributes if key in ("src", "href", "action", "data")]
        assert all(value.startswith("data:image/png;base64,") for value in addresses), name
        assert not re.search(r"<script|<link|@import|url\(", text), name
        frames = [value for tag, key, value in parsed.attributes if (tag, key) == ("iframe", "sandbox")]
        assert all(set(value.split()) <= FRAME_MAY for value in frames), name
        assert len(frames) == text.count("<iframe"), name
        assert len(text) < MAX_BYTES, name


def test_texts_are_escaped(displayed):
    for name, (_, text) in displayed.items():
        assert "onerror='x" not in text, name
    shown = [text for _, text in displayed.values() if escape("onerror='x()'") in text]
    assert len(shown) >= 5


def test_figures_have_named_axes(displayed):
    drawn = 0
    for name, (record, text) in displayed.items():
        if hasattr(record, "plot"):
            figure = record.plot()
            assert isinstance(figure, Figure), name
            assert "<img" in text or "<iframe" in text, name
            first = figure.axes[0]
            assert first.get_title() or first.get_xlabel() or first.get_ylabel(), name
            drawn += 1
    assert drawn > 15


def test_what_the_tables_say(displayed):
    by_kind = {name.partition(" ")[2]: text for name, (_, text) in displayed.items()}
    assert "blocks.*.attn.pattern [head 2, query 5, key 5]" in by_kind["Predictor"]
    assert "query.kernel [8, 8]" in by_kind["Predictor"]
    assert re.search(r"L\dH\d</th>", by_kind["CircuitFindings"])
    assert "3→7" in by_kind["Problem"]
    assert "<svg" in by_kind["Problem"]
    assert ">holds</span>" in by_kind["Verification"]
    assert "ZeroDivisionError" in by_kind["Verification"]
    assert "<math" in by_kind["Claim"]


def test_batches_and_traced_records_are_displayed_by_their_shapes():
    problem = records()["28 Problem"]
    batch = jax.tree.map(lambda part: np.stack([part] * 6), problem)
    assert "int32 [6, 4, 2]" in batch._repr_html_()
    layer = weights_for(PAPER, 0)[0]
    texts = []

    @jax.jit
    @jax.vmap
    def traced(layer):
        texts.append(layer._repr_html_())
        return layer

    traced(jax.tree.map(lambda part: jnp.stack([part] * 2), layer))
    assert "float64 [10, 10]" in texts[0]
    assert "<img" not in texts[0]
    assert display.html(object()) is None


def test_a_display_that_fails_falls_back_to_the_fields():
    bad = probes.Interval(np.full((1, 1), np.nan), np.zeros((1, 1)), np.zeros((1, 1)))
    finding = probes.Finding(bad, np.zeros((1, 1)), np.ones((1, 1)), None, None, np.ones((1, 1), bool))
    assert "baseline" in (finding._repr_html_() or "")


def test_large_pictures_are_drawn_at_a_lower_resolution():
    widths = []
    for cells in (2, 900):
        figure = Figure(figsize=(8, 8))
        figure.add_subplot().imshow(np.random.default_rng(0).uniform(size=(cells, cells)), interpolation="nearest")
        data = re.search(r"base64,([^\"]+)", display.picture(figure))
        assert data is not None
        widths.append(int.from_bytes(b64decode(data[1])[16:20], "big"))
    assert widths[0] == 720
    assert widths[1] < 400


def test_the_examples_of_figures_run():
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    drawn: list[Any] = [value for value in PUBLIC.values() if inspect.isclass(value) and hasattr(value, "plot")]
    methods = {value.plot: inspect.getmodule(value) for value in drawn}
    for method, module in methods.items():
        for section in ("Returns:", "Example:"):
            assert section in (method.__doc__ or ""), method.__qualname__
        for test in finder.find(method, method.__qualname__, module=False, globs=dict(vars(module))):
            runner.run(test)
    assert len(methods) > 15
    assert runner.summarize().failed == 0
