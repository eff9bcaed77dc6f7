"""Groups of bars, one group for each category."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuits import checks
from circuits.plotting import style
from circuits.plotting.style import COLOURS, Curve, Labels


class Bars(NamedTuple):
    """One bar in each group.

    Args:
        name: in the legend.
        heights: one for each category, NaN for no bar.
        colour: an index into the palette ``style.COLOURS``, or None for grey.
        span: (low, high) ends of an error bar for each category.

    Example:
        >>> Bars("ours", [0.5, 0.7], 0).span is None
        True
    """

    name: str
    heights: Curve
    colour: int | None = None
    span: tuple[Curve, Curve] | None = None


class BarPanel(NamedTuple):
    """Groups of bars in one frame. With ``signs``, rows above the frame compare the signs of all bars in a group.

    Example:
        >>> BarPanel("Accuracy", "share", [Bars("ours", [0.5, 0.7])]).signs
        False
    """

    title: str
    ylabel: str
    bars: Sequence[Bars]
    signs: bool = False


def bar_panels(
    panels: Sequence[BarPanel],
    categories: Labels,
    xlabel: str,
    *,
    title: str = "",
    note: str = "",
    columns: int = 2,
    size: tuple[float, float] = (6.2, 3.8),
) -> Figure:
    """Draw groups of bars, panel by panel.

    Args:
        panels: the bars of each frame.
        categories: a label for each group.
        xlabel: below every frame.
        title: above all frames.
        note: below all frames.
        columns: frames side by side.
        size: of a frame in inches.

    Returns:
        A figure with one axes for each panel.

    Raises:
        ValueError: if there are no panels or bars, heights have another length or are infinite, or a colour does not
            exist.

    Example:
        >>> figure = bar_panels([BarPanel("Accuracy", "share", [Bars("ours", [0.5, 0.7])])], ["NTP", "MTP"], "loss")
        >>> [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
        ['NTP', 'MTP']
    """
    checks.require(len(panels) > 0, "panels", "must hold at least one BarPanel", len(panels))
    for number, panel in enumerate(panels):
        check_bars(f"panels[{number}]", panel, len(categories))
    figure, axes = style.panel_grid(len(panels), columns, size, title=title, note=note)
    for ax, panel in zip(axes, panels, strict=True):
        draw_bars(ax, panel, [str(name) for name in categories], xlabel)
    return figure


def check_bars(argument: str, panel: BarPanel, categories: int) -> None:
    """Check a panel of bars. Raises ValueError as ``bar_panels`` does."""
    checks.require(len(panel.bars) > 0, argument, "must hold at least one Bars", len(panel.bars))
    for bars in panel.bars:
        name = f"{argument} bars {bars.name!r}"
        style.check_colour(name, bars.colour)
        for part, values in (("heights", bars.heights), *zip(("low", "high"), bars.span or (), strict=False)):
            style.checked_curve(f"{name} {part}", values, categories, gaps=True)


def draw_bars(ax: Axes, panel: BarPanel, categories: list[str], xlabel: str) -> None:
    """Draw a panel of bars into an axes."""
    style.style_axes(ax, panel.title, xlabel, panel.ylabel)
    groups, width = np.arange(len(categories)), 0.8 / len(panel.bars)
    for number, bars in enumerate(panel.bars):
        heights = np.asarray(bars.heights, float)
        x = groups + (number - (len(panel.bars) - 1) / 2) * width
        ax.bar(x, heights, 0.92 * width, label=bars.name, color=style.line_colour(bars.colour))
        if bars.span is not None:
            low, high = (np.asarray(side, float) for side in bars.span)
            ends = heights - low, high - heights
            ax.errorbar(x, heights, ends, fmt="none", ecolor="black", capsize=2, linewidth=1)
    style_groups(ax, categories)
    if panel.signs:  # the rows of signs take the place of a legend
        _compare_signs(ax, panel.bars)
    elif len(panel.bars) > 1:
        ax.legend(frameon=False, fontsize=9)


def style_groups(ax: Axes, categories: list[str]) -> None:
    """Label groups of bars, and draw the line at 0."""
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(categories)), categories)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.6, len(categories) - 0.4)


def _compare_signs(ax: Axes, bars: Sequence[Bars]) -> None:
    """Write a row of signs above the frame for each ``Bars``, and shade groups whose signs differ."""
    signs = np.array([np.sign(np.asarray(each.heights, float)) for each in bars])
    ax.set_title(ax.get_title(loc="left"), fontsize=11, loc="left", pad=14 + 15 * len(bars))
    for row, each in enumerate(bars):
        up = 8 + 15 * (len(bars) - 1 - row)
        look: dict[str, Any] = {"color": style.line_colour(each.colour), "va": "center", "annotation_clip": False}
        look["textcoords"] = "offset points"
        ax.annotate(each.name, (0, 1), (-6, up), xycoords="axes fraction", ha="right", fontsize=9, **look)
        look |= {"xycoords": ("data", "axes fraction"), "ha": "center", "fontsize": 13, "fontweight": "bold"}
        for group in np.flatnonzero(np.isfinite(signs[row])).tolist():
            ax.annotate("−0+"[int(signs[row, group]) + 1], (group, 1), (0, up), **look)
    for number, group in enumerate(signs.T):
        if len(set(group[~np.isnan(group)].tolist())) > 1:
            ax.axvspan(number - 0.5, number + 0.5, color=COLOURS[1], alpha=0.13, linewidth=0, zorder=0)
