"""Figures of matrices of a model next to powers of an adjacency matrix, and of their cosines."""

import re
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from circuits import checks
from circuits.plotting import style
from circuits.plotting.bars import style_groups
from circuits.plotting.cells import label_cells, mark_significant, write_values
from circuits.plotting.lines import Line, LinePanel, line_panels
from circuits.plotting.style import COLOURS, GREY, Curve, InlineFigure, Matrix

RAISED = str.maketrans("0123456789T", "⁰¹²³⁴⁵⁶⁷⁸⁹ᵀ")
MAX_NUMBERED = 20
"""Axes of more nodes show only some of the node numbers."""
MAX_WRITTEN = 40
"""Values are written into the cells of heatmaps of at most this many rows."""
SCORE = "cosine of centred rows"


class NullBand(NamedTuple):
    """Mean and 95% interval of a null's cosines with each reference, NaN if the reference has no such null.

    Example:
        >>> NullBand(np.zeros(2), np.full(2, -0.1), np.full(2, 0.1)).mean
        array([0., 0.])
    """

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
    """Draw matrices in an upper row and powers of the graph in a lower row, with nodes in one order.

    Rows of matrices are centred, and each matrix is in units of the 99% quantile of its absolute entries; red is above
    0 and blue below. For powers, the square roots of the numbers of walks are drawn, which keeps single walks visible.

    Args:
        matrices: pairs of a title and a matrix [N, N].
        powers: pairs of a title and a power [N, N].
        title: above all panels.
        order: the order of nodes, 0 .. N - 1 by default.

    Returns:
        A figure with two rows of axes and a colour bar for each.

    Raises:
        ValueError: if there are no panels, matrices are not square, finite and of one size, or ``order`` is not a
            permutation.

    Example:
        >>> figure = matrix_panels([("head", np.eye(3))], [("A", np.eye(3)), ("A^2", np.eye(3))])
        >>> [ax.get_title() for ax in figure.axes if ax.get_title()]
        ['head', 'A', 'A²']
    """
    for name, panels in (("matrices", matrices), ("powers", powers)):
        checks.require(len(panels) > 0, name, "must hold at least one (title, matrix)", len(panels))
    nodes = len(np.asarray(powers[0][1]))
    along = np.arange(nodes) if order is None else np.asarray(order)
    checks.require(sorted(along.tolist()) == list(range(nodes)), "order", f"must hold each of range({nodes})", order)
    ordered = {
        name: [_square(f"{name}[{i}]", matrix, nodes)[np.ix_(along, along)] for i, (_, matrix) in enumerate(panels)]
        for name, panels in (("matrices", matrices), ("powers", powers))
    }
    roots = [np.sqrt(np.abs(power)) for power in ordered["powers"]]
    across = max(len(matrices), len(powers))
    figure, axes = style.panel_grid(2 * across, across, (3.1, 3.5), margin=(1.2, 0.0), title=_label(title))
    rows = (
        (axes[:across], matrices, [_scaled(one) for one in ordered["matrices"]], (-1.0, 1.0), "entry, row mean 0"),
        (axes[across:], powers, roots, (0.0, max(float(np.max(one)) for one in roots) or 1.0), "√ number of walks"),
    )
    for line, panels, values, limits, label in rows:
        images = [_draw(ax, one, name, along, limits) for ax, one, (name, _) in zip(line, values, panels, strict=False)]
        for spare in line[len(values) :]:
            spare.set_axis_off()  # not removed, to keep the columns of both rows aligned
        style.add_colour_bar(line, images[0], label)
    return figure


def power_bars(
    references: Sequence[str],
    cosines: Curve,
    interval: tuple[Curve, Curve],
    nulls: Mapping[str, NullBand],
    *,
    title: str = "",
) -> Figure:
    """Draw the cosine of one matrix with each reference and its interval, next to the 95% band of every null.

    Args:
        references: names of the references, such as powers.
        cosines: one for each reference.
        interval: (low, high) for each reference.
        nulls: for each null, its band at each reference.
        title: above the frame.

    Returns:
        A figure with one axes and a legend.

    Raises:
        ValueError: if there are no references, lengths differ, or cosines are not finite.

    Example:
        >>> null = NullBand(np.zeros(1), np.full(1, -0.1), np.full(1, 0.1))
        >>> figure = power_bars(["A"], np.array([0.7]), (np.array([0.6]), np.array([0.8])), {"permuted": null})
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['measured', 'permuted: 95% of draws']
    """
    count = len(references)
    checks.require(count > 0, "references", "must hold at least one name", count)
    heights = style.checked_curve("cosines", cosines, count)
    low, high = (style.checked_curve(f"interval[{i}]", end, count) for i, end in enumerate(interval))
    figure = InlineFigure(figsize=(max(6.0, 0.78 * count + 2.4), 4.3), layout="constrained")
    ax = figure.add_subplot()
    width = 0.84 / (1 + len(nulls))
    first = np.arange(count) - 0.42 + width / 2
    ax.bar(first, heights, 0.9 * width, color=COLOURS[0], label="measured")
    error: dict[str, Any] = {"fmt": "none", "ecolor": "black", "capsize": 2, "linewidth": 1}
    ax.errorbar(first, heights, (np.maximum(heights - low, 0), np.maximum(high - heights, 0)), **error)
    for number, (name, band) in enumerate(nulls.items(), start=1):
        colour, x = COLOURS[number], first + number * width
        mean, bottom, top = (np.asarray(part, float) for part in band)
        for part in (mean, bottom, top):
            checks.shape(f"nulls[{name!r}]", part, (count,))
        ax.bar(x, top - bottom, 0.9 * width, bottom, color=colour, alpha=0.45, label=f"{name}: 95% of draws")
        ax.hlines(mean, x - 0.45 * width, x + 0.45 * width, color=colour, linewidth=1.6)
    style.style_axes(ax, _label(title), ylabel=SCORE)
    style_groups(ax, [_label(name).replace(" ", "\n") for name in references])
    ax.tick_params(axis="x", labelsize=9)
    ax.margins(y=0.08)
    figure.legend(loc="outside lower center", ncols=1 + len(nulls), frameon=False, fontsize=9)
    return figure


