"""Matrices beside powers of the adjacency matrix, and scores by power, head and training step → matplotlib ``Figure``.

As in ``plotting``, nothing trains or saves. Layers and heads are printed from 1, nodes by their own numbers from 0.
"""

import re
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine

from circuits import checks
from circuits.plotting import heatmaps as plotting
from circuits.plotting.dynamics import Line, Panel, line_panels
from circuits.plotting.heatmaps import COLOURS, QUIET, Curve, Matrix, Shown

RAISED = str.maketrans("0123456789T", "⁰¹²³⁴⁵⁶⁷⁸⁹ᵀ")
MOST_NUMBERED = 20
"""Matrices of more nodes get only some of their numbers."""
MOST_WRITTEN = 40
"""Rows of a heatmap of which every cell has its number."""


class Band(NamedTuple):
    """Where 95% of a null's cosines lie, and their mean, at each reference."""

    mean: Curve
    low: Curve
    high: Curve


def matrix_panels(
    matrices: Sequence[tuple[str, Matrix]],
    powers: Sequence[tuple[str, Matrix]],
    *,
    title: str = "",
    order: Int[np.ndarray, " N"] | None = None,
) -> Figure:
    """The matrices in the upper row, each (title, N x N), and the powers in the lower one, in the same order of nodes.

    One colour scale a row: the matrices minus the means of their rows, each in units of what 99% of its entries stay
    below, red above 0 and blue below; the powers by the square root of their entries, so that single walks are seen
    beside many. ``order`` is the order of nodes, 0 .. N - 1 if None. Raises ValueError for no panels, matrices
    that are not square, finite and of one size, and an order that is none.
    """
    checks.require(len(matrices) > 0, "matrices", "must hold at least one (title, matrix)", len(matrices))
    checks.require(len(powers) > 0, "powers", "must hold at least one (title, matrix)", len(powers))
    nodes = len(np.asarray(powers[0][1]))
    along = np.arange(nodes) if order is None else np.asarray(order)
    checks.require(sorted(along.tolist()) == list(range(nodes)), "order", f"must hold each of range({nodes})", order)
    upper = [_square(f"matrices[{i}]", one, nodes)[np.ix_(along, along)] for i, (_, one) in enumerate(matrices)]
    lower = [_square(f"powers[{i}]", one, nodes)[np.ix_(along, along)] for i, (_, one) in enumerate(powers)]
    across = max(len(upper), len(lower))
    figure = Shown(figsize=(3.1 * across + 1.2, 7.4), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.1))
    figure.suptitle(_literal(title), fontsize=13, fontweight="bold")
    axes = figure.subplots(2, across, squeeze=False)
    rows = (
        (axes[0], matrices, [_scaled(one) for one in upper], (-1.0, 1.0), "RdBu_r", "entry, row mean 0"),
        (axes[1], powers, [np.sqrt(np.abs(one)) for one in lower], None, "magma_r", "√ number of walks"),
    )
    for line, panels, values, limits, colours, label in rows:
        low, high = limits or (0.0, max(float(np.max(one)) for one in values) or 1.0)
        images = [
            _draw(ax, one, name, along, (low, high), colours)
            for ax, one, (name, _) in zip(line, values, panels, strict=False)
        ]
        for spare in line[len(values) :]:
            spare.set_axis_off()  # it keeps its room, so that the columns of both rows stand below each other
        plotting.with_colour_bar(list(line), images[0], label)
    return figure


def power_bars(
    references: Sequence[str],
    cosines: Curve,
    interval: tuple[Curve, Curve],
    nulls: Mapping[str, Band],
    *,
    title: str = "",
) -> Figure:
    """The cosine of one matrix with each reference, its interval, and beside it the 95% band of every null.

    NaN bands, where a reference has no such null, are left out. Raises ValueError for other lengths and cosines that
    are not finite.
    """
    figure = Shown(figsize=(max(6.0, 0.78 * len(references) + 2.4), 4.3), layout="constrained")
    draw_power_bars(figure.add_subplot(), references, cosines, interval, nulls, title=title)
    figure.legend(loc="outside lower center", ncols=1 + len(nulls), frameon=False, fontsize=9)
    return figure


