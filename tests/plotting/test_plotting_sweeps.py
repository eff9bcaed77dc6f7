"""Accuracy panels show what they are given, keep names and bars apart, and refuse what does not fit."""

import re
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba

from circuits.plotting import SweepLine, SweepPanel, SweepPoint, accuracy_panels
from circuits.plotting.style import COLOURS, GREY
from circuits.plotting.sweeps import short_number
from tests.plotting.reading import draw, labels_are_apart, texts, ticks

X = (2000.0, 8000.0, 32_000.0)
NTP = SweepLine("ntp", [SweepPoint(x, 0.5, 0.05, (0.48, 0.5, 0.52)) for x in X], 0)
MTP = SweepLine("mtp2", [SweepPoint(x, y, 0.2, (y, y)) for x, y in zip(X, (0.5, 0.7, 0.97), strict=True)], 1)
LONE = SweepLine("teacherless", [SweepPoint(8000.0, 1.0, float("nan"), (1.0,))], 3)
PANELS = [SweepPanel("width 32", [NTP, MTP], 0.5), SweepPanel("width 64", [NTP, MTP, LONE])]


def dots(ax: Axes) -> list[np.ndarray]:
    return [np.asarray(part.get_offsets()) for part in ax.collections if isinstance(part, PathCollection)]


def error_bars(ax: Axes) -> list[list[list[list[float]]]]:
    return [np.asarray(part.get_segments()).tolist() for part in ax.collections if isinstance(part, LineCollection)]


def line_data(ax: Axes, label: str) -> np.ndarray:
    (line,) = (line for line in ax.get_lines() if line.get_label() == label)
    return np.asarray(line.get_xydata(), float)


def test_means_intervals_and_seeds_are_those_given():
    figure = accuracy_panels(PANELS, "training problems", title="Figure 2", note="by hand")
    assert (figure.get_suptitle(), figure.get_supxlabel()) == ("Figure 2", "by hand")
    first, second = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["width 32", "width 64"]
    assert {(ax.get_xscale(), ax.get_xlabel()) for ax in figure.axes} == {("log", "training problems")}
    for ax, panel in zip(figure.axes, PANELS, strict=True):
        for line, seeds, spans in zip(panel.lines, dots(ax), error_bars(ax), strict=True):
            means = line_data(ax, line.name)
            np.testing.assert_allclose(means[:, 0], [point.x for point in line.points], rtol=0.15)  # moved apart
            np.testing.assert_array_equal(means[:, 1], [point.mean for point in line.points])
            assert seeds[:, 1].tolist() == [value for point in line.points for value in point.seeds]
            known = [(point.mean, point.half_width) for point in line.points if not np.isnan(point.half_width)]
            ends = [[max(mean - half, 0), min(mean + half, 1)] for mean, half in known]
            np.testing.assert_allclose([[low[1], high[1]] for low, high in spans], ends)
    assert (texts(first), texts(second)) == (["chance 50%", "ntp", "mtp2"], ["ntp", "mtp2", "teacherless"])
    assert [to_rgba(text.get_color()) for text in first.texts] == [to_rgba(c) for c in (GREY, *COLOURS[:2])]
    assert ticks(first.xaxis) == ["2k", "8k", "32k"]
    chance = first.get_lines()[0]
    assert (chance.get_linestyle(), np.asarray(chance.get_ydata()).tolist()) == ("--", [0.5, 0.5])


def test_nothing_overlaps_and_nothing_is_cut():
    many = [SweepLine(f"mtp{k}", [SweepPoint(x, 0.98, 0.1, (1.0, 0.96)) for x in X], k) for k in range(5)]
    sizes = SweepLine("sizes", [SweepPoint(x, 0.5, 0.1) for x in (3.1e5, 1.2e6, 1.61e7, 1.8e7, 2.5e7)], 0)
    figure = accuracy_panels([PANELS[1], SweepPanel("many", many, 0.25), SweepPanel("sizes", [sizes])], "x", columns=2)
    draw(figure)
    for ax in figure.axes:
        assert labels_are_apart(figure, ax)
        labels = [label.get_window_extent() for label in ax.get_xticklabels()]
        assert all(left.x1 < right.x0 for left, right in pairwise(labels))
        for box in (*labels, ax.title.get_window_extent(), ax.xaxis.label.get_window_extent()):
            assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1
        low, high = ax.get_xlim()
        assert all(np.all((low < part[:, 0]) & (part[:, 0] < high)) for part in dots(ax))
    columns = [(line_data(figure.axes[1], line.name)[0, 0], 0.5) for line in many]
    assert np.all(np.diff(figure.axes[1].transData.transform(columns)[:, 0]) > 5)  # pixels


def test_lines_at_neighbouring_x_do_not_mix():
    near = tuple(1000.0 * 1.1**n for n in range(12))
    lines = [SweepLine(str(k), [SweepPoint(x, 0.5, 0.1) for x in near], k) for k in range(6)]
    (ax,) = accuracy_panels([SweepPanel("", lines)], "x").axes
    first, last = line_data(ax, "0")[:, 0], line_data(ax, "5")[:, 0]
    assert np.all(first < last)
    assert np.all(last[:-1] < first[1:])


def test_short_numbers():
    numbers = (0.5, 12.0, 500.0, 999.6, 2000.0, 1234567.0, 16.1e6, 1e9)
    assert [short_number(number) for number in numbers] == ["0.5", "12", "500", "1k", "2k", "1.23M", "16.1M", "1B"]


def panel(*points: SweepPoint) -> list[SweepPanel]:
    return [SweepPanel("", [NTP._replace(points=points)])]


@pytest.mark.parametrize(
    ("panels", "columns", "message"),
    [
        ([], 2, "panels: must hold at least one SweepPanel"),
        (PANELS, 0, "columns: must be an integer at least 1"),
        ([SweepPanel("", [])], 2, "panels[0]: must hold at least one line"),
        ([SweepPanel("", [NTP], 1.5)], 2, "chance: must be between 0 and 1"),
        (panel(), 2, "line 'ntp' x: must be at least 1 increasing numbers"),
        (panel(*NTP.points[::-1]), 2, "x: must be at least 1 increasing numbers"),
        (panel(SweepPoint(0.0, 0.5, 0.1)), 2, "x: must be positive on a logarithmic axis"),
        (panel(SweepPoint(1.0, 1.5, 0.1)), 2, "mean: must be between 0 and 1"),
        (panel(SweepPoint(1.0, 0.5, -0.1)), 2, "half_width: must be at least 0, or NaN"),
        (panel(SweepPoint(1.0, 0.5, 0.1, (2.0,))), 2, "seeds: must be between 0 and 1"),
        ([SweepPanel("", [NTP._replace(colour=7)])], 2, "line 'ntp' colour: must be an integer between 0 and 6"),
    ],
)
def test_what_does_not_fit(panels, columns, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        accuracy_panels(panels, "x", columns=columns)
