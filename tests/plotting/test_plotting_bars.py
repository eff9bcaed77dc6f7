"""Bars and the panels of Figure 3 show what they are given, and refuse what does not fit."""

import re
from typing import Any

import numpy as np
import pytest

from circuits.plotting import BarPanel, Bars, Mechanism, bar_panels, mechanism_panels
from tests.plotting.reading import bar_heights, bars, image, outlines, texts, ticks, uniform

CATEGORIES = ["Z", "I", "S"]
BARS = Bars("ours", np.array([1.0, -2.0, 0.5]), 0)


def test_bars_are_those_given():
    other = Bars("theirs", np.array([0.2, 0.3, np.nan]), 1, span=(np.full(3, 0.1), np.full(3, 0.5)))
    panels = [BarPanel("one", "share", [BARS]), BarPanel("two", "share", [BARS, other])]
    one, two = bar_panels(panels, CATEGORIES, "block").axes
    assert bar_heights(one) == [[1.0, -2.0, 0.5]]
    np.testing.assert_array_equal(bar_heights(two)[1], other.heights)
    assert ticks(two.xaxis) == CATEGORIES
    assert (two.get_xlabel(), two.get_ylabel(), two.get_title(loc="left")) == ("block", "share", "two")
    legend = two.get_legend()
    assert one.get_legend() is None
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "theirs"]
    segments = [segment for shape in two.collections for segment in shape.get_segments()]  # pyright: ignore
    np.testing.assert_allclose([segment[:, 1] for segment in segments if len(segment)][:2], [[0.1, 0.5]] * 2)


def test_signs_are_compared():
    printed = Bars("printed", np.array([np.nan, 1.0, 0.5]), 1)
    (ax,) = bar_panels([BarPanel("", "", [printed, BARS], signs=True)], CATEGORIES, "").axes
    assert texts(ax) == ["printed", "+", "+", "ours", "+", "−", "+"]
    drawn = {bar for container in bars(ax) for bar in container}
    assert [patch.get_x() for patch in outlines(ax) if patch not in drawn] == [0.5]  # the second group alone differs


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "panels: must hold at least one BarPanel"),
        ([BarPanel("", "", [])], "panels[0]: must hold at least one Bars"),
        ([BarPanel("", "", [BARS._replace(heights=np.ones(2))])], "bars 'ours' heights: must have shape (3,)"),
        (
            [BarPanel("", "", [BARS._replace(span=(np.ones(3), np.array([1, np.inf, 1])))])],
            "panels[0] bars 'ours' high: must be finite",
        ),
        ([BarPanel("", "", [BARS._replace(colour=-1)])], "bars 'ours' colour: must be an integer between 0 and 6"),
    ],
)
def test_bars_that_do_not_fit(panels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bar_panels(panels, CATEGORIES, "block")


T, TOKENS = 4, "3762"
BLOCKS = [np.random.default_rng(seed).normal(size=(size, size)) for seed, size in enumerate((3, T, 3, T))]
MODEL = Mechanism("NTP", ((BLOCKS[0], BLOCKS[1]), (BLOCKS[2], BLOCKS[3])), (uniform(T), np.eye(T)))


def test_the_panels_of_figure_3():
    heads = [BarPanel("V0", "share", [BARS]), BarPanel("V1", "share", [BARS])]
    models, marks = [MODEL, MODEL._replace(name="MTP")], [(3, 2, "attention to u_end")]
    figure = mechanism_panels(models, TOKENS, title="It reads u_end", marks=marks, heads=heads, blocks=CATEGORIES)
    assert figure.get_suptitle() == "It reads u_end"
    titles = {ax: ax.get_title() or ax.get_title(loc="left") for ax in figure.axes}
    panels = {title[1]: ax for ax, title in titles.items() if title}
    assert "".join(panels) == "abcdefghij"
    assert titles[panels["a"]] == "(a)  NTP: $W^{(1)}$"
    assert titles[panels["h"]] == "(h)  MTP: attention in layer 1"
    for letter, (content, position) in zip("ab", MODEL.weights, strict=True):
        shown = image(panels[letter])
        np.testing.assert_array_equal(shown[:3, :3], content)
        np.testing.assert_array_equal(shown[3:, 3:], position)
        assert np.ma.getmaskarray(shown)[:3, 3:].all()
        assert np.ma.getmaskarray(shown)[3:, :3].all()
        low, high = panels[letter].images[0].get_clim()
        assert -low == high == max(np.abs(content).max(), np.abs(position).max())
        assert ticks(panels[letter].yaxis) == list("0120123")
    for letter, pattern in zip("cd", MODEL.attention, strict=True):
        np.testing.assert_array_equal(image(panels[letter]).filled(0), pattern)
    assert [len(outlines(panels[letter])) for letter in "cdgh"] == [1, 0, 1, 0]
    assert bar_heights(panels["i"]) == bar_heights(panels["j"]) == [[1.0, -2.0, 0.5]]


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "models: must hold at least one Mechanism"),
        (
            [MODEL._replace(weights=(MODEL.weights[0], (BLOCKS[2], BLOCKS[3][:2])))],
            {},
            "NTP: position_2: must have shape (2, 2)",
        ),
        (
            [MODEL._replace(weights=((np.full((3, 3), np.inf), BLOCKS[1]), MODEL.weights[1]))],
            {},
            "NTP: content_1: must be finite",
        ),
        ([MODEL._replace(attention=(uniform(T), 2 * uniform(T)))], {}, "attention: every row must sum to 1"),
        (
            [MODEL],
            {"heads": [BarPanel("", "", [BARS])], "blocks": "Z"},
            "heads[0] bars 'ours' heights: must have shape",
        ),
    ],
)
def test_mechanisms_that_do_not_fit(models, options: dict[str, Any], message):
    with pytest.raises(ValueError, match=re.escape(message)):
        mechanism_panels(models, TOKENS, **options)