def draw_power_bars(
    ax: Axes,
    references: Sequence[str],
    cosines: Curve,
    interval: tuple[Curve, Curve],
    nulls: Mapping[str, Band],
    *,
    title: str = "",
) -> None:
    """``power_bars`` in one frame of a figure, without the legend. Raises ValueError as it does."""
    count = len(references)
    checks.require(count > 0, "references", "must hold at least one name", count)
    heights = _curve("cosines", cosines, count)
    low, high = (_curve(f"interval[{i}]", end, count) for i, end in enumerate(interval))
    places, width = np.arange(count), 0.84 / (1 + len(nulls))
    first = places - 0.42 + width / 2
    ax.bar(first, heights, 0.9 * width, color=COLOURS[0], label="measured")
    error: dict[str, Any] = {"fmt": "none", "ecolor": "black", "capsize": 2, "linewidth": 1}
    ax.errorbar(first, heights, (np.maximum(heights - low, 0), np.maximum(high - heights, 0)), **error)
    for number, (name, band) in enumerate(nulls.items(), start=1):
        colour, at = COLOURS[number], first + number * width
        bottom, top, mean = (np.asarray(part, float) for part in (band.low, band.high, band.mean))
        for part in (bottom, top, mean):
            checks.shape(f"nulls[{name!r}]", part, (count,))
        ax.bar(at, top - bottom, 0.9 * width, bottom, color=colour, alpha=0.45, label=f"{name}: 95% of draws")
        ax.hlines(mean, at - 0.45 * width, at + 0.45 * width, color=colour, linewidth=1.6)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_ylabel("cosine of centred rows")
    ax.set_xticks(places, [_literal(name).replace(" ", "\n") for name in references], fontsize=9)
    ax.tick_params(axis="x", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlim(-0.6, count - 0.4)
    ax.margins(y=0.08)
    ax.set_title(_literal(title), fontsize=11, loc="left")


def head_powers(
    names: Sequence[str],
    references: Sequence[str],
    cosines: Matrix,
    significant: Bool[np.ndarray, "_ _"] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Cosines of matrices (down) with references (across), with a dot in the corner of the ``significant`` ones.

    Red is above 0 and blue below, from -1 to 1. Raises ValueError for names and marks of another number, and cosines
    that are not finite.
    """
    values = plotting.finite_matrix("cosines", cosines)
    rows = plotting.label_texts("names", list(names), values.shape[0])
    columns = plotting.label_texts("references", list(references), values.shape[1])
    if significant is not None:
        checks.shape("significant", significant, values.shape)
    few = len(rows) <= MOST_WRITTEN
    longest = max(map(len, rows))
    size = (0.62 * len(columns) + 0.075 * longest + 1.9, (0.3 if few else 0.15) * len(rows) + 2.6)
    figure = Shown(figsize=size, layout="constrained")
    ax = figure.add_subplot()
    image = ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    plotting.frame(ax, [_literal(row) for row in rows], [_literal(column) for column in columns], "")
    ax.tick_params(axis="y", labelsize=8 if few else 5.5)
    ax.tick_params(axis="x", labelsize=9, labelrotation=90)
    if few:
        _write(ax, image, values)
    if significant is not None:
        found = np.argwhere(significant)
        style: dict[str, Any] = {"color": "black", "edgecolor": "white", "linewidth": 0.7, "zorder": 4}
        ax.scatter(found[:, 1] + 0.4, found[:, 0] - (0.3 if few else 0), s=22 if few else 12, **style)
        ax.text(1, -0.005, "● beyond every null", transform=ax.transAxes, ha="right", va="top", fontsize=8, color=QUIET)
    figure.suptitle(_literal(title), fontsize=12, fontweight="bold")
    return plotting.with_colour_bar([ax], image, "cosine of centred rows")


def powers_over_training(
    steps: Int[np.ndarray, " steps"],
    cosines: Mapping[str, Float[np.ndarray, " steps"]],
    *,
    null: Float[np.ndarray, " steps"] | None = None,
    title: str = "",
) -> Figure:
    """The highest cosine with each power over training steps, and the cosine that 95% of a null stays below, dotted.

    Raises ValueError as ``line_panels``, and for more lines than there are colours.
    """
    most = len(COLOURS)
    checks.require(0 < len(cosines) <= most, "cosines", f"must hold 1 to {most} lines", len(cosines))
    lines = [Line(_literal(name), steps, values, number) for number, (name, values) in enumerate(cosines.items())]
    if null is not None:
        lines.append(Line("95% of null", steps, null, None, "reference"))
    panel = Panel("strongest matrix", "cosine of centred rows", lines)
    return line_panels([panel], "training steps", log_x=False, title=_literal(title), size=(6.6, 3.9))


def _square(argument: str, matrix: Matrix, nodes: int) -> np.ndarray:
    values = plotting.finite_matrix(argument, matrix)
    checks.shape(argument, values, (nodes, nodes))
    return values


def _curve(argument: str, values: Curve, count: int) -> np.ndarray:
    found = np.asarray(values, float)
    checks.shape(argument, found, (count,))
    checks.finite(argument, found)
    return found


def _scaled(matrix: np.ndarray) -> np.ndarray:
    """Rows minus their means, in units of what 99% of entries stay below, so that one entry does not hide the rest."""
    rows = matrix - matrix.mean(axis=1, keepdims=True)
    return rows / (float(np.quantile(np.abs(rows), 0.99)) or 1.0)


def _draw(
    ax: Axes, values: np.ndarray, title: str, order: np.ndarray, limits: tuple[float, float], colours: str
) -> AxesImage:
    image = ax.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    places = (
        np.arange(len(order)) if len(order) <= MOST_NUMBERED else np.arange(0, len(order), ceil(len(order) / 60) * 10)
    )
    names = [str(order[place]) for place in places]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(places, names, fontsize=7, color=QUIET)
    ax.tick_params(length=0)
    ax.spines[:].set_color(QUIET)
    ax.spines[:].set_linewidth(0.5)
    ax.set_title(_literal(title), fontsize=10)
    return image


def _write(ax: Axes, image: AxesImage, values: np.ndarray) -> None:
    brightness = image.to_rgba(values)[..., :3] @ np.array([0.3, 0.6, 0.1])
    for row, column in np.ndindex(values.shape):
        ink = "black" if brightness[row, column] > 0.5 else "white"
        ax.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", fontsize=7, color=ink)


def _literal(text: str) -> str:
    """The text in a figure, powers raised, where a dollar sign would otherwise start a formula."""
    raised = re.sub(r"\^([0-9]+|T)", lambda found: found[1].translate(RAISED), text)
    return raised.replace("$", r"\$")