def power_heatmap(
    names: Sequence[str],
    references: Sequence[str],
    cosines: Matrix,
    significant: Bool[np.ndarray, "_ _"] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw cosines of matrices with references: red above 0, blue below, from -1 to 1.

    Args:
        names: of the matrices, down.
        references: names of the references, across.
        cosines: one for each matrix and reference.
        significant: which of them to mark with a dot.
        title: above the heatmap.

    Returns:
        A figure with one axes and a colour bar.

    Raises:
        ValueError: if names, references or ``significant`` do not fit the cosines, or these are not finite.

    Example:
        >>> figure = power_heatmap(["L0H0"], ["A", "A^2"], np.array([[0.9, -0.1]]))
        >>> [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
        ['A', 'A²']
    """
    values = style.finite_matrix("cosines", cosines)
    rows = style.label_texts("names", list(names), values.shape[0])
    columns = style.label_texts("references", list(references), values.shape[1])
    few = len(rows) <= MAX_WRITTEN
    longest = max(map(len, rows))
    size = (0.62 * len(columns) + 0.075 * longest + 1.9, (0.3 if few else 0.15) * len(rows) + 2.6)
    figure = InlineFigure(figsize=size, layout="constrained")
    ax = figure.add_subplot()
    image = ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    label_cells(ax, [_label(row) for row in rows], [_label(column) for column in columns])
    ax.tick_params(axis="y", labelsize=8 if few else 5.5)
    ax.tick_params(axis="x", labelsize=9, labelrotation=90)
    if few:
        write_values(ax, image, values, "{:.2f}".format, min_written=0)
    if significant is not None:
        checks.shape("significant", significant, values.shape)
        mark_significant(ax, significant, "beyond every null", up=0.3 if few else 0.0, size=22 if few else 12)
    figure.suptitle(_label(title), fontsize=12, fontweight="bold")
    return style.add_colour_bar([ax], image, SCORE)


def powers_over_training(
    steps: Int[np.ndarray, " steps"], cosines: Mapping[str, Curve], *, null: Curve | None = None, title: str = ""
) -> Figure:
    """Draw the highest cosine with each power over training steps.

    Args:
        steps: increasing training steps.
        cosines: for each power, one value for each step.
        null: the 95% quantile of a null at each step, drawn dotted.
        title: above the frame.

    Returns:
        A figure with one axes.

    Raises:
        ValueError: if there are no lines, or more than 7, or as ``line_panels`` does.

    Example:
        >>> figure = powers_over_training(np.array([10, 20]), {"A": [0.1, 0.9]})
        >>> figure.axes[0].get_xlabel()
        'training steps'
    """
    rule = f"must hold 1 to {len(COLOURS)} lines"
    checks.require(0 < len(cosines) <= len(COLOURS), "cosines", rule, len(cosines))
    lines = [Line(_label(name), steps, values, number) for number, (name, values) in enumerate(cosines.items())]
    if null is not None:
        lines.append(Line("95% of null", steps, null, None, "reference"))
    panel = LinePanel("strongest matrix", SCORE, lines)
    return line_panels([panel], "training steps", log_x=False, title=_label(title), size=(6.6, 3.9))


def _square(argument: str, matrix: Matrix, nodes: int) -> np.ndarray:
    values = style.finite_matrix(argument, matrix)
    checks.shape(argument, values, (nodes, nodes))
    return values


def _scaled(matrix: np.ndarray) -> np.ndarray:
    """Return centred rows in units of the 99% quantile, which is robust against single large entries."""
    rows = matrix - matrix.mean(axis=1, keepdims=True)
    return rows / (float(np.quantile(np.abs(rows), 0.99)) or 1.0)


def _draw(ax: Axes, values: np.ndarray, title: str, order: np.ndarray, limits: tuple[float, float]) -> AxesImage:
    cmap = "RdBu_r" if limits[0] < 0 else "magma_r"
    image = ax.imshow(values, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    numbered = np.arange(0, len(order), 1 if len(order) <= MAX_NUMBERED else ceil(len(order) / 60) * 10)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(numbered, [str(order[index]) for index in numbered], fontsize=7, color=GREY)
    ax.tick_params(length=0)
    ax.spines[:].set_color(GREY)
    ax.spines[:].set_linewidth(0.5)
    ax.set_title(_label(title), fontsize=10)
    return image


def _label(text: str) -> str:
    """Return the text with superscript powers, and with dollar signs escaped."""
    return style.escape_dollars(re.sub(r"\^([0-9]+|T)", lambda match: match[1].translate(RAISED), text))
