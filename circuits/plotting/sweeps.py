"""Accuracy of many training runs against a varied setting, as in the paper's Figure 2."""

from collections.abc import Sequence
from textwrap import fill
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from circuits import checks
from circuits.plotting.lines import name_lines
from circuits.plotting.style import COLOURS, GREY, check_colour, increasing, panel_grid, style_axes

_SLOT, _LABEL = 0.03, 0.17
"""Shares of the x axis: distance of lines at the same x if there is space, and width of a tick label."""
NOTE_LETTERS = 13
"""Letters of the note per inch."""


class SweepPoint(NamedTuple):
    """A mean over seeds.

    Args:
        x: value of the varied setting.
        mean: accuracy, from 0 to 1.
        half_width: of its interval; NaN for no error bar.
        seeds: accuracy of each seed, drawn as dots.

    Example:
        >>> SweepPoint(2000.0, 0.5, 0.05, (0.45, 0.55)).mean
        0.5
    """

    x: float | int
    mean: float
    half_width: float
    seeds: Sequence[float] = ()


class SweepLine(NamedTuple):
    """Points of increasing x; the name is written at the right end. ``colour`` is an index into ``style.COLOURS``.

    Example:
        >>> SweepLine("ntp", [SweepPoint(2000.0, 0.5, 0.05)], 0).name
        'ntp'
    """

    name: str
    points: Sequence[SweepPoint]
    colour: int


class SweepPanel(NamedTuple):
    """Lines in one frame, and the accuracy of guessing.

    Example:
        >>> SweepPanel("width 32", [SweepLine("ntp", [SweepPoint(2000.0, 0.5, 0.05)], 0)], 0.5).chance
        0.5
    """

    title: str
    lines: Sequence[SweepLine]
    chance: float | None = None


def accuracy_panels(
    panels: Sequence[SweepPanel],
    xlabel: str,
    *,
    ylabel: str = "whole answer right",
    title: str = "",
    note: str = "",
    columns: int = 3,
    size: tuple[float, float] = (4.9, 3.5),
) -> Figure:
    """Draw accuracies against a logarithmic x.

    Points at the same x are drawn side by side, and seeds next to their mean. Error bars are cut at 0 and 1.

    Args:
        panels: the lines of each frame.
        xlabel: below every frame.
        ylabel: left of every frame.
        title: above all frames.
        note: below all frames.
        columns: frames side by side.
        size: of a frame in inches.

    Returns:
        A figure with one axes for each panel.

    Raises:
        ValueError: if there are no panels or lines, x is not positive and increasing, an accuracy is outside [0, 1], or
            a colour does not exist.

    Example:
        >>> line = SweepLine("ntp", [SweepPoint(2000.0, 0.5, 0.05), SweepPoint(8000.0, 0.6, 0.05)], 0)
        >>> figure = accuracy_panels([SweepPanel("width 32", [line], 0.5)], "training problems")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['chance 50%', 'ntp']
    """
    checks.require(len(panels) > 0, "panels", "must hold at least one SweepPanel", len(panels))
    for number, panel in enumerate(panels):
        _check(f"panels[{number}]", panel)
    note = fill(note, int(NOTE_LETTERS * size[0] * min(columns, len(panels))) or 1)  # a longer line would be cut off
    figure, axes = panel_grid(len(panels), columns, size, title=title, note=note)
    for ax, panel in zip(axes, panels, strict=True):
        style_axes(ax, panel.title, xlabel, ylabel)
        _draw(ax, panel)
        name_lines(ax, gap=0.22 / (size[1] - 0.9))
    return figure


def short_number(number: float | int) -> str:
    """Return a number in three digits: 500, 2k, 1.5M.

    Example:
        >>> short_number(1234567)
        '1.23M'
    """
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{float(f'{number / size:.3g}'):g}{letter}"
    return f"{number:.3g}"


def _check(argument: str, panel: SweepPanel) -> None:
    checks.require(len(panel.lines) > 0, argument, "must hold at least one line", len(panel.lines))
    shares = [] if panel.chance is None else [("chance", panel.chance)]
    for line in panel.lines:
        name = f"{argument} line {line.name!r}"
        increasing(f"{name} x", [point.x for point in line.points], positive=True, min_length=1)
        check_colour(name, line.colour)
        for point in line.points:
            shares += [(f"{name} mean", point.mean), *((f"{name} seeds", value) for value in point.seeds)]
            checks.require(
                not point.half_width < 0, f"{name} half_width", "must be at least 0, or NaN", point.half_width
            )
    for name, value in shares:
        checks.require(0 <= value <= 1, name, "must be between 0 and 1", value)


def _draw(ax: Axes, panel: SweepPanel) -> None:
    ax.set_xscale("log")
    logs = np.log([point.x for line in panel.lines for point in line.points])
    span = float(np.ptp(logs)) or 1.0
    gaps = np.concatenate([np.diff(np.log([point.x for point in line.points])) for line in panel.lines])
    # Error bars at the same x are drawn side by side, and apart from those at the next x.
    slot = min(_SLOT * span, 0.7 * float(gaps.min(initial=span)) / len(panel.lines))
    margin = 0.03 * span + slot * len(panel.lines) / 2
    ax.set_xlim(*np.exp([logs.min() - margin, logs.max() + margin]).tolist())
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    _set_ticks(ax, np.unique(logs), _LABEL * (span + 2 * margin))
    if panel.chance is not None:
        name = f"chance {100 * panel.chance:.3g}%"
        ax.plot(ax.get_xlim(), [panel.chance] * 2, label=name, color=GREY, linestyle="--", linewidth=1.2, zorder=1)
    for number, line in enumerate(panel.lines):
        _draw_line(ax, line, np.exp(slot * (number - (len(panel.lines) - 1) / 2)), np.exp(0.3 * slot))


def _draw_line(ax: Axes, line: SweepLine, offset: float, seed_offset: float) -> None:
    """Draw means with error bars at x times ``offset``, and seeds as dots at ``seed_offset`` times that."""
    x, mean, half = np.array([point[:3] for point in line.points], float).T
    colour, known = COLOURS[line.colour], np.isfinite(half)
    x, low, high = offset * x, np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)
    ax.plot(x, mean, label=line.name or "_", color=colour, linewidth=1.8, marker="o", markersize=4.5, zorder=3)
    ends = (mean[known] - low[known], high[known] - mean[known])
    look = {"fmt": "none", "ecolor": colour, "elinewidth": 1.1, "capsize": 2.2, "label": "_", "zorder": 2}
    ax.errorbar(x[known], mean[known], ends, **look)
    seeds = np.array([(point.x, value) for point in line.points for value in point.seeds], float).reshape(-1, 2)
    ax.scatter(offset * seed_offset * seeds[:, 0], seeds[:, 1], s=8, color=colour, alpha=0.6, linewidth=0, zorder=2.5)


def _set_ticks(ax: Axes, logs: np.ndarray, gap: float) -> None:
    """Set a tick at each log x that is at least ``gap`` away from the previous tick."""
    chosen = [logs[0]]
    for log in logs[1:]:
        if log - chosen[-1] >= gap:
            chosen.append(log)
    ax.set_xticks(np.exp(chosen), [short_number(value) for value in np.exp(chosen)])
    ax.set_xticks([], minor=True)
