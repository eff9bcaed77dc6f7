"""How weights, losses and scores move: arrays → matplotlib ``Figure``. As in ``plotting``, nothing trains or saves.

Whatever is drawn over time or training steps is a ``Panel`` of ``Line``s; whatever is compared side by side is a panel
of ``Bars``; and ``mechanism`` sets the weights of models beside their attention, as the paper's Figure 3 does.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullFormatter

from circuits import checks
from circuits.plotting.heatmaps import COLOURS, QUIET, Curve, Labels, Mark, Matrix, Shown, attention_heatmap
from circuits.plotting.lines import name_at_ends

DASHES = {"exact": "-", "printed": (0, (5, 2)), "reference": (0, (1, 1.5))}
"""What a line is: ours, the paper's formula, or a law to compare with."""


class Line(NamedTuple):
    """A curve y over x.

    name    written at its right end; "" for none, as where several lines are of one kind
    x, y    of one length; y may be NaN where nothing is known
    colour  a place in ``plotting.COLOURS``; None is grey
    kind    "exact", "printed" or "reference", which is thin
    span    (least, greatest) around y, shaded
    """

    name: str
    x: Curve
    y: Curve
    colour: int | None = None
    kind: str = "exact"
    span: tuple[Curve, Curve] | None = None


class Panel(NamedTuple):
    """Lines in one frame. ``limits`` of y; None takes those of the lines."""

    title: str
    ylabel: str
    lines: Sequence[Line]
    log_y: bool = False
    limits: tuple[float, float] | None = None


class Bars(NamedTuple):
    """One height a category, NaN for none, and where it is a median, the (least, greatest) around it."""

    name: str
    heights: Curve
    colour: int | None = None
    span: tuple[Curve, Curve] | None = None


class BarPanel(NamedTuple):
    """Groups of bars in one frame. With ``signs``, rows above the frame compare the signs of all bars in a group."""

    title: str
    ylabel: str
    bars: Sequence[Bars]
    signs: bool = False


class Mechanism(NamedTuple):
    """A reduced model: its blocks (content, position) of either layer, and the patterns of both on one sequence."""

    name: str
    weights: tuple[tuple[Matrix, Matrix], tuple[Matrix, Matrix]]
    attention: tuple[Matrix, Matrix]


def line_panels(
    panels: Sequence[Panel],
    xlabel: str,
    *,
    title: str = "",
    note: str = "",
    columns: int = 2,
    size: tuple[float, float] = (5.6, 3.6),
    log_x: bool = True,
) -> Figure:
    """Curves over time, ``columns`` panels of ``size`` inches side by side, each line named at its right end.

    ``note`` stands below all. Raises ValueError for no panels or lines, lengths that differ, infinite values, x not
    increasing or not positive on a logarithmic axis, y not positive on one, and kinds and colours that are none.
    """
    checks.require(len(panels) > 0, "panels", "must hold at least one Panel", len(panels))
    for number, panel in enumerate(panels):
        checks.require(len(panel.lines) > 0, f"panels[{number}]", "must hold at least one line", len(panel.lines))
        for line in panel.lines:
            _check_line(f"panels[{number}] line {line.name!r}", line, log_x, panel.log_y)
    figure, axes = _frames(len(panels), columns, size, title, note)
    for ax, panel in zip(axes, panels, strict=True):
        _draw_lines(ax, panel, xlabel, log_x, size[1])
    return figure


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
    """Bars in groups, one group a category. Errors as in ``line_panels``, and for heights that are not a category's."""
    checks.require(len(panels) > 0, "panels", "must hold at least one BarPanel", len(panels))
    for number, panel in enumerate(panels):
        _check_bars(f"panels[{number}]", panel, len(categories))
    figure, axes = _frames(len(panels), columns, size, title, note)
    for ax, panel in zip(axes, panels, strict=True):
        _draw_bars(ax, panel, [str(name) for name in categories], xlabel)
    return figure


