"""Curves, bars and the panels of Figure 3 hold what they were given, and refuse what does not fit."""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from circuits.plotting.mechanism import mechanism_panels
from circuits.plotting.mechanism import Mechanism
from circuits.plotting.bars import bar_panels
from circuits.plotting.bars import BarPanel
from circuits.plotting.bars import Bars
from circuits.plotting.lines import line_panels
from circuits.plotting.lines import LinePanel
from circuits.plotting.lines import Line
from circuits.plotting.style import COLOURS
from circuits.plotting.style import GREY
from tests.cases import EXAMPLE

X = np.logspace(-2, 4, 25)
FALLING = 1 / (1 + X)
RISING = Line("rising", X, np.log1p(X), 0)
CATEGORIES = ["Z", "I", "S"]
BARS = Bars("ours", np.array([1.0, -2.0, 0.5]), 0)


def draw(figure: Figure) -> None:
    FigureCanvasAgg(figure).draw()


def line_data(ax) -> list[np.ndarray]:
    return [np.asarray(line.get_xydata(), float) for line in ax.get_lines()]


def test_curves_are_those_given():
    band = Line("band", X, FALLING, 2, "printed", span=(FALLING / 2, 2 * FALLING))
    law = Line("1/t", X[10:], 1 / X[10:], kind="reference")
    panels = [
        LinePanel("weights", "w", [RISING, band], limits=(-1, 12)),
        LinePanel("loss", "nats", [Line("L", X, FALLING, 1), law], log_y=True),
        LinePanel("more", "nats", [Line("", X, FALLING)]),
    ]
    figure = line_panels(panels, "time", title="A finding", note="How it was found")
    assert figure.get_suptitle() == "A finding"
    assert figure.get_supxlabel() == "How it was found"
    weights, loss, more = figure.axes  # the spare fourth is gone
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["weights", "loss", "more"]
    assert [ax.get_yscale() for ax in figure.axes] == ["linear", "log", "linear"]
    assert {ax.get_xscale() for ax in figure.axes} == {"log"}
    assert {ax.get_xlabel() for ax in figure.axes} == {"time"}
    assert (weights.get_ylabel(), weights.get_ylim()) == ("w", (-1, 12))
    for ax, panel in zip(figure.axes, panels, strict=True):
        assert ax.get_xlim() == pytest.approx((X[0], X[-1]))
        for data, line in zip(line_data(ax), panel.lines, strict=True):
            np.testing.assert_array_equal(data, np.stack([line.x, line.y], axis=1))
    assert [text.get_text() for text in weights.texts] == ["rising", "band"]
    assert len(more.texts) == 0
    colours = [to_rgba(line.get_color()) for ax in figure.axes for line in ax.get_lines()]
    assert colours == [to_rgba(name) for name in (COLOURS[0], COLOURS[2], COLOURS[1], GREY, GREY)]
    printed, reference = weights.get_lines()[1], loss.get_lines()[1]
    assert weights.get_lines()[0].get_linestyle() == "-"
    assert printed.get_linestyle() == reference.get_linestyle() == "--"  # matplotlib's word for any dashes
    assert reference.get_linewidth() < printed.get_linewidth()
    (shade,) = weights.collections
    vertices = shade.get_paths()[0].vertices
    assert {round(float(y), 9) for _, y in np.asarray(vertices)} == {
        round(float(y), 9) for y in np.concatenate([FALLING / 2, 2 * FALLING])
    }


def test_names_at_ends_do_not_overlap_on_a_linear_axis():
    lines = [Line(f"line {number}\nof two rows", X, RISING.y + 0.01 * number, number) for number in range(4)]
    (ax,) = line_panels([LinePanel("", "", [*lines, Line("short", X[:9], FALLING[:9])])], "time").axes
    draw(ax.figure.figure)
    boxes = sorted((Text.get_window_extent(text) for text in ax.texts), key=lambda box: box.y0)
    assert len(boxes) == 5
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
    short = next(text for text in ax.texts if text.get_text() == "short")
    end = ax.transAxes.transform(np.asarray(short.xy))  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(end, ax.transData.transform((X[8], FALLING[8])), atol=0.5)


