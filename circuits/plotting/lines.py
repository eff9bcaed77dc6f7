"""Curves over time, training steps or γ, each named at its right end."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from circuits import checks
from circuits.plotting import style
from circuits.plotting.style import COLOURS, GREY, Curve, Matrix

DASHES = {"exact": "-", "printed": (0, (5, 2)), "reference": (0, (1, 1.5))}
"""Kinds of lines: a result of this library, a formula as printed in the paper, or a law for comparison."""
MAX_NAMED = 5
"""Up to this many lines of ``lines_by_gamma`` are named at their ends; more get a legend."""
MAX_TRAJECTORIES = 6
"""Coordinates that ``trajectory_lines`` colours and names."""


class Line(NamedTuple):
    """A curve y over x.

    Args:
        name: written at its right end; "" for no name.
        x: increasing values.
        y: one value for each x, NaN if unknown.
        colour: an index into the palette ``style.COLOURS``, or None for grey.
        kind: "exact", "printed" (dashed) or "reference" (dotted and thin).
        span: (low, high) around y, shaded.

    Example:
        >>> Line("loss", [1, 2, 4], [0.7, 0.5, 0.1], 0).kind
        'exact'
    """

    name: str
    x: Curve
    y: Curve
    colour: int | None = None
    kind: str = "exact"
    span: tuple[Curve, Curve] | None = None


class LinePanel(NamedTuple):
    """Lines in one frame. ``limits`` are those of y; by default they fit the lines.

    Example:
        >>> LinePanel("Loss", "nats", [Line("L2", [1, 2], [0.7, 0.5])]).log_y
        False
    """

    title: str
    ylabel: str
    lines: Sequence[Line]
    log_y: bool = False
    limits: tuple[float, float] | None = None


def line_panels(
    panels: Sequence[LinePanel],
    xlabel: str,
    *,
    title: str = "",
    note: str = "",
    columns: int = 2,
    size: tuple[float, float] = (5.6, 3.6),
    log_x: bool = True,
) -> Figure:
    """Draw curves over time or training steps, panel by panel.

    Args:
        panels: the lines of each frame.
        xlabel: below every frame.
        title: above all frames.
        note: below all frames.
        columns: frames side by side.
        size: of a frame in inches.
        log_x: whether x is logarithmic.

    Returns:
        A figure with one axes for each panel.

    Raises:
        ValueError: if there are no panels or lines, x does not increase, y has another length or infinite values, a
            value is not positive on a logarithmic axis, or a kind or colour does not exist.

    Example:
        >>> figure = line_panels([LinePanel("Loss", "nats", [Line("L2", [1, 2, 4], [0.7, 0.5, 0.1])])], "time")
        >>> figure.axes[0].texts[0].get_text()
        'L2'
    """
    checks.require(len(panels) > 0, "panels", "must hold at least one LinePanel", len(panels))
    for number, panel in enumerate(panels):
        checks.require(len(panel.lines) > 0, f"panels[{number}]", "must hold at least one line", len(panel.lines))
        for line in panel.lines:
            _check_line(f"panels[{number}] line {line.name!r}", line, log_x, panel.log_y)
    figure, axes = style.panel_grid(len(panels), columns, size, title=title, note=note)
    for ax, panel in zip(axes, panels, strict=True):
        _draw_panel(ax, panel, xlabel, log_x, size[1])
    return figure


def lines_by_gamma(
    gammas: Curve,
    lines: Mapping[str, Curve],
    *,
    title: str = "",
    ylabel: str = "",
    reference: float | int | None = None,
) -> Figure:
    """Draw positive quantities against γ on a logarithmic axis.

    Args:
        gammas: increasing values of γ.
        lines: by name, a positive value for each γ.
        title: above the frame.
        ylabel: left of the frame.
        reference: c, to draw the line c e^-γ as well.

    Returns:
        A figure with one axes. Up to five lines are named at their ends; more get a legend.

    Raises:
        ValueError: if there are no lines, γ does not increase, or values have another length or are not positive.

    Example:
        >>> gammas = np.linspace(5, 50, 4)
        >>> figure = lines_by_gamma(gammas, {"L2": np.exp(-gammas)}, reference=1)
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['L2', '$e^{-\\\\gamma}$']
    """
    x = style.increasing("gammas", gammas)
    checks.require(len(lines) > 0, "lines", "must hold at least one line", len(lines))
    if reference is not None:
        checks.require(0 < reference < float("inf"), "reference", "must be positive and finite", reference)
    figure, (ax,) = style.panel_grid(1, 1, (7.4, 4.2))
    style.style_axes(ax, title, "γ", ylabel)
    ax.set(yscale="log", xlim=(x[0], x[-1]))
    dashes = ("-", "--", "-.", ":")
    for number, (name, line) in enumerate(lines.items()):
        values = style.checked_curve(f"lines[{name!r}]", line, len(x), positive=True)
        colour = COLOURS[number % len(COLOURS)]
        ax.plot(x, values, label=name, linewidth=2, color=colour, linestyle=dashes[number % len(dashes)])
    if reference is not None:
        falling = np.exp(np.log(reference) - x)  # e^-γ itself underflows beyond 745
        name = r"$e^{-\gamma}$" if reference == 1 else rf"${reference:g}\,e^{{-\gamma}}$"
        ax.plot(x, np.where(falling > 0, falling, np.nan), label=name, color=GREY, linestyle=":", linewidth=1.2)
    if len(lines) > MAX_NAMED:
        ax.legend(frameon=False)
    else:
        name_lines(ax)
    return figure


def trajectory_lines(
    times: Curve, curves: Matrix, names: Sequence[str], *, title: str = "", ylabel: str = "state"
) -> Figure:
    """Draw coordinates of a flow over logarithmic time; those that move most are coloured and named, others grey.

    Args:
        times: increasing, after 0.
        curves: the values of each coordinate [coordinates, times].
        names: of the coordinates.
        title: above the frame.
        ylabel: left of the frame.

    Returns:
        A figure with one axes.

    Raises:
        ValueError: if names do not fit the curves, and as ``line_panels``.

    Example:
        >>> figure = trajectory_lines([1, 10], np.array([[0.0, 1.0], [0.0, 2.0]]), ["a", "b"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['a', 'b']
    """
    values = style.finite_matrix("curves", curves)
    texts = style.label_texts("names", names, len(values))
    moved = np.argsort(-np.ptp(values, axis=1), kind="stable")[:MAX_TRAJECTORIES].tolist()
    grey = [Line("", times, curve) for index, curve in enumerate(values) if index not in moved]
    named = [Line(texts[index], times, values[index], colour) for colour, index in enumerate(sorted(moved))]
    return line_panels([LinePanel(title, ylabel, [*grey, *named])], "time t of the flow", size=(6.4, 3.6))


def name_lines(ax: Axes, gap: float = 0.065) -> None:
    """Write the name of each line at its right end, moved up or down until names are ``gap`` of the height apart.

    Lines whose label begins with "_" and lines that end in NaN get no name.
    """
    ax.set_xlim(*ax.get_xlim())
    ax.set_ylim(*ax.get_ylim())
    ends = {line: np.asarray(line.get_xydata(), float)[-1] for line in ax.get_lines()}
    named = [line for line, end in ends.items() if np.isfinite(end).all() and str(line.get_label())[0] != "_"]
    to_share = ax.transScale + ax.transLimits
    points = np.array([to_share.transform(ends[line]) for line in named]).reshape(-1, 2)
    for line, (across, up), height in zip(named, points, _spread(points[:, 1], gap), strict=True):
        ax.annotate(
            str(line.get_label()),
            (min(across, 1), up),
            (1.045, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=line.get_color(),
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.8, "relpos": (0, 0.5)},
        )


def _spread(heights: np.ndarray, gap: float) -> np.ndarray:
    """Return heights in the same order, at least ``gap`` apart: moved up, then back down to at most 1."""
    order = np.argsort(heights, kind="stable")
    spread, low, high = np.empty(len(heights)), 0.0, 1.0
    for index in order:
        spread[index] = max(heights[index], low)
        low = spread[index] + gap
    for index in order[::-1]:
        spread[index] = min(spread[index], high)
        high = spread[index] - gap
    return spread


def _check_line(name: str, line: Line, log_x: bool, log_y: bool) -> None:
    x = style.increasing(f"{name} x", line.x, positive=log_x)
    checks.choice(f"{name} kind", line.kind, tuple(DASHES))
    style.check_colour(name, line.colour)
    for part, values in (("y", line.y), *zip(("low", "high"), line.span or (), strict=False)):
        style.checked_curve(f"{name} {part}", values, len(x), positive=log_y, gaps=True)


def _draw_panel(ax: Axes, panel: LinePanel, xlabel: str, log_x: bool, height: float) -> None:
    style.style_axes(ax, panel.title, xlabel, panel.ylabel)
    if log_x:
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
    if panel.log_y:
        ax.set_yscale("log")
    for line in panel.lines:
        x, colour = np.asarray(line.x, float), style.line_colour(line.colour)
        width = 1.2 if line.kind == "reference" else 2
        look = {"color": colour, "linestyle": DASHES[line.kind], "linewidth": width}
        ax.plot(x, np.asarray(line.y, float), label=line.name or "_", **look)
        if line.span is not None:
            low, high = (np.asarray(side, float) for side in line.span)
            ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    ax.set_xlim(min(float(line.x[0]) for line in panel.lines), max(float(line.x[-1]) for line in panel.lines))
    if panel.limits is not None:
        ax.set_ylim(*panel.limits)
    rows = max(line.name.count("\n") + 1 for line in panel.lines)
    name_lines(ax, gap=(0.06 + 0.16 * rows) / (height - 0.9))
