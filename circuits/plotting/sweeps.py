"""Accuracy of many runs against what was varied, as in Figure 2. As in ``plotting``, nothing trains or saves."""

from collections.abc import Sequence
from math import ceil
from textwrap import fill
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from circuits import checks
from circuits.plotting.heatmaps import COLOURS, QUIET, Shown
from circuits.plotting.lines import name_at_ends

_SLOT, _LABEL = 0.03, 0.17
"""Shares of the axis: between lines at one place, if there is room, and for the number at a tick."""


class Point(NamedTuple):
    """A mean over seeds at x, half the width of its interval (NaN: unknown, no bar), and each seed's value."""

    x: float
    mean: float
    half: float
    seeds: Sequence[float] = ()


class SweepLine(NamedTuple):
    """Points of increasing x, under a name written at the right end; ``colour`` is a place in ``plotting.COLOURS``."""

    name: str
    points: Sequence[Point]
    colour: int


class SweepPanel(NamedTuple):
    """Lines in one frame, and what guessing gives."""

    title: str
    lines: Sequence[SweepLine]
    chance: float | None = None


LETTERS = 13
"""Of a note, that stand in an inch."""


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
    """Shares of right answers against a logarithmic x, ``columns`` panels of ``size`` inches side by side.

    Lines at one x are drawn a little beside each other, and dots of seeds a little beside their mean. Error bars are
    cut at 0 and 1, which no share exceeds. Raises ValueError for no panels or lines, x that is not positive and
    increasing, values outside of [0, 1], and colours that are none.
    """
    checks.require(len(panels) > 0, "panels", "must hold at least one SweepPanel", len(panels))
    checks.integer("columns", columns, min_value=1)
    for number, panel in enumerate(panels):
        _check(f"panels[{number}]", panel)
    across = min(columns, len(panels))
    down = ceil(len(panels) / across)
    note = fill(note, int(LETTERS * size[0] * min(columns, len(panels))))  # a long line would be cut at the edges
    words = 0.5 * bool(title) + 0.25 * (note.count("\n") + 1) * bool(note)
    engine = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.02, hspace=0.03)
    figure = Shown(figsize=(across * size[0], down * size[1] + words), layout=engine)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    figure.supxlabel(note, fontsize=9.5, color=QUIET)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for spare in axes[len(panels) :]:
        spare.remove()
    for ax, panel in zip(axes, panels, strict=False):
        _draw(ax, panel)
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        name_at_ends(ax, gap=0.22 / (size[1] - 0.9))
    return figure


def brief(number: float | int) -> str:
    """A number in three digits: 500, 2k, 1.5M."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{float(f'{number / size:.3g}'):g}{letter}"
    return f"{number:.3g}"


def _check(name: str, panel: SweepPanel) -> None:
    checks.require(len(panel.lines) > 0, name, "must hold at least one line", len(panel.lines))
    shares = [] if panel.chance is None else [("chance", panel.chance)]
    for line in panel.lines:
        place = f"{name} line {line.name!r}"
        x = np.array([point.x for point in line.points], float)
        rising = len(x) > 0 and bool(x[0] > 0) and bool(np.all(np.diff(x) > 0)) and bool(np.isfinite(x[-1]))
        checks.require(rising, f"{place} x", "must be positive numbers that increase", x.tolist())
        checks.integer(f"{place} colour", line.colour, min_value=0, max_value=len(COLOURS) - 1)
        for point in line.points:
            shares += [(f"{place} mean", point.mean), *((f"{place} seeds", value) for value in point.seeds)]
            checks.require(not point.half < 0, f"{place} half", "must be at least 0, or NaN", point.half)
    for argument, value in shares:
        checks.require(0 <= value <= 1, argument, "must be between 0 and 1", value)


def _draw(ax: Axes, panel: SweepPanel) -> None:
    ax.set_title(panel.title, fontsize=11, loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xscale("log")
    places = np.log([point.x for line in panel.lines for point in line.points])
    span = float(np.ptp(places)) or 1.0
    gaps = np.concatenate([np.diff(np.log([point.x for point in line.points])) for line in panel.lines])
    # Lines at one place stand side by side, so that their bars do not cover each other; those of neighbours stay apart.
    slot = min(_SLOT * span, 0.7 * float(gaps.min(initial=span)) / len(panel.lines))
    room = 0.03 * span + slot * len(panel.lines) / 2
    ax.set_xlim(*np.exp([places.min() - room, places.max() + room]).tolist())
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    _ticks(ax, np.unique(places), _LABEL * (span + 2 * room))
    if panel.chance is not None:
        name = f"chance {100 * panel.chance:.3g}%"
        ax.plot(ax.get_xlim(), [panel.chance] * 2, label=name, color=QUIET, linestyle="--", linewidth=1.2, zorder=1)
    for number, line in enumerate(panel.lines):
        _draw_line(ax, line, np.exp(slot * (number - (len(panel.lines) - 1) / 2)), np.exp(0.3 * slot))


def _draw_line(ax: Axes, line: SweepLine, beside: float, further: float) -> None:
    """Means with their bars, x times ``beside``; and the seeds as dots, x times ``further`` once more."""
    x, mean, half = (np.array([getattr(point, name) for point in line.points], float) for name in ("x", "mean", "half"))
    colour, known = COLOURS[line.colour], np.isfinite(half)
    at, low, high = beside * x, np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)
    ax.plot(at, mean, label=line.name or "_", color=colour, linewidth=1.8, marker="o", markersize=4.5, zorder=3)
    around = (mean[known] - low[known], high[known] - mean[known])
    ax.errorbar(
        at[known], mean[known], around, fmt="none", ecolor=colour, elinewidth=1.1, capsize=2.2, label="_", zorder=2
    )
    seeds = np.array([(point.x, value) for point in line.points for value in point.seeds], float).reshape(-1, 2)
    ax.scatter(beside * further * seeds[:, 0], seeds[:, 1], s=8, color=colour, alpha=0.6, linewidth=0, zorder=2.5)


def _ticks(ax: Axes, places: np.ndarray, gap: float) -> None:
    """A tick at each place, given as logarithms, that is far enough from the tick before."""
    chosen = [places[0]]
    for place in places[1:]:
        if place - chosen[-1] >= gap:
            chosen.append(place)
    ax.set_xticks(np.exp(chosen), [brief(value) for value in np.exp(chosen)])
    ax.set_xticks([], minor=True)