def test_steps_may_be_linear_and_unknown_values_are_gaps():
    gap = np.where(X > 1, np.nan, FALLING)
    (ax,) = line_panels([LinePanel("", "", [Line("known", X - X[0], gap)])], "steps", log_x=False).axes
    assert ax.get_xscale() == "linear"
    np.testing.assert_array_equal(line_data(ax)[0][:, 1], gap)
    assert len(ax.texts) == 0  # its end is not known


def replaced(line: Line, **parts: Any) -> list[LinePanel]:
    return [LinePanel("", "", [line._replace(**parts)])]


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "panels: must hold at least one Panel, got 0"),
        ([LinePanel("", "", [])], "panels[0]: must hold at least one line, got 0"),
        (replaced(RISING, y=FALLING[1:]), "panels[0] line 'rising' y: must have shape (25,), got (24,)"),
        (replaced(RISING, y=np.where(X > 1, np.inf, 1)), "panels[0] line 'rising' y: must be finite, got inf at (9,)"),
        (replaced(RISING, y=X * np.nan), "panels[0] line 'rising' y: must hold a number, got array([nan"),
        (replaced(RISING, x=X[::-1]), "panels[0] line 'rising' x: must be at least two numbers that increase, got [1"),
        (replaced(RISING, x=X - X[0]), "panels[0] line 'rising' x: must be positive on a logarithmic axis, got 0.0"),
        (replaced(RISING, kind="bold"), "kind: must be one of exact, printed, reference, got 'bold'"),
        (replaced(RISING, colour=7), "panels[0] line 'rising' colour: must be an integer between 0 and 6, got 7"),
        (replaced(RISING, span=(X, X[1:])), "panels[0] line 'rising' greatest: must have shape (25,), got (24,)"),
        (
            [LinePanel("", "", [Line("L", X, FALLING - 0.5)], log_y=True)],
            "panels[0] line 'L' y: must be positive on a logarithmic axis, got -0.49",
        ),
    ],
)
def test_curves_that_do_not_fit_are_refused(panels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        line_panels(panels, "time")


def bar_heights(ax) -> list[list[float]]:
    return [[bar.get_height() for bar in bars] for bars in ax.containers if isinstance(bars, BarContainer)]


def test_bars_are_those_given():
    other = Bars("theirs", np.array([0.2, 0.3, np.nan]), 1, span=(np.full(3, 0.1), np.full(3, 0.5)))
    figure = bar_panels(
        [BarPanel("one", "share", [BARS]), BarPanel("two", "share", [BARS, other])], CATEGORIES, "block"
    )
    one, two = figure.axes
    assert bar_heights(one) == [[1.0, -2.0, 0.5]]
    np.testing.assert_array_equal(np.array(bar_heights(two)[1]), other.heights)
    assert [label.get_text() for label in two.get_xticklabels()] == CATEGORIES
    assert (two.get_xlabel(), two.get_ylabel(), two.get_title(loc="left")) == ("block", "share", "two")
    assert one.get_legend() is None
    legend = two.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "theirs"]
    segments = [segment for shape in two.collections for segment in shape.get_segments()]  # pyright: ignore
    np.testing.assert_allclose([segment[:, 1] for segment in segments if len(segment)][:2], [[0.1, 0.5]] * 2)


