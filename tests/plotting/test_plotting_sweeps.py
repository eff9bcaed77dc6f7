"""Panels of accuracy hold what they were given, keep names and bars apart, and refuse what does not fit."""

import re
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.text import Text

from circuits.plotting.style import COLOURS
from circuits.plotting.style import GREY
from circuits.plotting.sweeps import SweepLine, SweepPanel, accuracy_panels
from circuits.plotting.sweeps import short_number
from circuits.plotting.sweeps import SweepPoint

X = (2000.0, 8000.0, 32_000.0)
NTP = SweepLine("ntp", [SweepPoint(x, 0.5, 0.05, (0.48, 0.5, 0.52)) for x in X], 0)
MTP = SweepLine("mtp2", [SweepPoint(x, y, 0.2, (y, y)) for x, y in zip(X, (0.5, 0.7, 0.97), strict=True)], 1)
LONE = SweepLine("teacherless", [SweepPoint(8000.0, 1.0, float("nan"), (1.0,))], 3)
PANELS = [SweepPanel("width 32", [NTP, MTP], 0.5), SweepPanel("width 64", [NTP, MTP, LONE])]


def dots(ax: Axes) -> list[np.ndarray]:
    return [np.asarray(part.get_offsets()) for part in ax.collections if isinstance(part, PathCollection)]


def bars(ax: Axes) -> list[list[list[list[float]]]]:
    return [np.asarray(part.get_segments()).tolist() for part in ax.collections if isinstance(part, LineCollection)]


def drawn(ax: Axes, label: str) -> np.ndarray:
    (line,) = (line for line in ax.get_lines() if line.get_label() == label)
    return np.asarray(line.get_xydata(), float)


def test_means_intervals_and_seeds_are_those_given():
    figure = accuracy_panels(PANELS, "training problems", title="Figure 2", note="by hand")
    assert (figure.get_suptitle(), figure.get_supxlabel()) == ("Figure 2", "by hand")
    first, second = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["width 32", "width 64"]
    assert {ax.get_xscale() for ax in figure.axes} == {"log"}
    for ax, panel in zip(figure.axes, PANELS, strict=True):
        for line, seeds, spans in zip(panel.lines, dots(ax), bars(ax), strict=True):
            means = drawn(ax, line.name)
            np.testing.assert_allclose(means[:, 0], [point.x for point in line.points], rtol=0.15)  # beside each other
            np.testing.assert_array_equal(means[:, 1], [point.mean for point in line.points])
            assert seeds[:, 1].tolist() == [value for point in line.points for value in point.seeds]
            known = [point for point in line.points if point.half == point.half]
            ends = [[max(point.mean - point.half, 0), min(point.mean + point.half, 1)] for point in known]
            np.testing.assert_allclose([[low[1], high[1]] for low, high in spans], ends)
    assert [text.get_text() for text in first.texts] == ["chance 50%", "ntp", "mtp2"]
    assert [text.get_text() for text in second.texts] == ["ntp", "mtp2", "teacherless"]
    assert [to_rgba(text.get_color()) for text in first.texts] == [to_rgba(c) for c in (GREY, *COLOURS[:2])]
    assert [label.get_text() for label in first.get_xticklabels()] == ["2k", "8k", "32k"]
    chance = first.get_lines()[0]
    assert (chance.get_linestyle(), chance.get_ydata().tolist()) == ("--", [0.5, 0.5])  # pyright: ignore


def test_nothing_overlaps_and_nothing_is_cut():
    many = [SweepLine(f"mtp{k}", [SweepPoint(x, 0.98, 0.1, (1.0, 0.96)) for x in X], k) for k in range(5)]
    sizes = SweepLine("sizes", [SweepPoint(x, 0.5, 0.1) for x in (3.1e5, 1.2e6, 1.61e7, 1.8e7, 2.5e7)], 0)
    figure = accuracy_panels([*PANELS, SweepPanel("many", many, 0.25), SweepPanel("sizes", [sizes])], "x", columns=2)
    FigureCanvasAgg(figure).draw()
    for ax in figure.axes:
        boxes = sorted((Text.get_window_extent(text) for text in ax.texts), key=lambda box: box.y0)
        assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
        ticks = [label.get_window_extent() for label in ax.get_xticklabels()]
        assert all(left.x1 < right.x0 for left, right in pairwise(ticks))
        for box in (*boxes, *ticks, ax.title.get_window_extent(), ax.xaxis.label.get_window_extent()):
            assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1
        low, high = ax.get_xlim()
        assert all(np.all((low < part[:, 0]) & (part[:, 0] < high)) for part in dots(ax))
    columns = [drawn(figure.axes[2], line.name)[0, 0] for line in many]
    places = figure.axes[2].transData.transform([(x, 0.5) for x in columns])[:, 0]
    assert np.all(np.diff(places) > 5)  # pixels


def test_lines_of_neighbouring_places_do_not_mix():
    near = tuple(1000.0 * 1.1**n for n in range(12))
    lines = [SweepLine(str(k), [SweepPoint(x, 0.5, 0.1) for x in near], k) for k in range(4)]
    (ax,) = accuracy_panels([SweepPanel("", lines)], "x").axes
    first, last = drawn(ax, "0")[:, 0], drawn(ax, "3")[:, 0]
    assert np.all(first < last)
    assert np.all(last[:-1] < first[1:])


def test_numbers_in_brief():
    numbers = (0.5, 12.0, 500.0, 999.6, 2000.0, 1234567.0, 16.1e6, 1e9)
    assert [short_number(number) for number in numbers] == ["0.5", "12", "500", "1k", "2k", "1.23M", "16.1M", "1B"]


@pytest.mark.parametrize(
    ("panels", "columns", "message"),
    [
        ([], 2, "panels: must hold at least one SweepPanel, got 0"),
        (PANELS, 0, "columns: must be an integer at least 1, got 0"),
        ([SweepPanel("", [])], 2, "panels[0]: must hold at least one line, got 0"),
        ([SweepPanel("", [NTP], 1.5)], 2, "chance: must be between 0 and 1, got 1.5"),
        (
            [SweepPanel("", [NTP._replace(points=[])])],
            2,
            "line 'ntp' x: must be positive numbers that increase, got []",
        ),
        ([SweepPanel("", [NTP._replace(points=NTP.points[::-1])])], 2, "x: must be positive numbers that increase"),
        ([SweepPanel("", [NTP._replace(points=[SweepPoint(0.0, 0.5, 0.1)])])], 2, "x: must be positive numbers that incr"),
        ([SweepPanel("", [NTP._replace(points=[SweepPoint(1.0, 1.5, 0.1)])])], 2, "mean: must be between 0 and 1, got 1.5"),
        ([SweepPanel("", [NTP._replace(points=[SweepPoint(1.0, 0.5, -0.1)])])], 2, "half: must be at least 0, or NaN, got"),
        ([SweepPanel("", [NTP._replace(points=[SweepPoint(1.0, 0.5, 0.1, (2.0,))])])], 2, "seeds: must be between 0 and 1"),
        ([SweepPanel("", [NTP._replace(colour=7)])], 2, "line 'ntp' colour: must be an integer between 0 and 6, got 7"),
    ],
)
def test_what_does_not_fit_is_refused(panels, columns, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        accuracy_panels(panels, "x", columns=columns)