def mechanism(
    models: Sequence[Mechanism],
    tokens: Labels,
    *,
    title: str = "",
    note: str = "",
    mark: Sequence[Mark] = (),
    heads: Sequence[BarPanel] = (),
    blocks: Sequence[str] = (),
) -> Figure:
    """A row for each model: W^(1), W^(2), and attention in Layers 1 and 2 with ``mark`` outlined in Layer 1.

    Below them ``heads``: how much each head reads of each of the stream's ``blocks``. Raises ValueError for no
    models, blocks that are not square and finite, and as ``attention_heatmap`` and ``bar_panels`` do.
    """
    checks.require(len(models) > 0, "models", "must hold at least one Mechanism", len(models))
    for model in models:
        for number, (content, position) in enumerate(model.weights, start=1):
            for block, array in (("content", content), ("position", position)):
                name = f"{model.name}: {block}_{number}"
                checks.shape(name, array, (len(array), len(array)))
                checks.finite(name, array)
    for number, panel in enumerate(heads):
        _check_bars(f"heads[{number}]", panel, len(blocks))
    down = len(models) + bool(heads)
    figure = Shown(figsize=(21.5, 5.4 * len(models) + 3.7 * bool(heads) + 1.5), layout=_engine())
    figure.suptitle(title, fontsize=20, fontweight="bold")
    figure.supxlabel(note, fontsize=13, color=QUIET)
    rows = np.atleast_1d(
        np.asarray(figure.subfigures(down, 1, height_ratios=[5.4] * len(models) + [3.7] * bool(heads)))
    )
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    for row, model in zip(rows, models, strict=False):
        first, second, third, fourth = row.subplots(1, 4)
        for number, (ax, layer) in enumerate(zip((first, second), model.weights, strict=True), start=1):
            _draw_blocks(ax, *layer, f"({next(letters)})  {model.name}: $W^{{({number})}}$")
        for number, (ax, pattern) in enumerate(zip((third, fourth), model.attention, strict=True), start=1):
            name = f"({next(letters)})  {model.name}: attention in Layer {number}"
            marks = mark if number == 1 else ()
            attention_heatmap(pattern, tokens, title=name, mark=marks, ax=ax, colour_bar=number == 2)
            ax.title.set_fontsize(14)
    if heads:
        for ax, panel in zip(np.atleast_1d(rows[-1].subplots(1, len(heads))), heads, strict=True):
            _draw_bars(ax, panel._replace(title=f"({next(letters)})  {panel.title}"), list(blocks), "")
            ax.set_title(ax.get_title(loc="left"), loc="left", fontsize=14)
    return figure


# ------------------------------------------------------------------------------------------- arguments


def _check_line(name: str, line: Line, log_x: bool, log_y: bool) -> None:
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    checks.finite(f"{name} x", x)
    rising = x.ndim == 1 and len(x) >= 2 and bool(np.all(np.diff(x) > 0))
    checks.require(rising, f"{name} x", "must be at least two numbers that increase", x.tolist())
    checks.require(not log_x or bool(x[0] > 0), f"{name} x", "must be positive on a logarithmic axis", float(x[0]))
    checks.choice(f"{name} kind", line.kind, tuple(DASHES))
    _check_colour(name, line.colour)
    for part, values in (("y", y), *zip(("least", "greatest"), line.span or (), strict=False)):
        _check_values(f"{name} {part}", values, len(x), log_y)


def _check_bars(name: str, panel: BarPanel, categories: int) -> None:
    checks.require(len(panel.bars) > 0, name, "must hold at least one Bars", len(panel.bars))
    for bars in panel.bars:
        _check_colour(f"{name} bars {bars.name!r}", bars.colour)
        for part, values in (("heights", bars.heights), *zip(("least", "greatest"), bars.span or (), strict=False)):
            _check_values(f"{name} bars {bars.name!r} {part}", values, categories, False)


def _check_values(name: str, values: Any, length: int, positive: bool) -> None:
    known = np.asarray(values, float)
    checks.shape(name, known, (length,))
    known = known[~np.isnan(known)]
    checks.require(len(known) > 0, name, "must hold a number", values)
    checks.finite(name, known)
    low = float(known.min())
    checks.require(not positive or low > 0, name, "must be positive on a logarithmic axis", low)


def _check_colour(name: str, colour: int | None) -> None:
    if colour is not None:
        checks.integer(f"{name} colour", colour, min_value=0, max_value=len(COLOURS) - 1)


# --------------------------------------------------------------------------------------------- drawing


def _engine() -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.02, hspace=0.03)


