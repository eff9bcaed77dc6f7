"""Heatmaps of attention patterns and of weights. Rows are queries and columns are keys."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from circuits import checks
from circuits.plotting import cells, style
from circuits.plotting.style import COLOURS, InlineFigure, Labels, Matrix
from circuits.typing import AnyArray

Mark = tuple[int, int, str]
"""(row, column, text): a cell to outline, and its caption."""
OUTLINE = COLOURS[0]
ROW_SUM_TOLERANCE = 5e-3
"""Maximum deviation from 1 of the sum of a row. Rounding its entries to bfloat16 changes the sum by at most 2^-8."""


def attention_heatmap(
    attention: Matrix,
    tokens: Labels,
    *,
    title: str = "",
    roles: Sequence[str] | None = None,
    marks: Sequence[Mark] = (),
    ax: Axes | None = None,
    colour_bar: bool = True,
) -> Figure:
    """Draw one causal attention pattern with the token and the position of every query and key.

    Args:
        attention: pattern [T, T], queries down and keys across.
        tokens: T labels.
        title: above the pattern.
        roles: the role of each position; neighbours of one role share a band.
        marks: cells (row, column, caption) to outline, counted from 0.
        ax: axes of an existing figure to draw into.
        colour_bar: whether to add a colour bar.

    Returns:
        The figure: that of ``ax``, or a new one. Jupyter displays it.

    Raises:
        ValueError: if the pattern is not square, finite, nonnegative, zero above the diagonal and of row sums 1, or
            if labels, roles or marks do not fit its length.

    Example:
        >>> figure = attention_heatmap(np.eye(3), ["a", "b", "c"], marks=[(2, 2, "itself")])
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('key position', 'query position')
    """
    pattern = _checked_pattern("attention", attention)
    names = style.label_texts("tokens", tokens, len(pattern))
    target = _pattern_axes(1, 1, len(names))[0] if ax is None else ax
    image = _draw_pattern(target, pattern, names, title, roles, marks)
    return style.add_colour_bar([target], image, "attention") if colour_bar else target.figure.figure


def attention_heatmaps(
    panels: Sequence[tuple[str, Matrix]],
    tokens: Labels,
    *,
    title: str = "",
    roles: Sequence[str] | None = None,
    marks: Sequence[Sequence[Mark]] | None = None,
    columns: int = 2,
) -> Figure:
    """Draw several attention patterns on one sequence, with one colour bar from 0 to 1.

    Args:
        panels: pairs of a title and a pattern [T, T].
        tokens: T labels.
        title: above all panels.
        roles: the role of each position; neighbours of one role share a band.
        marks: for each panel, cells (row, column, caption) to outline, counted from 0.
        columns: panels side by side.

    Returns:
        A figure with one axes for each panel.

    Raises:
        ValueError: if there is no panel, or as ``attention_heatmap`` does.

    Example:
        >>> figure = attention_heatmaps([("Layer 0", np.eye(3)), ("Layer 1", np.eye(3))], ["a", "b", "c"])
        >>> [ax.get_title() for ax in figure.axes[:2]]
        ['Layer 0', 'Layer 1']
    """
    checks.require(len(panels) > 0, "panels", "must hold at least one (title, attention)", len(panels))
    every_mark = [()] * len(panels) if marks is None else marks
    rule = f"must hold the marks of each of {len(panels)} panels"
    checks.require(len(every_mark) == len(panels), "marks", rule, len(every_mark))
    patterns = [_checked_pattern(f"panels[{number}]", attention) for number, (_, attention) in enumerate(panels)]
    for number, pattern in enumerate(patterns):
        checks.shape(f"panels[{number}]", pattern, patterns[0].shape)
    names = style.label_texts("tokens", tokens, len(patterns[0]))
    axes = _pattern_axes(len(panels), columns, len(names), title)
    images = [
        _draw_pattern(ax, pattern, names, name, roles, cells)
        for ax, pattern, (name, _), cells in zip(axes, patterns, panels, every_mark, strict=True)
    ]
    return style.add_colour_bar(axes, images[0], "attention")


def weight_heatmap(
    matrix: Matrix,
    row_labels: Labels,
    column_labels: Labels,
    title: str = "",
    *,
    row_name: str = "query",
    column_name: str = "key",
) -> Figure:
    """Draw weights or a gradient on a symmetric colour scale, with white at 0.

    Args:
        matrix: values [rows, columns].
        row_labels: a label for each row.
        column_labels: a label for each column.
        title: above the matrix.
        row_name: name of the rows.
        column_name: name of the columns.

    Returns:
        A figure with one axes and a colour bar.

    Raises:
        ValueError: if the matrix is not finite, or labels do not fit it.

    Example:
        >>> figure = weight_heatmap(np.array([[0.0, -2.0]]), ["r"], ["a", "b"])
        >>> low, high = figure.axes[0].images[0].get_clim()
        >>> float(low), float(high)
        (-2.0, 2.0)
    """
    values = style.finite_matrix("matrix", matrix)
    rows = style.label_texts("row_labels", row_labels, values.shape[0])
    columns = style.label_texts("column_labels", column_labels, values.shape[1])
    figure = InlineFigure(figsize=(len(columns) * cells.CELL + 2.2, len(rows) * cells.CELL + 1.5), layout="constrained")
    ax = figure.add_subplot()
    low, high = style.symmetric_limits(values)
    image = ax.imshow(values, cmap="RdBu_r", vmin=low, vmax=high)
    cells.label_cells(ax, rows, columns, title)
    cells.name_axes(ax, row_name, column_name)
    if max(values.shape) <= cells.MAX_ANNOTATED:
        cells.write_values(ax, image, values, "{:.2g}".format)
    return style.add_colour_bar([ax], image, "")


def weight_heatmaps(
    panels: Sequence[tuple[str, Real[AnyArray, "_ _"]]], *, title: str = "", columns: int = 2
) -> Figure:
    """Draw several matrices of weights or of a gradient on one symmetric colour scale, with white at 0.

    Args:
        panels: pairs of a title and a matrix [rows, columns]; rows are queries and columns keys, numbered from 0.
        title: above all panels.
        columns: panels side by side.

    Returns:
        A figure with one axes for each panel, and a colour bar.

    Raises:
        ValueError: if there is no panel, or a matrix is not finite.

    Example:
        >>> figure = weight_heatmaps([("content", np.eye(2)), ("position", -3 * np.eye(4))])
        >>> [image.get_clim() for ax in figure.axes[:2] for image in ax.images]
        [(-3.0, 3.0), (-3.0, 3.0)]
    """
    checks.require(len(panels) > 0, "panels", "must hold at least one (title, matrix)", len(panels))
    matrices = [style.finite_matrix(f"panels[{number}]", matrix) for number, (_, matrix) in enumerate(panels)]
    low, high = style.symmetric_limits(np.concatenate([np.ravel(matrix) for matrix in matrices]))
    axes = style.panel_grid(len(panels), columns, (3.4, 3.6), margin=(1.0, 0.0), title=title, pad=0.15)[1]
    image = None
    for ax, values, (name, _) in zip(axes, matrices, panels, strict=True):
        image = ax.imshow(values, cmap="RdBu_r", vmin=low, vmax=high)
        rows, across = (list(map(str, range(count))) for count in values.shape)
        cells.label_cells(ax, rows, across, name)
        cells.name_axes(ax, "query", "key")
    assert image is not None
    return style.add_colour_bar(axes, image, "entry")


def _checked_pattern(argument: str, array: Matrix) -> np.ndarray:
    values = style.finite_matrix(argument, array)
    checks.shape(argument, values, (len(values), len(values)))
    checks.require(bool(np.all(values >= 0)), argument, "must not be negative", float(values.min()))
    future = float(np.max(np.triu(values, 1)))
    checks.require(future == 0, argument, "must be 0 above the diagonal, where keys are in the future", future)
    sums = values.sum(axis=1)
    row = int(np.argmax(np.abs(sums - 1)))
    rule = f"every row must sum to 1 within {ROW_SUM_TOLERANCE:g}, row {row} does not"
    checks.require(abs(float(sums[row]) - 1) <= ROW_SUM_TOLERANCE, argument, rule, float(sums[row]))
    return values


def _pattern_axes(count: int, columns: int, length: int, title: str = "") -> list[Axes]:
    size = length * cells.CELL + 1.5, length * cells.CELL + 2.5
    return style.panel_grid(count, columns, size, margin=(0.8, 0.0), title=title, pad=0.15)[1]


def _draw_pattern(
    ax: Axes,
    pattern: np.ndarray,
    names: list[str],
    title: str,
    roles: Sequence[str] | None,
    marks: Sequence[Mark],
) -> AxesImage:
    image = cells.show_pattern(ax, pattern, causal=True)
    cells.label_cells(ax, names, names, title)
    if len(pattern) <= cells.MAX_ANNOTATED:
        cells.write_values(ax, image, pattern, cells.format_share)
    cells.number_positions(ax, names)
    if roles is not None:
        cells.draw_role_bands(ax, names, style.label_texts("roles", roles, len(names)))
    cells.name_axes(ax, "query position", "key position", pad=4 if roles is None else 24)
    _outline(ax, marks, len(names))
    return image


def _outline(ax: Axes, marks: Sequence[Mark], length: int) -> None:
    """Outline cells, with captions in the masked part of the same row if they fit, or else below the matrix."""
    for number, (row, column, _) in enumerate(marks):
        checks.integer(f"marks[{number}] row", row, min_value=0, max_value=length - 1)
        checks.integer(f"marks[{number}] column", column, min_value=0, max_value=row)
    below = 10.0
    for row, column, text in marks:
        outline = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=OUTLINE, linewidth=2.2, zorder=4)
        ax.add_patch(outline)
        look: dict[str, Any] = {"fontsize": 9, "color": OUTLINE, "annotation_clip": False, "zorder": 5}
        look["arrowprops"] = {"arrowstyle": "-|>", "color": OUTLINE, "shrinkA": 1, "shrinkB": 1, "linewidth": 1.2}
        if 0.066 * len(text) / cells.CELL + 1.2 <= length - 1 - row:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            ax.annotate(text, (column + 0.5, row), (row + 1, row), va="center", bbox=box, **look)
            continue
        side, to = ("center", 0.0)
        if column < length / 3:
            side, to = ("left", -0.5)
        elif column >= 0.6 * length:
            side, to = ("right", 0.5)
        target = ax.get_xaxis_transform() + cells.shift(ax, 0.0, -below)
        ax.annotate(text, (column, row + 0.5), (column + to, 0), textcoords=target, ha=side, va="top", **look)
        below += 15
