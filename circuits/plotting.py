"""Arrays → matplotlib ``Figure``. Nothing here trains, saves, or touches pyplot and its global state.

Rows and columns are given from 0, as everywhere in code. Positions on the axes are printed from 1, as in the paper.
A figure that is a cell's last value shows in Jupyter.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import groupby
from math import ceil
from typing import Any

import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation

from circuits import require
from circuits.typing import AnyArray

Matrix = Real[AnyArray, "rows columns"]
Curve = Real[AnyArray, " points"]
Labels = Sequence[Any] | Real[AnyArray, " labels"]
"""What stands at the ticks; anything that has a ``str``."""
Mark = tuple[int, int, str]
"""(row, column, text): a cell to outline, and what to say about it."""

ROW_SUM_TOLERANCE = 1e-3
"""How far a row of attention may be from 1: float32 is far within, scores and logits are far outside."""
MOST_DIRECT_LABELS = 5
"""Lines that are named at their ends; more of them get a legend."""
MOST_ANNOTATED = 16
"""Cells are annotated with their values in matrices of at most this many rows and columns."""

_CELL = 0.44  # inches
_ATTENTION, _WEIGHTS = "viridis", "RdBu_r"
_UNSEEN, _UNSEEN_HATCH, _OUTLINE, _QUIET = "#f1f1f1", "#cfcfcf", "#d62728", "#666666"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


class _Shown(Figure):
    """A figure without pyplot, and so without the formatter that Jupyter attaches when pyplot is imported."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def attention_heatmap(
    attention: Matrix,
    tokens: Labels,
    *,
    title: str = "",
    roles: Sequence[str] | None = None,
    mark: Sequence[Mark] = (),
    ax: Axes | None = None,
) -> Figure:
    """One causal attention pattern (T, T): queries down, keys across, a label and a position on both axes.

    ``roles`` names the role of every position; equal neighbours share a band. ``mark`` outlines cells and says
    why. ``ax`` draws into a figure of the caller's. Raises ValueError unless the pattern is square, finite, zero
    above the diagonal, with rows that sum to 1, and everything else fits its length.
    """
    pattern, names = _pattern("attention", attention), _names("tokens", tokens, len(attention))
    target = _axes(1, 1, len(names), "")[0] if ax is None else ax
    image = _draw_attention(target, pattern, names, title, _roles(roles, len(names)), mark)
    figure = target.figure.figure
    figure.colorbar(image, ax=target, label="attention", shrink=0.75, aspect=28)
    return figure


def attention_heatmaps(
    panels: Sequence[tuple[str, Matrix]],
    tokens: Labels,
    *,
    title: str = "",
    roles: Sequence[str] | None = None,
    mark: Sequence[Sequence[Mark]] = (),
    columns: int = 2,
) -> Figure:
    """Patterns over one sequence, each a (title, (T, T) array), under one colour bar from 0 to 1.

    ``mark`` holds the marks of each panel, in order. Otherwise as ``attention_heatmap``, and so are the errors.
    """
    require.that(len(panels) > 0, "panels", "must hold at least one (title, attention)", len(panels))
    require.integer("columns", columns, least=1)
    require.that(len(mark) in (0, len(panels)), "mark", f"must hold the marks of {len(panels)} panels", len(mark))
    patterns = [_pattern(f"panels[{number}]", attention) for number, (_, attention) in enumerate(panels)]
    names = _names("tokens", tokens, len(patterns[0]))
    for number, pattern in enumerate(patterns):
        require.shape(f"panels[{number}]", pattern, patterns[0].shape)
    across = min(columns, len(panels))
    grid = _axes(ceil(len(panels) / across), across, len(names), title)
    images = [
        _draw_attention(ax, pattern, names, name, _roles(roles, len(names)), cells)
        for ax, pattern, (name, _), cells in zip(grid, patterns, panels, mark or [()] * len(panels), strict=False)
    ]
    for spare in grid[len(panels) :]:
        spare.remove()
    figure = grid[0].figure.figure
    figure.colorbar(images[0], ax=grid[: len(panels)], label="attention", shrink=0.75, aspect=28)
    return figure


def weight_heatmap(
    matrix: Matrix,
    row_labels: Labels,
    column_labels: Labels,
    title: str = "",
    *,
    row_name: str = "query",
    column_name: str = "key",
) -> Figure:
    """Weights or gradients (rows, columns) in colours symmetric about 0, so that white is 0 and signs differ in hue.

    Raises ValueError for entries that are not finite, or labels of another number.
    """
    values = _matrix("matrix", matrix)
    rows, columns = (_names(f"{side}_labels", labels, size)
                     for side, labels, size in zip(("row", "column"), (row_labels, column_labels), values.shape, strict=True))
    figure = _Shown(figsize=(len(columns) * _CELL + 2.2, len(rows) * _CELL + 1.4), layout="constrained")
    ax = figure.add_subplot()
    largest = float(np.abs(values).max()) or 1.0
    image = ax.imshow(values, cmap=_WEIGHTS, vmin=-largest, vmax=largest)
    _grid(ax, values.shape)
    _write_values(ax, image, values, np.abs(values) > 0.005 * largest, "{:.2g}")
    _ticks(ax, rows, columns)
    ax.set_xlabel(column_name, color=_QUIET)
    ax.set_ylabel(row_name, color=_QUIET)
    ax.set_title(title, fontsize=11, loc="left", pad=10)
    figure.colorbar(image, ax=ax, shrink=0.75, aspect=28)
    return figure


def lines_by_gamma(
    gammas: Curve,
    lines: Mapping[str, Curve],
    *,
    title: str = "",
    ylabel: str = "",
    reference: float | None = None,
) -> Figure:
    """Positive quantities, each (G,), against increasing gamma (G,), on a logarithmic axis.

    Up to five lines are named at their right ends, more in a legend. ``reference`` = c adds c e^-γ, dotted. Raises
    ValueError for another shape, or values that are not finite and positive.
    """
    x = np.asarray(gammas, dtype=float)
    require.finite("gammas", x)
    require.that(len(x) >= 2 and bool(np.all(np.diff(x) > 0)), "gammas", "must be at least two, and increase", x.tolist())
    require.that(len(lines) > 0, "lines", "must hold at least one line", dict(lines))
    curves = {name: _curve(f"lines[{name!r}]", values, len(x)) for name, values in lines.items()}
    if reference is not None:
        require.that(0 < reference < np.inf, "reference", "must be positive and finite", reference)
    figure = _Shown(figsize=(7.2, 4.2), layout="constrained")
    ax = figure.add_subplot()
    ax.set_yscale("log")
    for number, (name, values) in enumerate(curves.items()):
        style = {"color": _COLOURS[number % len(_COLOURS)], "linestyle": _DASHES[number % len(_DASHES)]}
        ax.plot(x, values, label=name, linewidth=2, **style)
    if reference is not None:
        falling = reference * np.exp(-x)
        ax.plot(x, np.where(falling > 0, falling, np.nan), color=_QUIET, linestyle=":", linewidth=1.2, label="_reference")
    ax.set_xlim(x[0], x[-1])
    _plain(ax)
    ax.set_xlabel("γ")
    ax.set_ylabel(ylabel)
    ax.set_title(title, fontsize=11, loc="left")
    if len(curves) > MOST_DIRECT_LABELS:
        ax.legend(frameon=False)
    else:
        _name_at_ends(ax, curves)
    return figure