def _frames(count: int, columns: int, size: tuple[float, float], title: str, note: str) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` empty axes."""
    checks.integer("columns", columns, min_value=1)
    across = min(columns, count)
    down = ceil(count / across)
    words = 0.5 * bool(title) + 0.25 * (note.count("\n") + 1) * bool(note)
    figure = Shown(figsize=(across * size[0], down * size[1] + words), layout=_engine())
    figure.suptitle(title, fontsize=13, fontweight="bold")
    figure.supxlabel(note, fontsize=9.5, color=QUIET)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def _dress(ax: Axes, title: str, xlabel: str, ylabel: str) -> None:
    ax.set_title(title, fontsize=11, loc="left")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)


def _colour(colour: int | None) -> str:
    return QUIET if colour is None else COLOURS[colour]


def _draw_lines(ax: Axes, panel: Panel, xlabel: str, log_x: bool, height: float) -> None:
    _dress(ax, panel.title, xlabel, panel.ylabel)
    if log_x:
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
    if panel.log_y:
        ax.set_yscale("log")
    for line in panel.lines:
        style: dict[str, Any] = {"color": _colour(line.colour), "linestyle": DASHES[line.kind]}
        style["linewidth"] = 1.2 if line.kind == "reference" else 2
        ax.plot(np.asarray(line.x, float), np.asarray(line.y, float), label=line.name or "_", **style)
        if line.span is not None:
            low, high = (np.asarray(side, float) for side in line.span)
            ax.fill_between(np.asarray(line.x, float), low, high, color=style["color"], alpha=0.2, linewidth=0)
    ax.set_xlim(min(float(line.x[0]) for line in panel.lines), max(float(line.x[-1]) for line in panel.lines))
    if panel.limits is not None:
        ax.set_ylim(*panel.limits)
    most = max((line.name.count("\n") + 1 for line in panel.lines), default=1)
    name_at_ends(ax, gap=(0.06 + 0.16 * most) / (height - 0.9))


def _draw_bars(ax: Axes, panel: BarPanel, categories: list[str], xlabel: str) -> None:
    _dress(ax, panel.title, xlabel, panel.ylabel)
    places, width = np.arange(len(categories)), 0.8 / len(panel.bars)
    for number, bars in enumerate(panel.bars):
        heights = np.asarray(bars.heights, float)
        at = places + (number - (len(panel.bars) - 1) / 2) * width
        ax.bar(at, heights, 0.92 * width, label=bars.name, color=_colour(bars.colour))
        if bars.span is not None:
            low, high = (np.asarray(side, float) for side in bars.span)
            ax.errorbar(
                at, heights, (heights - low, high - heights), fmt="none", ecolor="black", capsize=2, linewidth=1
            )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(places, categories)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.6, len(categories) - 0.4)
    if panel.signs:  # whose rows name the bars in their colours
        _compare_signs(ax, panel.bars)
    elif len(panel.bars) > 1:
        ax.legend(frameon=False, fontsize=9)


def _compare_signs(ax: Axes, bars: Sequence[Bars]) -> None:
    """A row of signs for each of the bars, above the frame; a group whose signs differ is framed in red."""
    signs = np.array([np.sign(np.asarray(each.heights, float)) for each in bars])
    ax.set_title(ax.get_title(loc="left"), fontsize=11, loc="left", pad=14 + 15 * len(bars))
    for row, each in enumerate(bars):
        up = 8 + 15 * (len(bars) - 1 - row)
        style: dict[str, Any] = {"color": _colour(each.colour), "va": "center", "annotation_clip": False}
        style["textcoords"] = "offset points"
        ax.annotate(each.name, (0, 1), (-6, up), xycoords="axes fraction", ha="right", fontsize=9, **style)
        style |= {"xycoords": ("data", "axes fraction"), "ha": "center", "fontsize": 13, "fontweight": "bold"}
        for place in np.flatnonzero(np.isfinite(signs[row])).tolist():
            ax.annotate("−0+"[int(signs[row, place]) + 1], (place, 1), (0, up), **style)
    for place, group in enumerate(signs.T):
        known = group[~np.isnan(group)]
        if len(set(known.tolist())) > 1:
            ax.axvspan(place - 0.5, place + 0.5, color="#D55E00", alpha=0.13, linewidth=0, zorder=0)


def _draw_blocks(ax: Axes, content: Matrix, position: Matrix, title: str) -> None:
    """Eq. 4: the content block above, the position block below; hatched what the reduced model keeps at zero."""
    upper, lower = np.asarray(content, float), np.asarray(position, float)
    labels, length = len(upper), len(lower)
    whole = np.full((labels + length, labels + length), np.nan)
    whole[:labels, :labels], whole[labels:, labels:] = upper, lower
    largest = float(np.nanmax(np.abs(whole))) or 1.0
    image = ax.imshow(np.ma.masked_invalid(whole), cmap="RdBu_r", vmin=-largest, vmax=largest)
    ax.patch.set(facecolor="#f3f3f3", edgecolor="#cccccc", hatch="////")
    ax.spines[:].set_visible(False)
    names = [*map(str, range(labels)), *(str(place) for place in range(1, length + 1))]
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set_xticks(range(len(names)), names, fontsize=8.5)
    ax.set_yticks(range(len(names)), names, fontsize=8.5)
    for draw in (ax.axhline, ax.axvline):
        draw(labels - 0.5, color="black", linewidth=0.8)
    ax.xaxis.set_label_position("top")
    ax.set_xlabel("key:  node label  |  position", color=QUIET)
    ax.set_ylabel("query:  position  |  node label", color=QUIET)
    ax.set_title(title, fontsize=14, pad=10)
    ax.figure.figure.colorbar(image, ax=ax, shrink=0.7, aspect=28, pad=0.02).outline.set_visible(False)