def test_signs_are_compared():
    printed = Bars("printed", np.array([np.nan, 1.0, 0.5]), 1)
    (ax,) = bar_panels([BarPanel("", "", [printed, BARS], signs=True)], CATEGORIES, "").axes
    written = [text.get_text() for text in ax.texts]
    assert written == ["printed", "+", "+", "ours", "+", "−", "+"]
    bars = {bar for container in ax.containers if isinstance(container, BarContainer) for bar in container}
    shaded = [patch for patch in ax.patches if patch not in bars]
    assert [patch.get_x() for patch in shaded if isinstance(patch, Rectangle)] == [0.5]  # the second alone differs


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "panels: must hold at least one BarPanel, got 0"),
        ([BarPanel("", "", [])], "panels[0]: must hold at least one Bars, got 0"),
        (
            [BarPanel("", "", [BARS._replace(heights=np.ones(2))])],
            "panels[0] bars 'ours' heights: must have shape (3,), got (2,)",
        ),
        (
            [BarPanel("", "", [BARS._replace(span=(np.ones(3), np.array([1, np.inf, 1])))])],
            "panels[0] bars 'ours' greatest: must be finite, got inf at (1,)",
        ),
        (
            [BarPanel("", "", [BARS._replace(colour=-1)])],
            "bars 'ours' colour: must be an integer between 0 and 6, got -1",
        ),
    ],
)
def test_bars_that_do_not_fit_are_refused(panels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bar_panels(panels, CATEGORIES, "block")


T = len(EXAMPLE)
PATTERN = np.tril(np.ones((T, T))) / np.arange(1, T + 1)[:, None]
BLOCKS = [np.random.default_rng(seed).normal(size=(10, 10)) for seed in range(4)]
MODEL = Mechanism("NTP", ((BLOCKS[0], BLOCKS[1]), (BLOCKS[2], BLOCKS[3])), (PATTERN, np.eye(T)))


def test_the_panels_of_figure_3():
    heads = [BarPanel("V0", "share", [BARS]), BarPanel("V1", "share", [BARS])]
    models, mark = [MODEL, MODEL._replace(name="MTP")], [(9, 8, "reads u_end")]
    figure = mechanism_panels(models, EXAMPLE, title="It reads u_end", mark=mark, heads=heads, blocks=CATEGORIES)
    assert figure.get_suptitle() == "It reads u_end"
    titled = {
        (ax.get_title() or ax.get_title(loc="left"))[:3]: ax for ax in figure.axes if ax.get_ylabel() != "attention"
    }
    panels = {letter: titled[f"({letter})"] for letter in "abcdefghij"}
    assert "NTP" in panels["a"].get_title()
    assert "MTP" in panels["e"].get_title()
    for letter, (content, position) in zip("ab", MODEL.weights, strict=True):
        image = panels[letter].images[0]
        shown = np.ma.asarray(image.get_array())
        np.testing.assert_array_equal(shown[:10, :10], content)
        np.testing.assert_array_equal(shown[10:, 10:], position)
        assert np.ma.getmaskarray(shown)[:10, 10:].all()
        assert np.ma.getmaskarray(shown)[10:, :10].all()
        low, high = image.get_clim()
        assert -low == high == max(np.abs(content).max(), np.abs(position).max())
        ticks = [label.get_text() for label in panels[letter].get_yticklabels()]
        assert ticks == [*map(str, range(10)), *map(str, range(1, 11))]
    for letter, pattern in zip("cd", MODEL.attention, strict=True):
        np.testing.assert_allclose(np.ma.asarray(panels[letter].images[0].get_array()).filled(0), pattern)
    for letter, outlined in {"c": 1, "d": 0, "g": 1, "h": 0}.items():
        assert sum(isinstance(patch, Rectangle) for patch in panels[letter].patches) == outlined
    assert bar_heights(panels["i"]) == bar_heights(panels["j"]) == [[1.0, -2.0, 0.5]]
    draw(figure)


def test_a_mechanism_alone_has_four_panels():
    assert len([ax for ax in mechanism_panels([MODEL], EXAMPLE).axes if ax.get_title()]) == 4


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "models: must hold at least one Mechanism, got 0"),
        (
            [MODEL._replace(weights=(MODEL.weights[0], (BLOCKS[2], BLOCKS[3][:4])))],
            {},
            "NTP: position_2: must have shape (4, 4), got (4, 10)",
        ),
        (
            [MODEL._replace(weights=((np.full((10, 10), np.inf), BLOCKS[1]), MODEL.weights[1]))],
            {},
            "NTP: content_1: must be finite, got inf at (0, 0)",
        ),
        ([MODEL._replace(attention=(PATTERN, 2 * PATTERN))], {}, "attention: every row must sum to 1"),
        (
            [MODEL],
            {"heads": [BarPanel("", "", [BARS])], "blocks": "Z"},
            "heads[0] bars 'ours' heights: must have shape",
        ),
    ],
)
def test_mechanisms_that_do_not_fit_are_refused(models, options: dict[str, Any], message):
    with pytest.raises(ValueError, match=re.escape(message)):
        mechanism_panels(models, EXAMPLE, **options)
