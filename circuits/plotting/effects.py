"""Heatmaps of scores of attention heads, and of effects of interventions by layer and position."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Real
from matplotlib.figure import Figure

from circuits import checks
from circuits.plotting import cells, style
from circuits.plotting.attention import MAX_LABELLED, PositionAxis, finish, label_positions, matrix_axes
from circuits.plotting.bars import BarPanel, Bars, bar_panels
from circuits.plotting.style import Labels, Matrix
from circuits.probes.interventions.axes import Axis


def head_score_heatmap(
    scores: Matrix,
    title: str,
    *,
    label: str = "score",
    significant: Bool[np.ndarray, "_ _"] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw a score of every attention head: layers down, heads across.

    Args:
        scores: one score for each layer and head [L, H].
        title: above the matrix.
        label: of the colour bar.
        significant: heads to mark with a dot [L, H].
        limits: of the colour scale. By default it starts at 0 if no score is negative; otherwise red is above 0 and
            blue below.

    Returns:
        A figure with one axes and a colour bar.

    Raises:
        ValueError: if scores are not finite, ``significant`` has another shape, or limits do not increase.

    Example:
        >>> figure = head_score_heatmap(np.array([[0.1, 0.9]]), "goal", significant=np.array([[False, True]]))
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('head', 'layer')
    """
    values = style.finite_matrix("scores", scores)
    diverging = bool(values.min() < 0) if limits is None else limits[0] < 0
    low, high = _limits(values, diverging) if limits is None else limits
    checks.require(low < high, "limits", "must increase", limits)
    ax = matrix_axes(*values.shape, extra=0.5)
    image = ax.imshow(values, cmap="RdBu_r" if diverging else "magma_r", vmin=low, vmax=high, aspect="auto")
    layers, heads = ([str(index) for index in range(count)] for count in values.shape)
    cells.label_cells(ax, layers, heads)
    cells.name_axes(ax, "layer", "head")
    if max(values.shape) <= cells.MAX_ANNOTATED:
        cells.write_values(ax, image, values, "{:.2f}".format)
    if significant is not None:
        checks.shape("significant", significant, values.shape)
        cells.mark_significant(ax, significant, "significant")
    figure = style.add_colour_bar([ax], image, label)
    figure.suptitle(style.escape_dollars(title), fontsize=12, fontweight="bold")
    return figure


def effect_heatmap(
    values: Matrix,
    row_labels: Labels,
    column_labels: Labels,
    *,
    title: str = "",
    row_name: str = "layer",
    column_name: str = "position",
    label: str = "effect",
    roles: Sequence[str] | None = None,
    diverging: bool = True,
) -> Figure:
    """Draw an effect for each row, such as a layer, and column, such as a position.

    Args:
        values: effects [rows, columns].
        row_labels: a label for each row.
        column_labels: a label for each column.
        title: above the matrix.
        row_name: name of the rows.
        column_name: name of the columns.
        label: of the colour bar.
        roles: the role of each column; then columns are positions, numbered from 0, with bands of roles.
        diverging: whether the colour scale is symmetric with white at 0; otherwise it starts at 0, or at the smallest
            value if that is negative.

    Returns:
        A figure with one axes and a colour bar.

    Raises:
        ValueError: if values are not finite, or labels or roles do not fit them.

    Example:
        >>> figure = effect_heatmap(np.array([[0.5, -1.0]]), [0], ["s", "g"], roles=["start", "goal"])
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['start', 'goal']
    """
    effects = style.finite_matrix("values", values)
    rows = style.label_texts("row_labels", row_labels, effects.shape[0])
    columns = style.label_texts("column_labels", column_labels, effects.shape[1])
    bands = [""] * len(columns) if roles is None else style.label_texts("roles", roles, len(columns))
    names = [style.escape_dollars(cells.visible_whitespace(name)) for name in columns]
    along = PositionAxis(names, bands, list(range(len(names))))
    low, high = _limits(effects, diverging)
    ax = matrix_axes(*effects.shape, extra=1.1)
    image = ax.imshow(effects, cmap="RdBu_r" if diverging else "magma_r", vmin=low, vmax=high, aspect="auto")
    label_positions(ax, along, [style.escape_dollars(row) for row in rows], numbered=roles is not None)
    if len(names) <= MAX_LABELLED:
        large = max(abs(low), abs(high)) >= 10
        cells.write_values(ax, image, effects, ("{:.3g}" if large else "{:.2f}").format, size=8)
    cells.name_axes(ax, row_name, column_name, pad=20 if any(bands) else 12)
    ax.yaxis.labelpad = 4
    return finish([ax], image, along, title, label)


def sweep_figure(
    values: Real[np.ndarray, "..."],
    axes: Sequence[Axis],
    *,
    entry: int = 0,
    title: str = "",
    label: str = "effect",
    diverging: bool = True,
) -> Figure:
    """Draw the effects of a sweep by the names of its axes: bars for one axis, otherwise a heatmap over the last two.

    Args:
        values: effects in the shape of the sweep.
        axes: name and labels of each axis.
        entry: which matrix to draw if there are more than two axes, counted over the leading ones.
        title: above the figure.
        label: of the values.
        diverging: whether the colour scale is symmetric with white at 0.

    Returns:
        A figure with one axes.

    Raises:
        ValueError: if there is no axis or no such entry, axes do not fit, or values are not finite.

    Example:
        >>> from circuits.probes.interventions.axes import numbered
        >>> figure = sweep_figure(np.zeros((2, 3)), [numbered("layer", 2), numbered("head", 3)])
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('head', 'layer')
    """
    shape = tuple(len(axis.labels) for axis in axes)
    checks.require(len(shape) > 0, "axes", "must be at least one", tuple(axes))
    checks.shape("values", values, shape)
    *leading, last = axes
    if not leading:
        panel = BarPanel("", label, [Bars(label, np.asarray(values), 0)])
        return bar_panels([panel], last.labels, last.name, title=title)
    row, leading = leading[-1], leading[:-1]
    matrices = np.reshape(values, (-1, *shape[-2:]))
    checks.integer("entry", entry, min_value=0, max_value=len(matrices) - 1)
    index = np.unravel_index(entry, shape[:-2])
    where = [f"{axis.name} {axis.labels[int(number)]}" for axis, number in zip(leading, index, strict=True)]
    names = {"row_name": row.name, "column_name": last.name, "label": label, "roles": last.roles or None}
    text = ", ".join(filter(None, (title, *where)))
    return effect_heatmap(matrices[entry], row.labels, last.labels, title=text, diverging=diverging, **names)


def _limits(values: np.ndarray, diverging: bool) -> tuple[float, float]:
    if diverging:
        return style.symmetric_limits(values)
    low = min(0.0, float(values.min()))
    return low, max(float(values.max()), low + 1e-9)
